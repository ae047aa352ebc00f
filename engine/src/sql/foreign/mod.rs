//! Statements on live databases: reading and writing their tables, and catalogs made by SQL.
//!
//! Whoever has a name asks [`name`] first whether it leads into a database; what is not answered
//! here is refused by [`Services::catalog`], which knows tables of ours alone.
//!
//! [`Services::catalog`]: crate::services::Services::catalog

pub(crate) mod name;
pub(crate) mod object;
pub(crate) mod relation;
pub(crate) mod query;
pub(crate) mod write;
pub(crate) mod create;
pub(crate) mod drop;
pub(crate) mod show;
pub(crate) mod ddl;
pub(crate) mod catalogs;
mod nodes;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;
