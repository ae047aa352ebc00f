//! What the benchmark programs share.

pub mod bare;
pub mod bare_flight;
pub mod cpu;
pub mod duckdb;
pub mod figures;
pub mod lake;
pub mod deletes;
pub mod manifests;
pub mod memory;
pub mod process;
pub mod results;
pub mod tpch;
pub mod wire;
