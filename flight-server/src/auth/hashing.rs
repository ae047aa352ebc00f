//! The pool that verifies passwords: a few at a time on blocking threads, a short queue, no more.

use std::sync::Arc;

use datafusion::common::runtime::SpawnedTask;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::stored::StoredHash;

/// Hashes computed at the same time, whatever the machine has.
const RUNNING_MAX: usize = 4;
/// Logins that wait for their turn.
const QUEUED_MAX: usize = 64;

/// Bounded hashing.
#[derive(Debug)]
pub(super) struct Hashing {
    running: Arc<Semaphore>,
    /// Those that run and those that wait.
    admitted: Arc<Semaphore>,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Hashing {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // Queries must get on while somebody guesses.
        Self::with((processors / 2).clamp(1, RUNNING_MAX), QUEUED_MAX)
    }

    fn with(running: usize, queued: usize) -> Self {
        let admitted = Arc::new(Semaphore::new(running + queued));
        Self { running: Arc::new(Semaphore::new(running)), admitted }
    }

    /// Whether `password` is behind `hash`.
    pub(super) async fn verify(
        &self,
        hash: StoredHash,
        password: Zeroizing<String>,
    ) -> Result<bool, Busy> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Busy)?;
        // The work cannot be stopped once it runs, so it holds its places itself: a caller that
        // hangs up makes no room.
        let work = SpawnedTask::spawn_blocking(move || {
            let _places = (admitted, running);
            hash.verify(&password)
        });
        work.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn h2_a_flood_of_logins_is_refused_beyond_the_queue() {
        let hashing = Hashing::with(1, 4);
        let hash = StoredHash::parse(&bcrypt::hash("x", 8).unwrap()).unwrap();
        let logins = (0..100).map(|_| hashing.verify(hash.clone(), Zeroizing::new("x".into())));
        let outcomes = join_all(logins).await;
        let verified = outcomes.iter().filter(|o| **o == Ok(true)).count();
        let refused = outcomes.iter().filter(|o| **o == Err(Busy)).count();
        assert!((5..20).contains(&verified), "{verified}");
        assert_eq!(verified + refused, 100);
        assert_eq!(hashing.verify(hash, Zeroizing::new("y".into())).await, Ok(false));
    }
}
