//! Orders that hold without what is known of other stages.
//!
//! A sort leaves out a key that is the same in all of its rows, or equal to another key. What makes it so
//! may be below an exchange, and nothing but rows comes through one: a worker would see a window
//! whose rows are not sorted by all that it is partitioned by, and refuse the plan.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

/// The plan with every sort below a window spelt out: by all that the window is partitioned by. The
/// rows come in the same order as before.
///
/// # Errors
/// None that a valid plan gives rise to.
pub(super) fn spelt_out(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let spelt = plan.transform_up(|node| {
        let keys = partition_keys(node.as_ref());
        let sorted = match node.children().as_slice() {
            [input] if !keys.is_empty() => sorted_by(input, keys)?,
            _ => None,
        };
        match sorted {
            Some(input) => with_input(node, input).map(Transformed::yes),
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(spelt.data)
}

/// What a window is partitioned by; nothing for other operators.
fn partition_keys(node: &dyn ExecutionPlan) -> &[Arc<dyn PhysicalExpr>] {
    let bounded =
        node.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr);
    let windows =
        bounded.or_else(|| node.downcast_ref::<WindowAggExec>().map(WindowAggExec::window_expr));
    windows.and_then(|windows| windows.first()).map_or(&[], |window| window.partition_by())
}

/// The sort below windows with `keys` among its own; `None` where it has them all, or there is none.
fn sorted_by(
    node: &Arc<dyn ExecutionPlan>,
    keys: &[Arc<dyn PhysicalExpr>],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(sort) = node.downcast_ref::<SortExec>() {
        return Ok(with_keys(sort, keys));
    }
    if !(node.is::<BoundedWindowAggExec>() || node.is::<WindowAggExec>()) {
        return Ok(None);
    }
    // A window hands its input on as it is, and adds columns behind it.
    match node.children().as_slice() {
        [input] => {
            let sorted = sorted_by(input, keys)?;
            sorted.map(|input| with_input(Arc::clone(node), input)).transpose()
        }
        _ => Ok(None),
    }
}

fn with_keys(sort: &SortExec, keys: &[Arc<dyn PhysicalExpr>]) -> Option<Arc<dyn ExecutionPlan>> {
    let width = sort.input().schema().fields().len();
    let is_missing = |key: &&Arc<dyn PhysicalExpr>| {
        !sort.expr().iter().any(|sorted| &sorted.expr == *key)
            && collect_columns(key).iter().all(|column| column.index() < width)
    };
    let missing: Vec<_> = keys.iter().filter(is_missing).collect();
    if missing.is_empty() {
        return None;
    }
    let mut order: Vec<PhysicalSortExpr> = sort.expr().iter().cloned().collect();
    let leading = order.iter().take_while(|sorted| keys.contains(&sorted.expr)).count();
    let added = missing.into_iter().map(|key| PhysicalSortExpr::new_default(Arc::clone(key)));
    drop(order.splice(leading..leading, added));
    let order = LexOrdering::new(order)?;
    let sort = SortExec::new(order, Arc::clone(sort.input()))
        .with_fetch(sort.fetch())
        .with_preserve_partitioning(sort.preserve_partitioning());
    Some(Arc::new(sort))
}

fn with_input(
    node: Arc<dyn ExecutionPlan>,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(vec![input], options)
}
