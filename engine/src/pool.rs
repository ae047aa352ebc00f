//! The memory pool: DataFusion's fair pool, in which a sort leaves room for its merge, and the merge
//! of one sort for the others.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// How a sort calls the reservation that it collects rows under; the partition follows.
const SORT: &str = "ExternalSorter[";
/// How it calls the one that it merges them under, from memory or from spilled runs.
const MERGE: &str = "ExternalSorterMerge";

/// What any merge may take: two runs at a time need about this much.
const MERGE_BYTES_MIN: usize = 16 << 20;

/// What is held now and was held at most.
#[derive(Debug, Default)]
pub(crate) struct MemoryUse {
    held: AtomicUsize,
    peak: AtomicUsize,
}

impl MemoryUse {
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn peak_bytes(&self) -> u64 {
        u64::try_from(self.peak.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    }

    pub(crate) fn add(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.peak.fetch_max(held, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A merge takes buffers for as many runs as the pool lets it, cannot spill, and so starves the
/// merges beside it, one of which then fails. Here each partition's merge has its own share, all
/// of them half of the pool; with fewer runs at a time it takes more passes.
///
/// Rows are merged before they are spilled, too, which takes half of what the sort reserved for them
/// as its output, and as much for its keys. So a sort spills while a merge of all that it holds
/// still fits its share.
#[derive(Debug)]
pub(crate) struct SharedPool {
    inner: FairSpillPool,
    merge_bytes_max: usize,
    sort_bytes_max: usize,
    used: MemoryUse,
}

impl SharedPool {
    /// A pool of `limit_bytes` for plans of `partitions`.
    pub(crate) fn new(limit_bytes: usize, partitions: usize) -> Self {
        let share = limit_bytes / 2 / partitions.max(1);
        let merge_bytes_max = share.max(MERGE_BYTES_MIN);
        Self {
            inner: FairSpillPool::new(limit_bytes),
            merge_bytes_max,
            sort_bytes_max: merge_bytes_max / 3 * 4,
            used: MemoryUse::default(),
        }
    }

    /// What is held of it.
    pub(crate) fn used(&self) -> &MemoryUse {
        &self.used
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
        self.used.add(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
        self.used.subtract(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let wanted = reservation.size().saturating_add(additional);
        let name = reservation.consumer().name();
        let most = match name {
            name if name.starts_with(MERGE) => self.merge_bytes_max,
            // The first batch is taken whatever its size: there is nothing to spill yet.
            name if name.starts_with(SORT) && reservation.size() > 0 => self.sort_bytes_max,
            _ => usize::MAX,
        };
        if wanted > most {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{name} asked for {wanted} bytes; it may hold {most}"
            )));
        }
        self.inner.try_grow(reservation, additional)?;
        self.used.add(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_merge_leaves_the_others_their_share() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(256 << 20, 2));
        let merges: Vec<MemoryReservation> =
            (0..2).map(|n| MemoryConsumer::new(format!("{MERGE}[{n}]")).register(&pool)).collect();
        for merge in &merges {
            while merge.try_grow(8 << 20).is_ok() {}
            assert_eq!(merge.size(), 64 << 20);
        }
        // A sort is refused, and spills, while its own merge still fits.
        let sort = MemoryConsumer::new(format!("{SORT}0]")).with_can_spill(true).register(&pool);
        sort.try_grow(64 << 20).unwrap();
        assert!(sort.try_grow(32 << 20).is_err());
        sort.free();
        let join = MemoryConsumer::new("HashJoinInput").register(&pool);
        join.try_grow(128 << 20).unwrap();
        assert!(join.try_grow(1).is_err());
    }
}
