//! The one predicate engine: over Iceberg's types and field ids, for scan planning, conflict
//! validation, metadata-only deletes and maintenance.
//!
//! Two evaluations of the same tree: *inclusive* ("some row may match"), *strict* ("every row
//! matches"). What cannot be expressed is [`Predicate::Unknown`], which may match and never proves.
//! Both come out of one walk, leaf by leaf: a leaf asks the column's metrics and every partition value
//! that derives from the column, and keeps whichever proves more.

mod order;
mod judge;
mod simplify;
mod project;
mod filter;
#[cfg(test)]
mod truth;

pub use filter::{FileFilter, TableFilter};
pub use judge::Verdict;
pub use order::compare_datums;

use std::collections::BTreeSet;

use crate::spec::Datum;

/// How a column is compared with a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// A string begins with the literal.
    StartsWith,
    /// A string does not begin with the literal.
    NotStartsWith,
}

/// A filter bound to field ids. SQL's three values: a row matches when the tree is *true*.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// Every row.
    True,
    /// No row.
    False,
    /// Something that this engine does not express.
    Unknown,
    /// All of them.
    And(Vec<Predicate>),
    /// Any of them.
    Or(Vec<Predicate>),
    /// The column (a primitive field, by id) is NULL.
    IsNull(i32),
    /// The column is not NULL.
    IsNotNull(i32),
    /// The column is NaN.
    IsNan(i32),
    /// The column is not NaN (NULL does not match).
    IsNotNan(i32),
    /// The column compared with a literal of the column's type.
    Compare(i32, Comparison, Datum),
    /// The column is one of these (all of the column's type).
    In(i32, Vec<Datum>),
    /// The column is none of these, and not NULL.
    NotIn(i32, Vec<Datum>),
}

impl Predicate {
    /// The field ids that it mentions.
    pub fn field_ids(&self) -> BTreeSet<i32> {
        let mut ids = BTreeSet::new();
        self.collect_field_ids(&mut ids);
        ids
    }

    fn collect_field_ids(&self, ids: &mut BTreeSet<i32>) {
        match self {
            Predicate::True | Predicate::False | Predicate::Unknown => {}
            Predicate::And(parts) | Predicate::Or(parts) => {
                parts.iter().for_each(|part| part.collect_field_ids(ids));
            }
            Predicate::IsNull(id)
            | Predicate::IsNotNull(id)
            | Predicate::IsNan(id)
            | Predicate::IsNotNan(id)
            | Predicate::Compare(id, ..)
            | Predicate::In(id, _)
            | Predicate::NotIn(id, _) => {
                ids.insert(*id);
            }
        }
    }
}
