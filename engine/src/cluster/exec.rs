//! The operator that stands for a plan on workers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::error::Result;
use datafusion::execution::context::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use uuid::Uuid;

use super::attempt;
use super::members::Cluster;
use super::place::Spread;
use crate::error::{Error, ErrorKind};
use crate::iceberg::commit::UncommittedWrite;
use crate::iceberg::wire::scan_of;
use crate::queries::handle::Switch;

/// What every attempt needs.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) cluster: Arc<Cluster>,
    /// The plan without stages.
    pub(super) local: Arc<dyn ExecutionPlan>,
    pub(super) state: Arc<SessionState>,
    /// For a write: what its rows mean.
    pub(super) write: Option<UncommittedWrite>,
    pub(super) switch: Option<Switch>,
    pub(super) query_id: Option<Uuid>,
    /// The plan of the last attempt.
    pub(super) running: Mutex<Option<Arc<dyn ExecutionPlan>>>,
}

/// Runs a plan on workers, again without the lost ones where that is possible, and here at last.
#[derive(Debug)]
pub(crate) struct ClusterExec {
    work: Arc<Work>,
    first: Mutex<Option<Box<Spread>>>,
    workers: usize,
    stages: usize,
    properties: Arc<PlanProperties>,
}

impl ClusterExec {
    /// For `local`, which was placed as `spread`.
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        local: Arc<dyn ExecutionPlan>,
        spread: Box<Spread>,
        state: Arc<SessionState>,
        write: Option<UncommittedWrite>,
        (switch, query_id): (Option<Switch>, Option<Uuid>),
    ) -> Self {
        let of_local = local.properties();
        let properties = Arc::new(PlanProperties::new(
            spread.plan.properties().eq_properties.clone(),
            Partitioning::UnknownPartitioning(1),
            of_local.emission_type,
            of_local.boundedness,
        ));
        let (workers, stages) = (spread.workers.len(), spread.stages);
        let running = Mutex::new(Some(Arc::clone(&spread.plan)));
        let work = Work { cluster, local, state, write, switch, query_id, running };
        Self { work: Arc::new(work), first: Mutex::new(Some(spread)), workers, stages, properties }
    }

    /// The plan of the last attempt, whose figures are those of the stages.
    pub(crate) fn running(&self) -> Option<Arc<dyn ExecutionPlan>> {
        self.work.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl DisplayAs for ClusterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterExec: workers={}, stages={}", self.workers, self.stages)
    }
}

impl ExecutionPlan for ClusterExec {
    fn name(&self) -> &str {
        "ClusterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(first) = first else {
            let problem = "a plan on workers may run only once; plan the statement again";
            return Err(Error::new(ErrorKind::Bug, problem).into());
        };
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.schema(), 2);
        let rows = stream.tx();
        stream.spawn(attempt::run(Arc::clone(&self.work), Some(first), context, rows));
        Ok(stream.build())
    }
}

/// Stages of a result's plan that run on workers.
pub fn remote_stages(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let here = plan.downcast_ref::<ClusterExec>().map_or(0, |exec| exec.stages);
    here + plan.children().into_iter().map(remote_stages).sum::<usize>()
}

/// Files of stored tables that a result's plan reads, in one place or many; a file that is read in
/// parts counts once.
pub fn stored_files(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let mut files = std::collections::BTreeSet::new();
    let walked = plan.apply(|node| {
        if let Some(exec) = node.downcast_ref::<ClusterExec>() {
            exec.work.local.apply(|node| {
                note_files(node, &mut files);
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        note_files(node, &mut files);
        Ok(TreeNodeRecursion::Continue)
    });
    // Nothing in it fails.
    drop(walked);
    files.len()
}

fn note_files(node: &Arc<dyn ExecutionPlan>, files: &mut std::collections::BTreeSet<String>) {
    if let Some((config, _)) = scan_of(node.as_ref()) {
        let all = config.file_groups.iter().flat_map(FileGroup::files);
        files.extend(all.map(|file| file.object_meta.location.to_string()));
    }
}
