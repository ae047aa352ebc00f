//! From a test of a column to tests of a partition value derived from it.
//!
//! ```text
//! ts >= 2024-01-02 12:00   day(ts):  inclusive  day >= 2024-01-02   some row of the day may match
//!                                    strict     day >= 2024-01-03   every row of the day matches
//! ```

use super::Comparison;
use super::judge::Test;
use super::order::{Zero, order};
use crate::spec::{PrimitiveLiteral, PrimitiveType, Transform};
use crate::transform::transform_values;

/// Tests of a partition value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Projected {
    /// Holds for every partition that has a matching row; `None` says nothing.
    pub(super) inclusive: Option<Test>,
    /// Holds only for partitions all of whose rows match; `None` says nothing.
    pub(super) strict: Option<Test>,
}

/// Projects `test`, of a column of type `ty`, through `by`.
pub(super) fn project(by: Transform, ty: &PrimitiveType, test: &Test) -> Projected {
    let nothing = Projected { inclusive: None, strict: None };
    let both = |test: Test| Projected { inclusive: Some(test.clone()), strict: Some(test) };
    match (by, test) {
        (Transform::Void | Transform::Unknown, _) => nothing,
        (Transform::Identity, test) => both(test.clone()),
        (_, Test::IsNull | Test::IsNotNull) => both(test.clone()),
        (_, Test::IsNan | Test::IsNotNan) => nothing,
        (_, Test::In(list)) => {
            Projected { inclusive: all_of(by, ty, list).map(Test::In), strict: None }
        }
        (_, Test::NotIn(list)) => {
            Projected { inclusive: None, strict: all_of(by, ty, list).map(Test::NotIn) }
        }
        (_, Test::Compare(Comparison::Eq, literal)) => Projected {
            inclusive: all_of(by, ty, std::slice::from_ref(literal)).map(Test::In),
            strict: None,
        },
        (_, Test::Compare(Comparison::NotEq, literal)) => Projected {
            inclusive: None,
            strict: all_of(by, ty, std::slice::from_ref(literal)).map(Test::NotIn),
        },
        (Transform::Bucket(_), _) => nothing,
        (_, Test::Compare(Comparison::StartsWith, PrimitiveLiteral::String(prefix))) => {
            starts_with(by, prefix)
        }
        (_, Test::Compare(Comparison::NotStartsWith, PrimitiveLiteral::String(prefix))) => {
            not_starts_with(by, prefix)
        }
        (_, Test::Compare(comparison, literal)) => range(by, ty, *comparison, literal),
    }
}

/// The partition values of all of `list`, sorted; `None` if one of them has none.
fn all_of(
    by: Transform,
    ty: &PrimitiveType,
    list: &[PrimitiveLiteral],
) -> Option<Vec<PrimitiveLiteral>> {
    let mut values = Vec::with_capacity(list.len());
    for literal in list {
        values.extend(transform_values(by, ty, literal)?);
    }
    sort(&mut values);
    Some(values)
}

/// Sorts literals of one type, dropping duplicates.
pub(super) fn sort(list: &mut Vec<PrimitiveLiteral>) {
    list.sort_by(|a, b| order(a, Zero::High, b, Zero::High).unwrap_or(std::cmp::Ordering::Equal));
    list.dedup();
}

/// Transforms that keep order: a comparison of the column bounds the partition value.
fn range(
    by: Transform,
    ty: &PrimitiveType,
    comparison: Comparison,
    literal: &PrimitiveLiteral,
) -> Projected {
    use Comparison::{Gt, GtEq, Lt, LtEq};
    let at = |v: &PrimitiveLiteral| transform_values(by, ty, v).and_then(|mut values| values.pop());
    let test = |comparison, v: Option<PrimitiveLiteral>| v.map(|v| Test::Compare(comparison, v));
    let here = at(literal);
    // For values with neighbours, `v < x` is `v <= x - 1`, which may lie in an earlier partition.
    let (before, after) = (step(literal, -1), step(literal, 1));
    let stepped = |v: &Option<PrimitiveLiteral>| v.as_ref().map_or_else(|| here.clone(), at);
    match comparison {
        Lt => Projected { inclusive: test(LtEq, stepped(&before)), strict: test(Lt, here) },
        LtEq => {
            Projected { inclusive: test(LtEq, here.clone()), strict: test(Lt, stepped(&after)) }
        }
        Gt => Projected { inclusive: test(GtEq, stepped(&after)), strict: test(Gt, here) },
        GtEq => {
            Projected { inclusive: test(GtEq, here.clone()), strict: test(Gt, stepped(&before)) }
        }
        _ => Projected { inclusive: None, strict: None },
    }
}

/// The neighbouring value; `None` where there is none (strings, the end of the range).
fn step(literal: &PrimitiveLiteral, by: i8) -> Option<PrimitiveLiteral> {
    Some(match literal {
        PrimitiveLiteral::Int(v) => PrimitiveLiteral::Int(v.checked_add(i32::from(by))?),
        PrimitiveLiteral::Long(v) => PrimitiveLiteral::Long(v.checked_add(i64::from(by))?),
        PrimitiveLiteral::Int128(v) => PrimitiveLiteral::Int128(v.checked_add(i128::from(by))?),
        _ => return None,
    })
}

fn starts_with(by: Transform, prefix: &str) -> Projected {
    let Transform::Truncate(width) = by else {
        return Projected { inclusive: None, strict: None };
    };
    let (start, is_longer) = cut(prefix, width);
    if is_longer {
        let test = Test::Compare(Comparison::Eq, PrimitiveLiteral::String(start));
        return Projected { inclusive: Some(test), strict: None };
    }
    let test = Test::Compare(Comparison::StartsWith, PrimitiveLiteral::String(start));
    Projected { inclusive: Some(test.clone()), strict: Some(test) }
}

fn not_starts_with(by: Transform, prefix: &str) -> Projected {
    let Transform::Truncate(width) = by else {
        return Projected { inclusive: None, strict: None };
    };
    let (start, is_longer) = cut(prefix, width);
    if is_longer {
        let test = Test::Compare(Comparison::NotEq, PrimitiveLiteral::String(start));
        return Projected { inclusive: None, strict: Some(test) };
    }
    let test = Test::Compare(Comparison::NotStartsWith, PrimitiveLiteral::String(start));
    Projected { inclusive: Some(test.clone()), strict: Some(test) }
}

/// The first `width` code points, and whether there were more.
fn cut(text: &str, width: u32) -> (String, bool) {
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    let start: String = text.chars().take(width).collect();
    let is_longer = start.len() < text.len();
    (start, is_longer)
}
