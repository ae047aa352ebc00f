//! Configuration: `fjord.toml`, flags and environment become one validated value at the rim.

mod error;
pub(crate) mod environment;
mod memory;
mod duration;
mod reader;
mod secret;
mod limits;
mod cluster;
mod telemetry;
mod server;
mod tls;
mod grant;
mod auth;
mod storage;
mod embedded;
mod rest;
mod database;
mod file;

pub use auth::{AuthConfig, JwtConfig, JwtKeys, MtlsConfig};
pub use cluster::ClusterConfig;
pub use database::DatabaseConfig;
pub use error::ConfigError;
pub use file::{CatalogConfig, CatalogKind, Config, parse};
pub use grant::{Grant, WriteScope};
pub use limits::LimitsConfig;
pub use memory::MemoryLimit;
pub use rest::RestConfig;
pub use server::ServerConfig;
pub use storage::{StorageConfig, StoragePlace};
pub use telemetry::TelemetryConfig;
pub use tls::TlsConfig;
