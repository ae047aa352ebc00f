//! A snapshot that deletes rows by delete files, as other engines commit it.

use uuid::Uuid;

use crate::commit::rows::branch_updates;
use crate::error::Result;
use crate::manifest::{Manifests, ManifestsOptions};
use crate::metastore::{Metastore, TableCommit};
use crate::name::TableName;
use crate::snapshot::summary::Tally;
use crate::snapshot::target::MetadataFiles;
use crate::snapshot::write::{Line, ManifestSink};
use crate::spec::{
    DataFile, MAIN_BRANCH, ManifestContentType, Operation, Snapshot, TableRequirement,
};
use crate::storage::Storage;
use crate::table::Table;

/// Commits `files`, each a position-delete file, equality-delete file or deletion vector under the
/// table's default partition spec, on top of the table's current snapshot.
///
/// # Errors
/// Those of the metastore and the store; nothing is retried.
pub async fn commit_delete_files(
    metastore: &dyn Metastore,
    storage: &Storage,
    name: &TableName,
    files: &[DataFile],
) -> Result<Table> {
    let table = metastore.load_table(name).await?;
    let metadata = table.metadata();
    let (io, names) = (storage.file_io()?, MetadataFiles::new(Uuid::now_v7()));
    let op_id = Uuid::new_v4();
    let snapshot_id = i64::try_from(op_id.as_u64_pair().0 >> 1).unwrap_or(1);
    let sink = ManifestSink { io: &io, metadata, snapshot_id, files: &names };
    let spec_id = metadata.default_partition_spec_id();
    let lines = files.iter().map(Line::Added);
    let deletes = sink.write(spec_id, ManifestContentType::Deletes, lines).await?;

    let parent = metadata.current_snapshot();
    let parent_id = parent.map(|parent| parent.snapshot_id());
    let mut manifests = match parent {
        None => Vec::new(),
        Some(parent) => {
            let manifests = Manifests::new(storage.clone(), ManifestsOptions::default());
            manifests.load_list(parent, metadata.format_version()).await?.to_vec()
        }
    };
    manifests.push(deletes);
    let previous = parent.map(|parent| parent.summary());
    let mut summary = Tally::default().summary(op_id, &Default::default(), previous, &manifests);
    summary.operation = Operation::Delete;
    let list = sink.write_list(parent_id, manifests).await?;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(snapshot_id)
        .with_parent_snapshot_id(parent_id)
        .with_sequence_number(metadata.next_sequence_number())
        .with_timestamp_ms(metadata.last_updated_ms())
        .with_manifest_list(list.uri)
        .with_summary(summary)
        .with_schema_id(metadata.current_schema_id());
    let snapshot = match list.row_range {
        Some((first, added)) => snapshot.with_row_range(first, added).build(),
        None => snapshot.build(),
    };
    metastore
        .commit(TableCommit {
            name: table.name().clone(),
            requirements: vec![TableRequirement::UuidMatch { uuid: metadata.uuid() }],
            updates: branch_updates(metadata, snapshot, MAIN_BRANCH)?,
            staged: None,
        })
        .await
}
