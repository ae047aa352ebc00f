//! Rows that are made while they are read.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result as DfResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream::BoxStream;

/// One partition whose batches `rows` makes, anew at every run.
pub(super) struct LazyRows<F> {
    name: &'static str,
    schema: SchemaRef,
    rows: F,
}

impl<F> LazyRows<F>
where
    F: Fn() -> BoxStream<'static, DfResult<RecordBatch>> + Send + Sync,
{
    pub(super) fn new(name: &'static str, schema: SchemaRef, rows: F) -> Self {
        Self { name, schema, rows }
    }
}

impl<F> fmt::Debug for LazyRows<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazyRows({})", self.name)
    }
}

impl<F> PartitionStream for LazyRows<F>
where
    F: Fn() -> BoxStream<'static, DfResult<RecordBatch>> + Send + Sync,
{
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), (self.rows)()))
    }
}
