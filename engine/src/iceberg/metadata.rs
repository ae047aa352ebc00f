//! Metadata tables: `"t$snapshots"`, `$history`, `$files`, `$manifests`, `$partitions`, `$refs`.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::spec::SnapshotRef;
use fjord_catalog::table::Table;

use crate::error::{Error, ErrorKind, Result};

/// The metadata table `kind` (`snapshots`, `files`, …) of `table`, at `snapshot` where that matters.
///
/// # Errors
/// `NotFound`, listing the kinds, for an unknown kind.
pub async fn metadata_table(
    _catalog: &Catalog,
    _table: &Table,
    _kind: &str,
    _snapshot: Option<&SnapshotRef>,
) -> Result<Arc<dyn TableProvider>> {
    Err(Error::new(ErrorKind::Bug, "not built yet"))
}
