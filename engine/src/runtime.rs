//! What all statements of a process share: one memory pool, one spill directory, one registry of stores.

use std::any::Any;
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use fjord_catalog::storage::Storage;
use object_store::ObjectStore;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::pool::SharedPool;

/// The share of the machine's memory that operators may hold by default; the rest is for reading,
/// decoding and whatever else the process does.
const MEMORY_SHARE_PERCENT: u64 = 70;

/// Operators that an out-of-memory error names.
const TOP_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// What the names of spill directories begin with; nothing else below the spill root is touched.
const SPILL_PREFIX: &str = "fjord-spill-";

/// A process's private spill directory. It lives as long as this value and is removed with it.
#[derive(Debug)]
pub(crate) struct SpillDir {
    dir: tempfile::TempDir,
    // Held, not read: the lock says that this process lives, whatever its id.
    _lock: File,
}

impl SpillDir {
    /// Removes what dead processes left below `root`, and makes a directory (0700) of our own.
    pub(crate) fn create(root: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| {
            Error::new(
                ErrorKind::Unavailable,
                format!("spill directory {:?}: cannot be used: {e}", root.display()),
            )
            .with_source(e)
        };
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
        remove_abandoned(root).map_err(failed)?;
        let dir = tempfile::Builder::new()
            .prefix(&format!("{SPILL_PREFIX}{}-", std::process::id()))
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(root)
            .map_err(failed)?;
        let lock = File::create(lock_path(dir.path())).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { dir, _lock: lock })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

// Beside its directory, so that a directory is never seen without its lock for long, and removing
// the directory cannot remove a lock that somebody waits for.
fn lock_path(dir: &Path) -> PathBuf {
    dir.with_extension("lock")
}

fn remove_abandoned(root: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        let ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(SPILL_PREFIX));
        if !ours || path.extension().is_some() || !path.is_dir() {
            continue;
        }
        let lock = lock_path(&path);
        match OpenOptions::new().write(true).open(&lock) {
            // A living process holds it.
            Ok(file) if file.try_lock().is_err() => continue,
            Ok(_) => {}
            // The moment between making the directory and its lock; an old one was orphaned there.
            Err(_) if is_recent(&path) => continue,
            Err(_) => {}
        }
        // Another process may clean at the same time: what is gone is gone.
        match std::fs::remove_dir_all(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        match std::fs::remove_file(&lock) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn is_recent(path: &Path) -> bool {
    path.metadata()
        .and_then(|meta| meta.modified())
        .ok()
        .and_then(|modified| modified.elapsed().ok())
        .is_none_or(|age| age < std::time::Duration::from_secs(60))
}

impl Drop for SpillDir {
    fn drop(&mut self) {
        // The directory goes with `TempDir`; a lock file left behind is empty and harmless.
        if let Err(e) = std::fs::remove_file(lock_path(self.dir.path())) {
            tracing::debug!(error = %e, "spill lock file not removed");
        }
    }
}

/// Bytes that operators may hold when nobody said otherwise.
pub(crate) fn default_memory_limit_bytes() -> usize {
    usize::try_from(machine_memory_bytes() / 100 * MEMORY_SHARE_PERCENT).unwrap_or(usize::MAX)
}

/// The machine's memory in bytes, or that of the container which is less.
pub(crate) fn machine_memory_bytes() -> u64 {
    let system = System::new_with_specifics(
        RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()),
    );
    let machine = system.total_memory();
    match system.cgroup_limits() {
        Some(limits) if limits.total_memory > 0 => machine.min(limits.total_memory),
        _ => machine,
    }
}

/// Builds the one runtime environment of a process.
pub(crate) fn runtime_env(
    memory_limit_bytes: usize,
    target_partitions: Option<usize>,
    spill: &SpillDir,
    storage: Storage,
) -> Result<Arc<RuntimeEnv>> {
    let partitions = target_partitions
        .or_else(|| std::thread::available_parallelism().ok().map(NonZeroUsize::get))
        .unwrap_or(1);
    let pool = SharedPool::new(memory_limit_bytes, partitions);
    let pool = TrackConsumersPool::new(pool, TOP_CONSUMERS);
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![spill.path().to_path_buf()]));
    let env = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .with_object_store_registry(Arc::new(StoreRegistry::new(storage)))
        .build_arc()?;
    Ok(env)
}

/// The most that was ever held of the memory of a process's runtime.
pub(crate) fn peak_bytes(env: &RuntimeEnv) -> u64 {
    let pool: &dyn Any = env.memory_pool.as_ref();
    let pool = pool.downcast_ref::<TrackConsumersPool<SharedPool>>();
    pool.map_or(0, |pool| pool.inner().used().peak_bytes())
}

/// DataFusion's registry, answered from the catalog layer's stores: nothing is registered
/// beforehand, so a statement reaches exactly what [`Storage`] serves.
#[derive(Debug)]
struct StoreRegistry {
    storage: Storage,
    registered: RwLock<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl StoreRegistry {
    fn new(storage: Storage) -> Self {
        Self { storage, registered: RwLock::default() }
    }
}

fn store_key(url: &Url) -> String {
    url[..url::Position::BeforePath].to_owned()
}

impl ObjectStoreRegistry for StoreRegistry {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        let mut stores = self.registered.write().unwrap_or_else(PoisonError::into_inner);
        stores.insert(store_key(url), store)
    }

    fn get_store(&self, url: &Url) -> datafusion::error::Result<Arc<dyn ObjectStore>> {
        let registered = {
            let stores = self.registered.read().unwrap_or_else(PoisonError::into_inner);
            stores.get(&store_key(url)).map(Arc::clone)
        };
        if let Some(store) = registered {
            return Ok(store);
        }
        if let Some(store) = self.storage.store_of(url) {
            return Ok(store);
        }
        let resolved = self.storage.resolve(url.as_str()).map_err(Error::from)?;
        Ok(resolved.store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spill_directories_of_the_dead_go_and_those_of_the_living_stay() {
        let root = tempfile::tempdir().unwrap();
        let living = SpillDir::create(root.path()).unwrap();
        let dead = root.path().join("fjord-spill-1-abc");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("run.arrow"), b"x").unwrap();
        File::create(lock_path(&dead)).unwrap();
        let foreign = root.path().join("mine");
        std::fs::create_dir(&foreign).unwrap();

        let second = SpillDir::create(root.path()).unwrap();

        assert!(!dead.exists() && !lock_path(&dead).exists());
        assert!(living.path().exists() && second.path().exists() && foreign.exists());
        let mode = living.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = living.path().to_path_buf();
        drop(living);
        assert!(!path.exists() && !lock_path(&path).exists());
    }

    #[test]
    fn the_default_limit_is_a_share_of_the_machine() {
        let limit = default_memory_limit_bytes();
        assert!(limit > 100 << 20, "{limit}");
    }
}
