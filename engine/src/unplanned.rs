//! The fail-closed guard: statements that change something never reach DataFusion's own operators.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::AnalyzerRule;

use crate::error::{Error, ErrorKind};

/// Refuses every plan that DataFusion would execute as a change.
///
/// Our DML is planned from the syntax tree; DataFusion's loses predicates (`DELETE … WHERE x IN
/// (SELECT …)` arrives at the provider without a filter and means every row).
#[derive(Debug)]
pub(crate) struct RefuseUnplannedWrites;

impl AnalyzerRule for RefuseUnplannedWrites {
    fn analyze(
        &self,
        plan: LogicalPlan,
        _config: &ConfigOptions,
    ) -> datafusion::error::Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| match node {
            LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::Statement(_) => Err(Error::new(
                ErrorKind::Bug,
                format!("{} reached the planner of queries", node.display()),
            )
            .into()),
            _ => Ok(TreeNodeRecursion::Continue),
        })?;
        Ok(plan)
    }

    fn name(&self) -> &str {
        "refuse_unplanned_writes"
    }
}
