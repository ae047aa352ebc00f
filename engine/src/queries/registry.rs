//! The registry of a process's queries.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::handle::QueryHandle;
use super::info::{QueryInfo, QueryRequest};
use super::options::QueriesOptions;
use super::record::{Outcome, Stop};
use super::running::Running;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, Result};

/// How long ended queries have to be gone.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// All queries of a process, live and ended. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queries {
    shared: Arc<Shared>,
}

/// How many queries there are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatistics {
    /// Queries that run or are planned.
    pub running: usize,
    /// Queries that wait.
    pub queued: usize,
    /// Queries that were refused since the start, because the queue was full.
    pub refused: u64,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Queries that were ended because they took too long.
    pub ended: usize,
}

impl Queries {
    /// An empty registry, or one with the history of `options.history_dir`.
    pub fn new(options: QueriesOptions) -> Self {
        Self { shared: Arc::new(Shared::new(options)) }
    }

    /// Waits for the query's turn. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// `LimitExceeded` beginning with `QUEUE_FULL:`; `Cancelled` when it was killed in the queue;
    /// `Unavailable` during shutdown.
    pub async fn admit(&self, request: QueryRequest) -> Result<QueryHandle> {
        let Some(record) = self.shared.insert(request) else {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the server shuts down and takes no more queries; connect again in a moment",
            ));
        };
        let running = Running::new(Arc::clone(&record), Arc::clone(&self.shared));
        let enters = self.shared.admission.enter(record.request.lane, &record.request.user);
        let entered = tokio::select! {
            biased;
            stop = record.stopped() => {
                let error = stop.error();
                running.end(&Outcome::Failed(&error));
                Err(error)
            }
            entered = enters => entered,
        };
        match entered {
            Ok(slot) => {
                running.begin(slot);
                Ok(QueryHandle::new(Arc::new(running)))
            }
            Err(e) => {
                // One that the queue refused: a crowd of them must not push out the history.
                running.refuse(&e);
                Err(e)
            }
        }
    }

    /// The live queries in the order of their arrival, then the ended ones, the latest first.
    pub fn list(&self) -> Vec<Arc<QueryInfo>> {
        // The live ones first: who ends in between is in both, and must not be in neither.
        let live: Vec<_> = self.shared.records().iter().map(|r| Arc::new(r.info())).collect();
        let ended = self.shared.history.entries();
        let known: HashSet<Uuid> = live.iter().map(|info| info.id).collect();
        let ended = ended.into_iter().rev().filter(|info| !known.contains(&info.id));
        live.into_iter().chain(ended).collect()
    }

    /// One query, live or ended.
    pub fn find(&self, id: Uuid) -> Option<Arc<QueryInfo>> {
        let live = self.shared.record(id).map(|record| Arc::new(record.info()));
        live.or_else(|| self.shared.history.find(id))
    }

    /// Ends a live query; `by` is who does it.
    ///
    /// # Errors
    /// `NotFound` for one that is not live.
    pub fn kill(&self, id: Uuid, by: &str) -> Result<()> {
        match self.shared.record(id) {
            Some(record) => {
                record.stop(Stop::Killed(by.to_owned()));
                Ok(())
            }
            None => Err(not_live(id)),
        }
    }

    /// How many run and wait.
    pub fn statistics(&self) -> QueueStatistics {
        let counts = self.shared.admission.counts();
        QueueStatistics { running: counts.running, queued: counts.queued, refused: counts.refused }
    }

    /// Takes no more queries.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether [`Queries::close`] or [`Queries::drain`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Takes no more queries, waits `patience` for those there are, and ends the rest.
    pub async fn drain(&self, patience: Duration) -> Drained {
        self.close();
        if tokio::time::timeout(patience, self.idle()).await.is_ok() {
            return Drained::default();
        }
        let rest = self.shared.records();
        for record in &rest {
            record.stop(Stop::Shutdown);
        }
        if tokio::time::timeout(SETTLE_TIME, self.idle()).await.is_err() {
            tracing::warn!(queries = self.shared.records().len(), "queries did not end in time");
        }
        Drained { ended: rest.len() }
    }

    /// Waits until no query is live.
    async fn idle(&self) {
        loop {
            let ended = self.shared.ended.notified();
            let mut ended = std::pin::pin!(ended);
            // Listening begins before looking, so that no end is missed.
            ended.as_mut().enable();
            if self.shared.records().is_empty() {
                return;
            }
            ended.await;
        }
    }
}

/// What is said of a query that cannot be ended; the same for one that is somebody else's.
pub(crate) fn not_live(id: Uuid) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("query \"{id}\" is not running; system.queries lists those that are"),
    )
}
