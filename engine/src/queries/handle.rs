//! What a protocol holds of a query that was admitted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use datafusion::execution::runtime_env::RuntimeEnv;
use tracing::Instrument;
use uuid::Uuid;

use super::info::QueryInfo;
use super::limits::SessionLimits;
use super::memory::QueryPool;
use super::record::{Outcome, Record};
use super::running::Running;
use super::tracked;
use crate::error::{Error, ErrorKind, Result};
use crate::query::QueryResult;

/// An admitted query. It ends when its rows have been read ([`QueryHandle::track`]), when
/// [`QueryHandle::during`] or [`QueryHandle::fail`] met an error, by [`QueryHandle::finish`], or,
/// as cancelled, when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct QueryHandle {
    running: Arc<Running>,
}

impl QueryHandle {
    pub(super) fn new(running: Arc<Running>) -> Self {
        Self { running }
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.running.record.id
    }

    /// The query as it is now.
    pub fn info(&self) -> QueryInfo {
        self.running.record.info()
    }

    /// The span that everything done for the query belongs to.
    pub fn span(&self) -> &tracing::Span {
        &self.running.span
    }

    /// Waits until the query is to end before its time: killed, shut down, or out of time.
    pub async fn cancelled(&self) -> Error {
        self.running.record.stopped().await.error()
    }

    /// What work that does not yield for long asks.
    pub(crate) fn switch(&self) -> Switch {
        Switch { of: SwitchOf::Query(Arc::clone(&self.running.record)) }
    }

    /// Does a part of the query's work that yields no rows yet: planning, DDL, reading what is to
    /// be ingested. An error, its own or that of [`QueryHandle::cancelled`], ends the query.
    ///
    /// # Errors
    /// Those of `work`, and those of an early end.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let outcome = async {
            tokio::select! {
                biased;
                error = self.cancelled() => Err(error),
                outcome = work => outcome,
            }
        };
        let outcome = outcome.instrument(self.running.span.clone()).await;
        if let Err(e) = &outcome {
            self.fail(e);
        }
        outcome
    }

    /// Puts the rows of the query under its limits. They are counted; kill, deadline and limits
    /// end them with an error, also while nobody reads; with them the query ends.
    pub fn track(&self, result: QueryResult) -> QueryResult {
        tracked::track(Arc::clone(&self.running), result)
    }

    /// Notes that the query failed.
    pub fn fail(&self, error: &Error) {
        self.running.end(&Outcome::Failed(error));
    }

    /// Notes that a query without a result is done, and how many rows it changed.
    pub fn finish(&self, rows: u64) {
        self.running.record.count(rows, 0);
        self.running.end(&Outcome::Finished);
    }

    /// Takes the limits that its session asks for, as far as they are tighter.
    pub fn limit(&self, session: SessionLimits) {
        let mut limits = self.running.limits.lock().unwrap_or_else(PoisonError::into_inner);
        *limits = limits.tightened(session);
        let time = limits.time;
        drop(limits);
        self.running.record.set_time(time);
    }

    /// The process's runtime with a memory pool of the query's own.
    pub(crate) fn runtime(&self, process: &RuntimeEnv, partitions: usize) -> Arc<RuntimeEnv> {
        let pool = QueryPool::new(
            Arc::clone(&process.memory_pool),
            self.running.limits().memory_bytes,
            partitions,
            Arc::clone(&self.running.record.memory),
        );
        Arc::new(RuntimeEnv { memory_pool: Arc::new(pool), ..process.clone() })
    }
}

/// Tells whether a query goes on. Holding it does not keep the query from ending.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    of: SwitchOf,
}

#[derive(Clone, Debug)]
enum SwitchOf {
    Query(Arc<Record>),
    Errand(Arc<Errand>),
}

impl Switch {
    /// # Errors
    /// Those of [`QueryHandle::cancelled`], and `Cancelled` when nobody waits any more.
    pub(crate) fn go_on(&self) -> Result<()> {
        match &self.of {
            SwitchOf::Query(record) => record.halted().map_or(Ok(()), |stop| Err(stop.error())),
            SwitchOf::Errand(errand) => errand.go_on(),
        }
    }

    /// Of which query, or which errand.
    pub(crate) fn id(&self) -> Uuid {
        match &self.of {
            SwitchOf::Query(record) => record.id,
            SwitchOf::Errand(errand) => errand.id,
        }
    }
}

/// A part of a query of another process. It is over when that process says so, or is gone.
#[derive(Debug)]
pub(crate) struct Errand {
    id: Uuid,
    is_over: AtomicBool,
}

impl Errand {
    /// One that begins now.
    pub(crate) fn begin() -> Arc<Self> {
        Arc::new(Self { id: Uuid::new_v4(), is_over: AtomicBool::new(false) })
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Nobody waits for it any more.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// What work for it that does not yield for long asks.
    pub(crate) fn switch(self: &Arc<Self>) -> Switch {
        Switch { of: SwitchOf::Errand(Arc::clone(self)) }
    }

    fn go_on(&self) -> Result<()> {
        match self.is_over.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::Cancelled, "the query's coordinator has ended it")),
        }
    }
}
