//! A table as it was when it was loaded: a value, never a handle that changes underneath.

use std::sync::Arc;

use crate::name::TableName;
use crate::spec::{SnapshotRef, TableMetadata, TableMetadataRef};

/// One version of a table. Cheap to clone; a commit returns a new one.
#[derive(Clone, Debug)]
pub struct Table {
    name: TableName,
    metadata: TableMetadataRef,
    metadata_location: Option<Arc<str>>,
}

impl Table {
    /// A table read from, or just written to, `metadata_location`.
    pub fn new(
        name: TableName,
        metadata: impl Into<Arc<TableMetadata>>,
        metadata_location: impl Into<Arc<str>>,
    ) -> Self {
        Self { name, metadata: metadata.into(), metadata_location: Some(metadata_location.into()) }
    }

    /// A table that no catalog knows yet: the target of a staged create.
    pub fn staged(name: TableName, metadata: impl Into<Arc<TableMetadata>>) -> Self {
        Self { name, metadata: metadata.into(), metadata_location: None }
    }

    /// Its name within the catalog, in stored spelling.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The whole metadata.
    pub fn metadata(&self) -> &TableMetadataRef {
        &self.metadata
    }

    /// Where the metadata was read from; `None` while staged.
    pub fn metadata_location(&self) -> Option<&str> {
        self.metadata_location.as_deref()
    }

    /// The snapshot `main` points to; `None` for a table never written.
    pub fn current_snapshot(&self) -> Option<&SnapshotRef> {
        self.metadata.current_snapshot()
    }
}
