//! Where a snapshot's own files go, and which of them were written.

use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{FormatVersion, PartitionSpec, SchemaRef, StructType, TableMetadata};

/// Names for the metadata files of one operation, over all its attempts. Every name is remembered
/// *before* the file is written, so that clean-up finds halves too.
#[derive(Debug)]
pub(crate) struct MetadataFiles {
    op_id: Uuid,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    manifests: u32,
    lists: u32,
    written: Vec<String>,
}

impl MetadataFiles {
    /// Names that carry the operation's id.
    pub(crate) fn new(op_id: Uuid) -> Self {
        Self { op_id, names: Mutex::new(Names::default()) }
    }

    /// The next manifest's URI.
    pub(crate) fn next_manifest(&self, metadata: &TableMetadata) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let uri = format!("{}/{}-m{}.avro", directory(metadata), self.op_id, names.manifests);
        names.manifests += 1;
        names.written.push(uri.clone());
        uri
    }

    /// The next manifest list's URI.
    pub(crate) fn next_list(&self, metadata: &TableMetadata, snapshot_id: i64) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let uri = format!(
            "{}/snap-{snapshot_id}-{}-{}.avro",
            directory(metadata),
            names.lists,
            self.op_id
        );
        names.lists += 1;
        names.written.push(uri.clone());
        uri
    }

    /// The directory that names are given in, for a table as `metadata` has it.
    pub(crate) fn directory_of(&self, metadata: &TableMetadata) -> String {
        directory(metadata)
    }

    /// Every name given out so far.
    pub(crate) fn written(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).written.clone()
    }
}

/// `write.metadata.path`, or `metadata` below the table's location.
pub(crate) fn directory(metadata: &TableMetadata) -> String {
    match metadata.properties().get("write.metadata.path") {
        Some(path) if !path.is_empty() => path.trim_end_matches('/').to_owned(),
        _ => format!("{}/metadata", metadata.location()),
    }
}

/// A schema that `spec` binds to, the current one if it does, and the partition type under it.
///
/// The source column of an old spec may have been dropped since; its manifests are then written with
/// the newest schema that still has it.
pub(crate) fn bind(
    metadata: &TableMetadata,
    spec: &PartitionSpec,
) -> Result<(SchemaRef, StructType)> {
    let current = metadata.current_schema();
    if let Ok(ty) = spec.partition_type(current) {
        return Ok((SchemaRef::clone(current), ty));
    }
    let mut older: Vec<&SchemaRef> = metadata.schemas_iter().collect();
    older.sort_by_key(|schema| std::cmp::Reverse(schema.schema_id()));
    for schema in older {
        if let Ok(ty) = spec.partition_type(schema) {
            return Ok((SchemaRef::clone(schema), ty));
        }
    }
    Err(Error::new(
        ErrorKind::Corrupt,
        format!(
            "no schema of the table has the source columns of partition spec {}",
            spec.spec_id()
        ),
    ))
}

/// The table's partition spec, or an error that says who refers to it.
pub(crate) fn spec_by_id(metadata: &TableMetadata, id: i32) -> Result<&PartitionSpec> {
    metadata.partition_spec_by_id(id).map(AsRef::as_ref).ok_or_else(|| {
        Error::new(
            ErrorKind::Corrupt,
            format!("a manifest refers to partition spec {id}, which the table does not have"),
        )
    })
}

/// Refuses tables of format 1: their snapshots have no sequence numbers to order commits by.
pub(crate) fn check_format(version: FormatVersion) -> Result<()> {
    match version {
        FormatVersion::V1 => Err(Error::new(
            ErrorKind::Unsupported,
            "tables of format version 1 are read only: set the table property 'format-version' to 2 first",
        )),
        FormatVersion::V2 | FormatVersion::V3 => Ok(()),
    }
}
