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
            queued_max: QUEUED_MAX,
            limits: QueryLimits::default(),
            history_entries_max: HISTORY_ENTRIES_MAX,
            history_dir: None,
            observer: None,
        }
    }
}

/// Queries that run at once when nobody said otherwise: four for each core, at least eight.
pub fn default_running_max() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (cores * RUNNING_PER_CORE).max(RUNNING_MIN)
}
