//! Iceberg tables as DataFusion sees them: types, scans, writes, commits, metadata tables.

pub mod types;
pub mod transform;
pub mod metrics;
pub mod adapter;
mod footer_check;
pub mod footer;
mod statistics;
pub(crate) mod distinct;
mod guard;
pub(crate) mod row_groups;
pub mod deletes;
pub mod source;
pub mod filter;
pub mod table;
pub(crate) mod wire;
pub(crate) mod lineage;
pub mod metadata;
pub mod write;
pub(crate) mod adopt;
pub mod commit;

#[cfg(test)]
mod scan_tests;
