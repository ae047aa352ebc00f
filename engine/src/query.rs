//! A running statement: its rows, what kind of result they are, and how far it is.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;

/// What the rows of a result mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// Rows of a query, SHOW, DESCRIBE or EXPLAIN.
    Rows,
    /// DML: one row `(count: UInt64)`, the rows affected.
    Affected,
    /// DDL and SET: no rows; the text says what was done ("created table iceberg.s.t").
    Done(String),
}

/// A statement under way. Dropping the stream stops its tasks.
pub struct QueryResult {
    /// What the rows mean.
    pub kind: ResultKind,
    /// The schema, known before the first batch.
    pub schema: SchemaRef,
    /// The rows, as they come.
    pub stream: SendableRecordBatchStream,
    /// The physical plan, whose metrics tell progress; `None` for DDL.
    pub plan: Option<Arc<dyn ExecutionPlan>>,
}

impl std::fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryResult").field("kind", &self.kind).finish_non_exhaustive()
    }
}
