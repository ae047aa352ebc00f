//! Where the parts of filters arrive on a worker, and are waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::message::FilterMessage;

/// Bytes of parts that are kept for all queries together. What comes on top is told as a part that
/// lets everything pass.
const KEPT_BYTES_MAX: usize = 128 << 20;
/// How long parts are kept of an attempt that no task here belongs to, yet or any more.
const STRAY_TIME: Duration = Duration::from_secs(30);
/// Tasks of one join at most.
const TASKS_MAX: u32 = 10_000;

/// The parts of filters that have arrived here, by attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk {
    attempts: Arc<Mutex<HashMap<String, Attempt>>>,
}

#[derive(Debug)]
struct Attempt {
    /// Tasks here that belong to it.
    tasks: usize,
    since: Instant,
    slots: HashMap<u64, Slot>,
    arrived: Arc<Notify>,
}

impl Default for Attempt {
    fn default() -> Self {
        Self { tasks: 0, since: Instant::now(), slots: HashMap::new(), arrived: Arc::default() }
    }
}

/// The parts of one filter.
#[derive(Debug, Default)]
struct Slot {
    tasks: u32,
    parts: BTreeMap<u32, Arc<[u8]>>,
    /// A part was too much to keep.
    is_open: bool,
}

/// What is known of a filter of which every task has been heard.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// The parts of its tasks.
    Parts(Vec<Arc<[u8]>>),
    /// Everything may pass.
    Open,
}

impl Desk {
    fn attempts(&self) -> MutexGuard<'_, HashMap<String, Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a task of `attempt` until it is dropped; with the last one, its parts are forgotten.
    pub(crate) fn enter(&self, attempt: &str) -> Presence {
        self.attempts().entry(attempt.to_owned()).or_default().tasks += 1;
        Presence { desk: self.clone(), attempt: attempt.to_owned() }
    }

    /// Takes a part.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn put(&self, message: FilterMessage) -> Result<(), String> {
        let FilterMessage { attempt, filter, task, tasks, part } = message;
        if task >= tasks || tasks > TASKS_MAX {
            return Err(format!("task {task} of {tasks}"));
        }
        let mut attempts = self.attempts();
        attempts.retain(|_, one| one.tasks > 0 || one.since.elapsed() < STRAY_TIME);
        let kept: usize = attempts.values().map(Attempt::bytes).sum();
        let attempt = attempts.entry(attempt).or_default();
        let slot = attempt.slots.entry(filter).or_default();
        slot.tasks = slot.tasks.max(tasks);
        let part: Arc<[u8]> = match kept + part.len() > KEPT_BYTES_MAX {
            true => {
                slot.is_open = true;
                Arc::default()
            }
            false => part.into(),
        };
        slot.parts.insert(task, part);
        attempt.arrived.notify_waiters();
        Ok(())
    }

    /// Waits until every task of the join has been heard.
    pub(super) async fn wait(&self, attempt: &str, filter: u64) -> Heard {
        loop {
            let arrived = {
                let mut attempts = self.attempts();
                let attempt = attempts.entry(attempt.to_owned()).or_default();
                if let Some(heard) = attempt.slots.get(&filter).and_then(Slot::heard) {
                    return heard;
                }
                Arc::clone(&attempt.arrived).notified_owned()
            };
            arrived.await;
        }
    }
}

impl Attempt {
    fn bytes(&self) -> usize {
        self.slots.values().flat_map(|slot| slot.parts.values()).map(|part| part.len()).sum()
    }
}

impl Slot {
    fn heard(&self) -> Option<Heard> {
        if self.is_open {
            return Some(Heard::Open);
        }
        let is_whole = u32::try_from(self.parts.len()).is_ok_and(|parts| parts >= self.tasks);
        is_whole.then(|| Heard::Parts(self.parts.values().cloned().collect()))
    }
}

/// That a task of an attempt is here.
#[derive(Debug)]
pub(crate) struct Presence {
    desk: Desk,
    attempt: String,
}

impl Presence {
    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(super) fn attempt(&self) -> &str {
        &self.attempt
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut attempts = self.desk.attempts();
        if let Some(attempt) = attempts.get_mut(&self.attempt) {
            attempt.tasks = attempt.tasks.saturating_sub(1);
            if attempt.tasks == 0 {
                drop(attempts.remove(&self.attempt));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn part(task: u32, tasks: u32, bytes: usize) -> FilterMessage {
        FilterMessage { attempt: "a".to_owned(), filter: 7, task, tasks, part: vec![1; bytes] }
    }

    fn heard(desk: &Desk) -> Option<usize> {
        match desk.wait("a", 7).now_or_never()? {
            Heard::Parts(parts) => Some(parts.len()),
            Heard::Open => Some(0),
        }
    }

    /// Hazard: a filter of some tasks of a join drops the rows that the others have partners for.
    #[test]
    fn a_filter_is_there_when_every_task_has_been_heard() {
        let desk = Desk::default();
        let here = desk.enter("a");
        desk.put(part(0, 3, 10)).unwrap();
        desk.put(part(0, 3, 10)).unwrap();
        desk.put(part(2, 3, 10)).unwrap();
        assert_eq!(heard(&desk), None);
        desk.put(part(1, 3, 10)).unwrap();
        assert_eq!(heard(&desk), Some(3));
        assert!(desk.put(part(3, 3, 10)).is_err());
        drop(here);
        assert_eq!(heard(&desk), None, "forgotten with its attempt");
    }

    #[test]
    fn what_is_too_much_to_keep_lets_everything_pass() {
        let desk = Desk::default();
        let _here = desk.enter("a");
        desk.put(part(0, 2, 10)).unwrap();
        desk.put(part(1, 2, KEPT_BYTES_MAX)).unwrap();
        assert_eq!(heard(&desk), Some(0));
    }
}
