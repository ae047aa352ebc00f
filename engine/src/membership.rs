//! EXISTS and `x IN (SELECT …)` as values of a select list: DataFusion plans them in conditions
//! alone, but it plans subqueries that count.
//!
//! ```text
//! EXISTS q   =>  (SELECT count(*) FROM q) > 0
//! x IN q     =>  CASE WHEN (SELECT count(*) FROM q WHERE y = x) > 0 THEN true
//!                     WHEN x is NULL and q has rows, or q has a NULL THEN NULL ELSE false END
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, ScalarValue, not_impl_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Subquery, SubqueryAlias, lit, when,
};
use datafusion::optimizer::AnalyzerRule;

/// Counts where membership is a value.
#[derive(Debug)]
pub(crate) struct CountMembers;

impl AnalyzerRule for CountMembers {
    fn name(&self) -> &'static str {
        "count_members"
    }

    fn analyze(&self, plan: LogicalPlan, _options: &ConfigOptions) -> DfResult<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let projection = match plan {
                LogicalPlan::SubqueryAlias(alias) => return projected(alias),
                LogicalPlan::Projection(ref projection) => projection,
                plan => return Ok(Transformed::no(plan)),
            };
            let schema = Arc::clone(projection.input.schema());
            let names = NamePreserver::new(&plan);
            let mapped = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|expr| rewrite(expr, &schema))?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })?;
            if !mapped.transformed {
                return Ok(mapped);
            }
            mapped.map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }
}

/// An alias around what sees outer rows, as a projection: DataFusion hands the outer columns that it
/// needs through projections, and loses count of them at an alias.
fn projected(alias: SubqueryAlias) -> DfResult<Transformed<LogicalPlan>> {
    let is_lateral = matches!(alias.input.as_ref(), LogicalPlan::Subquery(_));
    if is_lateral || alias.input.all_out_ref_exprs().is_empty() {
        return Ok(Transformed::no(LogicalPlan::SubqueryAlias(alias)));
    }
    let columns: Vec<Expr> = alias
        .input
        .schema()
        .columns()
        .into_iter()
        .zip(alias.schema.iter())
        .map(|(column, (qualifier, field))| {
            Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
        })
        .collect();
    let plan = LogicalPlanBuilder::from(alias.input).project(columns)?.build()?;
    Ok(Transformed::yes(plan))
}

fn rewrite(expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) => {
            let rows = count_of(&subquery, None)?;
            let exists = if negated { rows.eq(lit(0_i64)) } else { rows.gt(lit(0_i64)) };
            Ok(Transformed::yes(exists))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let is_in = is_member(*expr, &subquery, schema)?;
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(is_in)) } else { is_in }))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_member(value: Expr, members: &Subquery, schema: &DFSchema) -> DfResult<Expr> {
    let Some((qualifier, field)) = members.subquery.schema().iter().next() else {
        return not_impl_err!("IN of a subquery without columns");
    };
    let member = Expr::Column(Column::new(qualifier.cloned(), field.name()));
    let unknown = || lit(ScalarValue::Boolean(None));
    let outside = seen_from_within(value.clone(), schema)?;
    let equal = count_of(members, Some(member.clone().eq(outside)))?.gt(lit(0_i64));
    let mut is_in = when(equal, lit(true));
    if value.nullable(schema)? {
        let any = count_of(members, None)?.gt(lit(0_i64));
        is_in = is_in.when(value.is_null().and(any), unknown());
    }
    if field.is_nullable() {
        let nulls = count_of(members, Some(member.is_null()))?.gt(lit(0_i64));
        is_in = is_in.when(nulls, unknown());
    }
    is_in.otherwise(lit(false))
}

/// The number of rows that `condition` keeps, as a subquery.
fn count_of(rows: &Subquery, condition: Option<Expr>) -> DfResult<Expr> {
    let mut plan = LogicalPlanBuilder::from(Arc::clone(&rows.subquery));
    if let Some(condition) = condition {
        plan = plan.filter(condition)?;
    }
    let plan = plan.aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64))])?.build()?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    let subquery = Arc::new(plan);
    Ok(Expr::ScalarSubquery(Subquery { subquery, outer_ref_columns, spans: rows.spans.clone() }))
}

/// `value` with its columns as a subquery sees them.
fn seen_from_within(value: Expr, schema: &DFSchema) -> DfResult<Expr> {
    let seen = value.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = schema.field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
        }
        Expr::OuterReferenceColumn(..) => {
            not_impl_err!("IN (SELECT …) of a column two queries further out")
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(seen.data)
}
