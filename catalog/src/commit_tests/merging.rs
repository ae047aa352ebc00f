//! Manifests are merged by the table's policy, and totals stay right.

use super::fixture::*;
use crate::change::{CommitOptions, RowsChange};
use crate::spec::{FormatVersion, ManifestStatus};

#[tokio::test]
async fn merging_bounds_the_number_of_manifests() {
    let fixture = Fixture::new().await;
    let merge = [("commit.manifest.min-count-to-merge", "5")];
    let mut table = fixture.create_with("t", FormatVersion::V2, &merge).await;
    for i in 0..23 {
        let files = vec![file(&table, &format!("{i}.parquet"), "a", 1, 2)];
        table = fixture.append(&table, files).await;
        assert!(fixture.manifests(&table).await < 6);
    }
    let entries = fixture.live(&table).await;
    assert_eq!(entries.len(), 23);
    // Each file still belongs to the commit that added it.
    let mut numbers: Vec<i64> = entries.iter().map(|e| e.sequence_number.unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=23).collect::<Vec<i64>>());
}

#[tokio::test]
async fn merging_can_be_switched_off() {
    let fixture = Fixture::new().await;
    let off =
        [("commit.manifest.min-count-to-merge", "2"), ("commit.manifest-merge.enabled", "false")];
    let mut table = fixture.create_with("t", FormatVersion::V2, &off).await;
    for i in 0..6 {
        let files = vec![file(&table, &format!("{i}.parquet"), "a", 1, 2)];
        table = fixture.append(&table, files).await;
    }
    assert_eq!(fixture.manifests(&table).await, 6);
}

#[tokio::test]
async fn totals_equal_a_recount_after_many_commits() {
    let fixture = Fixture::new().await;
    let merge = [("commit.manifest.min-count-to-merge", "3")];
    let mut table = fixture.create_with("t", FormatVersion::V2, &merge).await;
    for i in 0_i64..20 {
        let part = ["a", "b", "c"][usize::try_from(i % 3).unwrap()];
        let files = vec![file(&table, &format!("{i}.parquet"), part, 1, i + 1)];
        let change = match i % 5 {
            4 => RowsChange::OverwritePartitions { files },
            3 => RowsChange::OverwriteWhere { filter: part_is(part), files: vec![] },
            _ => RowsChange::Append { files },
        };
        let done = fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await;
        table = done.unwrap().table;
        let entries = fixture.live(&table).await;
        let snapshot = table.current_snapshot().unwrap();
        let total = |key: &str| summary(snapshot, key).unwrap().parse::<u64>().unwrap();
        assert_eq!(total("total-data-files"), entries.len() as u64);
        assert_eq!(total("total-records"), entries.iter().map(|e| e.record_count()).sum::<u64>());
        assert_eq!(
            total("total-files-size"),
            entries.iter().map(|e| e.data_file.file_size_in_bytes()).sum::<u64>()
        );
    }
}

#[tokio::test]
async fn a_removed_file_stays_on_record_for_one_snapshot() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let table = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 2)]).await;
    let change = RowsChange::OverwriteWhere { filter: part_is("a"), files: vec![] };
    let done = fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap();
    let snapshot = done.snapshot.unwrap();
    let list = fixture.catalog.load_manifest_list(&done.table, &snapshot).await.unwrap();
    assert_eq!(list.len(), 1);
    let entries = fixture.catalog.load_manifest(&done.table, &list[0]).await.unwrap();
    assert_eq!(entries[0].status(), ManifestStatus::Deleted);
    assert_eq!(entries[0].sequence_number, Some(1));
    assert_eq!(entries[0].snapshot_id, Some(snapshot.snapshot_id()));
    let later = fixture.append(&done.table, vec![file(&table, "b.parquet", "b", 1, 2)]).await;
    assert_eq!(fixture.manifests(&later).await, 1, "an empty manifest was carried along");
}
