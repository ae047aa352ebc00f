//! Doubles meet decimals as doubles: in SQL an approximate operand makes the operation approximate.
//!
//! DataFusion does the opposite: it casts the double to `decimal(30, 15)`, which makes `1e-30 = 0.0`
//! true and fails on NaN, infinities and large values. Literals such as `1.5` are decimals here, so
//! nearly every comparison with a double column would be hit.

use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;

/// Binary operators, as they are planned.
#[derive(Debug)]
pub(crate) struct ApproximateOperators;

impl ExprPlanner for ApproximateOperators {
    fn plan_binary_op(
        &self,
        raw: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = raw;
        let (left, right) = match (left.get_type(schema), right.get_type(schema)) {
            (Ok(l), Ok(r)) if l.is_floating() && is_decimal(&r) => (left, approximate(right, &l)),
            (Ok(l), Ok(r)) if is_decimal(&l) && r.is_floating() => (approximate(left, &r), right),
            _ => (left, right),
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

/// `BETWEEN` and `IN`, which have no planner hook. Runs before type coercion.
#[derive(Debug)]
pub(crate) struct ApproximateRanges;

impl AnalyzerRule for ApproximateRanges {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            node.map_expressions(|expr| expr.transform_up(|e| Ok(rewrite(e, &schema))))
        });
        Ok(rewritten?.data)
    }

    fn name(&self) -> &str {
        "approximate_ranges"
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::Between(Between { expr, negated, low, high }) => {
            let mut parts = vec![*expr, *low, *high];
            let changed = unify(&mut parts, schema);
            let [expr, low, high] = <[Expr; 3]>::try_from(parts).unwrap_or_default();
            let between = Between::new(Box::new(expr), negated, Box::new(low), Box::new(high));
            Transformed::new_transformed(Expr::Between(between), changed)
        }
        Expr::InList(InList { expr, list, negated }) => {
            let mut parts = Vec::with_capacity(list.len() + 1);
            parts.push(*expr);
            parts.extend(list);
            let changed = unify(&mut parts, schema);
            let list = parts.split_off(1);
            let expr = parts.pop().unwrap_or_default();
            let in_list = InList::new(Box::new(expr), list, negated);
            Transformed::new_transformed(Expr::InList(in_list), changed)
        }
        other => Transformed::no(other),
    }
}

/// Makes the decimals among `parts` approximate when another part is; says whether it did.
fn unify(parts: &mut [Expr], schema: &DFSchema) -> bool {
    let types: Vec<Option<DataType>> = parts.iter().map(|p| p.get_type(schema).ok()).collect();
    let Some(float) = types.iter().flatten().find(|t| t.is_floating()).cloned() else {
        return false;
    };
    let mut changed = false;
    for (part, ty) in parts.iter_mut().zip(&types) {
        if ty.as_ref().is_some_and(is_decimal) {
            *part = approximate(std::mem::take(part), &float);
            changed = true;
        }
    }
    changed
}

fn is_decimal(ty: &DataType) -> bool {
    ty.is_decimal()
}

/// A decimal expression as `float`. A literal is read from its digits, which rounds once only.
fn approximate(expr: Expr, float: &DataType) -> Expr {
    if let Expr::Literal(value, metadata) = &expr
        && let Some(value) = digits(value).and_then(|digits| digits.parse::<f64>().ok())
        && let Ok(value) = ScalarValue::Float64(Some(value)).cast_to(float)
    {
        return Expr::Literal(value, metadata.clone());
    }
    cast(expr, float.clone())
}

fn digits(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Decimal128(Some(v), precision, scale) => {
            Some(Decimal128Type::format_decimal(*v, *precision, *scale))
        }
        ScalarValue::Decimal256(Some(v), precision, scale) => {
            Some(Decimal256Type::format_decimal(*v, *precision, *scale))
        }
        _ => None,
    }
}
