//! `$manifests`, and `$partitions` summed up from them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Int32Array, ListBuilder, RecordBatch, StringBuilder, StructBuilder,
};
use arrow::datatypes::{DataType, Field, Fields};
use fjord_catalog::catalog::Catalog;
use fjord_catalog::spec::{
    DataContentType, Datum, FieldSummary, ManifestContentType, ManifestFile, PrimitiveType,
    SnapshotRef, Struct,
};
use fjord_catalog::table::Table;

use super::bound::readable;
use super::column::{batch, longs, strings};
use super::partition::PartitionColumn;
use crate::error::Result;

/// `$manifests` of a snapshot.
pub(super) async fn manifests(
    catalog: &Catalog,
    table: &Table,
    snapshot: Option<&SnapshotRef>,
) -> Result<RecordBatch> {
    let list = load_list(catalog, table, snapshot).await?;
    let rows = list.as_slice();
    let partitions = PartitionColumn::try_new(table.metadata())?;
    let content = |m: &ManifestFile| i32::from(m.content == ManifestContentType::Deletes);
    let of = |m: &ManifestFile, kind: ManifestContentType, count: Option<u32>| {
        if m.content == kind { count } else { Some(0) }
    };
    let (data, deletes) = (ManifestContentType::Data, ManifestContentType::Deletes);
    let ints = |values: Vec<i32>| Arc::new(Int32Array::from(values)) as ArrayRef;
    batch(vec![
        ("content", ints(rows.iter().map(content).collect())),
        ("path", strings(rows.iter().map(|m| Some(&m.manifest_path)))),
        ("length", longs(rows.iter().map(|m| Some(m.manifest_length)))),
        ("partition_spec_id", ints(rows.iter().map(|m| m.partition_spec_id).collect())),
        ("added_snapshot_id", longs(rows.iter().map(|m| Some(m.added_snapshot_id)))),
        ("added_data_files_count", longs(rows.iter().map(|m| of(m, data, m.added_files_count)))),
        (
            "existing_data_files_count",
            longs(rows.iter().map(|m| of(m, data, m.existing_files_count))),
        ),
        (
            "deleted_data_files_count",
            longs(rows.iter().map(|m| of(m, data, m.deleted_files_count))),
        ),
        (
            "added_delete_files_count",
            longs(rows.iter().map(|m| of(m, deletes, m.added_files_count))),
        ),
        (
            "existing_delete_files_count",
            longs(rows.iter().map(|m| of(m, deletes, m.existing_files_count))),
        ),
        (
            "deleted_delete_files_count",
            longs(rows.iter().map(|m| of(m, deletes, m.deleted_files_count))),
        ),
        ("partition_summaries", summaries(rows, &partitions)),
    ])
}

/// `$partitions` of a snapshot: its data files, counted by partition.
pub(super) async fn partitions(
    catalog: &Catalog,
    table: &Table,
    snapshot: Option<&SnapshotRef>,
) -> Result<RecordBatch> {
    let list = load_list(catalog, table, snapshot).await?;
    let mut order: Vec<(i32, Struct)> = Vec::new();
    let mut totals: HashMap<(i32, Struct), [u64; 3]> = HashMap::new();
    for manifest in list.iter().filter(|m| m.content == ManifestContentType::Data) {
        let entries = catalog.load_manifest(table, manifest).await?;
        for entry in entries.iter().filter(|e| e.is_alive()) {
            let file = &entry.data_file;
            if file.content_type() != DataContentType::Data {
                continue;
            }
            let key = (manifest.partition_spec_id, file.partition().clone());
            let total = totals.entry(key.clone()).or_insert_with(|| {
                order.push(key);
                [0; 3]
            });
            let counts = [file.record_count(), 1, file.file_size_in_bytes()];
            for (sum, count) in total.iter_mut().zip(counts) {
                *sum = sum.saturating_add(count);
            }
        }
    }
    let tuples: Vec<_> = order.iter().map(|(spec, tuple)| (*spec, tuple)).collect();
    let mut columns = Vec::new();
    if let Some(partition) = PartitionColumn::try_new(table.metadata())?.build(&tuples)? {
        columns.push(("partition", partition));
    }
    let specs: Int32Array = order.iter().map(|(spec, _)| Some(*spec)).collect();
    columns.push(("spec_id", Arc::new(specs) as ArrayRef));
    for (place, name) in ["record_count", "file_count", "total_size"].into_iter().enumerate() {
        columns.push((name, longs(order.iter().map(|key| totals.get(key).map(|t| t[place])))));
    }
    batch(columns)
}

/// The manifests of a snapshot; none of a table never written.
pub(super) async fn load_list(
    catalog: &Catalog,
    table: &Table,
    snapshot: Option<&SnapshotRef>,
) -> Result<Arc<Vec<ManifestFile>>> {
    match snapshot {
        Some(snapshot) => Ok(catalog.load_manifest_list(table, snapshot).await?),
        None => Ok(Arc::new(Vec::new())),
    }
}

fn summaries(rows: &[ManifestFile], partitions: &PartitionColumn) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("contains_null", DataType::Boolean, true),
        Field::new("contains_nan", DataType::Boolean, true),
        Field::new("lower_bound", DataType::Utf8, true),
        Field::new("upper_bound", DataType::Utf8, true),
    ]);
    let mut list = ListBuilder::new(StructBuilder::from_fields(fields, 0));
    for manifest in rows {
        let types = partitions.type_of(manifest.partition_spec_id);
        for (place, summary) in manifest.partitions.iter().flatten().enumerate() {
            let ty = types
                .and_then(|types| types.fields().get(place))
                .and_then(|field| field.field_type.as_primitive_type());
            append_summary(list.values(), summary, ty);
        }
        list.append(true);
    }
    Arc::new(list.finish())
}

fn append_summary(row: &mut StructBuilder, summary: &FieldSummary, ty: Option<&PrimitiveType>) {
    let shown = |bytes: Option<&[u8]>| {
        let datum = Datum::try_from_bytes(bytes?, ty?.clone()).ok()?;
        Some(readable(&datum))
    };
    let flags = [Some(summary.contains_null), summary.contains_nan];
    for (place, flag) in flags.into_iter().enumerate() {
        if let Some(column) = row.field_builder::<BooleanBuilder>(place) {
            column.append_option(flag);
        }
    }
    let bounds = [summary.lower_bound.as_deref(), summary.upper_bound.as_deref()];
    for (place, bound) in bounds.into_iter().enumerate() {
        if let Some(column) = row.field_builder::<StringBuilder>(2 + place) {
            column.append_option(shown(bound.map(Vec::as_slice)));
        }
    }
    row.append(true);
}
