//! A bounded wait with growing, jittered pauses.

use std::time::{Duration, Instant};

/// Pauses between attempts at a busy database: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// How long a caller may go on trying.
#[derive(Debug)]
pub(super) struct Patience {
    deadline: Instant,
    next: Duration,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { deadline: Instant::now() + limit, next: PAUSE_MIN }
    }

    /// Sleeps, or answers `false` when the time is up.
    pub(super) async fn pause(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        tokio::time::sleep(self.next.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.next = (self.next * 2).min(PAUSE_MAX);
        true
    }
}
