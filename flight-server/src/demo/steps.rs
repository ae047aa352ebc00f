//! Runs the demo's SQL files and reports on each.

use std::io::{self, Write};
use std::time::Instant;

use anyhow::{Context, Result};
use arrow::array::{Array, Int64Array, RecordBatch, UInt64Array};
use fjord_engine::query::ResultKind;
use fjord_engine::session::Session;
use futures::TryStreamExt;

use crate::shell::{Layout, render_table, split};

/// A file of statements and what it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) sql: &'static str,
    pub(super) title: &'static str,
}

/// A session and the values of the `${…}` in its scripts.
pub(super) struct Pipeline {
    session: Session,
    values: Vec<(String, String)>,
    steps: usize,
}

/// A statement that has run.
struct Outcome {
    kind: ResultKind,
    batches: Vec<RecordBatch>,
}

impl Pipeline {
    pub(super) fn new(session: Session) -> Self {
        Self { session, values: Vec::new(), steps: 0 }
    }

    pub(super) fn define(&mut self, name: &str, value: &str) {
        self.values.push((format!("${{{name}}}"), value.to_owned()));
    }

    /// Whether the demo's last table is there already.
    pub(super) async fn has_run_before(&self) -> bool {
        self.execute("SELECT 1 FROM iceberg.gold.customer_metrics LIMIT 0").await.is_ok()
    }

    /// Runs a step's statements and prints its title, its results and how long it took.
    pub(super) async fn run(&mut self, step: Step) -> Result<()> {
        let started = Instant::now();
        let mut script = step.sql.to_owned();
        for (name, value) in &self.values {
            script = script.replace(name, value);
        }
        let mut tables = Vec::new();
        for piece in split(&script).pieces {
            let outcome = self
                .execute(piece.text)
                .await
                .with_context(|| format!("the demo failed at:\n{}\n", piece.text))?;
            match outcome.kind {
                ResultKind::Rows => tables.push(shown(&outcome.batches)?),
                ResultKind::Affected => tables.push(format!("{} rows", affected(&outcome.batches))),
                ResultKind::Done(text) => tables.push(text),
            }
        }
        self.steps += 1;
        let mut out = io::stdout().lock();
        writeln!(out, "{}. {} ({:.2} s)", self.steps, step.title, started.elapsed().as_secs_f64())?;
        for table in tables {
            for line in table.lines() {
                writeln!(out, "   {line}")?;
            }
            if table.contains('\n') {
                writeln!(out)?;
            }
        }
        out.flush()?;
        Ok(())
    }

    /// The snapshot before the current one, as `sql` lists them, newest first.
    pub(super) async fn previous_snapshot(&self, sql: &str) -> Result<i64> {
        let outcome = self.execute(sql).await?;
        let ids: Vec<i64> = outcome
            .batches
            .iter()
            .filter_map(|b| b.column(0).as_any().downcast_ref::<Int64Array>())
            .flat_map(|ids| ids.iter().flatten().collect::<Vec<_>>())
            .collect();
        ids.get(1)
            .copied()
            .context("table \"iceberg.bronze.purchases\" has fewer than two snapshots")
    }

    async fn execute(&self, sql: &str) -> Result<Outcome> {
        let mut last = Outcome { kind: ResultKind::Done(String::new()), batches: Vec::new() };
        for statement in self.session.parse(sql)? {
            let result = Box::pin(self.session.execute(&statement)).await?;
            let schema = std::sync::Arc::clone(&result.schema);
            let mut batches: Vec<RecordBatch> =
                result.stream.try_collect().await.map_err(fjord_engine::Error::from)?;
            if batches.is_empty() {
                batches.push(RecordBatch::new_empty(schema));
            }
            last = Outcome { kind: result.kind, batches };
        }
        Ok(last)
    }
}

fn shown(batches: &[RecordBatch]) -> Result<String> {
    let layout = Layout { width: None, is_expanded: false };
    Ok(render_table(&batches[0].schema(), batches, layout)?)
}

fn affected(batches: &[RecordBatch]) -> u64 {
    batches
        .iter()
        .filter_map(|b| b.columns().first()?.as_any().downcast_ref::<UInt64Array>())
        .map(|counts| counts.iter().flatten().sum::<u64>())
        .sum()
}
