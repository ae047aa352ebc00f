//! Making snapshots: from a table and a change of files to manifests, a manifest list and a summary.
//!
//! Modules are listed bottom-up.

pub(crate) mod data_file;
pub(crate) mod summary;
pub(crate) mod target;
pub(crate) mod partitions;
pub(crate) mod scope;
pub(crate) mod removal;
pub(crate) mod merge;
pub(crate) mod write;
mod count;
pub(crate) mod filter;
pub(crate) mod produce;
