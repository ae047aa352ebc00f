//! Metadata tables: `"t$snapshots"`, `$history`, `$files`, `$manifests`, `$partitions`, `$refs`.

mod bound;
mod column;
mod partition;
mod snapshots;
mod manifests;
mod files;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{MemTable, TableProvider};
use fjord_catalog::catalog::Catalog;
use fjord_catalog::spec::SnapshotRef;
use fjord_catalog::table::Table;

use crate::error::{Error, ErrorKind, Result};

/// The kinds, as they are spelt after the dollar sign.
pub const KINDS: [&str; 6] = ["snapshots", "history", "files", "manifests", "partitions", "refs"];

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
        "partitions" => manifests::partitions(catalog, table, snapshot).await?,
        "files" => {
            let stream = files::FilesStream::try_new(catalog, table, snapshot)?;
            let schema = Arc::clone(stream.schema());
            return Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(stream)])?));
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

fn in_memory(batch: RecordBatch) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}
