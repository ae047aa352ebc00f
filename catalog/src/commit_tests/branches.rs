//! Branches beside each other, and what is published from one to another.

use std::collections::BTreeMap;

use super::fixture::*;
use crate::change::{CommitOptions, RowsChange};
use crate::error::ErrorKind;
use crate::references::{At, IfThere, ReferenceChange, ReferenceKind, Retention};
use crate::spec::{DataFile, FormatVersion, MAIN_BRANCH};
use crate::table::Table;

fn branch(name: &str) -> ReferenceChange {
    ReferenceChange::Put {
        kind: ReferenceKind::Branch,
        name: name.to_owned(),
        at: At::Current,
        if_there: IfThere::Fail,
        retention: Retention::default(),
    }
}

fn on(branch: &str, wap_id: Option<&str>) -> CommitOptions {
    let summary: BTreeMap<String, String> =
        wap_id.map(|id| ("wap.id".to_owned(), id.to_owned())).into_iter().collect();
    CommitOptions { branch: branch.to_owned(), summary, ..CommitOptions::default() }
}

async fn append(fixture: &Fixture, base: &Table, files: Vec<DataFile>, on: CommitOptions) -> Table {
    let change = RowsChange::Append { files };
    fixture.catalog.commit_rows(base, change, on).await.unwrap().table
}

fn head(table: &Table, branch: &str) -> i64 {
    table.metadata().snapshot_for_ref(branch).unwrap().snapshot_id()
}

/// A table with one file, and a branch `audit` where another was appended under `wap_id`.
async fn audited(version: FormatVersion, wap_id: Option<&str>) -> (Fixture, Table) {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", version).await;
    let one = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 9)]).await;
    fixture.catalog.change_references(&name("t"), &branch("audit")).await.unwrap();
    let staged = vec![file(&table, "b.parquet", "b", 1, 9)];
    let table = append(&fixture, &one, staged, on("audit", wap_id)).await;
    (fixture, table)
}

/// Hazard: judged by main's history, an overwrite of a branch would refuse what is none of its
/// business, and miss what is.
#[tokio::test]
async fn an_overwrite_on_one_branch_is_not_disturbed_by_a_commit_on_another() {
    let (fixture, base) = audited(FormatVersion::V2, None).await;
    // Planned on `base`; meanwhile main gets rows that the overwrite would replace there.
    fixture.append(&base, vec![file(&base, "late.parquet", "b", 1, 9)]).await;
    let change = RowsChange::OverwriteWhere { filter: part_is("b"), files: vec![] };
    let done = fixture.catalog.commit_rows(&base, change.clone(), on("audit", None)).await.unwrap();
    assert_eq!(done.removed_rows, 9);
    assert_eq!(paths(&fixture.live(&done.table).await), ["a.parquet", "late.parquet"]);

    // The same rival on the same branch is a conflict.
    let base = done.table;
    let rival = vec![file(&base, "rival.parquet", "b", 1, 9)];
    append(&fixture, &base, rival, on("audit", None)).await;
    let error = fixture.catalog.commit_rows(&base, change, on("audit", None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn a_branch_that_is_dropped_meanwhile_takes_no_rows() {
    let (fixture, base) = audited(FormatVersion::V2, None).await;
    let drop = ReferenceChange::Drop {
        kind: ReferenceKind::Branch,
        name: "audit".to_owned(),
        if_exists: false,
    };
    fixture.catalog.change_references(&name("t"), &drop).await.unwrap();
    let change = RowsChange::Append { files: vec![file(&base, "c.parquet", "c", 1, 9)] };
    let error = fixture.catalog.commit_rows(&base, change, on("audit", None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(fixture.load("t").await.metadata().snapshot_for_ref("audit").is_none());
}

#[tokio::test]
async fn a_snapshot_on_top_of_main_is_published_by_moving_main() {
    let (fixture, table) = audited(FormatVersion::V2, Some("w1")).await;
    let staged = head(&table, "audit");
    let picked = fixture.catalog.cherry_pick(&name("t"), staged).await.unwrap();
    assert!(picked.snapshot.is_none());
    assert_eq!(head(&picked.table, MAIN_BRANCH), staged);
    let error = fixture.catalog.cherry_pick(&name("t"), staged).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

/// Hazard: publishing a second time adds every row again.
#[tokio::test]
async fn hazard_a_staged_snapshot_is_published_once() {
    let (fixture, base) = audited(FormatVersion::V3, Some("w1")).await;
    let staged = head(&base, "audit");
    let base = fixture.append(&base, vec![file(&base, "c.parquet", "c", 1, 9)]).await;
    let picked = fixture.catalog.cherry_pick(&name("t"), staged).await.unwrap();
    let snapshot = picked.snapshot.unwrap();
    assert_eq!(summary(&snapshot, "source-snapshot-id"), Some(staged.to_string().as_str()));
    assert_eq!(summary(&snapshot, "published-wap-id"), Some("w1"));
    let live = fixture.live(&picked.table).await;
    assert_eq!(paths(&live), ["a.parquet", "b.parquet", "c.parquet"]);
    // Its rows get ids of their own, for those of the branch are not main's.
    let mut ids: Vec<_> = live.iter().map(|entry| entry.first_row_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");

    let again = fixture.catalog.cherry_pick(&name("t"), staged).await.unwrap_err();
    assert!(again.to_string().contains("it was picked as snapshot"), "{again}");
    // The same work, staged a second time.
    let files = vec![file(&base, "d.parquet", "d", 1, 9)];
    let table = append(&fixture, &picked.table, files, on("audit", Some("w1"))).await;
    let twice = fixture.catalog.cherry_pick(&name("t"), head(&table, "audit")).await.unwrap_err();
    assert!(twice.to_string().contains("\"w1\" was published"), "{twice}");
    assert_eq!(fixture.live(&fixture.load("t").await).await.len(), 3);
}

#[tokio::test]
async fn a_snapshot_that_removed_files_is_not_picked() {
    let (fixture, table) = audited(FormatVersion::V2, None).await;
    let change = RowsChange::OverwriteWhere { filter: part_is("a"), files: vec![] };
    let table = fixture.catalog.commit_rows(&table, change, on("audit", None)).await.unwrap().table;
    let error = fixture.catalog.cherry_pick(&name("t"), head(&table, "audit")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(fixture.live(&fixture.load("t").await).await.len(), 1);
}
