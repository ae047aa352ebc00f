//! `$snapshots`, `$history`, `$refs` and `$metadata_log_entries`: what the table metadata says by itself.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{BooleanArray, Int32Array, RecordBatch};
use fjord_catalog::references::references;
use fjord_catalog::spec::{SnapshotReference, SnapshotRetention};
use fjord_catalog::table::Table;

use super::column::{batch, instants, longs, string_maps, strings};
use crate::error::Result;

/// `$snapshots`, oldest first.
pub(super) fn snapshots(table: &Table) -> Result<RecordBatch> {
    let mut rows: Vec<_> = table.metadata().snapshots().collect();
    // The order in the file means nothing.
    rows.sort_by_key(|s| (s.timestamp_ms(), s.sequence_number(), s.snapshot_id()));
    let summaries = rows.iter().map(|s| {
        s.summary().additional_properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
    });
    batch(vec![
        ("committed_at", instants(rows.iter().map(|s| s.timestamp_ms()))),
        ("snapshot_id", longs(rows.iter().map(|s| Some(s.snapshot_id())))),
        ("parent_id", longs(rows.iter().map(|s| s.parent_snapshot_id()))),
        ("operation", strings(rows.iter().map(|s| Some(s.summary().operation.as_str())))),
        ("manifest_list", strings(rows.iter().map(|s| Some(s.manifest_list())))),
        ("summary", string_maps(summaries)?),
    ])
}

/// `$history`, in the order in which snapshots became current.
pub(super) fn history(table: &Table) -> Result<RecordBatch> {
    let metadata = table.metadata();
    let mut ancestors = HashSet::new();
    let mut next = metadata.current_snapshot_id();
    while let Some(id) = next.filter(|id| ancestors.insert(*id)) {
        next = metadata.snapshot_by_id(id).and_then(|s| s.parent_snapshot_id());
    }
    let rows = metadata.history();
    let parent = |id| metadata.snapshot_by_id(id).and_then(|s| s.parent_snapshot_id());
    let is_ancestor: BooleanArray =
        rows.iter().map(|row| Some(ancestors.contains(&row.snapshot_id))).collect();
    batch(vec![
        ("made_current_at", instants(rows.iter().map(|row| row.timestamp_ms))),
        ("snapshot_id", longs(rows.iter().map(|row| Some(row.snapshot_id)))),
        ("parent_id", longs(rows.iter().map(|row| parent(row.snapshot_id)))),
        ("is_current_ancestor", Arc::new(is_ancestor)),
    ])
}

/// `$refs`, by name.
pub(super) fn refs(table: &Table) -> Result<RecordBatch> {
    let rows = references(table.metadata())?;
    let retention: Vec<_> = rows.values().map(|r| limits(&r.retention)).collect();
    let kind = |r: &SnapshotReference| if r.is_branch() { "BRANCH" } else { "TAG" };
    let keep: Int32Array = retention.iter().map(|(_, keep, _)| *keep).collect();
    batch(vec![
        ("name", strings(rows.keys().map(Some))),
        ("type", strings(rows.values().map(|r| Some(kind(r))))),
        ("snapshot_id", longs(rows.values().map(|r| Some(r.snapshot_id)))),
        ("max_reference_age_in_ms", longs(retention.iter().map(|(age, ..)| *age))),
        ("min_snapshots_to_keep", Arc::new(keep)),
        ("max_snapshot_age_in_ms", longs(retention.iter().map(|(.., age)| *age))),
    ])
}

/// `$metadata_log_entries`: the table's metadata files, oldest first, the current one last, and what
/// was current when each was written.
pub(super) fn metadata_log_entries(table: &Table) -> Result<RecordBatch> {
    let metadata = table.metadata();
    let mut rows: Vec<(i64, &str)> = metadata
        .metadata_log()
        .iter()
        .map(|entry| (entry.timestamp_ms, entry.metadata_file.as_str()))
        .collect();
    rows.extend(table.metadata_location().map(|file| (metadata.last_updated_ms(), file)));
    let latest: Vec<_> = rows
        .iter()
        .map(|(at, _)| metadata.history().iter().rfind(|entry| entry.timestamp_ms <= *at))
        .map(|entry| Some((entry?.snapshot_id, metadata.snapshot_by_id(entry?.snapshot_id))))
        .collect();
    let snapshot = |of: &dyn Fn(&fjord_catalog::spec::SnapshotRef) -> Option<i64>| {
        longs(latest.iter().map(|found| found.and_then(|(_, snapshot)| of(snapshot?))))
    };
    let schema_ids: Int32Array =
        latest.iter().map(|found| found.and_then(|(_, snapshot)| snapshot?.schema_id())).collect();
    batch(vec![
        ("timestamp", instants(rows.iter().map(|(at, _)| *at))),
        ("file", strings(rows.iter().map(|(_, file)| Some(*file)))),
        ("latest_snapshot_id", longs(latest.iter().map(|found| found.map(|(id, _)| id)))),
        ("latest_schema_id", Arc::new(schema_ids)),
        ("latest_sequence_number", snapshot(&|s| Some(s.sequence_number()))),
    ])
}

/// `$properties`, by key.
pub(super) fn properties(table: &Table) -> Result<RecordBatch> {
    let mut rows: Vec<_> = table.metadata().properties().iter().collect();
    rows.sort_unstable();
    batch(vec![
        ("key", strings(rows.iter().map(|(key, _)| Some(key)))),
        ("value", strings(rows.iter().map(|(_, value)| Some(value)))),
    ])
}

fn limits(retention: &SnapshotRetention) -> (Option<i64>, Option<i32>, Option<i64>) {
    match retention {
        SnapshotRetention::Branch {
            min_snapshots_to_keep,
            max_snapshot_age_ms,
            max_ref_age_ms,
        } => (*max_ref_age_ms, *min_snapshots_to_keep, *max_snapshot_age_ms),
        SnapshotRetention::Tag { max_ref_age_ms } => (*max_ref_age_ms, None, None),
    }
}
