//! `[limits]`: how many statements at once, and what each may take.

use std::time::Duration;

use toml::Table;

use super::duration::parse_duration;
use super::error::ConfigError;
use super::memory::MemoryLimit;
use super::reader::Section;

/// Statements of one server; beyond this a plan for all of them fits no machine.
const QUERIES_MAX: u64 = 100_000;
/// Rows of one result.
const ROWS_MAX: u64 = 1 << 53;
/// Ended statements that are remembered.
const HISTORY_MAX: u64 = 1_000_000;

/// The keys of the section.
pub(super) const KEYS: &[&str] = &[
    "history_entries",
    "queries_queued_max",
    "queries_running_max",
    "query_memory",
    "query_rows",
    "query_time",
];

/// What the section says; `None` everywhere is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Statements that run at once, in each of the two queues.
    pub queries_running_max: Option<usize>,
    /// Statements that wait, in each of the two queues.
    pub queries_queued_max: Option<usize>,
    /// The memory of one statement's operators.
    pub query_memory: Option<MemoryLimit>,
    /// How long a statement may take.
    pub query_time: Option<Duration>,
    /// Rows of one result.
    pub query_rows: Option<u64>,
    /// Ended statements that are remembered.
    pub history_entries: Option<usize>,
}

pub(super) fn parse(file: &str, table: Table) -> Result<LimitsConfig, ConfigError> {
    let mut section = Section::new(file, "limits", table, KEYS)?;
    let size = |count: Option<u64>| count.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let query_memory = match section.text_or_integer("query_memory")? {
        None => None,
        Some(text) => {
            Some(MemoryLimit::parse(&text).map_err(|p| section.error("query_memory", p))?)
        }
    };
    let query_time = match section.text_or_integer("query_time")? {
        None => None,
        Some(text) => Some(parse_duration(&text).map_err(|p| section.error("query_time", p))?),
    };
    Ok(LimitsConfig {
        queries_running_max: size(section.count("queries_running_max", 1, QUERIES_MAX)?),
        queries_queued_max: size(section.count("queries_queued_max", 0, QUERIES_MAX)?),
        query_memory,
        query_time,
        query_rows: section.count("query_rows", 1, ROWS_MAX)?,
        history_entries: size(section.count("history_entries", 0, HISTORY_MAX)?),
    })
}
