//! Changes of rows: append, overwrite by filter, dynamic overwrite.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use iceberg::io::FileIO;
use uuid::Uuid;

use super::operation::{Operation, Proposal};
use super::rebase::check_rebase;
use super::validate::validate;
use crate::change::{CommitOptions, Isolation, RowsChange};
use crate::conflict::ConflictRule;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Manifests;
use crate::metastore::TableCommit;
use crate::snapshot::partitions::PartitionSet;
use crate::snapshot::produce::{NewFile, Produced, SnapshotProducer, new_files};
use crate::snapshot::removal::Removal;
use crate::snapshot::scope::Scope;
use crate::snapshot::summary::OP_ID;
use crate::spec::{
    MAIN_BRANCH, ManifestContentType, Snapshot, SnapshotRef, TableMetadata, TableRequirement,
    TableUpdate,
};
use crate::table::Table;

/// A change of rows on its way into a table.
#[derive(Debug)]
pub(crate) struct RowsOperation {
    base: Table,
    branch: String,
    spec_ids: BTreeSet<i32>,
    rule: Option<ConflictRule>,
    /// Everything up to here was judged: the base at first, later heads after each lost race.
    validated: Option<i64>,
    producer: SnapshotProducer,
    manifests: Manifests,
    registered: Registered,
    produced: Option<Produced>,
}

/// What goes with files that somebody else wrote.
#[derive(Debug, Default)]
struct Registered {
    properties: BTreeMap<String, String>,
    /// Paths that the branch must not have yet.
    new_paths: HashSet<String>,
}

impl RowsOperation {
    /// Prepares `change`, which was planned against `base`.
    ///
    /// # Errors
    /// `InvalidArgument` for files that are not of this table.
    pub(crate) fn new(
        io: FileIO,
        manifests: Manifests,
        base: &Table,
        change: RowsChange,
        options: CommitOptions,
    ) -> Result<Self> {
        let metadata = base.metadata();
        let start = metadata.snapshot_for_ref(&options.branch);
        let registered = Registered::of(&change);
        let plan = plan(metadata, change, options.isolation, start.map(|s| s.sequence_number()))?;
        let spec_ids = plan.files.iter().map(|new| new.spec_id).collect();
        let producer = SnapshotProducer::new(
            io,
            manifests.clone(),
            metadata,
            (plan.files, plan.removal),
            options.summary,
        );
        Ok(Self {
            base: base.clone(),
            branch: options.branch,
            spec_ids,
            rule: plan.rule,
            validated: start.map(|snapshot| snapshot.snapshot_id()),
            producer,
            manifests,
            registered,
            produced: None,
        })
    }

    /// The last snapshot that was put forward.
    pub(crate) fn produced(&self) -> Option<&Produced> {
        self.produced.as_ref()
    }

    /// Every metadata file that was begun, in all attempts.
    pub(crate) fn written_files(&self) -> Vec<String> {
        self.producer.written_files()
    }

    fn check_branch(&self, head: &Table) -> Result<()> {
        if self.branch == MAIN_BRANCH || head.metadata().snapshot_for_ref(&self.branch).is_some() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::NotFound,
            format!("table \"{}\" has no branch {:?}", head.name(), self.branch),
        ))
    }
}

#[async_trait]
impl Operation for RowsOperation {
    fn op_id(&self) -> Uuid {
        self.producer.op_id()
    }

    async fn propose(&mut self, head: Option<&Table>) -> Result<Proposal> {
        let Some(head) = head else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("table \"{}\" was dropped meanwhile", self.base.name()),
            ));
        };
        check_rebase(&self.base, head, self.spec_ids.iter().copied())?;
        self.check_branch(head)?;
        let metadata = head.metadata();
        let parent = metadata.snapshot_for_ref(&self.branch);
        if let Some(rule) = &self.rule {
            validate(head, &self.manifests, self.validated, parent, rule).await?;
            self.validated = parent.map(|snapshot| snapshot.snapshot_id());
        }
        self.registered.check_new(head, &self.manifests, parent).await?;
        self.produced = self.producer.produce(metadata, parent).await?;
        let Some(produced) = &self.produced else { return Ok(Proposal::Nothing) };
        let mut updates = branch_updates(metadata, produced.snapshot.clone(), &self.branch)?;
        updates.extend(self.registered.properties_of(metadata));
        Ok(Proposal::Commit(Box::new(TableCommit {
            name: head.name().clone(),
            requirements: vec![
                TableRequirement::UuidMatch { uuid: metadata.uuid() },
                TableRequirement::RefSnapshotIdMatch {
                    r#ref: self.branch.clone(),
                    snapshot_id: parent.map(|snapshot| snapshot.snapshot_id()),
                },
                TableRequirement::CurrentSchemaIdMatch {
                    current_schema_id: metadata.current_schema_id(),
                },
            ],
            updates,
            staged: None,
        })))
    }

    fn is_applied(&self, metadata: &TableMetadata) -> bool {
        holds_snapshot(metadata, &self.producer)
    }
}

impl Registered {
    fn of(change: &RowsChange) -> Self {
        let RowsChange::Register { files, properties, is_unique } = change else {
            return Self::default();
        };
        let paths = files.iter().filter(|_| *is_unique).map(|file| file.file_path().to_owned());
        Self { properties: properties.clone(), new_paths: paths.collect() }
    }

    /// Refuses a file that `parent` has already.
    async fn check_new(
        &self,
        head: &Table,
        manifests: &Manifests,
        parent: Option<&SnapshotRef>,
    ) -> Result<()> {
        let (Some(parent), false) = (parent, self.new_paths.is_empty()) else { return Ok(()) };
        let list = manifests.load_list(parent, head.metadata().format_version()).await?;
        for manifest in list.iter().filter(|m| m.content == ManifestContentType::Data) {
            let entries = manifests.load(manifest).await?;
            let known = entries
                .iter()
                .find(|entry| entry.is_alive() && self.new_paths.contains(entry.file_path()));
            if let Some(known) = known {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!("table \"{}\" has file {:?} already", head.name(), known.file_path()),
                ));
            }
        }
        Ok(())
    }

    /// The properties that the table has not.
    fn properties_of(&self, metadata: &TableMetadata) -> Option<TableUpdate> {
        let known = metadata.properties();
        let new = self.properties.iter().filter(|(key, _)| !known.contains_key(*key));
        let updates: HashMap<_, _> = new.map(|(k, v)| (k.clone(), v.clone())).collect();
        (!updates.is_empty()).then_some(TableUpdate::SetProperties { updates })
    }
}

/// Whether the snapshot of `producer` is anywhere in the metadata, on whatever branch.
pub(crate) fn holds_snapshot(metadata: &TableMetadata, producer: &SnapshotProducer) -> bool {
    let op_id = producer.op_id().to_string();
    metadata.snapshots().any(|snapshot| {
        snapshot.snapshot_id() == producer.snapshot_id()
            && snapshot.summary().additional_properties.get(OP_ID) == Some(&op_id)
    })
}

/// The updates that put `snapshot` on top of `branch`, whose retention settings stay.
pub(crate) fn branch_updates(
    metadata: &TableMetadata,
    snapshot: Snapshot,
    branch: &str,
) -> Result<Vec<TableUpdate>> {
    let built = metadata
        .clone()
        .into_builder(None)
        .set_branch_snapshot(snapshot, branch)
        .and_then(|builder| builder.build());
    match built {
        Ok(built) => Ok(built.changes),
        Err(e) if branch != MAIN_BRANCH => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{branch:?} cannot take a snapshot; is it a tag?"),
        )
        .with_source(e)),
        Err(e) => Err(e.into()),
    }
}

struct Plan {
    files: Vec<NewFile>,
    removal: Option<Removal>,
    rule: Option<ConflictRule>,
}

fn plan(
    metadata: &TableMetadata,
    change: RowsChange,
    isolation: Isolation,
    base_sequence: Option<i64>,
) -> Result<Plan> {
    let (files, scope) = match change {
        RowsChange::Append { files } | RowsChange::Register { files, .. } => {
            (new_files(metadata, files)?, None)
        }
        RowsChange::OverwriteWhere { filter, files } => {
            (new_files(metadata, files)?, Some(Scope::Where(filter)))
        }
        RowsChange::OverwritePartitions { files } => {
            let files = new_files(metadata, files)?;
            let mut set = PartitionSet::default();
            for new in &files {
                set.insert(new.spec_id, &new.file);
            }
            (files, Some(Scope::Partitions(set)))
        }
    };
    let spares_after = match isolation {
        Isolation::Serializable => None,
        Isolation::Snapshot => Some(base_sequence.unwrap_or(0)),
    };
    let removal = scope.clone().map(|scope| Removal { scope, spares_after });
    let rule = scope.map(|scope| ConflictRule { scope, isolation });
    Ok(Plan { files, removal, rule })
}
