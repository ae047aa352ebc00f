//! Local disk whose writes are durable when they return: a commit may then refer to them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// Directories whose own entry is known to be on disk; more than this and we forget them all.
const DURABLE_DIRECTORIES_MAX: usize = 8192;

/// `LocalFileSystem` returns from a write when the page cache has it; a power cut after the
/// commit would then leave a table that refers to empty files. This wrapper flushes file and
/// directory before it answers.
#[derive(Clone, Debug)]
pub(crate) struct DurableLocal {
    inner: Arc<LocalFileSystem>,
    durable: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl DurableLocal {
    pub(crate) fn new() -> Self {
        Self { inner: Arc::new(LocalFileSystem::new()), durable: Arc::default() }
    }

    /// Makes a file that was just written survive a power cut, with the directories above it.
    async fn flush(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        let durable = Arc::clone(&self.durable);
        let task = tokio::task::spawn_blocking(move || flush_file(&path, &durable));
        task.await?.map_err(generic)
    }

    /// Whether the directory is there; if not, what we knew about it is void.
    async fn expect_directory(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        let durable = Arc::clone(&self.durable);
        let task = tokio::task::spawn_blocking(move || {
            let Some(parent) = path.parent() else { return };
            if !parent.is_dir() {
                let mut known = durable.lock().unwrap_or_else(PoisonError::into_inner);
                known.retain(|d| d.is_dir());
            }
        });
        Ok(task.await?)
    }
}

fn generic(source: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "DurableLocal", source: source.into() }
}

fn flush_file(path: &FsPath, durable: &Mutex<BTreeSet<PathBuf>>) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    let Some(parent) = path.parent() else { return Ok(()) };
    // The entry of the new file, always.
    File::open(parent)?.sync_all()?;
    // The entries of its directories, the first time that this process writes there: another
    // process may have made them without having flushed them yet.
    for directory in parent.ancestors() {
        if durable.lock().unwrap_or_else(PoisonError::into_inner).contains(directory) {
            return Ok(());
        }
        if let Some(above) = directory.parent() {
            flush_directory(above)?;
        }
        let mut known = durable.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DURABLE_DIRECTORIES_MAX {
            known.clear();
        }
        known.insert(directory.to_path_buf());
    }
    Ok(())
}

/// A directory that we may not open is not ours, so we did not make anything in it.
fn flush_directory(path: &FsPath) -> io::Result<()> {
    match File::open(path) {
        Ok(directory) => match directory.sync_all() {
            // Some file systems (network, virtual) have no such operation.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        },
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(e) => Err(e),
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableLocal")
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.expect_directory(location).await?;
        let result = self.inner.put_opts(location, payload, options).await?;
        self.flush(location).await?;
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.expect_directory(location).await?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(DurableUpload { inner, store: self.clone(), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.expect_directory(to).await?;
        self.inner.copy_opts(from, to, options).await?;
        self.flush(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.expect_directory(to).await?;
        self.inner.rename_opts(from, to, options).await?;
        self.flush(to).await
    }
}

/// An upload that is on disk, not merely visible, when it completes.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    store: DurableLocal,
    location: Path,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        self.store.flush(&self.location).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

/// Removes `directory` and what is below it as far as it holds no file. Races are harmless: the
/// operating system refuses to remove a directory that has just got an entry.
pub(crate) fn prune_directory(directory: &FsPath) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let entry = entry?;
        // A link to a directory is somebody's decision; it stays, and so does what holds it.
        if entry.file_type()?.is_dir() {
            prune_directory(&entry.path())?;
        }
    }
    match std::fs::remove_dir(directory) {
        Err(e)
            if !matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) =>
        {
            Err(e)
        }
        _ => Ok(()),
    }
}
