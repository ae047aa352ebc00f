//! Columns of instants compared with instants of a finer unit: exactly, in the column's unit.
//!
//! `ts < TIMESTAMP '… .1234567'` over microseconds is `ts <= '… .123456'`. Computed in
//! nanoseconds, the years after 2262 would overflow, and no statistics would be used.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Expr, ExprSchemable, Operator, cast as logical_cast, lit,
};

use super::cast::{self, instant, nanos, unit_nanos};

/// The digits below the second of an instant's text.
pub(crate) fn fraction_digits(text: &str) -> usize {
    text.split_once('.')
        .map_or(0, |(_, rest)| rest.chars().take_while(char::is_ascii_digit).count())
}

/// Casts the texts among `exprs` that are finer than the instants that they are compared with, to
/// nanoseconds: DataFusion would cut them to the other side's unit.
pub(super) fn refine(exprs: &mut [&mut Expr], schema: &DFSchema) -> bool {
    let fine = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value
            .try_as_str()
            .flatten()
            .is_some_and(|text| (7..=9).contains(&fraction_digits(text))),
        _ => false,
    };
    if !exprs.iter().any(|expr| fine(expr)) {
        return false;
    }
    let zone = exprs.iter().find_map(|expr| match expr.get_type(schema) {
        Ok(DataType::Timestamp(_, zone)) => Some(zone),
        _ => None,
    });
    let Some(zone) = zone else { return false };
    let target = DataType::Timestamp(TimeUnit::Nanosecond, zone);
    for expr in exprs.iter_mut().filter(|expr| fine(expr)) {
        **expr = logical_cast(std::mem::take(*expr), target.clone());
    }
    true
}

/// Compares in the unit of the coarser side, if the other is a constant.
pub(super) fn compare(expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
        return Ok(Transformed::no(expr));
    };
    if !op.supports_propagation() {
        return Ok(Transformed::no(expr));
    }
    let compared = match (Refined::of(left, schema), Refined::of(right, schema), op.swap()) {
        (Some(refined), None, _) => refined.compare(*op, right),
        (None, Some(refined), Some(swapped)) => refined.compare(swapped, left),
        _ => None,
    };
    Ok(match compared {
        Some(compared) => Transformed::yes(compared),
        None => Transformed::no(expr),
    })
}

/// The same for both ends of BETWEEN.
pub(super) fn between(expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    let Expr::Between(Between { expr: value, negated, low, high }) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let Some(refined) = Refined::of(value, schema) else { return Ok(Transformed::no(expr)) };
    // What is computed twice must be cheap and steady.
    if !matches!(refined.coarse, Expr::Column(_)) {
        return Ok(Transformed::no(expr));
    }
    let (above, below) =
        if *negated { (Operator::Lt, Operator::Gt) } else { (Operator::GtEq, Operator::LtEq) };
    Ok(match (refined.compare(above, low), refined.compare(below, high)) {
        (Some(low), Some(high)) if *negated => Transformed::yes(low.or(high)),
        (Some(low), Some(high)) => Transformed::yes(low.and(high)),
        _ => Transformed::no(expr),
    })
}

/// An expression of instants that was cast to a finer unit to be compared.
struct Refined<'a> {
    coarse: &'a Expr,
    ty: DataType,
}

impl<'a> Refined<'a> {
    fn of(expr: &'a Expr, schema: &DFSchema) -> Option<Self> {
        let (coarse, target) = cast::hidden(expr)?;
        let ty = coarse.get_type(schema).ok()?;
        match (&ty, &target) {
            (DataType::Timestamp(from, zone), DataType::Timestamp(to, to_zone))
                if unit_nanos(*from) > unit_nanos(*to) && zone.is_some() == to_zone.is_some() =>
            {
                Some(Self { coarse, ty })
            }
            _ => None,
        }
    }

    fn compare(&self, op: Operator, constant: &Expr) -> Option<Expr> {
        let DataType::Timestamp(unit, zone) = &self.ty else { return None };
        let (nanos, _) = nanos(&fold(constant)?)?;
        let unit_nanos = unit_nanos(*unit);
        let floor = i64::try_from(nanos.div_euclid(unit_nanos)).ok()?;
        let floor = Expr::Literal(instant(floor, *unit, zone.clone()), None);
        let coarse = || Box::new(self.coarse.clone());
        if nanos.rem_euclid(unit_nanos) == 0 {
            return Some(Expr::BinaryExpr(BinaryExpr::new(coarse(), op, Box::new(floor))));
        }
        // The constant lies between two values that the column can have.
        Some(match op {
            Operator::Lt | Operator::LtEq => self.coarse.clone().lt_eq(floor),
            Operator::Gt | Operator::GtEq => self.coarse.clone().gt(floor),
            Operator::Eq => Expr::IsNull(coarse()).and(lit(ScalarValue::Boolean(None))),
            Operator::NotEq => Expr::IsNotNull(coarse()).or(lit(ScalarValue::Boolean(None))),
            Operator::IsDistinctFrom => lit(true),
            Operator::IsNotDistinctFrom => lit(false),
            _ => return None,
        })
    }
}

/// A literal, or a cast of one: the optimizer has not folded anything yet.
fn fold(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(Cast { expr, field }) => fold(expr)?.cast_to(field.data_type()).ok(),
        _ => None,
    }
}
