//! Who runs now and who waits: slots, and a fair queue for them in each lane.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::fair::{FairQueue, Ticket};
use super::info::Lane;
use crate::error::{Error, ErrorKind, Result};

/// The slots of a process.
#[derive(Debug)]
pub(super) struct Admission {
    light_max: usize,
    heavy_max: usize,
    queued_max: usize,
    light: Mutex<LaneState>,
    heavy: Mutex<LaneState>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct LaneState {
    running: usize,
    waiting: FairQueue<oneshot::Sender<()>>,
}

/// How many run and wait, both lanes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) running: usize,
    pub(super) queued: usize,
    pub(super) refused: u64,
}

/// The right to run; dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Slot {
    admission: Arc<Admission>,
    lane: Lane,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.release(self.lane);
    }
}

impl Admission {
    pub(super) fn new(light_max: usize, heavy_max: usize, queued_max: usize) -> Self {
        Self {
            light_max: light_max.max(1),
            heavy_max: heavy_max.max(1),
            queued_max,
            light: Mutex::default(),
            heavy: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    fn lane(&self, lane: Lane) -> MutexGuard<'_, LaneState> {
        let state = match lane {
            Lane::Light => &self.light,
            Lane::Heavy => &self.heavy,
        };
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running_max(&self, lane: Lane) -> usize {
        match lane {
            Lane::Light => self.light_max,
            Lane::Heavy => self.heavy_max,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts =
            Counts { refused: self.refused.load(Ordering::Relaxed), ..Counts::default() };
        for lane in [Lane::Light, Lane::Heavy] {
            let state = self.lane(lane);
            counts.running += state.running;
            counts.queued += state.waiting.len();
        }
        counts
    }

    /// Waits for a slot. Dropping the future leaves the queue.
    pub(super) async fn enter(self: &Arc<Self>, lane: Lane, user: &str) -> Result<Slot> {
        let (mut waiting, granted) = {
            let mut state = self.lane(lane);
            if state.running < self.running_max(lane) && state.waiting.is_empty() {
                state.running += 1;
                return Ok(Slot { admission: Arc::clone(self), lane });
            }
            if state.waiting.len() >= self.queued_max {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(self.queue_full(lane));
            }
            let (grant, granted) = oneshot::channel();
            let ticket = state.waiting.push(user, grant);
            let waiting =
                Waiting { admission: Arc::clone(self), lane, user, ticket, is_done: false };
            (waiting, granted)
        };
        granted
            .await
            .map_err(|_| Error::new(ErrorKind::Bug, "a query's place in the queue was lost"))?;
        waiting.is_done = true;
        Ok(Slot { admission: Arc::clone(self), lane })
    }

    fn queue_full(&self, lane: Lane) -> Error {
        Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "QUEUE_FULL: {} queries run and {} wait, which is what queries_running_max and \
                 queries_queued_max in [limits], and the memory limit, allow; try again later",
                self.running_max(lane),
                self.queued_max
            ),
        )
    }

    /// Hands the slot to whoever is next, or gives it back.
    fn release(&self, lane: Lane) {
        let mut state = self.lane(lane);
        // One that has just gone away gives the slot back itself, when its `Waiting` is dropped.
        match state.waiting.pop() {
            Some(next) => drop(next.send(())),
            None => state.running -= 1,
        }
    }
}

/// A place in the queue.
struct Waiting<'a> {
    admission: Arc<Admission>,
    lane: Lane,
    user: &'a str,
    ticket: Ticket,
    is_done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let left = self.admission.lane(self.lane).waiting.remove(self.user, self.ticket);
        if left.is_none() {
            // The slot was granted in the moment of leaving.
            self.admission.release(self.lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn admission(running_max: usize, queued_max: usize) -> Arc<Admission> {
        Arc::new(Admission::new(running_max, running_max, queued_max))
    }

    #[tokio::test]
    async fn a_full_queue_says_its_limits() {
        let admission = admission(1, 1);
        let _slot = admission.enter(Lane::Heavy, "a").await.unwrap();
        let mut waits = Box::pin(admission.enter(Lane::Heavy, "a"));
        assert!(waits.as_mut().now_or_never().is_none());
        let e = admission.enter(Lane::Heavy, "b").await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::LimitExceeded);
        assert!(e.to_string().starts_with("QUEUE_FULL: 1 queries run and 1 wait"), "{e}");
        assert_eq!(admission.counts(), Counts { running: 1, queued: 1, refused: 1 });
        // Light statements have slots of their own.
        admission.enter(Lane::Light, "b").await.unwrap();
    }

    #[tokio::test]
    async fn leaving_the_queue_makes_room_and_loses_no_slot() {
        let admission = admission(1, 2);
        let slot = admission.enter(Lane::Heavy, "a").await.unwrap();
        let mut first = Box::pin(admission.enter(Lane::Heavy, "a"));
        let mut second = Box::pin(admission.enter(Lane::Heavy, "b"));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(admission.counts().queued, 1);
        // Granted, and dropped before it was seen.
        drop(slot);
        drop(second);
        assert_eq!(admission.counts(), Counts::default());
        admission.enter(Lane::Heavy, "c").await.unwrap();
    }

    #[tokio::test]
    async fn a_thousand_queries_pass_through_few_slots() {
        let admission = admission(8, 1_000);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..1_000 {
            let admission = Arc::clone(&admission);
            tasks.spawn(async move {
                let _slot = admission.enter(Lane::Light, &format!("u{}", n % 7)).await.unwrap();
                assert!(admission.counts().running <= 8);
                tokio::task::yield_now().await;
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(admission.counts(), Counts::default());
    }
}
