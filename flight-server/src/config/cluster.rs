//! `[cluster]`: what holds the nodes of a cluster together, and what runs on workers.

use std::path::PathBuf;

use fjord_catalog::secret::Secret;
use toml::Table;

use super::error::ConfigError;
use super::reader::Section;

/// The keys of the section.
pub(super) const KEYS: &[&str] =
    &["bytes_min", "ca", "coordinator_works", "secret", "task_bytes", "workers"];

/// The most workers that are configured.
const WORKERS_MAX: usize = 1_000;

/// What the section says.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterConfig {
    /// What the nodes know; `None`: the secret in the data directory.
    pub secret: Option<Secret>,
    /// Workers that do not register, as `grpc://HOST:PORT`.
    pub workers: Vec<String>,
    /// Queries that read fewer bytes run on the coordinator alone.
    pub bytes_min: Option<u64>,
    /// What one task reads, in bytes.
    pub task_bytes: Option<u64>,
    /// Roots of the certificates that nodes show each other; `None`: connections are not encrypted.
    pub ca: Option<PathBuf>,
    /// Whether the coordinator does by itself what workers could do.
    pub coordinator_works: bool,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            secret: None,
            workers: Vec::new(),
            bytes_min: None,
            task_bytes: None,
            ca: None,
            coordinator_works: true,
        }
    }
}

/// `has_tls`: whether the file has a section `[tls]`.
pub(super) fn parse(file: &str, table: Table, has_tls: bool) -> Result<ClusterConfig, ConfigError> {
    let mut section = Section::new(file, "cluster", table, KEYS)?;
    let workers = section.texts("workers")?.unwrap_or_default();
    if workers.len() > WORKERS_MAX {
        let problem = format!("found {} workers; accepted: {WORKERS_MAX}", workers.len());
        return Err(section.error("workers", problem));
    }
    let ca = section.text("ca")?.map(PathBuf::from);
    if ca.is_some() && !has_tls {
        let problem = "needs a certificate to show: certificate and key of [tls]";
        return Err(section.error("ca", problem));
    }
    let scheme = if ca.is_some() { "grpc+tls://" } else { "grpc://" };
    if let Some(bad) = workers.iter().find(|worker| !worker.starts_with(scheme)) {
        return Err(section.error("workers", format!("found {bad:?}; accepted: {scheme}HOST:PORT")));
    }
    Ok(ClusterConfig {
        secret: section.secret("secret")?,
        workers,
        bytes_min: section.count("bytes_min", 0, i64::MAX as u64)?,
        task_bytes: section.count("task_bytes", 1, i64::MAX as u64)?,
        ca,
        coordinator_works: section.boolean("coordinator_works")?.unwrap_or(true),
    })
}
