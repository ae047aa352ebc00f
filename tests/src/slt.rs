//! The driver between `sqllogictest` and a session.
#![expect(
    clippy::print_stderr,
    reason = "why a query ran in one place is for whoever reads the log"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use fjord_engine::cluster::{remote_stages, stored_files};
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
    spread: Option<Arc<SpreadCount>>,
}

/// How many queries over stored tables of two files or more there were, and how many of them ran on
/// workers.
#[derive(Debug, Default)]
pub struct SpreadCount {
    stored: AtomicUsize,
    spread: AtomicUsize,
}

impl SpreadCount {
    /// Both numbers: of such queries, and of those that ran on workers.
    pub fn get(&self) -> (usize, usize) {
        (self.stored.load(Ordering::Relaxed), self.spread.load(Ordering::Relaxed))
    }

    fn count(&self, plan: &Arc<dyn ExecutionPlan>) -> bool {
        if stored_files(plan) < 2 {
            return true;
        }
        self.stored.fetch_add(1, Ordering::Relaxed);
        let is_spread = remote_stages(plan) > 0;
        self.spread.fetch_add(usize::from(is_spread), Ordering::Relaxed);
        is_spread
    }
}

impl SltSession {
    /// A new session on `lake`.
    pub fn new(lake: &Lake) -> Self {
        Self { session: lake.session(), spread: None }
    }

    /// The same; how its queries ran is counted.
    #[must_use]
    pub fn counted(mut self, spread: Option<Arc<SpreadCount>>) -> Self {
        self.spread = spread;
        self
    }

    /// Counts a query, and says why it stayed here.
    async fn count(&self, sql: &str, plan: Arc<dyn ExecutionPlan>) -> Result<(), Error> {
        let Some(spread) = &self.spread else { return Ok(()) };
        if spread.count(&plan) {
            return Ok(());
        }
        let explained = self.session.parse(&format!("EXPLAIN FORMAT DISTRIBUTED {sql}"))?;
        for statement in &explained {
            if let Ok(result) = self.session.execute(statement).await
                && let DBOutput::Rows { rows, .. } = output(result).await?
            {
                let why = rows.first().and_then(|row| row.last()).cloned().unwrap_or_default();
                let why = why.split("\\n").next().unwrap_or_default().to_owned();
                eprintln!("in one place: {why}: {}", sql.replace('\n', " "));
            }
        }
        Ok(())
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
        let result = self.session.submit(statement, "slt").await?;
        if let (ResultKind::Rows, Some(plan)) = (&result.kind, result.plan.clone()) {
            self.count(sql, plan).await?;
        }
        output(result).await
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
