//! How long a commit may take, and the waits between its attempts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, ErrorKind, Result};

/// Limits of the commit loop. Contention costs time up to a deadline, never a count of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitLimits {
    /// From the call to the last attempt, waiting in the queue included.
    pub total_max: Duration,
    /// The first wait between attempts; it doubles from there.
    pub backoff_min: Duration,
    /// The longest wait between attempts.
    pub backoff_max: Duration,
    /// How long to look for a commit whose answer was lost before giving up on knowing.
    pub unknown_max: Duration,
    /// How long a catalog may be unreachable while it is certain that nothing was sent.
    pub unavailable_max: Duration,
}

impl Default for CommitLimits {
    fn default() -> Self {
        Self {
            total_max: Duration::from_secs(30 * 60),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(5),
            unknown_max: Duration::from_secs(10),
            unavailable_max: Duration::from_secs(30),
        }
    }
}

/// Jittered exponential waits up to a deadline.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
    deadline: Instant,
}

impl Backoff {
    /// Waits of `min` to `max` until `deadline`.
    pub(crate) fn new(min: Duration, max: Duration, deadline: Instant) -> Self {
        Self { next: min, max, deadline }
    }

    /// Waits. `false` when the deadline leaves no time for another attempt.
    pub(crate) async fn wait(&mut self) -> bool {
        // Half fixed, half random: rivals drift apart, and none returns at once.
        let wait = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.max);
        if Instant::now() + wait > self.deadline {
            return false;
        }
        sleep(wait).await;
        true
    }
}

/// The error of a commit that lost every race until its deadline.
pub(crate) fn out_of_time(name: &str, limits: &CommitLimits) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "table {name:?}: other commits won every attempt for {} s; nothing was committed",
            limits.total_max.as_secs()
        ),
    )
    .with_retryable(true)
}

/// A deadline that is always representable.
pub(crate) fn deadline_in(limit: Duration) -> Result<Instant> {
    Instant::now().checked_add(limit).ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, format!("a commit limit of {limit:?} is too long"))
    })
}
