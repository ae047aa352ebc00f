//! `IN` takes -0.0 and 0.0 as one number, as `=` does.
//!
//! DataFusion looks for the bits of a float in the list, and compares with what is no constant in
//! an order that has -0.0 before 0.0.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::disjunction;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, not};

/// A list with both zeros for either; comparisons in place of what is no constant.
pub(super) fn in_list(list: InList, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    let ty = list.expr.get_type(schema)?;
    let zeros = match ty {
        DataType::Float32 => [0.0, -0.0].map(|zero| ScalarValue::Float32(Some(zero))),
        DataType::Float64 => [0.0, -0.0].map(|zero| ScalarValue::Float64(Some(zero))),
        _ => return Ok(Transformed::no(Expr::InList(list))),
    };
    let is_zero = |item: &Expr| constant(item).is_some_and(|value| zeros.contains(&value));
    let has_zero = list.list.iter().any(is_zero);
    let varies = list.list.iter().any(|item| constant(item).is_none());
    if !has_zero && !varies || list.expr.is_volatile() {
        return Ok(Transformed::no(Expr::InList(list)));
    }
    let InList { expr, list, negated } = list;
    let (mut constants, others): (Vec<Expr>, Vec<Expr>) =
        list.into_iter().partition(|item| constant(item).is_some());
    if has_zero {
        constants.retain(|item| !is_zero(item));
        constants.extend(zeros.iter().map(|zero| Expr::Literal(zero.clone(), None)));
    }
    let mut tests: Vec<Expr> =
        others.into_iter().map(|other| expr.as_ref().clone().eq(other)).collect();
    if !constants.is_empty() {
        tests.push(Expr::InList(InList { expr, list: constants, negated: false }));
    }
    let found = disjunction(tests).unwrap_or_else(|| Expr::Literal(false.into(), None));
    Ok(Transformed::yes(if negated { not(found) } else { found }))
}

/// The value of a literal, cast or negated.
pub(super) fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(Cast { expr, field }) => constant(expr)?.cast_to(field.data_type()).ok(),
        Expr::Negative(inner) => constant(inner)?.arithmetic_negate().ok(),
        _ => None,
    }
}
