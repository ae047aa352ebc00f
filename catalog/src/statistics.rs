//! What caches and commits have come to since the start, for who watches a process.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind};

/// How a cache has served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Lookups that it answered.
    pub hits: u64,
    /// Lookups that had to read.
    pub misses: u64,
    /// Its weight now.
    pub bytes: u64,
}

impl Add for CacheStatistics {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hits: self.hits.saturating_add(other.hits),
            misses: self.misses.saturating_add(other.misses),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Counts the lookups of a cache.
#[derive(Debug, Default)]
pub struct CacheCounters {
    lookups: AtomicU64,
    misses: AtomicU64,
}

impl CacheCounters {
    /// Something was asked for.
    pub fn looked_up(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
    }

    /// It had to be read.
    pub fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far, of a cache that weighs `bytes`.
    pub fn statistics(&self, bytes: u64) -> CacheStatistics {
        let misses = self.misses.load(Ordering::Relaxed);
        let hits = self.lookups.load(Ordering::Relaxed).saturating_sub(misses);
        CacheStatistics { hits, misses, bytes }
    }
}

/// How commits have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStatistics {
    /// Applied.
    pub applied: u64,
    /// Lost to a concurrent commit for good.
    pub conflicts: u64,
    /// Without a known outcome.
    pub unknown: u64,
    /// Failed for another reason.
    pub failed: u64,
}

impl Add for CommitStatistics {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            applied: self.applied.saturating_add(other.applied),
            conflicts: self.conflicts.saturating_add(other.conflicts),
            unknown: self.unknown.saturating_add(other.unknown),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

/// Counts the ends of commits.
#[derive(Debug, Default)]
pub(crate) struct CommitCounters {
    applied: AtomicU64,
    conflicts: AtomicU64,
    unknown: AtomicU64,
    failed: AtomicU64,
}

impl CommitCounters {
    /// A commit has ended; one that found nothing to do is none.
    pub(crate) fn ended<T>(&self, result: &Result<Option<T>, Error>) {
        let counter = match result {
            Ok(Some(_)) => &self.applied,
            Ok(None) => return,
            Err(e) => match e.kind() {
                ErrorKind::Conflict | ErrorKind::Stale => &self.conflicts,
                ErrorKind::CommitUnknown => &self.unknown,
                _ => &self.failed,
            },
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn statistics(&self) -> CommitStatistics {
        CommitStatistics {
            applied: self.applied.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}
