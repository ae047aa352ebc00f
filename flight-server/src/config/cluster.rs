//! `[cluster]`: what holds the nodes of a cluster together, and what runs on workers.

use fjord_catalog::secret::Secret;
use toml::Table;

use super::error::ConfigError;
use super::reader::Section;

/// The keys of the section.
pub(super) const KEYS: &[&str] = &["bytes_min", "secret", "task_bytes", "workers"];

/// The most workers that are configured.
const WORKERS_MAX: usize = 1_000;

/// What the section says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterConfig {
    /// What the nodes know; `None`: the secret in the data directory.
    pub secret: Option<Secret>,
    /// Workers that do not register, as `grpc://HOST:PORT`.
    pub workers: Vec<String>,
    /// Queries that read fewer bytes run on the coordinator alone.
    pub bytes_min: Option<u64>,
    /// What one task reads, in bytes.
    pub task_bytes: Option<u64>,
}

pub(super) fn parse(file: &str, table: Table) -> Result<ClusterConfig, ConfigError> {
    let mut section = Section::new(file, "cluster", table, KEYS)?;
    let workers = section.texts("workers")?.unwrap_or_default();
    if workers.len() > WORKERS_MAX {
        let problem = format!("found {} workers; accepted: {WORKERS_MAX}", workers.len());
        return Err(section.error("workers", problem));
    }
    if let Some(bad) = workers.iter().find(|worker| !worker.starts_with("grpc://")) {
        return Err(section.error("workers", format!("found {bad:?}; accepted: grpc://HOST:PORT")));
    }
    Ok(ClusterConfig {
        secret: section.secret("secret")?,
        workers,
        bytes_min: section.count("bytes_min", 0, i64::MAX as u64)?,
        task_bytes: section.count("task_bytes", 1, i64::MAX as u64)?,
    })
}
