//! Conflicts between writers of different partition specs of one table.

use super::fixture::*;
use crate::change::{CommitOptions, Isolation, RowsChange};
use crate::error::{Error, ErrorKind};
use crate::spec::{
    DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, Struct, TableMetadata,
    TableUpdate, UnboundPartitionSpec,
};
use crate::table::Table;

/// A file of a table without partitions, whose rows all have `part`.
fn whole(table: &Table, file_name: &str, part: &str) -> DataFile {
    DataFileBuilder::default()
        .file_path(format!("{}/data/{file_name}", table.metadata().location()))
        .file_format(DataFileFormat::Parquet)
        .content(crate::spec::DataContentType::Data)
        .partition(Struct::empty())
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(1)
        .file_size_in_bytes(100)
        .value_counts([(2, 1)].into())
        .null_value_counts([(2, 0)].into())
        .lower_bounds([(2, Datum::string(part))].into())
        .upper_bounds([(2, Datum::string(part))].into())
        .build()
        .unwrap()
}

/// We read a table that is partitioned by `part`. Then somebody takes the partitioning away and adds
/// a row of `theirs`; then `ours` tries to commit.
async fn race(theirs: &str, ours: impl Fn(&Table) -> RowsChange) -> Result<Vec<String>, Error> {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let base = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 9)]).await;
    let unpartitioned = |_: &TableMetadata| {
        let spec = UnboundPartitionSpec::builder().build();
        Ok(vec![TableUpdate::AddSpec { spec }, TableUpdate::SetDefaultSpec { spec_id: -1 }])
    };
    fixture.catalog.commit_metadata(&name("t"), unpartitioned).await.unwrap();
    let now = fixture.load("t").await;
    let files = vec![whole(&now, "theirs.parquet", theirs)];
    let change = RowsChange::Append { files };
    fixture.catalog.commit_rows(&now, change, CommitOptions::default()).await.unwrap();
    let options = at(Isolation::Serializable);
    let done = fixture.catalog.commit_rows(&base, ours(&base), options).await?;
    Ok(paths(&fixture.live(&done.table).await))
}

#[tokio::test]
async fn an_overwrite_by_filter_sees_rows_that_came_under_a_newer_spec() {
    let ours = |table: &Table| {
        let files = vec![file(table, "ours.parquet", "a", 1, 1)];
        RowsChange::OverwriteWhere { filter: part_is("a"), files }
    };
    assert_eq!(race("a", ours).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(race("b", ours).await.unwrap(), ["ours.parquet", "theirs.parquet"]);
}

/// Hazard: a file that a rival added under another partition spec lies in no partition of ours, and
/// is taken to be out of the way (stack §2).
#[tokio::test]
async fn a_dynamic_overwrite_takes_files_of_a_newer_spec_for_its_partitions() {
    let ours = |table: &Table| {
        let files = vec![file(table, "ours.parquet", "a", 1, 1)];
        RowsChange::OverwritePartitions { files }
    };
    // What a file without partitions holds is not looked at: it may hold rows of any.
    for theirs in ["a", "b"] {
        assert_eq!(race(theirs, ours).await.unwrap_err().kind(), ErrorKind::Conflict, "{theirs}");
    }
}
