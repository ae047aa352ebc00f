//! The operator below a join that sends the join's filter to where its scans are.

use std::fmt;
use std::sync::{Arc, OnceLock};

use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use url::Url;

use super::exchange::Exchange;
use crate::error::{Error, ErrorKind};

/// Stands on the probe side of a join: the join makes a filter where it finds that somebody below it
/// uses one. Hands on batches as they are.
#[derive(Debug)]
pub(crate) struct SendJoinFilterExec {
    input: Arc<dyn ExecutionPlan>,
    /// The join's own.
    filter: Arc<dyn PhysicalExpr>,
    /// Each task of the join has the whole build side.
    is_whole: bool,
    /// Every worker of the query.
    workers: Arc<[Url]>,
    /// Ends with the task.
    sending: OnceLock<SpawnedTask<()>>,
}

impl SendJoinFilterExec {
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        filter: Arc<dyn PhysicalExpr>,
        is_whole: bool,
        workers: Arc<[Url]>,
    ) -> Self {
        Self { input, filter, is_whole, workers, sending: OnceLock::new() }
    }

    pub(crate) fn filter(&self) -> &Arc<dyn PhysicalExpr> {
        &self.filter
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(crate) fn workers(&self) -> &[Url] {
        &self.workers
    }

    fn with_input(
        &self,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return Err(Error::new(ErrorKind::Bug, "SendJoinFilterExec has one child").into());
        };
        let (filter, workers) = (Arc::clone(&self.filter), Arc::clone(&self.workers));
        Ok(Arc::new(Self::new(input, filter, self.is_whole, workers)))
    }

    /// Begins to wait for the join.
    fn begin(&self, context: &Arc<TaskContext>) {
        let Some(exchange) = Exchange::of(context) else { return };
        let Some(id) = self.filter.expression_id() else { return };
        let (filter, workers) = (Arc::clone(&self.filter), Arc::clone(&self.workers));
        let (is_whole, schema, context) = (self.is_whole, self.input.schema(), Arc::clone(context));
        self.sending.get_or_init(|| {
            SpawnedTask::spawn(async move {
                if let Some(filter) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
                    exchange.send(filter, id, is_whole, (&workers, schema), &context).await;
                }
            })
        });
    }
}

impl DisplayAs for SendJoinFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendJoinFilterExec")
    }
}

impl ExecutionPlan for SendJoinFilterExec {
    fn name(&self) -> &str {
        "SendJoinFilterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        f(&self.filter)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.begin(&context);
        self.input.execute(partition, context)
    }
}
