//! Publishing a staged table, with its first rows in the same commit.

use async_trait::async_trait;
use iceberg::io::FileIO;
use uuid::Uuid;

use super::operation::{Operation, Proposal};
use super::rebase::{check_same_table, conflict};
use super::requirements::{reference, requirements};
use super::rows::{branch_updates, holds_snapshot};
use crate::change::{CommitOptions, Isolation};
use crate::create::StagedTable;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Manifests;
use crate::metastore::TableCommit;
use crate::snapshot::produce::{Produced, SnapshotProducer, new_files};
use crate::spec::{DataFile, MAIN_BRANCH, TableMetadata, TableRequirement, TableUpdate};
use crate::table::Table;

/// A create or replace on its way into the catalog.
#[derive(Debug)]
pub(crate) struct StagedOperation {
    staged: StagedTable,
    isolation: Isolation,
    producer: SnapshotProducer,
    produced: Option<Produced>,
    /// The metadata that the last attempt asked for; tells a replace without rows.
    wanted: Option<TableMetadata>,
}

impl StagedOperation {
    /// Prepares the commit of `staged` with `files` as its first snapshot.
    pub(crate) fn new(
        io: FileIO,
        manifests: Manifests,
        staged: StagedTable,
        files: Vec<DataFile>,
        options: CommitOptions,
    ) -> Result<Self> {
        if options.branch != MAIN_BRANCH {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("a new table has only the branch \"main\", not {:?}", options.branch),
            ));
        }
        let metadata = staged.table.metadata();
        let files = new_files(metadata, files)?;
        let change = (files, None);
        let producer = SnapshotProducer::new(io, manifests, metadata, change, options.summary);
        Ok(Self { staged, isolation: options.isolation, producer, produced: None, wanted: None })
    }

    /// A new table begins with a snapshot, if an empty one.
    #[must_use]
    pub(crate) fn with_first_snapshot(mut self, is_needed: bool) -> Self {
        let is_needed = is_needed && self.staged.replaces.is_none();
        self.producer = self.producer.wanted_empty(is_needed);
        self
    }

    /// The last snapshot that was put forward; `None` for a table without rows.
    pub(crate) fn produced(&self) -> Option<&Produced> {
        self.produced.as_ref()
    }

    /// Every metadata file that was begun, in all attempts.
    pub(crate) fn written_files(&self) -> Vec<String> {
        self.producer.written_files()
    }

    async fn propose_create(&mut self) -> Result<TableCommit> {
        let staged = &self.staged.table;
        let mut updates = self.staged.updates.clone();
        let metadata =
            self.with_rows(TableMetadata::clone(staged.metadata()), &mut updates).await?;
        Ok(TableCommit {
            name: self.staged.table.name().clone(),
            requirements: vec![TableRequirement::NotExist],
            updates,
            staged: Some(Table::staged(self.staged.table.name().clone(), metadata)),
        })
    }

    async fn propose_replace(&mut self, base: &Table, head: &Table) -> Result<TableCommit> {
        check_same_table(base, head)?;
        self.check_unchanged(base, head)?;
        let current = head.metadata();
        let mut wanted = requirements(current, &self.staged.updates);
        let main = reference(current, MAIN_BRANCH);
        if !wanted.contains(&main) {
            wanted.push(main);
        }
        let mut updates = self.staged.updates.clone();
        let replaced = apply(TableMetadata::clone(current), updates.clone())?;
        let metadata = self.with_rows(replaced, &mut updates).await?;
        self.wanted = Some(metadata);
        Ok(TableCommit { name: head.name().clone(), requirements: wanted, updates, staged: None })
    }

    /// What the replacement was derived from must still be there: ids were given out from it, and a
    /// query may have read its rows.
    fn check_unchanged(&self, base: &Table, head: &Table) -> Result<()> {
        let then = requirements(base.metadata(), &self.staged.updates);
        let holds = then.iter().all(|requirement| {
            let rows = matches!(requirement, TableRequirement::RefSnapshotIdMatch { .. });
            (rows && self.isolation == Isolation::Snapshot)
                || requirement.check(Some(head.metadata())).is_ok()
        });
        if holds {
            return Ok(());
        }
        Err(conflict(base.name(), "it changed while its replacement was being made"))
    }

    /// Adds the first snapshot, if there are rows, to `metadata` and to `updates`.
    async fn with_rows(
        &mut self,
        metadata: TableMetadata,
        updates: &mut Vec<TableUpdate>,
    ) -> Result<TableMetadata> {
        self.produced = self.producer.produce(&metadata, None).await?;
        let Some(produced) = &self.produced else { return Ok(metadata) };
        let rows = branch_updates(&metadata, produced.snapshot.clone(), MAIN_BRANCH)?;
        updates.extend(rows.clone());
        apply(metadata, rows)
    }
}

#[async_trait]
impl Operation for StagedOperation {
    fn op_id(&self) -> Uuid {
        self.producer.op_id()
    }

    async fn propose(&mut self, head: Option<&Table>) -> Result<Proposal> {
        let name = self.staged.table.name().clone();
        let commit = match (self.staged.replaces.clone(), head) {
            (None, None) => self.propose_create().await?,
            (None, Some(_)) => {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!("table \"{name}\" was created by somebody else meanwhile"),
                ));
            }
            (Some(_), None) => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("table \"{name}\" was dropped while its replacement was being made"),
                ));
            }
            (Some(base), Some(head)) => self.propose_replace(&base, head).await?,
        };
        Ok(Proposal::Commit(Box::new(commit)))
    }

    fn is_applied(&self, metadata: &TableMetadata) -> bool {
        if self.staged.replaces.is_none() {
            return metadata.uuid() == self.staged.table.metadata().uuid();
        }
        if self.produced.is_some() {
            return holds_snapshot(metadata, &self.producer);
        }
        self.wanted.as_ref().is_some_and(|wanted| same_state(wanted, metadata))
    }
}

/// `metadata` after `updates`.
pub(crate) fn apply(metadata: TableMetadata, updates: Vec<TableUpdate>) -> Result<TableMetadata> {
    let mut builder = metadata.into_builder(None);
    for update in updates {
        builder = update.apply(builder)?;
    }
    Ok(builder.build()?.metadata)
}

/// Whether two versions of a table are the same but for times and the log of files.
pub(crate) fn same_state(one: &TableMetadata, other: &TableMetadata) -> bool {
    let state = |metadata: &TableMetadata| {
        let mut json = serde_json::to_value(metadata).ok()?;
        let object = json.as_object_mut()?;
        for key in ["last-updated-ms", "metadata-log", "snapshot-log"] {
            object.remove(key);
        }
        Some(json)
    };
    matches!((state(one), state(other)), (Some(a), Some(b)) if a == b)
}
