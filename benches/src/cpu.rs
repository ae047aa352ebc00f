//! Processor time of this process, which neighbours on the machine disturb less than the clock.

use std::time::{Duration, Instant};

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// By the clock.
    pub wall: Duration,
    /// Of all threads together; zero where the system does not tell (only Linux does).
    pub cpu: Duration,
}

/// A started measurement.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    wall: Instant,
    cpu: Duration,
}

/// Starts to measure.
pub fn start() -> Started {
    Started { cpu: of_threads(), wall: Instant::now() }
}

impl Started {
    /// What passed since the start.
    pub fn took(self) -> Took {
        let wall = self.wall.elapsed();
        Took { wall, cpu: of_threads().saturating_sub(self.cpu) }
    }
}

/// The sum over living threads. Runtimes keep theirs for seconds, so few are lost in between.
fn of_threads() -> Duration {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let nanos = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanos)
}
