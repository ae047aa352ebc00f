//! EXISTS and `x IN (SELECT …)` where DataFusion has no plan for them or one that forgets NULL: as
//! values of a select list, and below NOT, CASE and IS NULL. It plans subqueries that count.
//!
//! ```text
//! EXISTS q   =>  (SELECT count(*) FROM q) > 0
//! x IN q     =>  CASE WHEN (SELECT count(*) FROM q WHERE y = x) > 0 THEN true
//!                     WHEN x is NULL and q has rows, or q has a NULL THEN NULL ELSE false END
//! ```
//!
//! The column `y` gets a name of its own: a subquery that becomes a join takes an inner column for
//! the outer one where both have the same name.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, ScalarValue, internal_err, not_impl_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{
    BinaryExpr, Exists, InSubquery, SetComparison, SetQuantifier,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, SubqueryAlias, lit,
    when,
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
        let mut members = Members::default();
        let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::SubqueryAlias(alias) => projected(alias),
            LogicalPlan::Projection(_) => members.in_values(plan),
            LogicalPlan::Filter(_) => members.in_condition(plan),
            plan => Ok(Transformed::no(plan)),
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

/// The subqueries of one statement whose members were named so far.
#[derive(Debug, Default)]
struct Members {
    named: usize,
}

impl Members {
    fn in_values(&mut self, plan: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let mapped = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = self.value(expr, &schema)?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?;
        if !mapped.transformed {
            return Ok(mapped);
        }
        mapped.map_data(LogicalPlan::recompute_schema)
    }

    fn in_condition(&mut self, plan: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
        let schema = merge_schema(&plan.inputs());
        plan.map_expressions(|expr| self.condition(expr, &schema, true))
    }

    /// A part of a condition; `decides` where it alone may reject a row, so that NULL is false.
    fn condition(
        &mut self,
        expr: Expr,
        schema: &DFSchema,
        decides: bool,
    ) -> DfResult<Transformed<Expr>> {
        match self.membership(expr)? {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: op @ (Operator::And | Operator::Or),
                right,
            }) => {
                let decides = decides && op == Operator::And;
                let left = self.condition(*left, schema, decides)?;
                let right = self.condition(*right, schema, decides)?;
                let transformed = left.transformed || right.transformed;
                let both = BinaryExpr::new(Box::new(left.data), op, Box::new(right.data));
                let data = Expr::BinaryExpr(both);
                Ok(Transformed { transformed, ..Transformed::no(data) })
            }
            // `x IN q` that is true or not: a semi join, or a mark join below OR.
            Expr::InSubquery(is_in) if !is_in.negated => {
                Ok(Transformed::no(Expr::InSubquery(is_in)))
            }
            // An anti join that knows NULL exists for one pair of columns.
            Expr::InSubquery(is_in) if decides && is_in.subquery.outer_ref_columns.is_empty() => {
                Ok(Transformed::no(Expr::InSubquery(is_in)))
            }
            Expr::Not(inner) if matches!(*inner, Expr::InSubquery(_)) => {
                let Expr::InSubquery(InSubquery { expr, subquery, negated }) = *inner else {
                    return internal_err!("a membership that is none");
                };
                let is_in = InSubquery { expr, subquery, negated: !negated };
                self.condition(Expr::InSubquery(is_in), schema, decides)
            }
            Expr::Exists(exists) => Ok(Transformed::no(Expr::Exists(exists))),
            other => other.transform_up(|expr| match self.membership(expr)? {
                Expr::InSubquery(is_in) => self.is_in(is_in, schema).map(Transformed::yes),
                other => Ok(Transformed::no(other)),
            }),
        }
    }

    fn value(&mut self, expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
        expr.transform_up(|expr| match self.membership(expr)? {
            Expr::Exists(Exists { subquery, negated }) => {
                let rows = count_of(&subquery, None)?;
                let exists = if negated { rows.eq(lit(0_i64)) } else { rows.gt(lit(0_i64)) };
                Ok(Transformed::yes(exists))
            }
            Expr::InSubquery(is_in) => self.is_in(is_in, schema).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        })
    }

    /// `= ANY` is IN, `<> ALL` is NOT IN; what other comparisons look at gets its own name.
    fn membership(&mut self, expr: Expr) -> DfResult<Expr> {
        let Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) = expr else {
            return Ok(expr);
        };
        let negated = match (op, &quantifier) {
            (Operator::Eq, SetQuantifier::Any) => false,
            (Operator::NotEq, SetQuantifier::All) => true,
            _ => {
                let (subquery, _) = self.named(&subquery)?;
                let own = SetComparison { expr, subquery, op, quantifier };
                return Ok(Expr::SetComparison(own));
            }
        };
        Ok(Expr::InSubquery(InSubquery { expr, subquery, negated }))
    }

    fn is_in(&mut self, is_in: InSubquery, schema: &DFSchema) -> DfResult<Expr> {
        let InSubquery { expr, subquery, negated } = is_in;
        let is_in = self.is_member(*expr, &subquery, schema)?;
        Ok(if negated { Expr::Not(Box::new(is_in)) } else { is_in })
    }

    fn is_member(&mut self, value: Expr, members: &Subquery, schema: &DFSchema) -> DfResult<Expr> {
        let (members, member) = self.named(members)?;
        let unknown = || lit(ScalarValue::Boolean(None));
        let outside = seen_from_within(value.clone(), schema)?;
        let equal = count_of(&members, Some(member.clone().eq(outside)))?.gt(lit(0_i64));
        let mut is_in = when(equal, lit(true));
        if value.nullable(schema)? {
            let any = count_of(&members, None)?.gt(lit(0_i64));
            is_in = is_in.when(value.is_null().and(any), unknown());
        }
        if members.subquery.schema().field(0).is_nullable() {
            let nulls = count_of(&members, Some(member.is_null()))?.gt(lit(0_i64));
            is_in = is_in.when(nulls, unknown());
        }
        is_in.otherwise(lit(false))
    }

    /// `members` with its first column, and nothing else, under a name that no other column has.
    fn named(&mut self, members: &Subquery) -> DfResult<(Subquery, Expr)> {
        let Some(column) = members.subquery.schema().columns().into_iter().next() else {
            return not_impl_err!("IN of a subquery without columns");
        };
        self.named += 1;
        let name = format!("fjord_member_{}", self.named);
        let plan = LogicalPlanBuilder::from(Arc::clone(&members.subquery))
            .project(vec![Expr::Column(column).alias(&name)])?
            .build()?;
        let subquery = Subquery {
            outer_ref_columns: plan.all_out_ref_exprs(),
            subquery: Arc::new(plan),
            spans: members.spans.clone(),
        };
        Ok((subquery, Expr::Column(Column::from_name(name))))
    }
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
