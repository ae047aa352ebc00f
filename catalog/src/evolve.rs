//! Schema and property changes as pure functions from metadata to updates.

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Literal, TableMetadata, TableUpdate, Type};

/// One change of a table's columns. Paths name nested fields, outermost first, in any case.
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

/// The updates that apply `changes` to the current schema, in order.
///
/// # Errors
/// `NotFound` for a missing column, `AlreadyExists` for a taken name (regardless of case),
/// `InvalidArgument` for a change that would break readers, or drop a column that partitioning,
/// sort order or identifier fields use.
pub fn change_columns(
    _metadata: &TableMetadata,
    _changes: &[ColumnChange],
) -> Result<Vec<TableUpdate>> {
    Err(Error::new(ErrorKind::Bug, "not built yet"))
}
