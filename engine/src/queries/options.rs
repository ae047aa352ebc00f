//! How many queries at once, what each may take, and where the ended ones are remembered.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use super::info::QueryInfo;
use super::limits::QueryLimits;

/// Queries that wait in one lane when nobody said otherwise.
pub const QUEUED_MAX: usize = 1_000;

/// Ended queries that are remembered when nobody said otherwise.
pub const HISTORY_ENTRIES_MAX: usize = 10_000;

/// Running queries for each core, and the least of them.
const RUNNING_PER_CORE: usize = 4;
const RUNNING_MIN: usize = 8;

/// Memory that a heavy query is taken to need, pages that it reads included: TPC-H at scale factor 1 was
/// measured at 250 to 330 MiB a query.
const HEAVY_BYTES: usize = 320 << 20;

/// Heavy queries that run at once however little memory there is: a client that reads one result may
/// run another statement for each of its rows, and must not wait for itself.
const HEAVY_MIN: usize = 4;

/// Is told of every query that has ended. Must not block.
pub trait QueryObserver: fmt::Debug + Send + Sync {
    /// `query` has ended.
    fn ended(&self, query: &QueryInfo);
}

/// How queries are admitted and remembered. Every limit has a finite default.
#[derive(Clone, Debug)]
pub struct QueriesOptions {
    /// Queries that run at once, in each lane.
    pub running_max: usize,
    /// Those in the heavy lane, where that is less; `None`: as many as in the light one.
    pub heavy_running_max: Option<usize>,
    /// Queries that wait, in each lane; one more is refused with `QUEUE_FULL`.
    pub queued_max: usize,
    /// What one query may take.
    pub limits: QueryLimits,
    /// Ended queries that are remembered.
    pub history_entries_max: usize,
    /// The directory in which the history outlives the process; `None`: in memory alone.
    pub history_dir: Option<PathBuf>,
    /// Who is told of ended queries.
    pub observer: Option<Arc<dyn QueryObserver>>,
}

impl Default for QueriesOptions {
    fn default() -> Self {
        Self {
            running_max: default_running_max(),
            heavy_running_max: None,
            queued_max: QUEUED_MAX,
            limits: QueryLimits::default(),
            history_entries_max: HISTORY_ENTRIES_MAX,
            history_dir: None,
            observer: None,
        }
    }
}

impl QueriesOptions {
    /// These options in a process whose operators may hold `memory_bytes` together: no more heavy
    /// queries at once than have room. One that waits is faster than one that fails.
    #[must_use]
    pub fn within(self, memory_bytes: usize) -> Self {
        let room = (memory_bytes / HEAVY_BYTES).max(HEAVY_MIN);
        let asked = self.heavy_running_max.unwrap_or(self.running_max);
        Self { heavy_running_max: Some(asked.min(room)), ..self }
    }
}

/// Queries that run at once when nobody said otherwise: four for each core, at least eight.
pub fn default_running_max() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (cores * RUNNING_PER_CORE).max(RUNNING_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bounds_the_heavy_queries_and_never_the_light_ones() {
        let options = || QueriesOptions { running_max: 32, ..QueriesOptions::default() };
        let heavy = |bytes| options().within(bytes).heavy_running_max;
        assert_eq!(heavy(2 << 30), Some(6));
        assert_eq!(heavy(1 << 20), Some(HEAVY_MIN));
        assert_eq!(heavy(64 << 30), Some(32));
        assert_eq!(options().within(1 << 20).running_max, 32);
        let few = QueriesOptions { running_max: 2, ..options() };
        assert_eq!(few.within(1 << 20).heavy_running_max, Some(2));
    }
}
