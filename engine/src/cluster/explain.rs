//! A plan on workers as text: stages, tasks, and after a run their figures.

use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::context::SessionState;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion_distributed::{
    DistributedMetricsFormat, display_plan_ascii, rewrite_distributed_plan_with_metrics,
};

use super::exec::ClusterExec;
use super::members::Cluster;
use super::place::{Placement, place};
use crate::error::Result;

/// How long workers may take to hand in their figures.
const FIGURES_TIME: Duration = Duration::from_secs(5);

/// Where the operators of `plan` would run, and why not on workers if they would not.
pub(crate) fn explain(
    cluster: Option<&Arc<Cluster>>,
    plan: &Arc<dyn ExecutionPlan>,
    state: &SessionState,
) -> Result<String> {
    let placement = match cluster {
        Some(cluster) => place(cluster, plan, state)?,
        None => Placement::Local("there is no cluster".to_owned()),
    };
    Ok(match placement {
        Placement::Local(reason) => {
            format!("in one place: {reason}\n{}", displayable(plan.as_ref()).indent(false))
        }
        Placement::Spread(spread) => display_plan_ascii(spread.plan.as_ref(), false),
    })
}

/// The plan that `exec` has run, with the figures of every task; `None` when they do not come.
pub(crate) async fn figures(exec: &ClusterExec) -> Option<String> {
    let plan = exec.running()?;
    let format = DistributedMetricsFormat::PerTask;
    let gathered = rewrite_distributed_plan_with_metrics(plan, format);
    match tokio::time::timeout(FIGURES_TIME, gathered).await {
        Ok(Ok(plan)) => Some(display_plan_ascii(plan.as_ref(), true)),
        Ok(Err(e)) => {
            tracing::debug!(error = %e, "the figures of a plan are not there");
            None
        }
        Err(_) => None,
    }
}
