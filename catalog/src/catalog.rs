//! A mounted Iceberg catalog: a metastore, its storage, its caches and the commit loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream;

use crate::change::{CommitOptions, RowsChange};
use crate::commit::CommitLimits;
use crate::commit::cherry_pick::CherryPick;
use crate::commit::cleanup::delete_superseded;
use crate::commit::metadata::MetadataOperation;
use crate::commit::operation::Operation;
use crate::commit::queue::CommitQueue;
use crate::commit::rows::RowsOperation;
use crate::commit::run::{CommitContext, Ended, run};
use crate::commit::stage::stage;
use crate::commit::staged::StagedOperation;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifests, ManifestsOptions};
use crate::metadata::MetadataReader;
use crate::metastore::{Metastore, TableCommit};
use crate::name::TableName;
use crate::plan_files::FilePlan;
use crate::predicate::Predicate;
use crate::references::ReferenceChange;
use crate::snapshot::data_file;
use crate::snapshot::produce::Produced;
use crate::spec::{DataFile, PartitionSpec, SnapshotRef, TableMetadata, TableUpdate};
use crate::statistics::{CacheStatistics, CommitCounters, CommitStatistics};
use crate::storage::Storage;
use crate::table::Table;
use crate::table_statistics::{self, DistinctSketch};

pub use crate::create::{CreateMode, CreateTable, StagedTable};

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
    reference: Option<Arc<str>>,
    metastore: Arc<dyn Metastore>,
    storage: Storage,
    warehouse: Arc<str>,
    manifests: Manifests,
    reader: MetadataReader,
    queue: Arc<CommitQueue>,
    commits: Arc<CommitCounters>,
    limits: CommitLimits,
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
        let reader = MetadataReader::new(storage.clone());
        Self {
            name: name.into(),
            reference: None,
            metastore,
            storage,
            warehouse: warehouse.into(),
            manifests,
            reader,
            queue: Arc::default(),
            commits: Arc::default(),
            limits: CommitLimits::default(),
        }
    }

    /// The same catalog with other limits for its commits.
    #[must_use]
    pub fn with_commit_limits(mut self, limits: CommitLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same catalog at another of its references, for the statements of one session; itself
    /// where it has none of its own.
    #[must_use]
    pub fn at_reference(&self, reference: &str) -> Self {
        match self.metastore.at_reference(reference) {
            Some(metastore) => {
                Self { metastore, reference: Some(Arc::from(reference)), ..self.clone() }
            }
            None => self.clone(),
        }
    }

    /// The reference that it was put at, if it was.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
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

    /// How the caches of manifests and manifest lists have served, together.
    pub fn manifest_cache(&self) -> CacheStatistics {
        self.manifests.statistics()
    }

    /// How commits have ended.
    pub fn commit_statistics(&self) -> CommitStatistics {
        self.commits.statistics()
    }

    /// The table as it is now.
    pub async fn load_table(&self, name: &TableName) -> Result<Table> {
        self.metastore.load_table(name).await
    }

    /// The table as the metadata file at `metadata_location` has it, whatever was committed since.
    ///
    /// # Errors
    /// `NotFound` when the file was cleared away.
    pub async fn load_table_at(&self, name: &TableName, metadata_location: &str) -> Result<Table> {
        let metadata = self.reader.load(metadata_location).await?;
        Ok(Table::new(name.clone(), metadata, metadata_location))
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
    pub async fn stage_table(&self, create: CreateTable) -> Result<StagedTable> {
        stage(self.metastore.as_ref(), &self.storage, &self.warehouse, create).await
    }

    /// Publishes a staged table with `files` as its first snapshot (none for an empty table).
    /// Create or replace and its rows are one commit.
    pub async fn commit_staged(
        &self,
        staged: StagedTable,
        files: Vec<DataFile>,
        options: CommitOptions,
    ) -> Result<Committed> {
        let name = staged.table.name().clone();
        let (io, manifests) = (self.storage.file_io()?, self.manifests.clone());
        let first = staged.replaces.is_none() && self.metastore.needs_first_snapshot().await?;
        let operation = StagedOperation::new(io, manifests, staged, files, options)?;
        let mut operation = operation.with_first_snapshot(first);
        let ended = self.run(&name, &mut operation).await;
        self.finish(&name, ended, operation.produced(), operation.written_files()).await
    }

    /// Commits a change of rows that was planned against `base` (its current snapshot is the
    /// start of conflict validation). Retries with backoff; reconciles unknown outcomes.
    pub async fn commit_rows(
        &self,
        base: &Table,
        change: RowsChange,
        options: CommitOptions,
    ) -> Result<Committed> {
        let (io, manifests) = (self.storage.file_io()?, self.manifests.clone());
        let mut operation = RowsOperation::new(io, manifests, base, change, options)?;
        let ended = self.run(base.name(), &mut operation).await;
        self.finish(base.name(), ended, operation.produced(), operation.written_files()).await
    }

    /// Commits a change of metadata alone. `edit` sees the current metadata and is run again
    /// after each lost race; the requirements follow from the updates that it returns.
    pub async fn commit_metadata<F>(&self, name: &TableName, edit: F) -> Result<Committed>
    where
        F: Fn(&TableMetadata) -> Result<Vec<TableUpdate>> + Send + Sync,
    {
        let mut operation = MetadataOperation::new(name.clone(), edit);
        let ended = self.run(name, &mut operation).await;
        self.finish(name, ended, None, Vec::new()).await
    }

    /// Commits changes of several tables, all or none of them. Nothing is retried: what was proposed
    /// is of a state that the caller has read.
    ///
    /// # Errors
    /// `Unsupported` where the catalog cannot, and never one table after the other instead;
    /// `Stale` when one of the tables has moved; `CommitUnknown` when the answer was lost: the
    /// files of the commits must then stay.
    pub async fn commit_together(&self, commits: Vec<TableCommit>) -> Result<()> {
        let ended = self.metastore.commit_together(commits).await.map(Some);
        self.commits.ended(&ended);
        ended.map(drop)
    }

    /// Makes an earlier snapshot current again. It must be an ancestor of the current one.
    pub async fn rollback_to(&self, name: &TableName, snapshot_id: i64) -> Result<Committed> {
        self.change_references(name, &ReferenceChange::RollbackTo(snapshot_id)).await
    }

    /// Changes branches and tags, or which snapshot is current.
    ///
    /// # Errors
    /// `Unsupported` where branches and tags are the catalog's; those of
    /// [`ReferenceChange::updates`].
    pub async fn change_references(
        &self,
        name: &TableName,
        change: &ReferenceChange,
    ) -> Result<Committed> {
        let of_table = self.metastore.has_table_references();
        let moves_main = matches!(
            change,
            ReferenceChange::RollbackTo(_)
                | ReferenceChange::RollbackToTime(_)
                | ReferenceChange::SetCurrent(_)
        );
        if !of_table && !moves_main {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "table \"{name}\": catalog \"{}\" has branches and tags of its own, and a \
                     table there has none",
                    self.name
                ),
            ));
        }
        self.commit_metadata(name, |metadata| {
            change.updates(metadata).map_err(|e| e.with_context("table", name.to_string()))
        })
        .await
    }

    /// Publishes on `main` what a snapshot added that `main` does not have: by moving `main` there
    /// when it was made on top of what is current, else by adding its files in a snapshot of its
    /// own.
    ///
    /// # Errors
    /// `InvalidArgument` when `main` has it already, `Unsupported` for one that did more than add
    /// rows.
    pub async fn cherry_pick(&self, name: &TableName, snapshot_id: i64) -> Result<Committed> {
        let base = self.metastore.load_table(name).await?;
        let io = self.storage.file_io()?;
        let mut operation = CherryPick::new(io, self.manifests.clone(), &base, snapshot_id).await?;
        let ended = self.run(base.name(), &mut operation).await;
        self.finish(base.name(), ended, operation.produced(), operation.written_files()).await
    }

    /// Keeps the sketches of a snapshot's columns with the table, in place of any there were.
    pub async fn put_statistics(
        &self,
        table: &Table,
        snapshot: &SnapshotRef,
        sketches: &[DistinctSketch],
    ) -> Result<Committed> {
        let (name, id) = (table.name(), snapshot.snapshot_id());
        let io = self.storage.file_io()?;
        let statistics = table_statistics::write(&io, table.metadata(), snapshot, sketches).await?;
        let path = statistics.statistics_path.clone();
        let uuid = table.metadata().uuid();
        let committed = self
            .commit_metadata(name, |metadata| {
                if metadata.uuid() != uuid || metadata.snapshot_by_id(id).is_none() {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!(
                            "table \"{name}\": the analyzed snapshot {id} is gone; run it again"
                        ),
                    ));
                }
                Ok(vec![TableUpdate::SetStatistics { statistics: statistics.clone() }])
            })
            .await;
        // Only a refusal of ours proves that nothing refers to the file.
        if matches!(&committed, Err(e) if e.kind() == ErrorKind::Conflict) {
            delete_superseded(&self.storage, vec![path], &[]).await;
        }
        committed
    }

    /// Makes a table of metadata that somebody else wrote.
    pub async fn register_table(&self, name: &TableName, metadata_location: &str) -> Result<Table> {
        self.metastore.register_table(name, metadata_location).await
    }

    /// Drops a table. With `purge` its files are deleted too, after the drop is certain.
    /// Returns the number of files deleted.
    ///
    /// A table whose metadata is lost or damaged can be dropped, not purged: nothing says which
    /// files are its own.
    pub async fn drop_table(&self, name: &TableName, purge: bool) -> Result<u64> {
        if purge {
            let table = self.metastore.load_table(name).await;
            crate::purge::check_purgeable(&table.map_err(|e| unpurgeable(name, e))?)?;
        }
        let dropped = self.metastore.drop_table(name).await?;
        match dropped {
            Some(table) if purge => {
                crate::purge::purge(&self.storage, &self.manifests, &table).await
            }
            _ => Ok(0),
        }
    }

    /// Deletes data files that a failed statement wrote and no commit can refer to.
    /// Never call it after [`ErrorKind::CommitUnknown`].
    pub async fn delete_uncommitted(&self, files: &[DataFile]) {
        let paths: Vec<String> = files.iter().map(|file| file.file_path().to_owned()).collect();
        if let Err(e) = self.storage.delete_files(stream::iter(paths)).await {
            tracing::warn!(error = %e, "a data file of a failed statement was left behind");
        }
    }

    /// `DataFile`s as JSON, the form in which writers hand them to the commit.
    pub fn data_file_to_json(
        table: &Table,
        spec: &PartitionSpec,
        file: DataFile,
    ) -> Result<String> {
        data_file::to_json(table.metadata(), spec, file)
    }

    /// The inverse of [`Catalog::data_file_to_json`].
    pub fn data_file_from_json(table: &Table, spec_id: i32, json: &str) -> Result<DataFile> {
        data_file::from_json(table.metadata(), spec_id, json)
    }

    /// Namespace properties with the defaults of this catalog.
    pub async fn create_namespace(
        &self,
        namespace: &crate::name::Namespace,
        properties: BTreeMap<String, String>,
    ) -> Result<()> {
        self.metastore.create_namespace(namespace, properties).await
    }

    async fn run(&self, name: &TableName, operation: &mut dyn Operation) -> Ended {
        let context = CommitContext {
            metastore: self.metastore.as_ref(),
            reader: &self.reader,
            queue: &self.queue,
            limits: self.limits,
        };
        let ended = run(context, name, operation).await;
        self.commits.ended(&ended.result);
        ended
    }

    /// Cleans up after an operation whose end is certain, and says what it did.
    async fn finish(
        &self,
        name: &TableName,
        ended: Ended,
        produced: Option<&Produced>,
        written: Vec<String>,
    ) -> Result<Committed> {
        let produced = match &ended.result {
            Ok(Some(_)) => produced,
            Ok(None) | Err(_) => None,
        };
        let unknown = matches!(&ended.result, Err(e) if e.kind() == ErrorKind::CommitUnknown);
        if !ended.was_unknown && !unknown {
            let used = produced.map_or(&[][..], |produced| &produced.uses);
            delete_superseded(&self.storage, written, used).await;
        }
        let table = match ended.result? {
            Some(table) => table,
            None => self.metastore.load_table(name).await?,
        };
        let snapshot = produced.map(|produced| {
            let id = produced.snapshot.snapshot_id();
            let stored = table.metadata().snapshot_by_id(id).cloned();
            stored.unwrap_or_else(|| Arc::new(produced.snapshot.clone()))
        });
        Ok(Committed {
            table,
            snapshot,
            added_rows: produced.map_or(0, |produced| produced.tally.added_rows()),
            removed_rows: produced.map_or(0, |produced| produced.tally.removed_rows()),
        })
    }
}

fn unpurgeable(name: &TableName, error: Error) -> Error {
    if error.kind() != ErrorKind::Corrupt {
        return error;
    }
    let message = format!(
        "table \"{name}\" cannot be purged, for nothing says which files are its own: {}; drop it without PURGE",
        error.message()
    );
    Error::new(ErrorKind::Corrupt, message).with_source(error)
}
