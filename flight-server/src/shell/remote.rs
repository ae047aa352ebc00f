//! Statements that run on a server.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::Schema;
use fjord_engine::query::ResultKind;
use futures::{StreamExt, TryStreamExt, stream};

use super::connection::{Answer, Connection};
use super::meter::Meter;
use crate::client::{RemoteSession, Reply};

/// The line breaks before a statement place it in its script, for errors. Far down in a script of a
/// million statements they would be most of what is sent.
const PADDING_BYTES_MAX: usize = 16 << 10;

impl Connection for RemoteSession {
    /// The server parses: what it understands may be newer than this client.
    type Statement = String;

    fn parse(&self, text: &str) -> Result<Vec<String>> {
        let statement = text.trim_start();
        let is_far_down = text.len() - statement.len() > PADDING_BYTES_MAX;
        Ok(vec![if is_far_down { statement } else { text }.to_owned()])
    }

    async fn execute(&self, statement: &String, meter: &Meter) -> Result<Answer> {
        Ok(match self.run(statement, meter.received()).await? {
            Reply::Rows { schema, rows } => {
                Answer { kind: ResultKind::Rows, schema, rows: rows.map_err(Into::into).boxed() }
            }
            Reply::Affected(rows) => affected(rows)?,
            Reply::Done(text) => {
                let (schema, rows) = (Arc::new(Schema::empty()), stream::empty().boxed());
                Answer { kind: ResultKind::Done(text), schema, rows }
            }
        })
    }

    async fn complete(&self, prefix: &str) -> Vec<String> {
        RemoteSession::complete(self, prefix).await
    }
}

/// As the engine answers DML: one row with the count.
fn affected(rows: u64) -> Result<Answer> {
    let count: ArrayRef = Arc::new(UInt64Array::from(vec![rows]));
    let batch = RecordBatch::try_from_iter([("count", count)])?;
    let (schema, rows) = (batch.schema(), stream::iter([Ok(batch)]).boxed());
    Ok(Answer { kind: ResultKind::Affected, schema, rows })
}
