//! What was read from delete files, kept for the next data file and the next query.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;
use fjord_catalog::deletes::DeletedRows;
use fjord_catalog::statistics::{CacheCounters, CacheStatistics};
use moka::future::Cache;

use super::keys::KeySet;

/// Bytes of deletes kept unless the engine says otherwise.
const DELETE_CACHE_BYTES_MAX: u64 = 64 << 20;

static PROCESS_DELETES: LazyLock<DeleteCache> =
    LazyLock::new(|| DeleteCache::new(DELETE_CACHE_BYTES_MAX));

/// A bounded cache of deletes. Cheap to clone.
///
/// Iceberg's files never change, so nothing is ever revalidated. Each entry holds the memory that it
/// takes from the pool until nobody uses it any more; when the pool has none left for another, all
/// entries go.
#[derive(Clone)]
pub struct DeleteCache {
    entries: Cache<DeleteKey, Arc<Loaded>>,
    counters: Arc<CacheCounters>,
}

/// What an entry was made of: files by URI, and how they were read.
#[derive(Clone, Debug)]
pub(super) struct DeleteKey {
    hash: u64,
    text: Arc<str>,
}

impl DeleteKey {
    /// A key of `text`, which is hashed once: the text of a thousand files is long.
    pub(super) fn new(text: String) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self { hash: hasher.finish(), text: text.into() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for DeleteKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Eq for DeleteKey {}

impl Hash for DeleteKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Deletes in memory, and the part of the pool that they hold.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) deletes: Deletes,
    pub(super) memory: MemoryReservation,
}

/// The deletes of one entry.
#[derive(Debug)]
pub(super) enum Deletes {
    /// Of one data file.
    Vector(Arc<DeletedRows>),
    /// Of all data files that one file of position deletes names, by path.
    Positions(HashMap<String, Arc<DeletedRows>>),
    /// By the values of columns.
    Keys(KeySet),
}

impl DeleteCache {
    /// A cache that holds at most `bytes_max`.
    pub fn new(bytes_max: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &DeleteKey, loaded: &Arc<Loaded>| {
                let bytes = loaded.memory.size().saturating_add(key.text.len());
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self { entries, counters: Arc::default() }
    }

    /// How the cache has served.
    pub fn statistics(&self) -> CacheStatistics {
        self.counters.statistics(self.entries.weighted_size())
    }

    /// The cache that scans share when the session brings none of its own.
    pub fn of_process() -> Self {
        PROCESS_DELETES.clone()
    }

    /// The entry of `key`, read by `load` if need be: once, however many partitions ask for it.
    pub(super) async fn get<F>(&self, key: &DeleteKey, load: impl Fn() -> F) -> Result<Arc<Loaded>>
    where
        F: Future<Output = Result<Loaded>> + Send,
    {
        self.counters.looked_up();
        let reading = async {
            self.counters.missed();
            load().await.map(Arc::new)
        };
        match self.entries.try_get_with_by_ref(key, reading).await {
            Err(e) if is_exhausted(&e) => {
                self.entries.invalidate_all();
                self.entries.run_pending_tasks().await;
                load().await.map(Arc::new)
            }
            result => result.map_err(DataFusionError::Shared),
        }
    }
}

fn is_exhausted(e: &DataFusionError) -> bool {
    use crate::error::{Error, ErrorKind};
    let ours = |e: &DataFusionError| match e {
        DataFusionError::External(e) => {
            e.downcast_ref::<Error>().is_some_and(|e| e.kind() == ErrorKind::LimitExceeded)
        }
        _ => false,
    };
    ours(e) || matches!(e.find_root(), DataFusionError::ResourcesExhausted(_))
}

impl fmt::Debug for DeleteCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteCache")
            .field("entries", &self.entries.entry_count())
            .field("bytes", &self.entries.weighted_size())
            .finish()
    }
}
