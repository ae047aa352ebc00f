//! A session's own state: current catalog and schema, settings, prepared statements.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::config::{ConfigEntry, ConfigOptions};
use datafusion::prelude::SessionConfig;
use serde::{Deserialize, Serialize};

use super::statement::Prepared;
use crate::error::{Error, ErrorKind, Result};
use crate::session_settings;

/// Prepared statements that a session holds at most.
const PREPARED_MAX: usize = 1_000;

/// The schema of sessions that named none.
pub(crate) const DEFAULT_SCHEMA: &str = "default";

/// Short names of the settings that people use most, and what they set.
const SHORT_NAMES: [(&str, &str); 9] = [
    ("target_partitions", "datafusion.execution.target_partitions"),
    ("batch_size", "datafusion.execution.batch_size"),
    ("time_zone", "datafusion.execution.time_zone"),
    ("timezone", "datafusion.execution.time_zone"),
    ("cluster_bytes_min", "fjord.cluster_bytes_min"),
    ("query_time_seconds", "fjord.query_time_seconds"),
    ("query_rows_max", "fjord.query_rows_max"),
    ("query_memory_bytes", "fjord.query_memory_bytes"),
    ("nessie_reference", "fjord.nessie_reference"),
];

/// DataFusion's settings that a session may change. Everything else is refused: memory and spill
/// belong to the process, the parser's and the catalog's settings to us.
const ALLOWED: [&str; 18] = [
    "fjord.",
    "datafusion.execution.target_partitions",
    "datafusion.execution.batch_size",
    "datafusion.execution.time_zone",
    "datafusion.execution.collect_statistics",
    "datafusion.execution.coalesce_batches",
    "datafusion.execution.sort_spill_reservation_bytes",
    "datafusion.execution.sort_in_place_threshold_bytes",
    "datafusion.execution.planning_concurrency",
    "datafusion.execution.enable_file_stream_work_stealing",
    "datafusion.execution.parquet.pushdown_filters",
    "datafusion.execution.parquet.reorder_filters",
    "datafusion.execution.parquet.pruning",
    "datafusion.execution.parquet.enable_page_index",
    "datafusion.execution.parquet.bloom_filter_on_read",
    "datafusion.optimizer.",
    "datafusion.explain.",
    "datafusion.format.",
];

/// Optimizer settings that change what can be planned or executed, not how fast.
const REFUSED: [&str; 2] =
    ["datafusion.optimizer.enable_window_topn", "datafusion.optimizer.enable_piecewise_merge_join"];

/// What one session remembers between statements.
#[derive(Clone, Debug)]
pub(crate) struct Variables {
    pub(crate) catalog: String,
    pub(crate) schema: String,
    pub(crate) config: SessionConfig,
    /// Full names of the settings that were changed, with their values.
    changed: BTreeMap<String, String>,
    prepared: BTreeMap<String, Arc<Prepared>>,
}

/// Where a session stands: what a statement's meaning depends on beside its text and the catalogs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The current catalog.
    pub catalog: String,
    /// The current schema, dotted when nested.
    pub schema: String,
    /// Full names of the settings that were changed, with their values.
    pub settings: BTreeMap<String, String>,
}

/// The variables of a session, shared by its statements.
#[derive(Debug)]
pub(crate) struct SharedVariables {
    current: Mutex<Variables>,
    initial: SessionConfig,
}

impl SharedVariables {
    pub(crate) fn new(catalog: String, schema: String, config: SessionConfig) -> Self {
        let initial = config.clone();
        let (changed, prepared) = (BTreeMap::new(), BTreeMap::new());
        let current = Variables { catalog, schema, config, changed, prepared };
        Self { current: Mutex::new(current), initial }
    }

    /// A copy that goes its own way.
    pub(crate) fn fork(&self) -> Self {
        Self { current: Mutex::new(self.snapshot()), initial: self.initial.clone() }
    }

    /// Where the session stands.
    pub(crate) fn place(&self) -> Place {
        let Variables { catalog, schema, changed, .. } = &*self.lock();
        Place { catalog: catalog.clone(), schema: schema.clone(), settings: changed.clone() }
    }

    /// Goes to a place. Its names are taken as they are: a statement that needs them looks.
    pub(crate) fn go_to(&self, place: &Place) -> Result<()> {
        self.use_schema(place.catalog.clone(), place.schema.clone());
        for (key, value) in &place.settings {
            self.set(key, value)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Variables> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy for one statement.
    pub(crate) fn snapshot(&self) -> Variables {
        self.lock().clone()
    }

    pub(crate) fn use_schema(&self, catalog: String, schema: String) {
        let mut variables = self.lock();
        variables.catalog = catalog;
        variables.schema = schema;
    }

    /// Changes one setting; returns its full name.
    pub(crate) fn set(&self, key: &str, value: &str) -> Result<String> {
        let key = full_key(key);
        check_allowed(&key)?;
        check_value(&key, value)?;
        let mut variables = self.lock();
        let mut options = variables.config.options().as_ref().clone();
        options.set(&key, value).map_err(|e| {
            Error::invalid(format!("setting \"{key}\": {}", e.strip_backtrace())).with_source(e)
        })?;
        *variables.config.options_mut() = options;
        variables.changed.insert(key.clone(), value.to_owned());
        Ok(key)
    }

    /// Puts one setting back, or all of them.
    pub(crate) fn reset(&self, key: Option<&str>) -> Result<()> {
        let Some(key) = key else {
            let mut variables = self.lock();
            variables.config = self.initial.clone();
            variables.changed.clear();
            return Ok(());
        };
        let key = full_key(key);
        check_allowed(&key)?;
        match entry(self.initial.options(), &key)? {
            Some(value) => {
                self.set(&key, &value)?;
                self.lock().changed.remove(&key);
                Ok(())
            }
            None => Err(Error::invalid(format!("setting \"{key}\" has no default to go back to"))),
        }
    }

    /// The value of a setting as text; empty when it is not set.
    pub(crate) fn show(&self, key: &str) -> Result<String> {
        let key = full_key(key);
        entry(self.lock().config.options(), &key).map(Option::unwrap_or_default)
    }

    pub(crate) fn prepare(&self, name: String, prepared: Prepared) -> Result<()> {
        let mut variables = self.lock();
        if variables.prepared.len() >= PREPARED_MAX && !variables.prepared.contains_key(&name) {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("a session holds at most {PREPARED_MAX} prepared statements"),
            ));
        }
        variables.prepared.insert(name, Arc::new(prepared));
        Ok(())
    }

    pub(crate) fn deallocate(&self, name: &str) -> Result<()> {
        match self.lock().prepared.remove(name) {
            Some(_) => Ok(()),
            None => Err(not_prepared(name)),
        }
    }

    pub(crate) fn deallocate_all(&self) {
        self.lock().prepared.clear();
    }
}

impl Variables {
    /// The branch or tag that the session works on, where a catalog has such.
    pub(crate) fn nessie_reference(&self) -> Option<String> {
        let settings = self.config.options().extensions.get::<session_settings::SessionSettings>();
        settings.map(|s| s.nessie_reference.clone()).filter(|name| !name.is_empty())
    }

    pub(crate) fn prepared(&self, name: &str) -> Result<Arc<Prepared>> {
        self.prepared.get(name).map(Arc::clone).ok_or_else(|| not_prepared(name))
    }
}

/// Every setting that a session may change, with its value.
pub(crate) fn settings(options: &ConfigOptions) -> Vec<(String, String, String)> {
    let mut all: Vec<_> = entries(options)
        .filter(|e| check_allowed(&e.key).is_ok())
        .map(|e| (e.key, e.value.unwrap_or_default(), e.description.to_owned()))
        .collect();
    all.sort();
    all
}

fn not_prepared(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("prepared statement \"{name}\" not found"))
}

fn full_key(key: &str) -> String {
    let key = key.to_ascii_lowercase();
    match SHORT_NAMES.iter().find(|(short, _)| *short == key) {
        Some((_, full)) => (*full).to_owned(),
        None => key,
    }
}

fn entry(options: &ConfigOptions, key: &str) -> Result<Option<String>> {
    match entries(options).find(|e| e.key == key) {
        Some(entry) => Ok(entry.value),
        None => Err(unknown(key)),
    }
}

/// Every setting. Those of an extension, which can only be ours, come without its prefix.
fn entries(options: &ConfigOptions) -> impl Iterator<Item = ConfigEntry> {
    options.entries().into_iter().map(|mut entry| {
        if !entry.key.starts_with("datafusion.") {
            entry.key = format!("{}.{}", session_settings::PREFIX, entry.key);
        }
        entry
    })
}

fn unknown(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("setting \"{key}\" not found; SHOW ALL lists them"))
}

fn check_allowed(key: &str) -> Result<()> {
    let allowed = ALLOWED.iter().any(|a| match a.strip_suffix('.') {
        Some(_) => key.starts_with(a),
        None => key == *a,
    });
    if allowed && !REFUSED.contains(&key) {
        return Ok(());
    }
    if key.starts_with("datafusion.") {
        return Err(Error::new(
            ErrorKind::PermissionDenied,
            format!("setting \"{key}\" belongs to the process and cannot be changed by SET"),
        ));
    }
    Err(unknown(key))
}

fn check_value(key: &str, value: &str) -> Result<()> {
    let max: usize = match key {
        "datafusion.execution.target_partitions" => 1_024,
        "datafusion.execution.batch_size" => 1 << 20,
        "datafusion.execution.planning_concurrency" => 256,
        "datafusion.execution.time_zone" => {
            return match value.parse::<arrow::array::timezone::Tz>() {
                Ok(_) => Ok(()),
                Err(e) => Err(Error::invalid(format!(
                    "setting \"{key}\": {value:?} is not a time zone such as 'Europe/Paris' or '+02:00'"
                ))
                .with_source(e)),
            };
        }
        "fjord.nessie_reference" => {
            return match value.contains(['|', '%']) || value.chars().any(char::is_control) {
                false => Ok(()),
                true => Err(Error::invalid(format!(
                    "setting \"{key}\": {value:?} is no name of a branch or tag"
                ))),
            };
        }
        _ => return Ok(()),
    };
    match value.parse::<usize>() {
        Ok(n) if (1..=max).contains(&n) => Ok(()),
        _ => Err(Error::invalid(format!(
            "setting \"{key}\": {value:?} is not a whole number from 1 to {max}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> SharedVariables {
        let config = SessionConfig::new()
            .with_option_extension(session_settings::SessionSettings::default());
        SharedVariables::new("iceberg".into(), "default".into(), config)
    }

    #[test]
    fn a_setting_is_changed_shown_and_reset() {
        let v = variables();
        let before = v.show("batch_size").unwrap();
        v.set("BATCH_SIZE", "77").unwrap();
        assert_eq!(v.show("batch_size").unwrap(), "77");
        v.reset(Some("batch_size")).unwrap();
        assert_eq!(v.show("batch_size").unwrap(), before);
    }

    #[test]
    fn our_own_settings_are_set_shown_and_reset() {
        let v = variables();
        v.set("query_time_seconds", "7").unwrap();
        assert_eq!(v.show("fjord.query_time_seconds").unwrap(), "7");
        assert!(
            settings(v.snapshot().config.options()).iter().any(|s| s.0 == "fjord.query_rows_max")
        );
        v.reset(Some("query_time_seconds")).unwrap();
        assert_eq!(v.show("query_time_seconds").unwrap(), "0");
        assert!(v.set("query_rows_max", "-1").is_err());
        assert!(v.set("fjord.nonsense", "1").is_err());
    }

    #[test]
    fn runtime_keys_are_refused() {
        for key in [
            "datafusion.runtime.memory_limit",
            "datafusion.runtime.temp_directory",
            "datafusion.sql_parser.enable_ident_normalization",
            "datafusion.catalog.information_schema",
        ] {
            let e = variables().set(key, "1").unwrap_err();
            assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{key}");
        }
        assert_eq!(variables().set("nonsense", "1").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(variables().set("target_partitions", "0").is_err());
        assert!(variables().set("target_partitions", "many").is_err());
        assert!(variables().set("datafusion.optimizer.prefer_hash_join", "perhaps").is_err());
    }
}
