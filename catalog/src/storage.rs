//! One registry of object stores for Iceberg metadata and for scans alike, keyed by full URI.

use std::sync::Arc;

use iceberg::io::FileIO;
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use crate::error::{Error, ErrorKind, Result};

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

/// The process's object stores. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {}

impl Storage {
    /// Local disk alone, which needs no configuration.
    pub fn local() -> Self {
        Self {}
    }

    /// The store and path behind a URI (`file:///a/b`, a bare absolute path, later `s3://…`).
    ///
    /// # Errors
    /// `Unsupported` for a scheme that no store serves, `InvalidArgument` for a malformed URI.
    pub fn resolve(&self, _uri: &str) -> Result<Resolved> {
        Err(Error::new(ErrorKind::Bug, "not built yet"))
    }

    /// The same stores as the format library's file I/O.
    pub(crate) fn file_io(&self) -> Result<FileIO> {
        Err(Error::new(ErrorKind::Bug, "not built yet"))
    }
}
