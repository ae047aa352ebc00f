//! Shapes of predicates: negation, flattening, constants.

use super::{Comparison, Predicate};

impl Predicate {
    /// The rows for which this tree is *false*; as in SQL, rows for which it is NULL stay out.
    ///
    /// Meant for trees of leaves: a `False` that stands for NULL (`x = NULL`) must not be negated.
    #[expect(clippy::should_implement_trait, reason = "SQL's NOT, which is not a complement")]
    #[must_use]
    pub fn not(self) -> Self {
        match self {
            Predicate::True => Predicate::False,
            Predicate::False => Predicate::True,
            Predicate::Unknown => Predicate::Unknown,
            Predicate::And(parts) => Predicate::Or(parts.into_iter().map(Predicate::not).collect()),
            Predicate::Or(parts) => Predicate::And(parts.into_iter().map(Predicate::not).collect()),
            Predicate::IsNull(id) => Predicate::IsNotNull(id),
            Predicate::IsNotNull(id) => Predicate::IsNull(id),
            Predicate::IsNan(id) => Predicate::IsNotNan(id),
            Predicate::IsNotNan(id) => Predicate::IsNan(id),
            Predicate::Compare(id, comparison, datum) => {
                Predicate::Compare(id, comparison.not(), datum)
            }
            Predicate::In(id, list) => Predicate::NotIn(id, list),
            Predicate::NotIn(id, list) => Predicate::In(id, list),
        }
    }

    /// The same rows in fewer nodes: nested `And`/`Or` joined, constants folded, lists of no or one
    /// value replaced.
    #[must_use]
    pub fn simplify(self) -> Self {
        match self {
            Predicate::And(parts) => {
                let mut flat = Vec::with_capacity(parts.len());
                for part in parts {
                    match part.simplify() {
                        Predicate::True => {}
                        Predicate::False => return Predicate::False,
                        Predicate::And(inner) => flat.extend(inner),
                        part => flat.push(part),
                    }
                }
                one_or(flat, Predicate::True, Predicate::And)
            }
            Predicate::Or(parts) => {
                let mut flat = Vec::with_capacity(parts.len());
                for part in parts {
                    match part.simplify() {
                        Predicate::False => {}
                        Predicate::True => return Predicate::True,
                        Predicate::Or(inner) => flat.extend(inner),
                        part => flat.push(part),
                    }
                }
                one_or(flat, Predicate::False, Predicate::Or)
            }
            Predicate::In(id, list) => match <[_; 1]>::try_from(list) {
                Ok([one]) => Predicate::Compare(id, Comparison::Eq, one),
                Err(list) if list.is_empty() => Predicate::False,
                Err(list) => Predicate::In(id, list),
            },
            Predicate::NotIn(id, list) => match <[_; 1]>::try_from(list) {
                Ok([one]) => Predicate::Compare(id, Comparison::NotEq, one),
                Err(list) if list.is_empty() => Predicate::IsNotNull(id),
                Err(list) => Predicate::NotIn(id, list),
            },
            leaf => leaf,
        }
    }
}

fn one_or(
    mut parts: Vec<Predicate>,
    empty: Predicate,
    many: fn(Vec<Predicate>) -> Predicate,
) -> Predicate {
    match parts.len() {
        0 => empty,
        1 => parts.pop().unwrap_or(empty),
        _ => many(parts),
    }
}

impl Comparison {
    /// The comparison that holds when this one does not, of values that are not NULL.
    #[expect(clippy::should_implement_trait, reason = "SQL's NOT, beside Predicate::not")]
    #[must_use]
    pub fn not(self) -> Self {
        match self {
            Comparison::Eq => Comparison::NotEq,
            Comparison::NotEq => Comparison::Eq,
            Comparison::Lt => Comparison::GtEq,
            Comparison::GtEq => Comparison::Lt,
            Comparison::Gt => Comparison::LtEq,
            Comparison::LtEq => Comparison::Gt,
            Comparison::StartsWith => Comparison::NotStartsWith,
            Comparison::NotStartsWith => Comparison::StartsWith,
        }
    }
}
