//! Schema and property changes as pure functions from metadata to updates.
//!
//! Modules are listed bottom-up.

mod path;
mod ids;
mod columns;
mod properties;
#[cfg(test)]
mod tests;

pub use columns::change_columns;
pub use properties::{set_properties, unset_properties};

use crate::spec::{Literal, Type};

/// One change of a table's columns. Paths name nested fields, outermost first, in any case; the
/// inside of a list is `element`, of a map `key` and `value`.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnChange {
    /// Adds an optional column at the end of its struct.
    Add {
        /// The new column; its parents must exist.
        path: Vec<String>,
        /// Its type; nested ids are assigned anew.
        ty: Type,
        /// Its comment.
        doc: Option<String>,
        /// Default for rows already there and rows to come (format 3 only).
        default: Option<Literal>,
    },
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
