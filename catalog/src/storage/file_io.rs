//! The registry as the format library's file I/O: manifests and lists go through the same stores.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use iceberg::io::{
    FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage as IcebergStorage,
    StorageConfig, StorageFactory,
};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::storage::fault::store_error;
use crate::storage::{Resolved, Storage};

/// Storage and its own factory. The format library asks for serde; what travels is nothing, and a
/// value that came from bytes refuses every call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StorageIo {
    #[serde(skip)]
    storage: Option<Storage>,
}

impl StorageIo {
    pub(crate) fn new(storage: Storage) -> Self {
        Self { storage: Some(storage) }
    }

    fn storage(&self) -> iceberg::Result<&Storage> {
        self.storage.as_ref().ok_or_else(|| {
            wrap(Error::new(ErrorKind::Bug, "file i/o was rebuilt from bytes and has no stores"))
        })
    }
}

/// Our error inside theirs; `From<iceberg::Error>` finds it again.
fn wrap(error: Error) -> iceberg::Error {
    let kind = match error.kind() {
        ErrorKind::Corrupt | ErrorKind::InvalidArgument => iceberg::ErrorKind::DataInvalid,
        ErrorKind::Unsupported => iceberg::ErrorKind::FeatureUnsupported,
        _ => iceberg::ErrorKind::Unexpected,
    };
    iceberg::Error::new(kind, error.to_string())
        .with_retryable(error.is_retryable())
        .with_source(error)
}

#[async_trait]
#[typetag::serde(name = "fjord")]
impl IcebergStorage for StorageIo {
    async fn exists(&self, path: &str) -> iceberg::Result<bool> {
        self.storage()?.exists(path).await.map_err(wrap)
    }

    async fn metadata(&self, path: &str) -> iceberg::Result<FileMetadata> {
        Ok(FileMetadata { size: self.storage()?.size(path).await.map_err(wrap)? })
    }

    async fn read(&self, path: &str) -> iceberg::Result<Bytes> {
        let storage = self.storage()?;
        storage.read_all(path, storage.limits().file_bytes_max).await.map_err(wrap)
    }

    async fn reader(&self, path: &str) -> iceberg::Result<Box<dyn FileRead>> {
        let at = self.storage()?.resolve(path).map_err(wrap)?;
        Ok(Box::new(RangeReader { at, uri: path.to_owned() }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> iceberg::Result<()> {
        self.storage()?.put_new(path, bytes).await.map_err(wrap)
    }

    async fn writer(&self, path: &str) -> iceberg::Result<Box<dyn FileWrite>> {
        let storage = self.storage()?.clone();
        storage.resolve(path).map_err(wrap)?;
        Ok(Box::new(WholeWriter { storage, uri: path.to_owned(), bytes: Some(BytesMut::new()) }))
    }

    async fn delete(&self, path: &str) -> iceberg::Result<()> {
        self.storage()?.delete_file(path).await.map_err(wrap).map(|_was_there| ())
    }

    async fn delete_prefix(&self, path: &str) -> iceberg::Result<()> {
        // Files are deleted one by one, by whoever knows that nothing refers to them.
        Err(wrap(Error::new(
            ErrorKind::Unsupported,
            format!("directory {path:?}: not deleted whole"),
        )))
    }

    async fn delete_stream(&self, paths: BoxStream<'static, String>) -> iceberg::Result<()> {
        self.storage()?.delete_files(paths).await.map_err(wrap).map(|_count| ())
    }

    fn new_input(&self, path: &str) -> iceberg::Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> iceberg::Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

#[typetag::serde(name = "fjord")]
impl StorageFactory for StorageIo {
    fn build(&self, _config: &StorageConfig) -> iceberg::Result<Arc<dyn IcebergStorage>> {
        Ok(Arc::new(self.clone()))
    }
}

struct RangeReader {
    at: Resolved,
    uri: String,
}

#[async_trait]
impl FileRead for RangeReader {
    async fn read(&self, range: Range<u64>) -> iceberg::Result<Bytes> {
        let read = self.at.store.get_range(&self.at.path, range).await;
        read.map_err(|e| wrap(store_error("read", &self.uri, e)))
    }
}

/// Holds the file until it is closed: a conditional write is a single request.
struct WholeWriter {
    storage: Storage,
    uri: String,
    bytes: Option<BytesMut>,
}

impl WholeWriter {
    fn closed(&self) -> iceberg::Error {
        wrap(Error::new(
            ErrorKind::Bug,
            format!("file {:?}: written to after it was closed", self.uri),
        ))
    }
}

#[async_trait]
impl FileWrite for WholeWriter {
    async fn write(&mut self, chunk: Bytes) -> iceberg::Result<()> {
        let bytes_max = self.storage.limits().file_bytes_max;
        let closed = self.closed();
        let bytes = self.bytes.as_mut().ok_or(closed)?;
        if (bytes.len() + chunk.len()) as u64 > bytes_max {
            return Err(wrap(Error::new(
                ErrorKind::LimitExceeded,
                format!("file {:?} grew beyond {bytes_max} bytes", self.uri),
            )));
        }
        bytes.extend_from_slice(&chunk);
        Ok(())
    }

    async fn close(&mut self) -> iceberg::Result<()> {
        let bytes = self.bytes.take().ok_or_else(|| self.closed())?;
        self.storage.put_new(&self.uri, bytes.freeze()).await.map_err(wrap)
    }
}
