//! Configuration: `fjord.toml`, flags and environment become one validated value at the rim.

mod error;
mod memory;
mod reader;
mod file;

pub use error::ConfigError;
pub use file::{CatalogConfig, CatalogKind, Config, parse};
pub use memory::MemoryLimit;
