//! Schema and property changes as pure functions from metadata to updates.
//!
//! Modules are listed bottom-up.

mod path;
mod ids;
mod position;
mod default;
mod name_mapping;
mod keys;
mod columns;
mod properties;
#[cfg(test)]
mod tests;

pub use columns::change_columns;
pub use name_mapping::{NAME_MAPPING, name_mapping_of};
pub use properties::{set_properties, unset_properties};

use crate::spec::{Literal, Type};

/// One change of a table's columns. Paths name nested fields, outermost first, in any case; the
/// inside of a list is `element`, of a map `key` and `value`.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnChange {
    /// Adds a column to its struct.
    Add {
        /// The new column; its parents must exist.
        path: Vec<String>,
        /// Its type; nested ids are assigned anew.
        ty: Type,
        /// Whether NULL is refused; needs a default, which rows already there then have.
        required: bool,
        /// Its comment.
        doc: Option<String>,
        /// Default for rows already there and rows to come (format 3 only).
        default: Option<Literal>,
        /// Where among its siblings.
        position: ColumnPosition,
    },
    /// Puts a column elsewhere within its struct.
    Move(Vec<String>, ColumnPosition),
    /// Sets or clears what rows to come get where a statement names no value (format 3 only). Rows
    /// already there keep what they have.
    SetDefault(Vec<String>, Option<Literal>),
    /// Drops a column; its id is never used again.
    Drop(Vec<String>),
    /// Gives a column another name within its struct.
    Rename(Vec<String>, String),
    /// Widens a type as the specification allows (int→long, float→double, decimal precision).
    SetType(Vec<String>, Type),
    /// Allows NULL.
    DropNotNull(Vec<String>),
    /// Sets or clears the comment.
    Comment(Vec<String>, Option<String>),
}

/// A place among the fields of one struct.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ColumnPosition {
    /// Before all others.
    First,
    /// Right behind a sibling, named in any case.
    After(String),
    /// Behind all others.
    #[default]
    Last,
}
