//! A mounted Iceberg catalog: a metastore, its storage, its caches and the commit loop.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::change::{CommitOptions, RowsChange};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifests, ManifestsOptions};
use crate::metastore::Metastore;
use crate::name::TableName;
use crate::plan_files::FilePlan;
use crate::predicate::Predicate;
use crate::spec::{
    DataFile, FormatVersion, PartitionSpec, Schema, SnapshotRef, SortOrder, TableMetadata,
    TableUpdate, UnboundPartitionSpec,
};
use crate::storage::Storage;
use crate::table::Table;

/// What `CREATE TABLE` does when the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    /// An error.
    Create,
    /// Replaces the table, keeping its uuid and history, in one commit.
    CreateOrReplace,
    /// Like `CreateOrReplace`, but the table must exist (`REPLACE TABLE`).
    Replace,
}

/// A table to be made.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// Its name, in the spelling to be stored.
    pub name: TableName,
    /// Columns; field ids are assigned anew, so any unique ids will do.
    pub schema: Schema,
    /// Partitioning, by the field ids of `schema`.
    pub partition_spec: UnboundPartitionSpec,
    /// Write order, by the field ids of `schema`.
    pub sort_order: SortOrder,
    /// `None`: below the warehouse, in a directory of its own.
    pub location: Option<String>,
    /// Table properties (`write.parquet.compression-codec` …).
    pub properties: HashMap<String, String>,
    /// 2 or 3.
    pub format_version: FormatVersion,
    /// What to do when the name is taken.
    pub mode: CreateMode,
}

/// A table whose files may be written before it exists.
#[derive(Clone, Debug)]
pub struct StagedTable {
    /// Metadata to write against; nobody else sees it yet.
    pub table: Table,
    /// For a replace, the table as it was.
    pub replaces: Option<Table>,
    /// The updates that made `table` (for a replace: from `replaces`).
    pub updates: Vec<TableUpdate>,
}

/// A commit that happened.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The table after it.
    pub table: Table,
    /// The snapshot it made; `None` when there was nothing to do or only metadata changed.
    pub snapshot: Option<SnapshotRef>,
    /// Rows added, by the files' counts.
    pub added_rows: u64,
    /// Rows removed, by the removed files' counts.
    pub removed_rows: u64,
}

/// A mounted catalog. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    name: Arc<str>,
    metastore: Arc<dyn Metastore>,
    storage: Storage,
    warehouse: Arc<str>,
    manifests: Manifests,
}

fn not_built<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Bug, "not built yet"))
}

impl Catalog {
    /// Mounts `metastore` under `name`; new tables go below `warehouse` (a URI).
    pub fn new(
        name: impl Into<Arc<str>>,
        metastore: Arc<dyn Metastore>,
        storage: Storage,
        warehouse: impl Into<Arc<str>>,
    ) -> Self {
        let manifests = Manifests::new(storage.clone(), ManifestsOptions::default());
        Self { name: name.into(), metastore, storage, warehouse: warehouse.into(), manifests }
    }

    /// The name it is mounted under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pointers: namespaces, listing, views.
    pub fn metastore(&self) -> &Arc<dyn Metastore> {
        &self.metastore
    }

    /// The stores its files live in.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Where new tables go.
    pub fn warehouse(&self) -> &str {
        &self.warehouse
    }

    /// The table as it is now.
    pub async fn load_table(&self, name: &TableName) -> Result<Table> {
        self.metastore.load_table(name).await
    }

    /// Files of `snapshot` that may hold rows matching `filter`. Manifests are read through the
    /// cache, in parallel, and pruned by partition summaries; files by partition and metrics.
    pub async fn plan_files(
        &self,
        table: &Table,
        snapshot: &SnapshotRef,
        filter: &Predicate,
    ) -> Result<FilePlan> {
        crate::plan_files::plan_files(&self.manifests, table.metadata(), snapshot, filter).await
    }

    /// The manifests of a snapshot, as the manifest list has them (metadata tables use this).
    pub async fn load_manifest_list(
        &self,
        table: &Table,
        snapshot: &SnapshotRef,
    ) -> Result<Arc<Vec<crate::spec::ManifestFile>>> {
        self.manifests.load_list(snapshot, table.metadata().format_version()).await
    }

    /// The live and deleted entries of one manifest, with inherited numbers filled in.
    pub async fn load_manifest(
        &self,
        _table: &Table,
        manifest: &crate::spec::ManifestFile,
    ) -> Result<Arc<Vec<crate::manifest::Entry>>> {
        self.manifests.load(manifest).await
    }

    /// Prepares a table: checks the name, assigns field ids, chooses the location.
    pub async fn stage_table(&self, _create: CreateTable) -> Result<StagedTable> {
        not_built()
    }

    /// Publishes a staged table with `files` as its first snapshot (none for an empty table).
    /// Create or replace and its rows are one commit.
    pub async fn commit_staged(
        &self,
        _staged: StagedTable,
        _files: Vec<DataFile>,
        _options: CommitOptions,
    ) -> Result<Committed> {
        not_built()
    }

    /// Commits a change of rows that was planned against `base` (its current snapshot is the
    /// start of conflict validation). Retries with backoff; reconciles unknown outcomes.
    pub async fn commit_rows(
        &self,
        _base: &Table,
        _change: RowsChange,
        _options: CommitOptions,
    ) -> Result<Committed> {
        not_built()
    }

    /// Commits a change of metadata alone. `edit` sees the current metadata and is run again
    /// after each lost race; the requirements follow from the updates that it returns.
    pub async fn commit_metadata<F>(&self, _name: &TableName, _edit: F) -> Result<Committed>
    where
        F: Fn(&TableMetadata) -> Result<Vec<TableUpdate>> + Send + Sync,
    {
        not_built()
    }

    /// Makes an earlier snapshot current again. It must be in the table; by default an ancestor.
    pub async fn rollback_to(&self, _name: &TableName, _snapshot_id: i64) -> Result<Committed> {
        not_built()
    }

    /// Drops a table. With `purge` its files are deleted too, after the drop is certain.
    /// Returns the number of files deleted.
    pub async fn drop_table(&self, _name: &TableName, _purge: bool) -> Result<u64> {
        not_built()
    }

    /// Deletes data files that a failed statement wrote and no commit can refer to.
    /// Never call it after [`ErrorKind::CommitUnknown`].
    pub async fn delete_uncommitted(&self, _files: &[DataFile]) {}

    /// `DataFile`s as JSON, the form in which writers hand them to the commit.
    pub fn data_file_to_json(
        _table: &Table,
        _spec: &PartitionSpec,
        _file: DataFile,
    ) -> Result<String> {
        not_built()
    }

    /// The inverse of [`Catalog::data_file_to_json`].
    pub fn data_file_from_json(_table: &Table, _spec_id: i32, _json: &str) -> Result<DataFile> {
        not_built()
    }

    /// Namespace properties with the defaults of this catalog.
    pub async fn create_namespace(
        &self,
        namespace: &crate::name::Namespace,
        properties: BTreeMap<String, String>,
    ) -> Result<()> {
        self.metastore.create_namespace(namespace, properties).await
    }
}
