//! The filter of a join, evaluated while the query is wanted and no longer.
//!
//! A join whose filter lets nothing pass goes through millions of batches in one poll, and what is
//! being polled can be neither dropped nor aborted. Its filter is evaluated for each batch: there
//! the query's end is noticed, and is an error.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::joins::{HashJoinExecBuilder, NestedLoopJoinExecBuilder};

use crate::queries::handle::Switch;

/// The plan, of which each join with a filter ends when the switch says so. For a plan that is about
/// to run, once: what comes back belongs to one query.
pub(crate) fn halting(
    plan: Arc<dyn ExecutionPlan>,
    switch: &Switch,
) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(plan.transform_up(|node| halted(node, switch))?.data)
}

/// The same of the operators above those that `ends` names, which are somebody else's to end.
pub(crate) fn halting_above(
    plan: Arc<dyn ExecutionPlan>,
    switch: &Switch,
    ends: impl Fn(&Arc<dyn ExecutionPlan>) -> bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    let halting = plan.transform_down(|node| match ends(&node) {
        true => Ok(Transformed::new(node, false, TreeNodeRecursion::Jump)),
        false => halted(node, switch),
    })?;
    Ok(halting.data)
}

fn halted(
    node: Arc<dyn ExecutionPlan>,
    switch: &Switch,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let builder = NestedLoopJoinExecBuilder::from(join);
        let join = builder.with_filter(Some(halted_by(filter, switch))).build()?;
        return Ok(Transformed::yes(Arc::new(join) as _));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        let builder = HashJoinExecBuilder::from(join);
        let join = builder.with_filter(Some(halted_by(filter, switch))).build()?;
        return Ok(Transformed::yes(Arc::new(join) as _));
    }
    Ok(Transformed::no(node))
}

fn halted_by(filter: &JoinFilter, switch: &Switch) -> JoinFilter {
    let filtering = Arc::clone(filter.expression());
    let halting = Arc::new(HaltingExpr { inner: filtering, switch: switch.clone() });
    JoinFilter::new(halting, filter.column_indices().to_vec(), Arc::clone(filter.schema()))
}

/// An expression whose evaluation fails once its query is to end.
#[derive(Debug)]
struct HaltingExpr {
    inner: Arc<dyn PhysicalExpr>,
    switch: Switch,
}

impl fmt::Display for HaltingExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl PartialEq for HaltingExpr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner) && self.switch.id() == other.switch.id()
    }
}

impl Eq for HaltingExpr {}

impl Hash for HaltingExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl PhysicalExpr for HaltingExpr {
    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.inner.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.inner.nullable(input_schema)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.switch.go_on()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, switch: self.switch.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
