//! The memory of one query: a pool over the pool of the process, with a limit of its own.

use std::fmt;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::RuntimeEnv;

use crate::pool::{MemoryUse, SharedPool};

/// A query's share of the process's pool.
///
/// The limit is a fair pool too: the sorts of one query spill before they starve its joins.
#[derive(Debug)]
pub(super) struct QueryPool {
    process: Arc<dyn MemoryPool>,
    own: Option<(SharedPool, usize)>,
    used: Arc<MemoryUse>,
}

impl QueryPool {
    /// A pool for a plan of `partitions`; without a limit it only counts.
    pub(super) fn new(
        process: Arc<dyn MemoryPool>,
        limit_bytes: Option<usize>,
        partitions: usize,
        used: Arc<MemoryUse>,
    ) -> Self {
        let own = limit_bytes.map(|limit| (SharedPool::new(limit, partitions), limit));
        Self { process, own, used }
    }
}

/// The process's runtime, in which operators of one query of another process hold `limit_bytes` at
/// most.
pub(crate) fn runtime_within(
    process: &RuntimeEnv,
    limit_bytes: usize,
    partitions: usize,
) -> Arc<RuntimeEnv> {
    let (pool, used) = (Arc::clone(&process.memory_pool), Arc::default());
    let pool = QueryPool::new(pool, Some(limit_bytes), partitions, used);
    Arc::new(RuntimeEnv { memory_pool: Arc::new(pool), ..process.clone() })
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query over {}", self.process)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &'static str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if let Some((own, _)) = &self.own {
            own.register(consumer);
        }
        self.process.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if let Some((own, _)) = &self.own {
            own.unregister(consumer);
        }
        self.process.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        if let Some((own, _)) = &self.own {
            own.grow(reservation, additional);
        }
        self.process.grow(reservation, additional);
        self.used.add(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        if let Some((own, _)) = &self.own {
            own.shrink(reservation, shrink);
        }
        self.process.shrink(reservation, shrink);
        self.used.subtract(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if let Some((own, limit)) = &self.own
            && own.try_grow(reservation, additional).is_err()
        {
            // The kind makes operators spill that can.
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} asked for {additional} more bytes; the query holds {} of the {limit} that its \
                 query_memory allows",
                reservation.consumer().name(),
                own.reserved(),
            )));
        }
        if let Err(e) = self.process.try_grow(reservation, additional) {
            if let Some((own, _)) = &self.own {
                own.shrink(reservation, additional);
            }
            return Err(e);
        }
        self.used.add(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.held_bytes()
    }

    fn memory_limit(&self) -> MemoryLimit {
        match &self.own {
            Some((_, limit)) => MemoryLimit::Finite(*limit),
            None => self.process.memory_limit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_over_its_limit_names_operator_and_setting_and_leaves_the_process_its_memory() {
        let process: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(1 << 30, 2));
        let used = Arc::new(MemoryUse::default());
        let pool = QueryPool::new(Arc::clone(&process), Some(100), 2, Arc::clone(&used));
        let pool: Arc<dyn MemoryPool> = Arc::new(pool);
        let join = MemoryConsumer::new("HashJoinInput").register(&pool);
        join.try_grow(80).unwrap();
        let e = join.try_grow(40).unwrap_err().to_string();
        assert!(e.contains("HashJoinInput asked for 40") && e.contains("query_memory"), "{e}");
        assert_eq!((process.reserved(), pool.reserved()), (80, 80));
        drop(join);
        assert_eq!((process.reserved(), pool.reserved(), used.peak_bytes()), (0, 0, 80));
    }

    #[test]
    fn what_the_process_refuses_is_not_counted() {
        let process: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(50, 1));
        let used = Arc::new(MemoryUse::default());
        let pool = QueryPool::new(process, Some(100), 1, Arc::clone(&used));
        let pool: Arc<dyn MemoryPool> = Arc::new(pool);
        let join = MemoryConsumer::new("join").register(&pool);
        join.try_grow(60).unwrap_err();
        join.try_grow(50).unwrap();
        assert_eq!((pool.reserved(), used.peak_bytes()), (50, 50));
    }
}
