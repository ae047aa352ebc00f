//! The stores of one bucket, by prefix: parts of it may have credentials of their own.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// Deletes of one stream that are under way at once.
const DELETES_MAX: usize = 16;

/// A bucket whose parts are reached through different stores; the longest prefix decides.
///
/// ```text
/// s3://lake/        ─▶ store of the configuration
/// s3://lake/sales/  ─▶ store with the keys that a catalog vended
/// ```
#[derive(Clone)]
pub(crate) struct Bucket {
    /// The longest prefix first.
    stores: Arc<Vec<(Path, Arc<dyn ObjectStore>)>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Stores are left out: theirs may print credentials.
        f.debug_list().entries(self.prefixes()).finish()
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({} stores)", self.stores.len())
    }
}

impl Bucket {
    /// Nothing of it is served yet.
    pub(crate) fn new() -> Self {
        Self { stores: Arc::default() }
    }

    /// Serves what is below `prefix` from `store`; what served it before is replaced.
    pub(crate) fn with(&self, prefix: Path, store: Arc<dyn ObjectStore>) -> Self {
        let mut stores: Vec<_> =
            self.stores.iter().filter(|(served, _)| *served != prefix).cloned().collect();
        stores.push((prefix, store));
        stores.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.parts_count()));
        Self { stores: Arc::new(stores) }
    }

    /// Prefixes that are served.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &Path> {
        self.stores.iter().map(|(prefix, _)| prefix)
    }

    /// The store to give to whoever wants `path`; `None` when nothing serves it. Where the whole
    /// bucket has one store, it is that one.
    pub(crate) fn serving(&self, path: &Path) -> Option<Arc<dyn ObjectStore>> {
        let store = self.find(path)?;
        Some(match self.stores.as_slice() {
            [(prefix, _)] if prefix.is_root() => Arc::clone(store),
            _ => Arc::new(self.clone()),
        })
    }

    fn find(&self, path: &Path) -> Option<&Arc<dyn ObjectStore>> {
        let found = self.stores.iter().find(|(prefix, _)| path.prefix_matches(prefix));
        found.map(|(_, store)| store)
    }

    fn route(&self, path: &Path) -> Result<&Arc<dyn ObjectStore>> {
        self.find(path).ok_or_else(|| object_store::Error::NotSupported {
            source: format!("no store is configured for {path:?}").into(),
        })
    }

    /// The one store behind both paths: no store can copy out of another.
    fn route_both(&self, from: &Path, to: &Path) -> Result<&Arc<dyn ObjectStore>> {
        let (source, target) = (self.route(from)?, self.route(to)?);
        if Arc::ptr_eq(source, target) {
            return Ok(source);
        }
        Err(object_store::Error::NotSupported {
            source: format!("{from:?} and {to:?} are in different stores").into(),
        })
    }

    fn list_by(
        &self,
        prefix: Option<&Path>,
        list: impl Fn(&Arc<dyn ObjectStore>) -> BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.route(prefix.unwrap_or(&Path::default())) {
            Ok(store) => list(store),
            Err(e) => stream::once(async { Err(e) }).boxed(),
        }
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.route(location)?.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.route(location)?.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.route(location)?.get_opts(location, options).await
    }

    // Forwarded, so that the store itself decides how ranges are read together.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.route(location)?.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let bucket = self.clone();
        let delete = move |location: Result<Path>| {
            let bucket = bucket.clone();
            async move {
                let location = location?;
                let store = bucket.route(&location)?;
                let one = stream::iter([Ok(location.clone())]).boxed();
                store.delete_stream(one).next().await.unwrap_or(Ok(location))
            }
        };
        locations.map(delete).buffered(DELETES_MAX).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_by(prefix, |store| store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_by(prefix, |store| store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let store = self.route(prefix.unwrap_or(&Path::default()))?;
        store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.route_both(from, to)?.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.route_both(from, to)?.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn the_longest_prefix_decides_and_what_none_covers_is_refused() {
        let (outer, inner) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
        let bucket = Bucket::new()
            .with(Path::from("a"), Arc::clone(&outer) as Arc<dyn ObjectStore>)
            .with(Path::from("a/b"), Arc::clone(&inner) as Arc<dyn ObjectStore>);
        for path in ["a/x", "a/bc", "a/b/x"] {
            bucket.put(&Path::from(path), path.into()).await.unwrap();
        }
        assert!(outer.head(&Path::from("a/x")).await.is_ok());
        assert!(outer.head(&Path::from("a/bc")).await.is_ok(), "a name is no prefix of another");
        assert!(inner.head(&Path::from("a/b/x")).await.is_ok());
        assert!(outer.head(&Path::from("a/b/x")).await.is_err());
        assert!(bucket.serving(&Path::from("ab/x")).is_none());
        assert!(bucket.get(&Path::from("ab/x")).await.is_err());
        bucket.delete(&Path::from("a/b/x")).await.unwrap();
        assert!(inner.head(&Path::from("a/b/x")).await.is_err());
        let across = bucket.copy(&Path::from("a/x"), &Path::from("a/b/x")).await;
        assert!(matches!(across, Err(object_store::Error::NotSupported { .. })));
    }
}
