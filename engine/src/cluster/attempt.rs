//! One attempt after the other, until one yields all rows or none may follow.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion_distributed::NetworkBoundaryExt;
use futures::StreamExt;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::exec::Work;
use super::failure::is_lost_worker;
use super::place::{Placement, Spread, place};
use crate::error::{Error, ErrorKind};
use crate::halting::{halting, halting_above};
use crate::iceberg::write::delete_files;

/// Attempts at one statement.
const ATTEMPTS_MAX: u32 = 3;
/// Rows are held back so long, and so much of them, before the first is handed out: until then another
/// attempt can take the place of one that failed.
const HELD_TIME: Duration = Duration::from_secs(2);
const HELD_BYTES: usize = 16 << 20;

type Rows = Sender<DfResult<RecordBatch>>;

/// How an attempt failed.
struct Failed {
    error: DataFusionError,
    /// Whether somebody has seen rows of it.
    is_seen: bool,
}

/// Runs `first`, and what must take its place.
pub(super) async fn run(
    work: Arc<Work>,
    first: Option<Box<Spread>>,
    context: Arc<TaskContext>,
    rows: Rows,
) -> DfResult<()> {
    let mut next = first;
    for attempt in 1.. {
        let Some(spread) = next.take() else {
            return run_here(&work, context, rows).await;
        };
        let stages = work.cluster.running_stages();
        let running = stages.begin(spread.plan.as_ref(), work.query_id, attempt);
        let Err(Failed { error, is_seen }) = attempt_at(&work, &spread, &context, &rows).await
        else {
            running.finish();
            return Ok(());
        };
        drop(running);
        if rows.is_closed() || !is_lost_worker(&error) {
            return Err(error);
        }
        let lost = work.cluster.suspend_lost(&spread.workers).await;
        tracing::warn!(%error, attempt, ?lost, "a worker was lost");
        if is_seen || attempt >= ATTEMPTS_MAX {
            return Err(work.lost(error, is_seen).into());
        }
        let fresh = reset_plan_states(Arc::clone(&work.local))?;
        next = match place(&work.cluster, &fresh, &work.state)? {
            Placement::Spread(spread) => Some(spread),
            Placement::Local(_) => None,
        };
    }
    Ok(())
}

/// The plan as it was before anybody thought of workers.
async fn run_here(work: &Work, context: Arc<TaskContext>, rows: Rows) -> DfResult<()> {
    let plan = reset_plan_states(Arc::clone(&work.local))?;
    let plan = match &work.switch {
        Some(switch) => halting(plan, switch)?,
        None => plan,
    };
    let mut stream = execute_stream(plan, context)?;
    while let Some(batch) = stream.next().await {
        if rows.send(Ok(batch?)).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn attempt_at(
    work: &Work,
    spread: &Spread,
    context: &TaskContext,
    rows: &Rows,
) -> Result<(), Failed> {
    let failed = |error| Failed { error, is_seen: false };
    let task = TaskContext::from(&spread.state).with_runtime(context.runtime_env());
    let plan = Arc::clone(&spread.plan);
    let plan = match &work.switch {
        // What is sent is ended by the worker that has it.
        Some(switch) => halting_above(plan, switch, |node| node.is_network_boundary()),
        None => Ok(plan),
    };
    let plan = plan.map_err(failed)?;
    work.note(&plan);
    let stream = execute_stream(plan, Arc::new(task)).map_err(failed)?;
    match &work.write {
        None => hand_out(stream, rows).await,
        Some(write) => {
            let (files, outcome) = gather(stream).await;
            if let Err(error) = outcome {
                // Nobody will ever refer to them.
                for batch in &files {
                    match write.files(batch) {
                        Ok(files) => delete_files(files).await,
                        Err(e) => tracing::warn!(error = %e, "files of a failed attempt are left"),
                    }
                }
                return Err(failed(error));
            }
            for batch in files {
                let files = write.files(&batch).map_err(|e| failed(e.into()))?;
                if let Some(ledger) = &write.ledger
                    && let Err(files) = ledger.hand_over(files)
                {
                    delete_files(files).await;
                }
                if rows.send(Ok(batch)).await.is_err() {
                    break;
                }
            }
            Ok(())
        }
    }
}

/// All rows of a write: the names of its files, and how it ended.
async fn gather(mut stream: SendableRecordBatchStream) -> (Vec<RecordBatch>, DfResult<()>) {
    let mut all = Vec::new();
    while let Some(batch) = stream.next().await {
        match batch {
            Ok(batch) => all.push(batch),
            Err(e) => return (all, Err(e)),
        }
    }
    (all, Ok(()))
}

/// Hands rows out, the first of them late.
async fn hand_out(mut stream: SendableRecordBatchStream, rows: &Rows) -> Result<(), Failed> {
    let until = Instant::now() + HELD_TIME;
    let (mut held, mut held_bytes) = (Vec::new(), 0_usize);
    let mut is_seen = false;
    loop {
        let next = if is_seen || held.is_empty() {
            stream.next().await
        } else {
            match tokio::time::timeout_at(until, stream.next()).await {
                Ok(next) => next,
                Err(_elapsed) => {
                    is_seen = true;
                    for batch in held.drain(..) {
                        if rows.send(Ok(batch)).await.is_err() {
                            return Ok(());
                        }
                    }
                    continue;
                }
            }
        };
        match next {
            Some(Err(error)) => return Err(Failed { error, is_seen }),
            Some(Ok(batch)) if !is_seen => {
                held_bytes = held_bytes.saturating_add(batch.get_array_memory_size());
                held.push(batch);
                is_seen = held_bytes > HELD_BYTES || Instant::now() >= until;
                if !is_seen {
                    continue;
                }
                for batch in held.drain(..) {
                    if rows.send(Ok(batch)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Some(Ok(batch)) => {
                if rows.send(Ok(batch)).await.is_err() {
                    return Ok(());
                }
            }
            None => {
                for batch in held {
                    if rows.send(Ok(batch)).await.is_err() {
                        break;
                    }
                }
                return Ok(());
            }
        }
    }
}

impl Work {
    /// What is told when no other attempt may follow.
    fn lost(&self, error: DataFusionError, is_seen: bool) -> Error {
        let query = match self.query_id {
            Some(id) => format!("query {id}"),
            None => "the query".to_owned(),
        };
        let why = match is_seen {
            true => "rows of it had been handed out already",
            false => "other attempts failed too",
        };
        let problem = format!("{query}: a worker was lost, and {why}; run it again");
        Error::new(ErrorKind::Unavailable, problem).with_source(error).retryable()
    }

    fn note(&self, plan: &Arc<dyn ExecutionPlan>) {
        let mut running = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *running = Some(Arc::clone(plan));
    }
}
