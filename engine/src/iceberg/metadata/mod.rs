//! Metadata tables: `"t$snapshots"`, `"t$files"` and the others of [`KINDS`], with the columns that
//! Iceberg's own library gives them.

mod bound;
mod column;
mod lazy;
mod partition;
mod snapshots;
mod manifests;
mod partitions;
mod files;
mod position_deletes;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::physical_plan::streaming::PartitionStream;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::spec::SnapshotRef;
use fjord_catalog::table::Table;

use self::files::{Of, Shape};
use crate::error::{Error, ErrorKind, Result};

/// The kinds, as they are spelt after the dollar sign.
pub const KINDS: [&str; 17] = [
    "snapshots",
    "history",
    "refs",
    "metadata_log_entries",
    "files",
    "data_files",
    "delete_files",
    "entries",
    "manifests",
    "partitions",
    "position_deletes",
    "all_files",
    "all_data_files",
    "all_delete_files",
    "all_entries",
    "all_manifests",
    "properties",
];

/// The metadata table `kind` (`snapshots`, `files`, …) of `table`, at `snapshot` where that matters
/// (the current one if `None`).
///
/// # Errors
/// `NotFound`, listing the kinds, for an unknown kind.
pub async fn metadata_table(
    catalog: &Catalog,
    table: &Table,
    kind: &str,
    snapshot: Option<&SnapshotRef>,
) -> Result<Arc<dyn TableProvider>> {
    let snapshot = snapshot.or_else(|| table.current_snapshot());
    let batch = match kind.to_ascii_lowercase().as_str() {
        "snapshots" => snapshots::snapshots(table)?,
        "history" => snapshots::history(table)?,
        "refs" => snapshots::refs(table)?,
        "manifests" => manifests::manifests(catalog, table, snapshot).await?,
        "partitions" => partitions::partitions(catalog, table, snapshot).await?,
        "metadata_log_entries" => snapshots::metadata_log_entries(table)?,
        "properties" => snapshots::properties(table)?,
        "all_manifests" => return streamed(manifests::all_manifests(catalog, table)?),
        "position_deletes" => {
            return streamed(position_deletes::position_deletes(catalog, table, snapshot)?);
        }
        kind if shape_of(kind).is_some() => {
            let (shape, of) = match kind.strip_prefix("all_") {
                Some(kind) => (shape_of(kind), Of::All),
                None => (shape_of(kind), Of::Snapshot(snapshot.cloned())),
            };
            return streamed(files::files(catalog, table, shape.unwrap_or(Shape::Files), of)?);
        }
        _ => {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "table \"{}${kind}\" does not exist; metadata tables are: {}",
                    table.name(),
                    KINDS.map(|kind| format!("${kind}")).join(", ")
                ),
            ));
        }
    };
    in_memory(batch)
}

/// `$files` and its kind, `all_` or not.
fn shape_of(kind: &str) -> Option<Shape> {
    match kind.strip_prefix("all_").unwrap_or(kind) {
        "files" => Some(Shape::Files),
        "data_files" => Some(Shape::DataFiles),
        "delete_files" => Some(Shape::DeleteFiles),
        "entries" => Some(Shape::Entries),
        _ => None,
    }
}

fn streamed(rows: Arc<dyn PartitionStream>) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(StreamingTable::try_new(Arc::clone(rows.schema()), vec![rows])?))
}

fn in_memory(batch: RecordBatch) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}
