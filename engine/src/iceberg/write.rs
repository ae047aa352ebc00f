//! The write operator: N streams of batches in, data files out, one row per file.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::physical_plan::ExecutionPlan;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::table::Table;

use crate::error::{Error, ErrorKind, Result};

/// Where rows go. `table` may be staged (CTAS).
#[derive(Clone, Debug)]
pub struct WriteTarget {
    /// The catalog that will commit.
    pub catalog: Catalog,
    /// Schema, default partition spec, sort order and properties to write by.
    pub table: Table,
}

/// Plans the write of `input`, whose columns are the table's by position and already of the
/// table's Arrow types or castable to them: casts, then clusters by partition where that bounds
/// the open files, sorts where the table has a sort order, and ends in `IcebergWriteExec`.
///
/// The result has as many partitions as `input` and yields rows of
/// `(data_file: Utf8 JSON, spec_id: Int32, record_count: UInt64)`.
pub fn plan_write(
    _input: Arc<dyn ExecutionPlan>,
    _target: &WriteTarget,
    _session: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>> {
    Err(Error::new(ErrorKind::Bug, "not built yet"))
}
