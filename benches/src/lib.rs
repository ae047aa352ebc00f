//! What the benchmark programs share.

pub mod duckdb;
pub mod figures;
pub mod tpch;
