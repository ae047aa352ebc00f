//! Iceberg tables as DataFusion sees them: types, scans, writes, commits, metadata tables.

pub mod types;
pub mod table;
pub mod metadata;
pub mod write;
pub mod commit;
