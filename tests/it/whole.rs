//! Whether a table is whole: one chain of snapshots, every file there, every total right.

use std::collections::HashSet;

use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::spec::{Snapshot, SnapshotRef};
use fjord_catalog::table::Table;
use fjord_tests::lake::Lake;

/// A table of the schema `default`; `None` if there is none.
pub(crate) async fn load(lake: &Lake, name: &str) -> Option<Table> {
    let name = TableName::new(Namespace::new(["default"]).unwrap(), name).unwrap();
    match lake.catalog().load_table(&name).await {
        Ok(table) => Some(table),
        Err(e) if e.kind() == fjord_catalog::ErrorKind::NotFound => None,
        Err(e) => panic!("{e:?}"),
    }
}

/// Checks points 1 and 4 of the commit checker, and that no file is live twice.
pub(crate) async fn assert_whole(lake: &Lake, table: &Table) {
    let metadata = table.metadata();
    let mut snapshots: Vec<&SnapshotRef> = metadata.snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    let mut before: Option<&SnapshotRef> = None;
    for snapshot in &snapshots {
        let parent = before.map(|b| b.snapshot_id());
        assert_eq!(snapshot.parent_snapshot_id(), parent, "{}: a fork", table.name());
        if let Some(before) = before {
            assert_eq!(snapshot.sequence_number(), before.sequence_number() + 1);
        }
        before = Some(snapshot);
        assert_files(lake, table, snapshot).await;
    }
    let current = metadata.current_snapshot().map(|s| s.snapshot_id());
    assert_eq!(current, before.map(|b| b.snapshot_id()), "{}: not the head", table.name());
}

async fn assert_files(lake: &Lake, table: &Table, snapshot: &SnapshotRef) {
    let (mut files, mut rows) = (HashSet::new(), 0);
    for manifest in lake.catalog().load_manifest_list(table, snapshot).await.unwrap().iter() {
        for entry in lake.catalog().load_manifest(table, manifest).await.unwrap().iter() {
            if !entry.is_alive() {
                continue;
            }
            let path = entry.file_path();
            assert!(files.insert(path.to_owned()), "{path} is live twice");
            let found = std::fs::metadata(path.strip_prefix("file://").unwrap());
            let found = found.unwrap_or_else(|e| panic!("{path} is referenced: {e}"));
            assert_eq!(found.len(), entry.data_file().file_size_in_bytes(), "{path}");
            rows += entry.record_count();
        }
    }
    assert_eq!(total(snapshot, "total-data-files"), files.len() as u64);
    assert_eq!(total(snapshot, "total-records"), rows);
}

fn total(snapshot: &Snapshot, key: &str) -> u64 {
    snapshot.summary().additional_properties[key].parse().unwrap()
}
