//! What the benchmark programs share.

pub mod bare;
pub mod cpu;
pub mod duckdb;
pub mod figures;
pub mod lake;
pub mod manifests;
pub mod results;
pub mod tpch;
