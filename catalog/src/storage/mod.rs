//! One registry of object stores for Iceberg metadata and for scans alike, keyed by full URI.
//!
//! Modules, bottom-up: each uses only those above it.

mod fault;
mod location;
mod local;
mod files;
mod file_io;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use iceberg::io::{FileIO, FileIOBuilder};
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::file_io::StorageIo;
use crate::storage::local::DurableLocal;
use crate::storage::location::Location;

/// Where a URI leads.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The object within the store.
    pub path: Path,
    /// The store's own URL (`file:///`, `s3://bucket/`), its key in DataFusion's registry.
    pub store_url: Url,
}

/// How much a single object may hold when it is read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageLimits {
    /// `metadata.json`, before and after decompression; 256 MiB by default.
    pub metadata_bytes_max: u64,
    /// Any other file that is read or written in one piece (manifests, lists); 1 GiB by default.
    pub file_bytes_max: u64,
}

impl Default for StorageLimits {
    fn default() -> Self {
        Self { metadata_bytes_max: 256 << 20, file_bytes_max: 1 << 30 }
    }
}

/// A store's key: scheme (lowercase, `s3a`/`s3n` as `s3`) and authority.
type StoreKey = (String, String);

/// The process's object stores. Cheap to clone; a value, so adding a store makes a new registry.
#[derive(Clone)]
pub struct Storage {
    stores: Arc<BTreeMap<StoreKey, Arc<dyn ObjectStore>>>,
    limits: StorageLimits,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Stores are left out: theirs may print credentials.
        f.debug_struct("Storage").field("serves", &self.served()).finish_non_exhaustive()
    }
}

impl Storage {
    /// Local disk alone, which needs no configuration.
    pub fn local() -> Self {
        let local: Arc<dyn ObjectStore> = Arc::new(DurableLocal::new());
        let key = (location::FILE_SCHEME.to_owned(), String::new());
        Self { stores: Arc::new(BTreeMap::from([(key, local)])), limits: StorageLimits::default() }
    }

    /// Also serves everything below `prefix_url` (`s3://bucket/`) from `store`. A store that served
    /// the same scheme and authority before is replaced.
    ///
    /// # Errors
    /// `InvalidArgument` when `prefix_url` is not a URL, or has a path: credentials belong to a
    /// whole bucket.
    pub fn with_store(mut self, prefix_url: &str, store: Arc<dyn ObjectStore>) -> Result<Self> {
        let prefix = Location::parse(prefix_url)?;
        if !prefix.path.is_root() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("storage prefix {prefix_url:?} names a path: give scheme and bucket alone"),
            ));
        }
        let mut stores = BTreeMap::clone(&self.stores);
        stores.insert((prefix.scheme, prefix.authority), store);
        self.stores = Arc::new(stores);
        Ok(self)
    }

    /// Overrides how much is read whole at most.
    #[must_use]
    pub fn with_limits(mut self, limits: StorageLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How much is read whole at most.
    pub fn limits(&self) -> StorageLimits {
        self.limits
    }

    /// The store and path behind a URI: `file:///a/b`, `file:/a/b`, a bare absolute path, or
    /// whatever [`Storage::with_store`] added.
    ///
    /// The path is taken literally, as every Iceberg implementation does: `%20` is three
    /// characters of a name, never a space. So `…/cat=a%2Fb/x.parquet` is one directory deep.
    ///
    /// # Errors
    /// `Unsupported` for a scheme or bucket that no store serves, `InvalidArgument` for a malformed
    /// URI or one that climbs above the root.
    pub fn resolve(&self, uri: &str) -> Result<Resolved> {
        let location = Location::parse(uri)?;
        let store_url = location.store_url()?;
        let key = (location.scheme, location.authority);
        let Some(store) = self.stores.get(&key) else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("storage {:?}: no store is configured for it", store_url.as_str()),
            )
            .with_context("uri", uri)
            .with_context("configured", self.served().join(", ")));
        };
        Ok(Resolved { store: Arc::clone(store), path: location.path, store_url })
    }

    /// URLs of the stores, for messages and for registering them elsewhere.
    pub fn served(&self) -> Vec<String> {
        self.stores.keys().map(|(scheme, authority)| format!("{scheme}://{authority}/")).collect()
    }

    /// The same stores as the format library's file I/O. Writing never overwrites.
    pub(crate) fn file_io(&self) -> Result<FileIO> {
        Ok(FileIOBuilder::new(Arc::new(StorageIo::new(self.clone()))).build())
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn a_scheme_that_nobody_serves_is_named_with_what_is_served() {
        let error = Storage::local().resolve("gs://bucket/a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("gs://bucket/") && text.contains("file:///"), "{text}");
    }

    #[test]
    fn s3a_and_s3n_lead_to_the_store_of_s3() {
        let storage = Storage::local().with_store("s3://b/", Arc::new(InMemory::new())).unwrap();
        for uri in ["s3://b/x/y", "s3a://b/x/y", "s3n://b/x/y", "S3://b/x/y"] {
            let resolved = storage.resolve(uri).unwrap();
            assert_eq!(resolved.path.as_ref(), "x/y");
            assert_eq!(resolved.store_url.as_str(), "s3://b/");
        }
        assert_eq!(storage.resolve("s3://other/x").unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_store_prefix_with_a_path_is_refused() {
        let error = Storage::local().with_store("s3://b/x", Arc::new(InMemory::new())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
