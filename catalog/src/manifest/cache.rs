//! The cache of decoded manifest lists and manifests. The files are immutable, so nothing expires;
//! weight alone evicts.

use std::mem::size_of;
use std::sync::Arc;

use moka::future::Cache;

use super::decode::{decode_list, decode_manifest};
use super::entry::{Entry, weigh};
use super::read::read_file;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{FormatVersion, ManifestFile, Snapshot};
use crate::statistics::{CacheCounters, CacheStatistics};
use crate::storage::Storage;

/// Limits of [`Manifests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestsOptions {
    /// Memory for decoded manifests, in bytes.
    pub manifest_cache_bytes_max: u64,
    /// Memory for decoded manifest lists, in bytes.
    pub list_cache_bytes_max: u64,
    /// The largest manifest or manifest list that is read, in bytes.
    pub file_bytes_max: u64,
}

impl Default for ManifestsOptions {
    fn default() -> Self {
        Self {
            manifest_cache_bytes_max: 256 << 20,
            list_cache_bytes_max: 32 << 20,
            file_bytes_max: 256 << 20,
        }
    }
}

/// A manifest inherits numbers from its list entry: the same file under other numbers is another
/// manifest (a commit that lost its race and was rebased writes such lists).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ManifestKey {
    uri: Box<str>,
    sequence_number: i64,
    added_snapshot_id: i64,
    first_row_id: Option<u64>,
}

/// Loads manifest lists and manifests through a bounded cache. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Manifests {
    storage: Storage,
    file_bytes_max: u64,
    lists: Cache<Box<str>, Arc<Vec<ManifestFile>>>,
    manifests: Cache<ManifestKey, Arc<Vec<Entry>>>,
    counters: Arc<CacheCounters>,
}

impl Manifests {
    /// An empty cache over `storage`.
    #[expect(clippy::borrowed_box, reason = "a weigher is given the key as it is kept")]
    pub fn new(storage: Storage, options: ManifestsOptions) -> Self {
        let lists = Cache::builder()
            .max_capacity(options.list_cache_bytes_max)
            .weigher(|uri: &Box<str>, list: &Arc<Vec<ManifestFile>>| {
                weight(uri.len() + list.iter().map(weigh_manifest).sum::<usize>())
            })
            .build();
        let manifests = Cache::builder()
            .max_capacity(options.manifest_cache_bytes_max)
            .weigher(|key: &ManifestKey, entries: &Arc<Vec<Entry>>| {
                weight(key.uri.len() + entries.iter().map(weigh).sum::<usize>())
            })
            .build();
        let file_bytes_max = options.file_bytes_max;
        Self { storage, file_bytes_max, lists, manifests, counters: Arc::default() }
    }

    /// How both caches have served, together.
    pub fn statistics(&self) -> CacheStatistics {
        self.counters.statistics(self.lists.weighted_size() + self.manifests.weighted_size())
    }

    /// The manifests of `snapshot`, in the order of its manifest list.
    ///
    /// # Errors
    /// `Corrupt`, `NotFound`, `LimitExceeded` naming the list; `Unsupported` for an encrypted one.
    pub async fn load_list(
        &self,
        snapshot: &Snapshot,
        version: FormatVersion,
    ) -> Result<Arc<Vec<ManifestFile>>> {
        let uri = snapshot.manifest_list();
        if uri.is_empty() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("snapshot {} has no manifest list", snapshot.snapshot_id()),
            ));
        }
        if snapshot.encryption_key_id().is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("manifest list {uri:?} is encrypted, which is not supported"),
            ));
        }
        self.counters.looked_up();
        self.lists
            .try_get_with(Box::from(uri), async {
                self.counters.missed();
                let bytes =
                    read_file(&self.storage, "manifest list", uri, self.file_bytes_max).await?;
                let uri_owned = uri.to_owned();
                let list = blocking(move || decode_list(&uri_owned, &bytes, version)).await?;
                check_list(uri, &list, snapshot)?;
                Ok(Arc::new(list))
            })
            .await
            .map_err(shared)
    }

    /// The entries of `manifest`, live and deleted, in the order of the file.
    ///
    /// # Errors
    /// As [`Manifests::load_list`].
    pub async fn load(&self, manifest: &ManifestFile) -> Result<Arc<Vec<Entry>>> {
        let uri = &manifest.manifest_path;
        if manifest.key_metadata.as_ref().is_some_and(|key| !key.is_empty()) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("manifest {uri:?} is encrypted, which is not supported"),
            ));
        }
        let key = ManifestKey {
            uri: Box::from(uri.as_str()),
            sequence_number: manifest.sequence_number,
            added_snapshot_id: manifest.added_snapshot_id,
            first_row_id: manifest.first_row_id,
        };
        self.counters.looked_up();
        self.manifests
            .try_get_with(key, async {
                self.counters.missed();
                let bytes = read_file(&self.storage, "manifest", uri, self.file_bytes_max).await?;
                check_length(manifest, bytes.len())?;
                let manifest = manifest.clone();
                blocking(move || decode_manifest(&manifest, &bytes)).await.map(Arc::new)
            })
            .await
            .map_err(shared)
    }
}

/// An Avro file that was cut off between two blocks reads as a shorter one. For a manifest, the list
/// knows the length.
fn check_length(manifest: &ManifestFile, found: usize) -> Result<()> {
    if i64::try_from(found).is_ok_and(|found| found == manifest.manifest_length) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Corrupt,
        format!(
            "manifest {:?} has {found} bytes where its manifest list says {}",
            manifest.manifest_path, manifest.manifest_length
        ),
    ))
}

/// For a manifest list only the snapshot's summary can tell; other engines' totals are not exact
/// enough for more than this.
fn check_list(uri: &str, list: &[ManifestFile], snapshot: &Snapshot) -> Result<()> {
    let total = |key| snapshot.summary().additional_properties.get(key)?.parse::<u64>().ok();
    let files = total("total-data-files").unwrap_or(0);
    if !list.is_empty() || files == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Corrupt,
        format!("manifest list {uri:?} is empty where its snapshot has {files} data files"),
    ))
}

/// Decoding is pure computation, up to hundreds of milliseconds: not for the IO threads.
async fn blocking<T: Send + 'static>(
    decode: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(decode).await.map_err(|e| {
        Error::new(ErrorKind::Bug, "decoding a manifest did not finish").with_source(e)
    })?
}

/// An error that several waiting readers of one file share.
fn shared(e: Arc<Error>) -> Error {
    Error::new(e.kind(), e.message()).with_retryable(e.is_retryable()).with_source(e)
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn weigh_manifest(manifest: &ManifestFile) -> usize {
    let summaries = manifest.partitions.iter().flatten().map(|summary| {
        let lower = summary.lower_bound.as_ref().map_or(0, |bound| bound.len());
        let upper = summary.upper_bound.as_ref().map_or(0, |bound| bound.len());
        96 + lower + upper
    });
    size_of::<ManifestFile>() + manifest.manifest_path.len() + summaries.sum::<usize>()
}
