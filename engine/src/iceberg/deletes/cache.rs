//! What was read from delete files, kept for the next data file and the next query.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;
use fjord_catalog::deletes::DeletedRows;
use fjord_catalog::statistics::{CacheCounters, CacheStatistics};
use moka::future::Cache;
use sha2::{Digest, Sha256};

use super::keys::KeySet;

/// About what an entry costs beside its content.
const ENTRY_BYTES: usize = 256;

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

/// What an entry was made of, as a digest: the text of a thousand files is long, and every row group
/// of a data file would repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DeleteKey([u8; 32]);

impl DeleteKey {
    /// A key of `parts`, the first of which says of what kind the entry is.
    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            // So that no two lists of parts read alike.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// A key that came from another process; `None` for bytes that are none.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
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
    /// The rows of one row group that have such values.
    Found(DeletedRows),
}

impl DeleteCache {
    /// A cache that holds at most `bytes_max`.
    pub fn new(bytes_max: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_, loaded: &Arc<Loaded>| {
                let bytes = loaded.memory.size().saturating_add(ENTRY_BYTES);
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self { entries, counters: Arc::default() }
    }

    /// Forgets everything, as if nothing had been read yet.
    pub fn clear(&self) {
        self.entries.invalidate_all();
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
