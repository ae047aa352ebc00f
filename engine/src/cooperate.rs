//! Joins and unnests give way: a physical optimizer rule.
//!
//! Tasks are cancelled when they yield. DataFusion makes leaves and exchanges yield; a join that makes
//! billions of rows of two small batches asks its leaves for nothing meanwhile, and a statement
//! above it that folds rows (`count(*)`) would run past its kill, its deadline and its client.
//!
//! ```text
//! AggregateExec ─ CrossJoinExec   =>   AggregateExec ─ HandExec ─ CrossJoinExec
//! ```

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::joins::{SortMergeJoinExec, SymmetricHashJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::unnest::UnnestExec;

use crate::hand::{HandExec, Handing, ListLengths};

/// Puts a yield above each operator that makes many rows of few.
#[derive(Debug)]
pub(crate) struct GiveWay;

/// UNNEST over batches of which none becomes too large, nor what a projection makes for it.
fn in_parts(unnest: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let inputs = unnest.children().into_iter().map(Arc::clone);
    let parts = inputs.map(|input| {
        let lengths = ListLengths::default();
        let input = of_few_rows(input, &lengths)?;
        Ok(Arc::new(HandExec::new(input, Handing::Parts(lengths))) as _)
    });
    let parts = parts.collect::<Result<_>>()?;
    replace_children_if_necessary(unnest, parts)
}

/// The plan, whose nearest projection gets few rows at a time: it may make the lists.
fn of_few_rows(
    plan: Arc<dyn ExecutionPlan>,
    lengths: &ListLengths,
) -> Result<Arc<dyn ExecutionPlan>> {
    let children = plan.children().into_iter().map(Arc::clone);
    let children: Vec<Arc<dyn ExecutionPlan>> = if plan.is::<ProjectionExec>() {
        let handing = Handing::Rows(lengths.clone());
        children.map(|child| Arc::new(HandExec::new(child, handing.clone())) as _).collect()
    } else if plan.is::<RepartitionExec>() || plan.is::<FilterExec>() {
        children.map(|child| of_few_rows(child, lengths)).collect::<Result<_>>()?
    } else {
        return Ok(plan);
    };
    replace_children_if_necessary(plan, children)
}

fn multiplies(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<CrossJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<HashJoinExec>()
        || plan.is::<SortMergeJoinExec>()
        || plan.is::<SymmetricHashJoinExec>()
        || plan.is::<UnnestExec>()
}

impl PhysicalOptimizerRule for GiveWay {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let yielding = plan.transform_up(|node| {
            if !multiplies(node.as_ref()) {
                return Ok(Transformed::no(node));
            }
            let node = match node.is::<UnnestExec>() {
                true => in_parts(node)?,
                false => node,
            };
            Ok(Transformed::yes(Arc::new(HandExec::new(node, Handing::Turns)) as _))
        })?;
        Ok(yielding.data)
    }

    fn name(&self) -> &str {
        "give_way"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
