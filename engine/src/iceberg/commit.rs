//! The commit operator: gathers the data files of a write and commits them once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema as ArrowSchema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions,
};
use fjord_catalog::catalog::{Catalog, Committed, StagedTable};
use fjord_catalog::change::{CommitOptions, RowsChange};
use fjord_catalog::predicate::Predicate;
use fjord_catalog::spec::DataFile;
use fjord_catalog::storage::Resolved;
use futures::{StreamExt, TryStreamExt};

use super::write::{IcebergWriteExec, Ledger, WriteTarget, clean_up, delete_files, output_schema};
use crate::error::{Error, ErrorKind, Result};

/// What the commit does with the files.
#[derive(Clone, Debug)]
pub enum CommitAction {
    /// INSERT INTO.
    Append,
    /// INSERT OVERWRITE of whatever partitions the rows fall in.
    OverwritePartitions,
    /// INSERT OVERWRITE … PARTITION (static), or of the whole table.
    OverwriteWhere(Predicate),
    /// CREATE [OR REPLACE] TABLE AS.
    Create(Box<StagedTable>),
}

impl CommitAction {
    fn name(&self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::OverwritePartitions => "overwrite_partitions",
            Self::OverwriteWhere(_) => "overwrite_where",
            Self::Create(_) => "create",
        }
    }
}

/// What became of the commit, readable after and beside the stream: an error that the stream
/// reports after the commit happened must not be taken for a failed commit.
#[derive(Clone, Debug, Default)]
pub struct CommitOutcome {
    committed: Arc<std::sync::OnceLock<Committed>>,
}

impl CommitOutcome {
    /// The commit, once it has happened.
    pub fn committed(&self) -> Option<&Committed> {
        self.committed.get()
    }
}

/// Plans the commit above `write` (from [`super::write::plan_write`]): one partition, one row
/// `(count: UInt64)` with the number of rows written.
///
/// # Errors
/// `Bug` when `write` does not yield the rows of a write.
pub fn plan_commit(
    write: Arc<dyn ExecutionPlan>,
    target: &WriteTarget,
    action: CommitAction,
    options: CommitOptions,
    outcome: CommitOutcome,
) -> Result<Arc<dyn ExecutionPlan>> {
    if write.schema() != output_schema() {
        return Err(Error::new(ErrorKind::Bug, "the input of a commit is not a write"));
    }
    let ledger = find_ledger(&write);
    let input: Arc<dyn ExecutionPlan> = if write.output_partitioning().partition_count() == 1 {
        write
    } else {
        Arc::new(CoalescePartitionsExec::new(write))
    };
    let commit = Commit { target: target.clone(), action, options, outcome, ledger };
    Ok(Arc::new(IcebergCommitExec::new(input, Arc::new(commit), Arc::default())))
}

/// The write may lie below exchanges; on another process there is none to find.
fn find_ledger(plan: &Arc<dyn ExecutionPlan>) -> Option<Ledger> {
    match plan.downcast_ref::<IcebergWriteExec>() {
        Some(write) => Some(write.ledger().clone()),
        None => plan.children().into_iter().find_map(find_ledger),
    }
}

/// The write below a commit, and the ledger and table that it is for; `None` for any other plan.
pub(crate) fn write_of(plan: &Arc<dyn ExecutionPlan>) -> Option<UncommittedWrite> {
    let exec = plan.downcast_ref::<IcebergCommitExec>()?;
    Some(UncommittedWrite {
        input: Arc::clone(&exec.input),
        target: exec.commit.target.clone(),
        ledger: exec.commit.ledger.clone(),
    })
}

/// What a commit will be made of.
#[derive(Clone, Debug)]
pub(crate) struct UncommittedWrite {
    pub(crate) input: Arc<dyn ExecutionPlan>,
    pub(crate) target: WriteTarget,
    pub(crate) ledger: Option<Ledger>,
}

impl UncommittedWrite {
    /// Where the files are that `batch` names.
    ///
    /// # Errors
    /// For rows that are not a write's, and files that the catalog may not reach.
    pub(crate) fn files(&self, batch: &RecordBatch) -> Result<Vec<Resolved>> {
        let files = files_of(&self.target, batch)?;
        files
            .iter()
            .map(|file| Ok(self.target.catalog.storage().resolve(file.file_path())?))
            .collect()
    }
}

#[derive(Debug)]
struct Commit {
    target: WriteTarget,
    action: CommitAction,
    options: CommitOptions,
    outcome: CommitOutcome,
    ledger: Option<Ledger>,
}

/// Commits the files of its input, once all of them are closed.
#[derive(Debug)]
struct IcebergCommitExec {
    input: Arc<dyn ExecutionPlan>,
    commit: Arc<Commit>,
    /// Shared by copies of this node: a statement commits once however often its plan is copied.
    started: Arc<AtomicBool>,
    properties: Arc<PlanProperties>,
}

fn count_schema() -> SchemaRef {
    Arc::new(ArrowSchema::new(vec![Field::new("count", DataType::UInt64, false)]))
}

impl IcebergCommitExec {
    fn new(input: Arc<dyn ExecutionPlan>, commit: Arc<Commit>, started: Arc<AtomicBool>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(count_schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        Self { input, commit, started, properties }
    }

    fn with_input(
        &self,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return Err(Error::new(ErrorKind::Bug, "IcebergCommitExec has one child").into());
        };
        Ok(Arc::new(Self::new(input, Arc::clone(&self.commit), Arc::clone(&self.started))))
    }
}

impl DisplayAs for IcebergCommitExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (table, action) = (self.commit.target.table.name(), self.commit.action.name());
        write!(f, "IcebergCommitExec: table={table}, action={action}")
    }
}

impl ExecutionPlan for IcebergCommitExec {
    fn name(&self) -> &str {
        "IcebergCommitExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(Error::new(ErrorKind::Bug, "IcebergCommitExec has one partition").into());
        }
        if self.started.swap(true, Ordering::SeqCst) {
            let problem = "a plan that commits may run only once; plan the statement again";
            return Err(Error::new(ErrorKind::Bug, problem).into());
        }
        let input = self.input.execute(0, context)?;
        let run = run(Arc::clone(&self.commit), input);
        let stream = futures::stream::once(Box::pin(run)).map_err(DataFusionError::from);
        Ok(Box::pin(RecordBatchStreamAdapter::new(count_schema(), stream)))
    }
}

/// Deletes the statement's files unless told that the commit answers for them.
struct Uncommitted {
    ledger: Option<Ledger>,
}

impl Drop for Uncommitted {
    fn drop(&mut self) {
        if let Some(ledger) = self.ledger.take() {
            let files = ledger.discard();
            if !files.is_empty() {
                clean_up(delete_files(files));
            }
        }
    }
}

async fn run(commit: Arc<Commit>, input: SendableRecordBatchStream) -> Result<RecordBatch> {
    let guard = Uncommitted { ledger: commit.ledger.clone() };
    let files = gather(&commit.target, input).await?;
    let rows = files.iter().map(DataFile::record_count).sum::<u64>();
    fjord_catalog::failpoint::hit("K2").await;

    // From the moment the commit may be under way, a dropped stream or an error no longer means
    // that nothing refers to the files. The one exception is a refusal, below.
    let mut guard = guard;
    if let Some(ledger) = guard.ledger.take() {
        ledger.release();
    }
    match Box::pin(publish(&commit, files.clone())).await {
        Ok(committed) => {
            // Only the first run gets here; see `started`.
            let _first = commit.outcome.committed.set(committed);
        }
        Err(e) => {
            if is_refusal(e.kind()) {
                commit.target.catalog.delete_uncommitted(&files).await;
            }
            return Err(e.into());
        }
    }
    RecordBatch::try_new(count_schema(), vec![Arc::new(UInt64Array::from(vec![rows]))])
        .map_err(|e| Error::new(ErrorKind::Bug, "a count does not fit its column").with_source(e))
}

/// Whether the error proves that the catalog did not take the commit. Anything else may have been
/// applied: its files stay, and orphan clean-up decides later.
fn is_refusal(kind: fjord_catalog::ErrorKind) -> bool {
    use fjord_catalog::ErrorKind as K;
    matches!(
        kind,
        K::Conflict
            | K::Stale
            | K::NotFound
            | K::AlreadyExists
            | K::InvalidArgument
            | K::Unsupported
            | K::PermissionDenied
            | K::LimitExceeded
    )
}

async fn gather(
    target: &WriteTarget,
    mut input: SendableRecordBatchStream,
) -> Result<Vec<DataFile>> {
    let mut files = Vec::new();
    while let Some(batch) = input.next().await {
        files.extend(files_of(target, &batch?)?);
    }
    Ok(files)
}

fn files_of(target: &WriteTarget, batch: &RecordBatch) -> Result<Vec<DataFile>> {
    let (json, spec_ids) = (batch.column(0).as_string::<i32>(), batch.column(1));
    let spec_ids = spec_ids.as_primitive::<Int32Type>();
    (0..json.len())
        .map(|row| {
            let (spec_id, json) = (spec_ids.value(row), json.value(row));
            Ok(Catalog::data_file_from_json(&target.table, spec_id, json)?)
        })
        .collect()
}

async fn publish(commit: &Commit, files: Vec<DataFile>) -> Result<Committed, fjord_catalog::Error> {
    let Commit { target: WriteTarget { catalog, table }, action, options, .. } = commit;
    let change = match action {
        CommitAction::Append | CommitAction::OverwritePartitions if files.is_empty() => {
            // No rows touch no partition: there is nothing to publish.
            return Ok(Committed {
                table: table.clone(),
                snapshot: None,
                added_rows: 0,
                removed_rows: 0,
            });
        }
        CommitAction::Append => RowsChange::Append { files },
        CommitAction::OverwritePartitions => RowsChange::OverwritePartitions { files },
        CommitAction::OverwriteWhere(filter) => {
            RowsChange::OverwriteWhere { filter: filter.clone(), files }
        }
        CommitAction::Create(staged) => {
            return catalog.commit_staged(StagedTable::clone(staged), files, options.clone()).await;
        }
    };
    catalog.commit_rows(table, change, options.clone()).await
}
