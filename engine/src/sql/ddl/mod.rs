//! DDL, SHOW, DESCRIBE, USE and CALL: read by our own parser ([`parse::parse_ddl`]) into
//! [`ast::DdlStatement`].
//!
//! How the router uses it: for each statement of a script, call `parse_ddl` first, on a parser over
//! the same (pre-passed) tokens; on `None` the statement is a query, DML or a setting. EXPLAIN and
//! PREPARE bodies are never DDL.

pub mod ast;
pub(crate) mod cursor;
pub mod parse_type;
pub(crate) mod parse_terms;
pub(crate) mod parse_properties;
pub mod settings;
pub(crate) mod parse_create;
pub(crate) mod parse_refs;
pub(crate) mod parse_alter;
pub(crate) mod arguments;
pub(crate) mod parse_call;
pub(crate) mod parse_analyze;
pub(crate) mod parse_catalog;
pub(crate) mod parse_show;
pub mod parse;
pub(crate) mod columns;
pub(crate) mod terms;
pub mod create;
pub(crate) mod alter;
pub(crate) mod drop;
pub(crate) mod schema;
pub(crate) mod view;
pub(crate) mod comment;
#[cfg(test)]
mod tests;
