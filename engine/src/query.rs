//! A running statement: its rows, what kind of result they are, and how far it is.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;

/// Metadata of a result's column that comes from a table as it is: which catalog, schema and table.
pub const ORIGIN_KEYS: [&str; 3] = ["fjord.catalog", "fjord.schema", "fjord.table"];

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

/// One relation as a statement saw it: what a receipt, lineage or a cache can be built on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedRelation {
    /// The table's uuid, which survives renames.
    pub table_uuid: uuid::Uuid,
    /// `catalog.schema.table` in stored spelling.
    pub name: String,
    /// The snapshot read; `None` for a table never written.
    pub snapshot_id: Option<i64>,
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
    /// The tables read, each with the one snapshot that the whole statement saw.
    pub relations: Vec<PinnedRelation>,
}

impl QueryResult {
    /// DDL or SET that has run; `text` says what it did.
    pub fn done(text: impl Into<String>) -> Self {
        let mut result = Self::rows(Arc::new(Schema::empty()), Vec::new());
        result.kind = ResultKind::Done(text.into());
        result
    }

    /// Rows that are already there (SHOW, DESCRIBE).
    pub fn rows(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let rows = stream::iter(batches.into_iter().map(Ok));
        Self {
            kind: ResultKind::Rows,
            schema: Arc::clone(&schema),
            stream: Box::pin(RecordBatchStreamAdapter::new(schema, rows)),
            plan: None,
            relations: Vec::new(),
        }
    }
}

impl std::fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryResult").field("kind", &self.kind).finish_non_exhaustive()
    }
}
