//! One test for each row of the conflict table, and for what rebases without a word.

use super::fixture::*;
use crate::change::{CommitOptions, Isolation, RowsChange};
use crate::error::{Error, ErrorKind};
use crate::faults::commit_delete_files;
use crate::predicate::{Comparison, Predicate};
use crate::spec::{DataFile, Datum, FormatVersion};
use crate::storage::Storage;
use crate::table::Table;

/// What somebody else commits.
enum Rival {
    Rows(RowsChange),
    /// Delete files, which only other engines write.
    Deletes(Vec<DataFile>),
}

impl Rival {
    async fn commit(self, fixture: &Fixture, base: &Table) {
        match self {
            Self::Rows(change) => {
                let options = CommitOptions::default();
                fixture.catalog.commit_rows(base, change, options).await.unwrap();
            }
            Self::Deletes(files) => {
                let metastore = fixture.metastore.as_ref();
                commit_delete_files(metastore, &Storage::local(), base.name(), &files)
                    .await
                    .unwrap();
            }
        }
    }
}

/// A table with files in partitions a and b, as an overwrite read it; then somebody commits
/// `concurrent`; then `ours` tries.
async fn race(
    concurrent: impl Fn(&Table) -> Rival,
    ours: impl Fn(&Table) -> RowsChange,
    isolation: Isolation,
) -> Result<Vec<String>, Error> {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let files = vec![file(&table, "a.parquet", "a", 1, 9), file(&table, "b.parquet", "b", 1, 9)];
    let base = fixture.append(&table, files).await;
    concurrent(&base).commit(&fixture, &base).await;
    let done = fixture.catalog.commit_rows(&base, ours(&base), at(isolation)).await?;
    Ok(paths(&fixture.live(&done.table).await))
}

fn adds(part: &'static str) -> impl Fn(&Table) -> Rival {
    move |table| {
        let files = vec![file(table, "new.parquet", part, 1, 1)];
        Rival::Rows(RowsChange::Append { files })
    }
}

fn removes(part: &'static str) -> impl Fn(&Table) -> Rival {
    move |_| Rival::Rows(RowsChange::OverwriteWhere { filter: part_is(part), files: vec![] })
}

fn deletes_rows(part: &'static str) -> impl Fn(&Table) -> Rival {
    move |table| Rival::Deletes(vec![delete_file(table, "deletes.parquet", part)])
}

fn ours(table: &Table) -> Vec<DataFile> {
    vec![file(table, "ours.parquet", "a", 1, 1)]
}

fn by_filter(table: &Table) -> RowsChange {
    RowsChange::OverwriteWhere { filter: part_is("a"), files: ours(table) }
}

fn dynamic(table: &Table) -> RowsChange {
    RowsChange::OverwritePartitions { files: ours(table) }
}

fn assert_conflict(result: Result<Vec<String>, Error>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains(".parquet"), "the error must name the file: {error}");
}

#[tokio::test]
async fn conflict_append_never() {
    for concurrent in [adds("a"), adds("b")] {
        let append = |table: &Table| RowsChange::Append { files: ours(table) };
        let files = race(concurrent, append, Isolation::Serializable).await.unwrap();
        assert_eq!(files, ["a.parquet", "b.parquet", "new.parquet", "ours.parquet"]);
    }
    let append = |table: &Table| RowsChange::Append { files: ours(table) };
    let files = race(removes("a"), append, Isolation::Serializable).await.unwrap();
    assert_eq!(files, ["b.parquet", "ours.parquet"]);
    // Deletes that came meanwhile stay in force.
    let files = race(deletes_rows("a"), append, Isolation::Serializable).await.unwrap();
    assert_eq!(files, ["a.parquet", "b.parquet", "deletes.parquet", "ours.parquet"]);
}

#[tokio::test]
async fn conflict_overwrite_by_filter_with_added_matching_rows() {
    assert_conflict(race(adds("a"), by_filter, Isolation::Serializable).await);
    let files = race(adds("b"), by_filter, Isolation::Serializable).await.unwrap();
    assert_eq!(files, ["b.parquet", "new.parquet", "ours.parquet"]);
}

#[tokio::test]
async fn conflict_overwrite_by_filter_at_snapshot_isolation_spares_added_rows() {
    let files = race(adds("a"), by_filter, Isolation::Snapshot).await.unwrap();
    assert_eq!(files, ["b.parquet", "new.parquet", "ours.parquet"]);
}

#[tokio::test]
async fn conflict_overwrite_by_filter_with_a_removed_matching_file() {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        assert_conflict(race(removes("a"), by_filter, isolation).await);
        let files = race(removes("b"), by_filter, isolation).await.unwrap();
        assert_eq!(files, ["ours.parquet"]);
    }
}

#[tokio::test]
async fn conflict_overwrite_by_filter_with_an_added_delete_file() {
    assert_conflict(race(deletes_rows("a"), by_filter, Isolation::Serializable).await);
    let files = race(deletes_rows("b"), by_filter, Isolation::Serializable).await.unwrap();
    assert_eq!(files, ["b.parquet", "deletes.parquet", "ours.parquet"]);
    // A filter that proves nothing about the deleted rows.
    let by_id = |_: &Table| RowsChange::OverwriteWhere {
        filter: Predicate::Compare(1, Comparison::LtEq, Datum::long(9)),
        files: vec![],
    };
    assert_conflict(race(deletes_rows("b"), by_id, Isolation::Serializable).await);
}

#[tokio::test]
async fn conflict_truncate_with_any_added_row() {
    let truncate =
        |_: &Table| RowsChange::OverwriteWhere { filter: Predicate::True, files: vec![] };
    assert_conflict(race(adds("b"), truncate, Isolation::Serializable).await);
    assert_conflict(race(deletes_rows("b"), truncate, Isolation::Serializable).await);
}

#[tokio::test]
async fn conflict_dynamic_overwrite_with_rows_added_to_its_partition() {
    assert_conflict(race(adds("a"), dynamic, Isolation::Serializable).await);
    let files = race(adds("b"), dynamic, Isolation::Serializable).await.unwrap();
    assert_eq!(files, ["b.parquet", "new.parquet", "ours.parquet"]);
}

#[tokio::test]
async fn conflict_dynamic_overwrite_with_a_delete_file_added_to_its_partition() {
    assert_conflict(race(deletes_rows("a"), dynamic, Isolation::Serializable).await);
    let files = race(deletes_rows("b"), dynamic, Isolation::Serializable).await.unwrap();
    assert_eq!(files, ["b.parquet", "deletes.parquet", "ours.parquet"]);
}

#[tokio::test]
async fn conflict_dynamic_overwrite_with_a_removed_file_of_its_partition() {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        assert_conflict(race(removes("a"), dynamic, isolation).await);
        let files = race(removes("b"), dynamic, isolation).await.unwrap();
        assert_eq!(files, ["ours.parquet"]);
    }
}

#[tokio::test]
async fn conflict_dynamic_overwrite_at_snapshot_isolation_spares_added_rows() {
    let files = race(adds("a"), dynamic, Isolation::Snapshot).await.unwrap();
    assert_eq!(files, ["b.parquet", "new.parquet", "ours.parquet"]);
}

#[tokio::test]
async fn conflict_when_the_snapshot_read_left_the_history() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    // What is left of the history does not meet the overwrite.
    let one = fixture.append(&table, vec![file(&table, "b.parquet", "b", 1, 9)]).await;
    let two = fixture.append(&one, vec![file(&table, "a.parquet", "a", 1, 9)]).await;
    let first = one.current_snapshot().unwrap().snapshot_id();
    fixture.catalog.rollback_to(&name("t"), first).await.unwrap();
    let error = fixture
        .catalog
        .commit_rows(&two, by_filter(&two), CommitOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("no longer part of the table's history"), "{error}");
}
