//! Stores that become known while the process runs: prefixes for which a catalog vends credentials.

use std::fmt;
use std::sync::Arc;

use moka::sync::Cache;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::Result;
use crate::storage::location::Location;

/// Prefixes that are kept; what is forgotten comes back when its table is loaded again.
const PREFIXES_MAX: u64 = 10_000;

/// Stores by prefix. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct VendedStores {
    stores: Cache<String, Arc<dyn ObjectStore>>,
}

impl fmt::Debug for VendedStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Stores are left out: theirs may print credentials.
        f.debug_struct("VendedStores").field("prefixes", &self.stores.entry_count()).finish()
    }
}

impl Default for VendedStores {
    fn default() -> Self {
        Self { stores: Cache::new(PREFIXES_MAX) }
    }
}

impl VendedStores {
    /// Serves everything at or below `prefix_url` from `store`, whose paths are those of the whole
    /// bucket.
    ///
    /// # Errors
    /// `InvalidArgument` when `prefix_url` is not a URL.
    pub fn put(&self, prefix_url: &str, store: Arc<dyn ObjectStore>) -> Result<()> {
        let prefix = Location::parse(prefix_url)?;
        self.stores.insert(key(&prefix, prefix.path.as_ref()), store);
        Ok(())
    }

    /// The store of the longest prefix that `location` lies at or below.
    pub(super) fn serving(&self, location: &Location) -> Option<Arc<dyn ObjectStore>> {
        let mut path = location.path.as_ref();
        loop {
            if let Some(store) = self.stores.get(&key(location, path)) {
                return Some(store);
            }
            path = match path.rsplit_once('/') {
                Some((parent, _)) => parent,
                None if path.is_empty() => return None,
                None => "",
            };
        }
    }
}

fn key(location: &Location, path: &str) -> String {
    format!("{}://{}/{}", location.scheme, location.authority, Path::from(path))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::error::ErrorKind;
    use crate::storage::Storage;

    #[test]
    fn a_vended_prefix_serves_itself_before_the_bucket_and_within_what_is_allowed() {
        let stores = VendedStores::default();
        let storage = Storage::local().with_vended(stores.clone());
        assert_eq!(storage.resolve("s3://b/w/t/f").unwrap_err().kind(), ErrorKind::Unsupported);
        let (outer, inner): (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>) =
            (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
        stores.put("s3://b/w/", Arc::clone(&outer)).unwrap();
        stores.put("s3a://b/w/t", Arc::clone(&inner)).unwrap();
        let of = |uri: &str| storage.resolve(uri).unwrap().store;
        assert!(Arc::ptr_eq(&of("s3://b/w/t/f"), &inner) && Arc::ptr_eq(&of("s3://b/w/x"), &outer));
        for other in ["s3://b/wx", "s3://c/w/t/f"] {
            assert_eq!(storage.resolve(other).unwrap_err().kind(), ErrorKind::Unsupported);
        }
        let confined = storage.confined_to(["s3://b/w/t/"]).unwrap();
        confined.resolve("s3://b/w/t/f").unwrap();
        let refused = confined.resolve("s3://b/w/x").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    }
}
