//! The port between the shell and whatever runs its statements: this process, or a server.

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use fjord_engine::query::ResultKind;
use futures::stream::BoxStream;

use super::meter::Meter;

/// A statement's answer. Dropping the rows cancels it.
pub(crate) struct Answer {
    pub(crate) kind: ResultKind,
    pub(crate) schema: SchemaRef,
    pub(crate) rows: BoxStream<'static, Result<RecordBatch>>,
}

/// One session of statements, wherever it runs.
pub(crate) trait Connection: Send + Sync + 'static {
    /// A statement that is ready to run.
    type Statement: Send + Sync;

    /// Reads the statements in a text; its lines and columns are those that errors name.
    fn parse(&self, text: &str) -> Result<Vec<Self::Statement>>;

    /// Runs a statement and tells `meter` how far it is. Dropping the future cancels it.
    fn execute(
        &self,
        statement: &Self::Statement,
        meter: &Meter,
    ) -> impl Future<Output = Result<Answer>> + Send;

    /// Names that begin with `prefix`.
    fn complete(&self, prefix: &str) -> impl Future<Output = Vec<String>> + Send;
}
