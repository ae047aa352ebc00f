//! `$manifests` and `$all_manifests`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Int32Array, ListBuilder, RecordBatch, StringBuilder, StructBuilder,
};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::physical_plan::streaming::PartitionStream;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::spec::{
    Datum, FieldSummary, ManifestContentType, ManifestFile, PrimitiveType, SnapshotRef,
};
use fjord_catalog::table::Table;
use futures::{StreamExt, stream};

use super::bound::readable;
use super::column::{batch, longs, strings};
use super::lazy::LazyRows;
use super::partition::PartitionColumn;
use crate::error::Result;

/// `$manifests` of a snapshot.
pub(super) async fn manifests(
    catalog: &Catalog,
    table: &Table,
    snapshot: Option<&SnapshotRef>,
) -> Result<RecordBatch> {
    let list = load_list(catalog, table, snapshot).await?;
    batch(columns(list.as_slice(), &PartitionColumn::try_new(table.metadata())?))
}

/// `$all_manifests`: those of every snapshot, each with the snapshot that it was found in, which
/// repeats the ones that several share.
pub(super) fn all_manifests(catalog: &Catalog, table: &Table) -> Result<Arc<dyn PartitionStream>> {
    let partitions = Arc::new(PartitionColumn::try_new(table.metadata())?);
    let schema = referenced(&[], 0, &partitions)?.schema();
    let (catalog, table) = (catalog.clone(), table.clone());
    let snapshots = move || {
        let (catalog, table, partitions) =
            (catalog.clone(), table.clone(), Arc::clone(&partitions));
        let snapshots: Vec<_> = table.metadata().snapshots().cloned().collect();
        stream::iter(snapshots)
            .then(move |snapshot| {
                let (catalog, table) = (catalog.clone(), table.clone());
                let partitions = Arc::clone(&partitions);
                async move {
                    let list = load_list(&catalog, &table, Some(&snapshot)).await?;
                    Ok(referenced(&list, snapshot.snapshot_id(), &partitions)?)
                }
            })
            .boxed()
    };
    Ok(Arc::new(LazyRows::new("all_manifests", schema, snapshots)))
}

fn referenced(
    rows: &[ManifestFile],
    snapshot_id: i64,
    partitions: &PartitionColumn,
) -> Result<RecordBatch> {
    let mut columns = columns(rows, partitions);
    columns.push(("reference_snapshot_id", longs(rows.iter().map(|_| Some(snapshot_id)))));
    batch(columns)
}

fn columns(rows: &[ManifestFile], partitions: &PartitionColumn) -> Vec<(&'static str, ArrayRef)> {
    let content = |m: &ManifestFile| i32::from(m.content == ManifestContentType::Deletes);
    let of = |m: &ManifestFile, kind: ManifestContentType, count: Option<u32>| {
        if m.content == kind { count } else { Some(0) }
    };
    let (data, deletes) = (ManifestContentType::Data, ManifestContentType::Deletes);
    let ints = |values: Vec<i32>| Arc::new(Int32Array::from(values)) as ArrayRef;
    vec![
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
        ("partition_summaries", summaries(rows, partitions)),
    ]
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
