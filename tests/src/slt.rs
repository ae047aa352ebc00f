//! The driver between `sqllogictest` and a session.

use std::time::Duration;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use fjord_engine::query::{QueryResult, ResultKind};
use fjord_engine::session::Session;
use fjord_engine::{Error, ErrorKind};
use futures::StreamExt;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};

use crate::lake::Lake;

/// One connection of a test file: a session on the file's own lake.
#[derive(Debug)]
pub struct SltSession {
    session: Session,
}

impl SltSession {
    /// A new session on `lake`.
    pub fn new(lake: &Lake) -> Self {
        Self { session: lake.session() }
    }
}

#[async_trait]
impl AsyncDB for SltSession {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let statements = self.session.parse(sql)?;
        let [statement] = statements.as_slice() else {
            return Err(Error::new(ErrorKind::Syntax, "one statement a record, please"));
        };
        output(self.session.submit(statement, "slt").await?).await
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "fjord"
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

async fn output(result: QueryResult) -> Result<DBOutput<DefaultColumnType>, Error> {
    let QueryResult { kind, schema, mut stream, .. } = result;
    let mut rows = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let options = FormatOptions::default().with_null("NULL");
        let formatters = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()
            .map_err(datafusion::error::DataFusionError::from)?;
        for row in 0..batch.num_rows() {
            let cells = formatters.iter().zip(batch.columns()).map(|(formatter, column)| {
                // One line a row: a result file has no other way to say where a row ends.
                let text = formatter.value(row).to_string().replace('\n', "\\n");
                match text.is_empty() && !column.is_null(row) {
                    true => "(empty)".to_owned(),
                    false => text,
                }
            });
            rows.push(cells.collect::<Vec<String>>());
        }
    }
    Ok(match kind {
        ResultKind::Rows => {
            DBOutput::Rows { types: vec![DefaultColumnType::Any; schema.fields().len()], rows }
        }
        ResultKind::Affected => {
            let count = rows.first().and_then(|row| row.first()).and_then(|cell| cell.parse().ok());
            DBOutput::StatementComplete(count.unwrap_or_default())
        }
        ResultKind::Done(_) => DBOutput::StatementComplete(0),
    })
}
