//! One test of one column against what is known of a set of its values.

use std::cmp::Ordering;
use std::ops::{BitAnd, BitOr};

use super::Comparison;
use super::order::{Zero, order};
use crate::spec::PrimitiveLiteral;

/// What is known about a set of rows and a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Some row may match. `false` is proof that none does.
    pub may_match: bool,
    /// Every row matches. `true` is proof.
    pub all_match: bool,
}

impl Verdict {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { may_match: true, all_match: false };
    /// Every row matches.
    pub const ALL: Self = Self { may_match: true, all_match: true };
    /// No row matches.
    pub const NONE: Self = Self { may_match: false, all_match: false };

    /// Two proofs about the same test: whichever proves more.
    pub(super) fn meet(self, other: Self) -> Self {
        let may_match = self.may_match && other.may_match;
        // Contradictory metrics (a bound that excludes what another includes) prove nothing.
        if !may_match && (self.all_match || other.all_match) {
            return Self::UNKNOWN;
        }
        Self { may_match, all_match: self.all_match || other.all_match }
    }
}

impl BitAnd for Verdict {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self {
            may_match: self.may_match && other.may_match,
            all_match: self.all_match && other.all_match,
        }
    }
}

impl BitOr for Verdict {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            may_match: self.may_match || other.may_match,
            all_match: self.all_match || other.all_match,
        }
    }
}

/// A test of one value; NULL passes only `IsNull`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    IsNull,
    IsNotNull,
    IsNan,
    IsNotNan,
    Compare(Comparison, PrimitiveLiteral),
    /// Sorted.
    In(Vec<PrimitiveLiteral>),
    /// Sorted.
    NotIn(Vec<PrimitiveLiteral>),
}

/// What is known of a set of values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// No value that is neither NULL nor NaN is less.
    pub(super) lower: Option<&'a PrimitiveLiteral>,
    /// No value that is neither NULL nor NaN is greater.
    pub(super) upper: Option<&'a PrimitiveLiteral>,
    pub(super) no_nulls: bool,
    pub(super) all_null: bool,
    pub(super) no_nans: bool,
    pub(super) all_nan: bool,
}

impl<'a> Facts<'a> {
    /// One value, shared by all rows.
    pub(super) fn exactly(value: Option<&'a PrimitiveLiteral>) -> Self {
        let nan = value.is_some_and(PrimitiveLiteral::is_nan);
        let bound = if nan { None } else { value };
        Self {
            lower: bound,
            upper: bound,
            no_nulls: value.is_some(),
            all_null: value.is_none(),
            no_nans: !nan,
            all_nan: nan,
        }
    }

    /// Drops bounds that contradict each other (writers have ordered uuids as signed numbers) or
    /// are NaN (old writers), which would prove anything.
    pub(super) fn checked(mut self) -> Self {
        self.lower = self.lower.filter(|bound| !bound.is_nan());
        self.upper = self.upper.filter(|bound| !bound.is_nan());
        if let (Some(lower), Some(upper)) = (self.lower, self.upper)
            && order(lower, Zero::Low, upper, Zero::High).is_none_or(Ordering::is_gt)
        {
            (self.lower, self.upper) = (None, None);
        }
        self
    }

    /// Judges `test` on these values.
    pub(super) fn judge(&self, test: &Test) -> Verdict {
        let verdict = |may_match, all_match| Verdict { may_match, all_match };
        match test {
            Test::IsNull => verdict(!self.no_nulls, self.all_null),
            Test::IsNotNull => verdict(!self.all_null, self.no_nulls),
            Test::IsNan => verdict(!self.no_nans && !self.all_null, self.no_nulls && self.all_nan),
            Test::IsNotNan => {
                verdict(!self.all_null && !self.all_nan, self.no_nulls && self.no_nans)
            }
            Test::Compare(comparison, literal) => self.values(self.compare(*comparison, literal)),
            Test::In(list) => self.values(self.is_in(list)),
            Test::NotIn(list) => self.values(self.is_not_in(list)),
        }
    }

    /// Widens a verdict on the bounds, which leave NULL and NaN out, to all values. NaN sorts above
    /// or, with its sign set, below every number, so it may pass any test but equality; and what
    /// it passes is not proven.
    fn values(&self, on_bounds: Verdict) -> Verdict {
        if self.all_null {
            return Verdict::NONE;
        }
        Verdict {
            may_match: on_bounds.may_match || !self.no_nans,
            all_match: on_bounds.all_match && self.no_nulls && self.no_nans,
        }
    }

    fn compare(&self, comparison: Comparison, literal: &PrimitiveLiteral) -> Verdict {
        let lower_is = |zero| self.lower.and_then(|bound| order(bound, Zero::Low, literal, zero));
        let upper_is = |zero| self.upper.and_then(|bound| order(bound, Zero::High, literal, zero));
        // "May" takes the literal's zero at the end that lets more through, "all" at the other.
        let (low, high) = (Zero::Low, Zero::High);
        let is =
            |ordering: Option<Ordering>, test: fn(Ordering) -> bool| ordering.is_some_and(test);
        let may_match = match comparison {
            Comparison::Eq => {
                !is(lower_is(high), Ordering::is_gt) && !is(upper_is(low), Ordering::is_lt)
            }
            Comparison::NotEq => {
                !(is(lower_is(low), Ordering::is_eq)
                    && is(upper_is(high), Ordering::is_eq)
                    && !is_zero(literal))
            }
            Comparison::Lt => !is(lower_is(high), Ordering::is_ge),
            Comparison::LtEq => !is(lower_is(high), Ordering::is_gt),
            Comparison::Gt => !is(upper_is(low), Ordering::is_le),
            Comparison::GtEq => !is(upper_is(low), Ordering::is_lt),
            Comparison::StartsWith => self.prefix(literal).may_match,
            Comparison::NotStartsWith => !self.prefix(literal).all_match,
        };
        let all_match = match comparison {
            Comparison::Eq => {
                is(lower_is(low), Ordering::is_eq)
                    && is(upper_is(high), Ordering::is_eq)
                    && !is_zero(literal)
            }
            Comparison::NotEq => {
                is(upper_is(low), Ordering::is_lt) || is(lower_is(high), Ordering::is_gt)
            }
            Comparison::Lt => is(upper_is(low), Ordering::is_lt),
            Comparison::LtEq => is(upper_is(low), Ordering::is_le),
            Comparison::Gt => is(lower_is(high), Ordering::is_gt),
            Comparison::GtEq => is(lower_is(high), Ordering::is_ge),
            Comparison::StartsWith => self.prefix(literal).all_match,
            Comparison::NotStartsWith => !self.prefix(literal).may_match,
        };
        Verdict { may_match, all_match }
    }

    /// Strings with a prefix are a range of the order: from the prefix itself to just below its
    /// successor.
    fn prefix(&self, literal: &PrimitiveLiteral) -> Verdict {
        let PrimitiveLiteral::String(prefix) = literal else { return Verdict::UNKNOWN };
        let text = |bound: Option<&'a PrimitiveLiteral>| match bound {
            Some(PrimitiveLiteral::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let (lower, upper) = (text(self.lower), text(self.upper));
        let below = upper.is_some_and(|upper| upper.as_bytes() < prefix.as_bytes());
        let above = lower.is_some_and(|lower| {
            lower.as_bytes() > prefix.as_bytes() && !lower.starts_with(prefix.as_str())
        });
        let both = |bound: Option<&str>| bound.is_some_and(|b| b.starts_with(prefix.as_str()));
        Verdict { may_match: !below && !above, all_match: both(lower) && both(upper) }
    }

    fn is_in(&self, list: &[PrimitiveLiteral]) -> Verdict {
        // Sorted: the first literal not below the lower bound is the only candidate.
        let start = match self.lower {
            Some(lower) => list.partition_point(|literal| {
                order(literal, Zero::High, lower, Zero::Low).is_some_and(Ordering::is_lt)
            }),
            None => 0,
        };
        let Some(candidate) = list.get(start) else { return Verdict::NONE };
        let on_candidate = self.compare(Comparison::Eq, candidate);
        let beyond = self.upper.is_some_and(|upper| {
            order(candidate, Zero::Low, upper, Zero::High).is_some_and(Ordering::is_gt)
        });
        Verdict { may_match: !beyond, all_match: on_candidate.all_match }
    }

    fn is_not_in(&self, list: &[PrimitiveLiteral]) -> Verdict {
        let inside = self.is_in(list);
        Verdict { may_match: !inside.all_match, all_match: !inside.may_match }
    }
}

/// `-0.0` and `0.0` may or may not be the same value, so equality with them proves nothing.
fn is_zero(literal: &PrimitiveLiteral) -> bool {
    match literal {
        PrimitiveLiteral::Float(v) => v.0 == 0.0,
        PrimitiveLiteral::Double(v) => v.0 == 0.0,
        _ => false,
    }
}
