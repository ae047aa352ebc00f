//! Format 3: rows keep their ids, however often their manifest is rewritten.

use std::collections::BTreeMap;

use super::fixture::*;
use crate::change::{CommitOptions, RowsChange};
use crate::spec::FormatVersion;
use crate::table::Table;

async fn ids(fixture: &Fixture, table: &Table) -> BTreeMap<String, i64> {
    let entries = fixture.live(table).await;
    paths(&entries)
        .into_iter()
        .zip(entries.iter().map(|entry| entry.first_row_id.unwrap()))
        .collect()
}

/// Hazard: what the format library reads back from a manifest has no inherited first row id, so rows
/// change identity when the manifest is rewritten (stack §2).
#[tokio::test]
async fn hazard_row_ids_survive_merging_and_overwriting() {
    let fixture = Fixture::new().await;
    let merge = [("commit.manifest.min-count-to-merge", "4")];
    let mut table = fixture.create_with("t", FormatVersion::V3, &merge).await;
    let mut before = BTreeMap::new();
    for i in 0..12 {
        let part = if i % 2 == 0 { "a" } else { "b" };
        let files = vec![
            file(&table, &format!("{i}-x.parquet"), part, 1, 10),
            file(&table, &format!("{i}-y.parquet"), "c", 1, 5),
        ];
        table = fixture.append(&table, files).await;
        let now = ids(&fixture, &table).await;
        for (path, id) in &before {
            assert_eq!(now.get(path), Some(id), "{path} changed identity by append {i}");
        }
        before = now;
    }
    assert!(fixture.manifests(&table).await < 12, "nothing was merged");
    // Removes files from manifests that were merged, and merges the rewritten ones in one commit.
    let change = RowsChange::OverwriteWhere {
        filter: part_is("a"),
        files: vec![file(&table, "a-new.parquet", "a", 1, 3)],
    };
    let done = fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap();
    let now = ids(&fixture, &done.table).await;
    assert_eq!(now.len(), 19);
    for (path, id) in now.iter().filter(|(path, _)| *path != "a-new.parquet") {
        assert_eq!(before.get(path), Some(id), "{path} changed identity by the overwrite");
    }
    let highest = before.values().max().unwrap();
    assert!(now["a-new.parquet"] > *highest, "new rows took old ids");
    let (first, added) = done.table.current_snapshot().unwrap().row_range().unwrap();
    assert_eq!(done.table.metadata().next_row_id(), first + added);
}

#[tokio::test]
async fn every_snapshot_of_format_3_has_a_row_range() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V3).await;
    let table = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 10)]).await;
    assert_eq!(table.current_snapshot().unwrap().row_range(), Some((0, 10)));
    let change = RowsChange::OverwriteWhere { filter: part_is("a"), files: vec![] };
    let done = fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap();
    assert_eq!(done.table.current_snapshot().unwrap().row_range(), Some((10, 0)));
}
