//! `CROSS JOIN UNNEST(t.list) AS u (x)`: the rows of `t` beside the elements of a list of each.
//!
//! DataFusion plans it as a subquery of `t` and cannot take that apart. The list moves to the left
//! side instead, and is unnested there.
//!
//! ```text
//! Join ─┬ left                      =>  Projection (names as before)
//!       └ alias u ─ Unnest             └ Unnest (NULL and empty lists drop the row, or not)
//!           └ Projection: outer.list       └ Projection: left.*, list
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, NullHandling, UnnestOptions, not_impl_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, lit, utils::conjunction,
};
use datafusion::optimizer::AnalyzerRule;

/// What the columns of the left side are called on the way.
const LEFT: &str = "__fjord_left_";

/// Unnests lists beside the rows that hold them.
#[derive(Debug)]
pub(crate) struct UnnestBeside;

impl AnalyzerRule for UnnestBeside {
    fn name(&self) -> &'static str {
        "unnest_beside"
    }

    fn analyze(&self, plan: LogicalPlan, _options: &ConfigOptions) -> DfResult<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(beside)?.data)
    }
}

fn beside(plan: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = &plan else { return Ok(Transformed::no(plan)) };
    if !is_unnest(&join.right) || join.right.all_out_ref_exprs().is_empty() {
        return Ok(Transformed::no(plan));
    }
    // What becomes of a row whose list is NULL or empty.
    let unpaired = match join.join_type {
        JoinType::Inner => NullHandling::Drop,
        JoinType::Left if is_unconditional(join) => NullHandling::PreserveAndExpandEmpty,
        other => {
            return not_impl_err!(
                "{other} JOIN UNNEST of a column of the left side is not supported; use CROSS JOIN \
                 UNNEST, or LEFT JOIN UNNEST … ON true"
            );
        }
    };
    Ok(Transformed::yes(unnest_left(join, unpaired)?))
}

fn is_unconditional(join: &Join) -> bool {
    join.on.is_empty() && join.filter.as_ref().is_none_or(|filter| *filter == lit(true))
}

/// Whether `plan` is nothing but an UNNEST, with names and conditions around it.
fn is_unnest(plan: &LogicalPlan) -> bool {
    let mut plan = plan;
    let mut unnests = false;
    loop {
        plan = match plan {
            LogicalPlan::SubqueryAlias(node) => node.input.as_ref(),
            LogicalPlan::Subquery(node) => node.subquery.as_ref(),
            LogicalPlan::Projection(node) => node.input.as_ref(),
            LogicalPlan::Filter(node) => node.input.as_ref(),
            LogicalPlan::Unnest(node) => {
                unnests = true;
                node.input.as_ref()
            }
            LogicalPlan::EmptyRelation(empty) => return unnests && empty.produce_one_row,
            _ => return false,
        }
    }
}

fn unnest_left(join: &Join, unpaired: NullHandling) -> DfResult<LogicalPlan> {
    let left = join.left.schema();
    let renamed = left
        .columns()
        .into_iter()
        .enumerate()
        .map(|(i, column)| Expr::Column(column).alias(format!("{LEFT}{i}")));
    let base =
        LogicalPlanBuilder::from(Arc::clone(&join.left)).project(renamed.collect::<Vec<_>>())?;
    let rebuilt = rebuild(&join.right, base.build()?, left, unpaired)?;
    let carried = left.fields().len();
    let columns = rebuilt.schema().columns();
    if columns.len() != join.schema.fields().len() {
        return plan_err!("UNNEST yields {} columns beside {carried}", columns.len());
    }
    let output = columns
        .into_iter()
        .zip(join.schema.iter())
        .map(|(column, (qualifier, field))| {
            Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
        })
        .collect::<Vec<_>>();
    let mut plan = LogicalPlanBuilder::from(rebuilt).project(output)?;
    let keys = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    if let Some(condition) = conjunction(keys.chain(join.filter.clone())) {
        plan = plan.filter(condition)?;
    }
    plan.build()
}

/// The right side on top of `base`, whose columns every node hands on.
fn rebuild(
    plan: &LogicalPlan,
    base: LogicalPlan,
    left: &DFSchema,
    unpaired: NullHandling,
) -> DfResult<LogicalPlan> {
    let carried: Vec<Expr> = (0..left.fields().len())
        .map(|i| Expr::Column(Column::new_unqualified(format!("{LEFT}{i}"))))
        .collect();
    match plan {
        LogicalPlan::EmptyRelation(_) => Ok(base),
        LogicalPlan::Subquery(node) => rebuild(&node.subquery, base, left, unpaired),
        LogicalPlan::SubqueryAlias(node) => {
            let input = rebuild(&node.input, base, left, unpaired)?;
            let own = input.schema().columns().into_iter().skip(carried.len());
            let own: Vec<Expr> = own
                .map(|column| {
                    let name = column.name.clone();
                    Expr::Column(column).alias_qualified(Some(node.alias.clone()), name)
                })
                .collect();
            LogicalPlanBuilder::from(input).project(carried.into_iter().chain(own))?.build()
        }
        LogicalPlan::Projection(node) => {
            let input = rebuild(&node.input, base, left, unpaired)?;
            let own = node
                .expr
                .iter()
                .map(|expr| {
                    let name = expr.schema_name().to_string();
                    let inner = from_left(expr.clone(), left)?;
                    Ok(if inner == *expr { inner } else { inner.unalias().alias(name) })
                })
                .collect::<DfResult<Vec<_>>>()?;
            LogicalPlanBuilder::from(input).project(carried.into_iter().chain(own))?.build()
        }
        LogicalPlan::Filter(node) => {
            let input = rebuild(&node.input, base, left, unpaired)?;
            let predicate = from_left(node.predicate.clone(), left)?;
            LogicalPlanBuilder::from(input).filter(predicate)?.build()
        }
        LogicalPlan::Unnest(node) => {
            let input = rebuild(&node.input, base, left, unpaired)?;
            let options = UnnestOptions { null_handling: unpaired, ..node.options.clone() };
            LogicalPlanBuilder::from(input)
                .unnest_columns_with_options(node.exec_columns.clone(), options)?
                .build()
        }
        other => plan_err!("{} inside UNNEST", other.display()),
    }
}

/// `expr` with the outer columns that it names taken from the rows beside it.
fn from_left(expr: Expr, left: &DFSchema) -> DfResult<Expr> {
    let taken = expr.transform_up(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => {
            let at = left.index_of_column(&column)?;
            let column = Column::new_unqualified(format!("{LEFT}{at}"));
            Ok(Transformed::yes(Expr::Column(column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(taken.data)
}
