//! Publishing on `main` what a snapshot elsewhere added: the rules of write-audit-publish.

use std::collections::BTreeMap;

use async_trait::async_trait;
use iceberg::io::FileIO;
use uuid::Uuid;

use super::operation::{Operation, Proposal};
use super::rebase::check_same_table;
use super::requirements::requirements;
use super::rows::RowsOperation;
use crate::change::{CommitOptions, RowsChange};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Manifests;
use crate::metastore::TableCommit;
use crate::references::{ancestors, set_main};
use crate::snapshot::data_file::rebuild;
use crate::snapshot::produce::Produced;
use crate::spec::{
    DataContentType, DataFile, ManifestStatus, Operation as Kind, Snapshot, SnapshotRef,
    TableMetadata,
};
use crate::table::Table;

/// The summary entry of a picked snapshot that names where it came from.
const SOURCE_SNAPSHOT_ID: &str = "source-snapshot-id";

/// The name under which a snapshot was staged to be audited.
const STAGED_WAP_ID: &str = "wap.id";

/// The name under which a staged snapshot was published.
const PUBLISHED_WAP_ID: &str = "published-wap-id";

/// A cherry-pick on its way into `main`.
#[derive(Debug)]
pub(crate) struct CherryPick {
    base: Table,
    picked: SnapshotRef,
    /// The picked files as a change of rows; `None` for a snapshot that only a move can publish.
    rows: Option<RowsOperation>,
    op_id: Uuid,
    /// The last attempt moved `main` to the picked snapshot itself.
    moved: bool,
}

impl CherryPick {
    /// Reads what the snapshot added.
    ///
    /// # Errors
    /// `NotFound` if the table has no such snapshot.
    pub(crate) async fn new(
        io: FileIO,
        manifests: Manifests,
        base: &Table,
        snapshot_id: i64,
    ) -> Result<Self> {
        let metadata = base.metadata();
        let picked = metadata.snapshot_by_id(snapshot_id).cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("table \"{}\" has no snapshot {snapshot_id}", base.name()),
            )
        })?;
        let rows = match added_files(&manifests, metadata, &picked).await? {
            Some(files) => {
                let mut summary = BTreeMap::new();
                summary.insert(SOURCE_SNAPSHOT_ID.to_owned(), snapshot_id.to_string());
                if let Some(id) = entry(&picked, STAGED_WAP_ID) {
                    summary.insert(PUBLISHED_WAP_ID.to_owned(), id.to_owned());
                }
                let options = CommitOptions { summary, ..CommitOptions::default() };
                let change = RowsChange::Append { files };
                Some(RowsOperation::new(io, manifests, base, change, options)?)
            }
            None => None,
        };
        Ok(Self { base: base.clone(), picked, rows, op_id: Uuid::now_v7(), moved: false })
    }

    /// The snapshot that was made, where `main` was not simply moved.
    pub(crate) fn produced(&self) -> Option<&Produced> {
        self.rows.as_ref().filter(|_| !self.moved).and_then(RowsOperation::produced)
    }

    /// Every metadata file that was begun, in all attempts.
    pub(crate) fn written_files(&self) -> Vec<String> {
        self.rows.as_ref().map(RowsOperation::written_files).unwrap_or_default()
    }

    /// Refuses what `main` has already: twice the rows would be there.
    fn check_unpublished(&self, metadata: &TableMetadata) -> Result<()> {
        let id = self.picked.snapshot_id();
        let refused = |what: String| {
            let message =
                format!("table \"{}\": snapshot {id} cannot be picked, {what}", self.base.name());
            Err(Error::new(ErrorKind::InvalidArgument, message))
        };
        let source = id.to_string();
        let staged = entry(&self.picked, STAGED_WAP_ID);
        for ancestor in ancestors(metadata, metadata.current_snapshot_id()) {
            if ancestor == id {
                return refused("it is part of main".to_owned());
            }
            let Some(snapshot) = metadata.snapshot_by_id(ancestor) else { continue };
            if entry(snapshot, SOURCE_SNAPSHOT_ID) == Some(source.as_str()) {
                return refused(format!("it was picked as snapshot {ancestor}"));
            }
            let published = [entry(snapshot, STAGED_WAP_ID), entry(snapshot, PUBLISHED_WAP_ID)];
            if let Some(wap) = staged
                && published.contains(&staged)
            {
                return refused(format!("{wap:?} was published by snapshot {ancestor}"));
            }
        }
        Ok(())
    }

    fn is_next(&self, metadata: &TableMetadata) -> bool {
        metadata.current_snapshot_id() == self.picked.parent_snapshot_id()
    }
}

fn entry<'a>(snapshot: &'a Snapshot, key: &str) -> Option<&'a str> {
    snapshot.summary().additional_properties.get(key).map(String::as_str)
}

/// The data files that `picked` added, if adding them is all that it did.
async fn added_files(
    manifests: &Manifests,
    metadata: &TableMetadata,
    picked: &SnapshotRef,
) -> Result<Option<Vec<DataFile>>> {
    if picked.summary().operation != Kind::Append {
        return Ok(None);
    }
    let own = picked.snapshot_id();
    let mut files = Vec::new();
    let list = manifests.load_list(picked, metadata.format_version()).await?;
    for manifest in list.iter().filter(|manifest| manifest.added_snapshot_id == own) {
        for entry in manifests.load(manifest).await?.iter() {
            if entry.snapshot_id != Some(own) || entry.status() == ManifestStatus::Existing {
                continue;
            }
            let file = entry.data_file();
            if entry.status() == ManifestStatus::Deleted
                || file.content_type() != DataContentType::Data
            {
                return Ok(None);
            }
            // Row ids are given anew: the rows become part of main only now.
            let spec_id = manifest.partition_spec_id;
            files.push(rebuild(file, spec_id, None, file.partition().clone())?);
        }
    }
    Ok(Some(files))
}

#[async_trait]
impl Operation for CherryPick {
    fn op_id(&self) -> Uuid {
        self.rows.as_ref().map_or(self.op_id, Operation::op_id)
    }

    async fn propose(&mut self, head: Option<&Table>) -> Result<Proposal> {
        let Some(head) = head else {
            let message = format!("table \"{}\" was dropped meanwhile", self.base.name());
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        check_same_table(&self.base, head)?;
        let metadata = head.metadata();
        self.check_unpublished(metadata)?;
        self.moved = self.is_next(metadata);
        if self.moved {
            let updates = set_main(metadata, self.picked.snapshot_id())?;
            return Ok(Proposal::Commit(Box::new(TableCommit {
                name: head.name().clone(),
                requirements: requirements(metadata, &updates),
                updates,
                staged: None,
            })));
        }
        match &mut self.rows {
            Some(rows) => rows.propose(Some(head)).await,
            None => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "table \"{}\": snapshot {} cannot be picked: it did more than add rows, and it \
                     was not made on top of the current snapshot",
                    self.base.name(),
                    self.picked.snapshot_id()
                ),
            )),
        }
    }

    fn is_applied(&self, metadata: &TableMetadata) -> bool {
        let id = self.picked.snapshot_id();
        let main = ancestors(metadata, metadata.current_snapshot_id());
        (self.moved && main.contains(&id))
            || self.rows.as_ref().is_some_and(|rows| rows.is_applied(metadata))
    }
}
