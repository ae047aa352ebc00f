//! `$snapshots`, `$history` and `$refs`: what the table metadata says by itself.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, Int32Array, RecordBatch};
use fjord_catalog::spec::{SnapshotReference, SnapshotRetention};
use fjord_catalog::table::Table;

use super::column::{batch, instants, longs, string_maps, strings};
use crate::error::{Error, ErrorKind, Result};

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
    let rows = references(table)?;
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

/// The format library does not list references; their serialized form does.
fn references(table: &Table) -> Result<BTreeMap<String, SnapshotReference>> {
    let unreadable = |e| {
        Error::new(ErrorKind::Bug, format!("table \"{}\": its references", table.name()))
            .with_source(e)
    };
    let mut metadata = serde_json::to_value(table.metadata().as_ref()).map_err(unreadable)?;
    match metadata.get_mut("refs").map(serde_json::Value::take) {
        Some(refs) if !refs.is_null() => serde_json::from_value(refs).map_err(unreadable),
        _ => Ok(BTreeMap::new()),
    }
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
