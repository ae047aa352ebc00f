//! `$partitions`: a snapshot's live files, counted by partition.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, TimestampMicrosecondArray};
use fjord_catalog::catalog::Catalog;
use fjord_catalog::manifest::Entry;
use fjord_catalog::spec::{DataContentType, DataFileFormat, SnapshotRef, Struct, TableMetadata};
use fjord_catalog::table::Table;

use super::column::{batch, longs};
use super::manifests::load_list;
use super::partition::PartitionColumn;
use crate::error::Result;

/// What the live files of one partition come to.
#[derive(Default)]
struct Total {
    records: u64,
    files: u64,
    bytes: u64,
    position_deletes: u64,
    position_delete_files: u64,
    deletion_vectors: u64,
    equality_deletes: u64,
    equality_delete_files: u64,
    /// When a file was last added, and by which snapshot.
    updated: Option<(i64, i64)>,
}

impl Total {
    fn add(&mut self, metadata: &TableMetadata, entry: &Entry) {
        let file = &entry.data_file;
        let records = file.record_count();
        let plus = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        match file.content_type() {
            DataContentType::Data => {
                plus(&mut self.records, records);
                plus(&mut self.files, 1);
                plus(&mut self.bytes, file.file_size_in_bytes());
            }
            DataContentType::PositionDeletes => {
                plus(&mut self.position_deletes, records);
                match file.file_format() {
                    DataFileFormat::Puffin => plus(&mut self.deletion_vectors, 1),
                    _ => plus(&mut self.position_delete_files, 1),
                }
            }
            DataContentType::EqualityDeletes => {
                plus(&mut self.equality_deletes, records);
                plus(&mut self.equality_delete_files, 1);
            }
        }
        // An expired snapshot has no time any more.
        let by = entry.snapshot_id.and_then(|id| metadata.snapshot_by_id(id));
        self.updated = self.updated.max(by.map(|s| (s.timestamp_ms(), s.snapshot_id())));
    }
}

/// `$partitions` of a snapshot, in the order in which its manifests have them.
pub(super) async fn partitions(
    catalog: &Catalog,
    table: &Table,
    snapshot: Option<&SnapshotRef>,
) -> Result<RecordBatch> {
    let list = load_list(catalog, table, snapshot).await?;
    let mut order: Vec<(i32, Struct)> = Vec::new();
    let mut totals: Vec<Total> = Vec::new();
    let mut places: HashMap<(i32, Struct), usize> = HashMap::new();
    for manifest in list.iter() {
        let entries = catalog.load_manifest(table, manifest).await?;
        for entry in entries.iter().filter(|e| e.is_alive()) {
            let key = (manifest.partition_spec_id, entry.data_file.partition().clone());
            let place = *places.entry(key.clone()).or_insert_with(|| {
                order.push(key);
                totals.push(Total::default());
                totals.len() - 1
            });
            if let Some(total) = totals.get_mut(place) {
                total.add(table.metadata(), entry);
            }
        }
    }
    rows(table, &order, &totals)
}

fn rows(table: &Table, order: &[(i32, Struct)], totals: &[Total]) -> Result<RecordBatch> {
    let tuples: Vec<_> = order.iter().map(|(spec, tuple)| (*spec, tuple)).collect();
    let mut columns = Vec::new();
    if let Some(partition) = PartitionColumn::try_new(table.metadata())?.build(&tuples)? {
        columns.push(("partition", partition));
    }
    let specs: Int32Array = order.iter().map(|(spec, _)| Some(*spec)).collect();
    let counts = |of: fn(&Total) -> u64| longs(totals.iter().map(|total| Some(of(total))));
    let updated_at: TimestampMicrosecondArray =
        totals.iter().map(|t| t.updated.map(|(ms, _)| ms.saturating_mul(1_000))).collect();
    columns.extend([
        ("spec_id", Arc::new(specs) as ArrayRef),
        ("record_count", counts(|t| t.records)),
        ("file_count", counts(|t| t.files)),
        ("total_data_file_size_in_bytes", counts(|t| t.bytes)),
        ("position_delete_record_count", counts(|t| t.position_deletes)),
        ("position_delete_file_count", counts(|t| t.position_delete_files)),
        ("dv_count", counts(|t| t.deletion_vectors)),
        ("equality_delete_record_count", counts(|t| t.equality_deletes)),
        ("equality_delete_file_count", counts(|t| t.equality_delete_files)),
        ("last_updated_at", Arc::new(updated_at.with_timezone("UTC"))),
        ("last_updated_snapshot_id", longs(totals.iter().map(|t| t.updated.map(|(_, id)| id)))),
    ]);
    batch(columns)
}
