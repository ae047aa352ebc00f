//! The one order of single values: total within a type, `None` between values that cannot meet.

use std::cmp::Ordering;

use crate::spec::{Datum, PrimitiveLiteral, PrimitiveType};

/// Where a float zero of either sign is put. SQL's kernels order `-0.0` below `0.0`, other writers
/// of bounds do not tell them apart: a bound or literal is taken at whichever end proves less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zero {
    /// As `-0.0`.
    Low,
    /// As `0.0`.
    High,
}

/// Orders two values of one column, of which either may be of a type that the column was promoted
/// from. Strings and bytes are unsigned lexicographic, uuids big-endian unsigned, floats total with
/// zeros placed as told.
///
/// The library's `Datum::partial_cmp` is not used: it is `None` for a promoted bound and panics or
/// rounds on decimals that its decimal type cannot hold.
pub(super) fn order(
    a: &PrimitiveLiteral,
    a_zero: Zero,
    b: &PrimitiveLiteral,
    b_zero: Zero,
) -> Option<Ordering> {
    use PrimitiveLiteral as L;
    Some(match (a, b) {
        (L::Boolean(a), L::Boolean(b)) => a.cmp(b),
        (L::String(a), L::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (L::Binary(a), L::Binary(b)) => a.cmp(b),
        (L::Int128(a), L::Int128(b)) => a.cmp(b),
        (L::UInt128(a), L::UInt128(b)) => a.cmp(b),
        (L::Int(_) | L::Long(_), L::Int(_) | L::Long(_)) => as_i64(a)?.cmp(&as_i64(b)?),
        (L::Float(_) | L::Double(_), L::Float(_) | L::Double(_)) => {
            as_f64(a, a_zero)?.total_cmp(&as_f64(b, b_zero)?)
        }
        _ => return None,
    })
}

fn as_i64(literal: &PrimitiveLiteral) -> Option<i64> {
    match literal {
        PrimitiveLiteral::Int(v) => Some(i64::from(*v)),
        PrimitiveLiteral::Long(v) => Some(*v),
        _ => None,
    }
}

fn as_f64(literal: &PrimitiveLiteral, zero: Zero) -> Option<f64> {
    let v = match literal {
        PrimitiveLiteral::Float(v) => f64::from(v.0),
        PrimitiveLiteral::Double(v) => v.0,
        _ => return None,
    };
    Some(match (v == 0.0, zero) {
        (true, Zero::Low) => -0.0,
        (true, Zero::High) => 0.0,
        (false, _) => v,
    })
}

/// Whether a value written as `from` can be read as `to` and keeps its order (specification:
/// "schema evolution", type promotion).
pub(super) fn is_promotable(from: &PrimitiveType, to: &PrimitiveType) -> bool {
    use PrimitiveType as P;
    match (from, to) {
        (P::Int, P::Long) | (P::Float, P::Double) => true,
        (
            P::Decimal { precision: from_precision, scale: from_scale },
            P::Decimal { precision: to_precision, scale: to_scale },
        ) => from_scale == to_scale && from_precision <= to_precision,
        _ => from == to,
    }
}

/// Orders two values as the engine sorts a column of their type: NULL apart, `-0.0` before `0.0`,
/// NaN at the end its sign gives it. `None` when the types differ other than by promotion.
pub fn compare_datums(a: &Datum, b: &Datum) -> Option<Ordering> {
    let (a_type, b_type) = (a.data_type(), b.data_type());
    if !is_promotable(a_type, b_type) && !is_promotable(b_type, a_type) {
        return None;
    }
    match (a.literal(), b.literal()) {
        (PrimitiveLiteral::Float(a), PrimitiveLiteral::Float(b)) => Some(a.0.total_cmp(&b.0)),
        (PrimitiveLiteral::Double(a), PrimitiveLiteral::Double(b)) => Some(a.0.total_cmp(&b.0)),
        (a, b) => order(a, Zero::High, b, Zero::High),
    }
}
