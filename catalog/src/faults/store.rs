//! An object store that fails chosen requests, before or after they take effect.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A write of a whole object, or the completion of one in parts.
    Put,
    /// A read, of the whole or of ranges, or of the object's size.
    Get,
    /// A delete.
    Delete,
    /// A listing; logged, never failed.
    List,
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEffect {
    /// Nothing happens in the store.
    Fail,
    /// It happens, and the caller is told that it failed.
    ApplyThenFail,
}

/// Which request fails, and how.
#[derive(Clone, Debug)]
pub struct StoreFault {
    /// The kind of request.
    pub operation: Operation,
    /// Only paths that contain this; empty for all.
    pub path_contains: String,
    /// That many matching requests pass first.
    pub skip: u64,
    /// That many fail then; `u64::MAX` for all.
    pub count: u64,
    /// What happens.
    pub effect: StoreEffect,
}

/// Wraps a store. Use it through `Storage::with_store("file:///", Arc::new(fault_store))`.
#[derive(Clone, Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<StoreFault>,
    log: Vec<(Operation, String)>,
}

impl FaultStore {
    /// No faults yet.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Over local disk.
    pub fn local() -> Self {
        Self::new(Arc::new(object_store::local::LocalFileSystem::new()))
    }

    /// Adds a fault; the first one that matches a request decides.
    pub fn fail(&self, fault: StoreFault) {
        self.state().faults.push(fault);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Paths of all requests of a kind so far, those that failed among them.
    pub fn requests(&self, operation: Operation) -> Vec<String> {
        let state = self.state();
        state.log.iter().filter(|(o, _)| *o == operation).map(|(_, path)| path.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_list(&self, prefix: Option<&Path>) {
        let path = prefix.map(Path::to_string).unwrap_or_default();
        self.state().log.push((Operation::List, path));
    }

    fn meet(&self, operation: Operation, path: &Path) -> Option<StoreEffect> {
        let mut state = self.state();
        state.log.push((operation, path.to_string()));
        let fault = state.faults.iter_mut().find(|f| {
            f.operation == operation && f.count > 0 && path.as_ref().contains(&f.path_contains)
        })?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.count = fault.count.saturating_sub(u64::from(fault.count != u64::MAX));
        Some(fault.effect)
    }
}

fn injected(operation: Operation, path: &Path) -> object_store::Error {
    let source = format!("injected: {operation:?} of {path}").into();
    object_store::Error::Generic { store: "FaultStore", source }
}

fn settle<T>(
    met: Option<StoreEffect>,
    operation: Operation,
    path: &Path,
    result: Result<T>,
) -> Result<T> {
    match met {
        Some(_) => result.and_then(|_| Err(injected(operation, path))),
        None => result,
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let met = self.meet(Operation::Put, location);
        if met == Some(StoreEffect::Fail) {
            return Err(injected(Operation::Put, location));
        }
        let result = self.inner.put_opts(location, payload, options).await;
        settle(met, Operation::Put, location, result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(FaultUpload { inner, store: self.clone(), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.meet(Operation::Get, location) {
            Some(_) => Err(injected(Operation::Get, location)),
            None => self.inner.get_opts(location, options).await,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.meet(Operation::Get, location) {
            Some(_) => Err(injected(Operation::Get, location)),
            None => self.inner.get_ranges(location, ranges).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .then(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    let met = store.meet(Operation::Delete, &location);
                    if met == Some(StoreEffect::Fail) {
                        return Err(injected(Operation::Delete, &location));
                    }
                    let one = futures::stream::iter([Ok(location.clone())]).boxed();
                    let result = match store.inner.delete_stream(one).next().await {
                        Some(result) => result,
                        None => Ok(location.clone()),
                    };
                    settle(met, Operation::Delete, &location, result)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note_list(prefix);
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note_list(prefix);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.note_list(prefix);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultUpload {
    inner: Box<dyn MultipartUpload>,
    store: FaultStore,
    location: Path,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let met = self.store.meet(Operation::Put, &self.location);
        if met == Some(StoreEffect::Fail) {
            return Err(injected(Operation::Put, &self.location));
        }
        let result = self.inner.complete().await;
        settle(met, Operation::Put, &self.location, result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
