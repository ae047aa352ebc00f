//! Statements under way whose client polls (PollFlightInfo).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow_flight::FlightInfo;
use datafusion::common::runtime::SpawnedTask;
use fjord_engine::queries::Kept;
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;

use super::gauge::Gauge;

/// Statements that are polled for at the same time.
const POLLS_MAX: usize = 1_000;
/// One that nobody has asked for during so long is stopped and forgotten.
const IDLE_TIME: Duration = Duration::from_secs(600);
/// How long an answer may wait for news.
const NEWS_TIME: Duration = Duration::from_secs(1);

type Ended = Option<Result<FlightInfo, Status>>;

/// The statements that are polled for. Dropping it stops them.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    by_id: Mutex<HashMap<Uuid, Poll>>,
}

#[derive(Debug)]
struct Poll {
    user: Arc<str>,
    gauge: Gauge,
    ended: watch::Receiver<Ended>,
    asked: Instant,
    _kept: Kept,
    _task: SpawnedTask<()>,
}

impl Polls {
    /// Starts `work` for `user`; its id.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when too many are under way.
    pub(crate) fn start(
        &self,
        user: &Arc<str>,
        gauge: Gauge,
        kept: Kept,
        work: impl Future<Output = Result<FlightInfo, Status>> + Send + 'static,
    ) -> Result<Uuid, Status> {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.retain(|_, poll| poll.asked.elapsed() < IDLE_TIME);
        if by_id.len() >= POLLS_MAX {
            return Err(Status::resource_exhausted(format!(
                "{POLLS_MAX} statements are polled for already; use GetFlightInfo, or wait"
            )));
        }
        let (tell, ended) = watch::channel(None);
        let task = SpawnedTask::spawn(async move {
            let outcome = work.await;
            // Nobody may be waiting at this moment; the value stays.
            tell.send_replace(Some(outcome));
        });
        let id = Uuid::now_v7();
        let user = Arc::clone(user);
        let poll = Poll { user, gauge, ended, asked: Instant::now(), _kept: kept, _task: task };
        by_id.insert(id, poll);
        Ok(id)
    }

    /// The info once there is one, else none after a moment, and how far the statement is.
    ///
    /// # Errors
    /// The statement's own; `NOT_FOUND` for another user's, and for one that nobody knows.
    pub(crate) async fn news(
        &self,
        user: &str,
        id: Uuid,
    ) -> Result<(Option<FlightInfo>, Gauge), Status> {
        let (mut ended, gauge) = {
            let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
            let poll = by_id.get_mut(&id).filter(|poll| &*poll.user == user);
            let poll = poll.ok_or_else(|| Status::not_found("no such statement is under way"))?;
            poll.asked = Instant::now();
            (poll.ended.clone(), poll.gauge.clone())
        };
        match tokio::time::timeout(NEWS_TIME, ended.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => Ok((outcome.clone().transpose()?, gauge)),
            Ok(Err(_)) => Err(Status::internal("the statement ended without an outcome")),
            Err(_) => Ok((None, gauge)),
        }
    }

    /// Stops a statement of `user`. Whether there was one that had not ended.
    pub(crate) fn stop(&self, user: &str, id: Uuid) -> bool {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        match by_id.get(&id) {
            Some(poll) if &*poll.user == user => {
                let under_way = poll.ended.borrow().is_none();
                by_id.remove(&id);
                under_way
            }
            _ => false,
        }
    }
}
