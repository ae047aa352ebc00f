//! One registry of object stores for Iceberg metadata and for scans alike, keyed by full URI.
//!
//! Modules, bottom-up: each uses only those above it.

pub(crate) mod fault;
mod location;
mod local;
mod bucket;
mod scope;
pub mod s3;
mod vended;
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
use crate::storage::bucket::Bucket;
use crate::storage::file_io::StorageIo;
use crate::storage::local::DurableLocal;
use crate::storage::location::Location;
use crate::storage::scope::Scope;

pub use crate::storage::fault::store_error;
pub use crate::storage::scope::real_path;
pub use crate::storage::vended::VendedStores;

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
    stores: Arc<BTreeMap<StoreKey, Bucket>>,
    /// What may be reached of it; `None`: all.
    scope: Option<Arc<Scope>>,
    /// Looked at first.
    vended: Option<VendedStores>,
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
        let disk = Bucket::new().with(Path::default(), local);
        Self {
            stores: Arc::new(BTreeMap::from([(key, disk)])),
            scope: None,
            vended: None,
            limits: StorageLimits::default(),
        }
    }

    /// Also serves everything below `prefix_url` (`s3://bucket/`, `s3://bucket/prefix/`) from
    /// `store`, whose paths are those of the whole bucket. The longest prefix decides; a store
    /// that served the same prefix before is replaced.
    ///
    /// # Errors
    /// `InvalidArgument` when `prefix_url` is not a URL.
    pub fn with_store(mut self, prefix_url: &str, store: Arc<dyn ObjectStore>) -> Result<Self> {
        let prefix = Location::parse(prefix_url)?;
        let mut stores = BTreeMap::clone(&self.stores);
        let bucket = stores.entry((prefix.scheme, prefix.authority)).or_insert_with(Bucket::new);
        *bucket = bucket.with(prefix.path, store);
        self.stores = Arc::new(stores);
        Ok(self)
    }

    /// The same stores, of which only what lies at or below `uris` can be reached, wherever links
    /// lead. A storage that is confined already is confined anew.
    ///
    /// # Errors
    /// `InvalidArgument` for a malformed URI.
    pub fn confined_to<'a>(mut self, uris: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        self.scope = Some(Arc::new(Scope::try_new(uris)?));
        Ok(self)
    }

    /// Lets a confined storage also reach what lies at or below `uri`; one that is not confined
    /// reaches it already.
    ///
    /// # Errors
    /// `InvalidArgument` for a malformed URI.
    pub fn admitting(mut self, uri: &str) -> Result<Self> {
        if let Some(scope) = &self.scope {
            self.scope = Some(Arc::new(scope.admitting(uri)?));
        }
        Ok(self)
    }

    /// Also serves what `vended` has by then, before any other store. What may be reached stays
    /// what it is.
    #[must_use]
    pub fn with_vended(mut self, vended: VendedStores) -> Self {
        self.vended = Some(vended);
        self
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
    /// `PermissionDenied` for what a confined storage does not reach, `Unsupported` for what no
    /// store serves, `InvalidArgument` for a malformed URI or one that climbs above the root.
    pub fn resolve(&self, uri: &str) -> Result<Resolved> {
        let location = Location::parse(uri)?;
        if let Some(scope) = &self.scope {
            scope.check(uri, &location)?;
        }
        let store_url = location.store_url()?;
        if let Some(store) = self.vended.as_ref().and_then(|vended| vended.serving(&location)) {
            return Ok(Resolved { store, path: location.path, store_url });
        }
        let bucket = self.stores.get(&(location.scheme, location.authority));
        let Some(store) = bucket.and_then(|bucket| bucket.serving(&location.path)) else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("storage {:?}: no store is configured for it", store_url.as_str()),
            )
            .with_context("uri", uri)
            .with_context("configured", self.served().join(", ")));
        };
        Ok(Resolved { store, path: location.path, store_url })
    }

    /// The same for a location that a statement names: beyond what [`Storage::resolve`] refuses,
    /// a confined storage takes no spelling that means another place to somebody who decodes.
    ///
    /// # Errors
    /// As [`Storage::resolve`].
    pub fn resolve_named(&self, uri: &str) -> Result<Resolved> {
        if self.scope.is_some() {
            location::check_plain(uri)?;
        }
        self.resolve(uri)
    }

    /// Like [`Storage::resolve_named`], for what is about to be made: its name must mean the same to
    /// readers that decode it and to those that do not.
    pub fn resolve_new(&self, uri: &str) -> Result<Resolved> {
        location::check_plain(uri)?;
        self.resolve(uri)
    }

    /// The store of a whole bucket (`s3://bucket/`, `file:///`), as [`Resolved::store_url`] names
    /// it. What of it may be reached has been decided by [`Storage::resolve`].
    pub fn store_of(&self, store_url: &Url) -> Option<Arc<dyn ObjectStore>> {
        let location = Location::parse(store_url.as_str()).ok()?;
        let bucket = self.stores.get(&(location.scheme, location.authority))?;
        Some(bucket.serving(&location.path).unwrap_or_else(|| Arc::new(bucket.clone())))
    }

    /// URLs of what is served, for messages.
    pub fn served(&self) -> Vec<String> {
        let buckets = self.stores.iter();
        buckets
            .flat_map(|((scheme, authority), bucket)| {
                bucket.prefixes().map(move |prefix| format!("{scheme}://{authority}/{prefix}"))
            })
            .collect()
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
    fn a_prefix_of_a_bucket_serves_itself_alone() {
        let storage = Storage::local().with_store("s3://b/x/", Arc::new(InMemory::new())).unwrap();
        assert_eq!(storage.resolve("s3://b/x/y").unwrap().path.as_ref(), "x/y");
        let error = storage.resolve("s3://b/xy").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("s3://b/x"), "{error}");
    }

    #[test]
    fn a_confined_storage_reaches_what_it_is_confined_to() {
        let storage = Storage::local().with_store("s3://b/", Arc::new(InMemory::new())).unwrap();
        let confined = storage.clone().confined_to(["s3://b/w/"]).unwrap();
        confined.resolve("s3://b/w/t/f").unwrap();
        for uri in ["s3://b/f", "file:///etc/passwd", "/etc/passwd", "s3://other/w/f"] {
            let error = confined.resolve(uri).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{uri}");
        }
        // Spark escapes partition values in file names; a statement has no reason to.
        confined.resolve("s3://b/w/t/cat=a%2Fb/f").unwrap();
        for uri in
            ["s3://b/w/%2e%2e/f", "s3://b/w/a%2Fb", "s3://b/w/a\\b", "s3://b/w/a?b", "s3://b/w/#"]
        {
            let error = confined.resolve_named(uri).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{uri}");
        }
        let wider = confined.admitting("s3://b/v").unwrap();
        wider.resolve("s3://b/v/f").unwrap();
        wider.resolve("s3://b/w/f").unwrap();
    }

    #[test]
    fn credentials_in_a_uri_are_refused_and_not_repeated() {
        let error = Storage::local().resolve("s3://key:canary@b/x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
