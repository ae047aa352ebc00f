//! The operator above a scan that waits for the filters of joins in other stages.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::future::join_all;
use futures::{TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::exchange::Exchange;
use crate::error::{Error, ErrorKind};

/// How long a scan waits. A join that builds for longer, or a part that was lost, costs the filter.
const WAIT_TIME: Duration = Duration::from_secs(60);

/// Begins to scan when the filters are there.
#[derive(Debug)]
pub(crate) struct AwaitJoinFilterExec {
    input: Arc<dyn ExecutionPlan>,
    /// Those of the joins, which the scan's predicate shares.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    /// Set when they are there, for all partitions.
    arrived: Arc<OnceCell<()>>,
    metrics: ExecutionPlanMetricsSet,
}

impl AwaitJoinFilterExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, filters: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self { input, filters, arrived: Arc::default(), metrics: ExecutionPlanMetricsSet::new() }
    }

    pub(crate) fn filters(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.filters
    }

    fn with_input(
        &self,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return Err(Error::new(ErrorKind::Bug, "AwaitJoinFilterExec has one child").into());
        };
        Ok(Arc::new(Self::new(input, self.filters.clone())))
    }
}

async fn fulfil(filters: &[Arc<dyn PhysicalExpr>], context: &TaskContext) {
    let Some(exchange) = Exchange::of(context) else { return };
    let all = filters.iter().map(async |filter| {
        let id = filter.expression_id();
        let (Some(id), Some(filter)) = (id, filter.downcast_ref::<DynamicFilterPhysicalExpr>())
        else {
            return;
        };
        if let Err(error) = exchange.fulfil(filter, id, context).await {
            tracing::warn!(%error, "a join's filter is of no use");
        }
    });
    if tokio::time::timeout(WAIT_TIME, join_all(all)).await.is_err() {
        tracing::warn!("a scan begins without the filter of a join");
    }
}

impl DisplayAs for AwaitJoinFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwaitJoinFilterExec: filters={}", self.filters.len())
    }
}

impl ExecutionPlan for AwaitJoinFilterExec {
    fn name(&self) -> &str {
        "AwaitJoinFilterExec"
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
        let mut recursion = TreeNodeRecursion::Continue;
        for filter in &self.filters {
            recursion = f(filter)?;
            if recursion == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(recursion)
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

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let waited = MetricBuilder::new(&self.metrics).subset_time("filter_wait_time", partition);
        let (input, filters, arrived) =
            (Arc::clone(&self.input), self.filters.clone(), Arc::clone(&self.arrived));
        let begin = async move {
            let timer = waited.timer();
            arrived.get_or_init(|| fulfil(&filters, &context)).await;
            timer.done();
            input.execute(partition, context)
        };
        let batches = stream::once(begin).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
