//! `[server]`: how the server ends.

use std::time::Duration;

use toml::Table;

use super::duration::parse_duration;
use super::error::ConfigError;
use super::reader::Section;

/// The keys of the section.
pub(super) const KEYS: &[&str] = &["drain_time"];

/// How long running statements have when the server is told to end.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// What the section says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// From SIGTERM to the moment when statements that still run are ended.
    pub drain_time: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { drain_time: DRAIN_TIME }
    }
}

pub(super) fn parse(file: &str, table: Table) -> Result<ServerConfig, ConfigError> {
    let mut section = Section::new(file, "server", table, KEYS)?;
    let drain_time = match section.text_or_integer("drain_time")? {
        None => DRAIN_TIME,
        Some(text) => parse_duration(&text).map_err(|p| section.error("drain_time", p))?,
    };
    Ok(ServerConfig { drain_time })
}
