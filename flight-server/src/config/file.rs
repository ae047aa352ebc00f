//! `fjord.toml`: its sections, checked.

use std::path::PathBuf;

use fjord_catalog::embedded::PostgresOptions;
use toml::{Table, Value};

use super::auth::{self, AuthConfig};
use super::cluster::{self, ClusterConfig};
use super::database::{self, DatabaseConfig};
use super::embedded;
use super::error::ConfigError;
use super::limits::{self, LimitsConfig};
use super::memory::MemoryLimit;
use super::reader::Section;
use super::rest::{self, RestConfig};
use super::server::{self, ServerConfig};
use super::storage::{self, StorageConfig};
use super::telemetry::{self, TelemetryConfig};
use super::tls::{self, TlsConfig};

/// The largest configuration file.
const CONFIG_BYTES_MAX: usize = 1 << 20;
/// The most catalogs.
const CATALOGS_MAX: usize = 256;
/// Kinds that DESIGN names and a later version brings.
const LATER_KINDS: &[&str] = &["hive", "mysql"];

/// The keys and sections of the top.
const KEYS: &[&str] = &[
    "auth",
    "catalog",
    "cluster",
    "data_dir",
    "limits",
    "memory_limit",
    "role",
    "server",
    "storage",
    "telemetry",
    "tls",
    "user",
];

/// What a file configures. Flags and variables override it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Where everything lives unless said otherwise.
    pub data_dir: Option<PathBuf>,
    /// The memory of all operators together.
    pub memory_limit: Option<MemoryLimit>,
    /// Catalogs beside, or instead of, the built-in `iceberg`; sorted by name.
    pub catalogs: Vec<CatalogConfig>,
    /// `[cluster]`.
    pub cluster: ClusterConfig,
    /// `[limits]`.
    pub limits: LimitsConfig,
    /// `[server]`.
    pub server: ServerConfig,
    /// `[telemetry]`.
    pub telemetry: TelemetryConfig,
    /// Who may connect to a server, and what they may do.
    pub auth: AuthConfig,
    /// The certificate that a server shows.
    pub tls: Option<TlsConfig>,
    /// Directories with a policy of their own; sorted by name.
    pub storage: Vec<StorageConfig>,
}

/// One `[catalog.NAME]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogConfig {
    /// The first part of three-part names.
    pub name: String,
    /// What serves it.
    pub kind: CatalogKind,
}

/// What serves a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogKind {
    /// SQLite in the data directory, or PostgreSQL.
    Embedded {
        /// Where new tables go; `None`: below the data directory.
        warehouse: Option<String>,
        /// The database; `None`: SQLite in the data directory.
        postgres: Option<PostgresOptions>,
    },
    /// A server that speaks the Iceberg REST protocol.
    Rest(Box<RestConfig>),
    /// A live database.
    Database(Box<DatabaseConfig>),
}

/// Parses the bytes of a configuration file called `name`. Never panics, whatever the bytes.
///
/// # Errors
/// Names the file, the key, what was found and what is accepted.
pub fn parse(bytes: &[u8], name: &str) -> Result<Config, ConfigError> {
    if bytes.len() > CONFIG_BYTES_MAX {
        let problem = format!("found {} bytes; accepted: at most {CONFIG_BYTES_MAX}", bytes.len());
        return Err(ConfigError::new(name, "", problem));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].split(|b| *b == b'\n').count();
        ConfigError::new(name, format!("line {line}"), "found bytes that are not UTF-8")
    })?;
    let table: Table = text.parse().map_err(|e: toml::de::Error| syntax_error(name, text, &e))?;
    let mut top = Section::new(name, "", table, KEYS)?;
    let storage = storage::parse(name, top.tables("storage")?)?;
    let tls = tls::parse(name, top.table("tls")?)?;
    let auth = auth::parse(name, &mut top, tls.as_ref())?;
    let memory_limit = match top.text_or_integer("memory_limit")? {
        None => None,
        Some(text) => {
            Some(MemoryLimit::parse(&text).map_err(|problem| top.error("memory_limit", problem))?)
        }
    };
    let data_dir = top.text("data_dir")?.map(PathBuf::from);
    let sections = top.tables("catalog")?;
    if sections.len() > CATALOGS_MAX {
        let problem =
            format!("found {} catalogs; accepted: at most {CATALOGS_MAX}", sections.len());
        return Err(top.error("catalog", problem));
    }
    let catalogs = sections
        .into_iter()
        .map(|(catalog, table)| parse_catalog(name, catalog, table, &storage))
        .collect::<Result<Vec<_>, _>>()?;
    reject_twins(name, &catalogs)?;
    let cluster = cluster::parse(name, top.table("cluster")?.unwrap_or_default(), tls.is_some())?;
    Ok(Config {
        data_dir,
        memory_limit,
        catalogs,
        auth,
        tls,
        storage,
        cluster,
        limits: limits::parse(name, top.table("limits")?.unwrap_or_default())?,
        server: server::parse(name, top.table("server")?.unwrap_or_default())?,
        telemetry: telemetry::parse(name, top.table("telemetry")?.unwrap_or_default())?,
    })
}

fn syntax_error(name: &str, text: &str, e: &toml::de::Error) -> ConfigError {
    let at = e.span().map_or(0, |span| span.start.min(text.len()));
    // A span may point into the middle of a character.
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = before.split(|b| *b == b'\n').count();
    let message = e.message().lines().next().unwrap_or("not TOML").to_owned();
    ConfigError::new(name, format!("line {line}"), message)
}

fn parse_catalog(
    file: &str,
    name: String,
    mut table: Table,
    storage: &[StorageConfig],
) -> Result<CatalogConfig, ConfigError> {
    let path = super::reader::join("catalog", &name);
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 64;
    if !is_plain || name.eq_ignore_ascii_case("information_schema") {
        let problem = "not a catalog's name; accepted: up to 64 letters, digits and underscores, a letter first";
        return Err(ConfigError::new(file, path, problem));
    }
    // The kind decides which keys there are, so it is looked at before the others.
    let kind = table.remove("type");
    let accepted = accepted_kinds();
    match &kind {
        Some(Value::String(kind)) if kind == "embedded" => {}
        Some(Value::String(kind)) if kind == "rest" => {
            let mut section = Section::new(file, path, table, rest::KEYS)?;
            let config = rest::parse(&mut section)?;
            return Ok(CatalogConfig { name, kind: CatalogKind::Rest(Box::new(config)) });
        }
        Some(Value::String(kind)) if is_database(kind) => {
            let config = database::parse(file, &path, kind, table)?;
            return Ok(CatalogConfig { name, kind: CatalogKind::Database(Box::new(config)) });
        }
        Some(Value::String(kind)) if LATER_KINDS.contains(&kind.as_str()) => {
            let problem =
                format!("catalogs of type {kind:?} are not in this version; accepted: {accepted}");
            return Err(ConfigError::new(file, format!("{path}.type"), problem));
        }
        found => {
            let section = Section::new(file, path, Table::new(), &["type"])?;
            return Err(match found {
                Some(value) => section.wrong_type("type", value, &accepted),
                None => section.error("type", format!("is missing; accepted: {accepted}")),
            });
        }
    }
    let mut section = Section::new(file, path, table, embedded::KEYS)?;
    let warehouse = section.text("warehouse")?;
    if let Some(warehouse) = &warehouse {
        storage::check_warehouse(storage, warehouse)
            .map_err(|problem| section.error("warehouse", problem))?;
    }
    let postgres = embedded::postgres(&mut section)?;
    Ok(CatalogConfig { name, kind: CatalogKind::Embedded { warehouse, postgres } })
}

fn is_database(kind: &str) -> bool {
    fjord_connectors::connector_kinds().iter().any(|known| known.name() == kind)
}

fn accepted_kinds() -> String {
    let databases = fjord_connectors::connector_kinds();
    let databases = databases.iter().map(|kind| kind.name());
    let kinds = ["embedded", "rest"].into_iter().chain(databases);
    kinds.map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(", ")
}

/// Catalogs are found regardless of case, so names that differ by case alone are one name.
fn reject_twins(file: &str, catalogs: &[CatalogConfig]) -> Result<(), ConfigError> {
    for (i, catalog) in catalogs.iter().enumerate() {
        if let Some(twin) =
            catalogs[..i].iter().find(|c| c.name.eq_ignore_ascii_case(&catalog.name))
        {
            let problem = format!(
                "differs from catalog.{} by case alone; names are found regardless of case",
                twin.name
            );
            return Err(ConfigError::new(file, format!("catalog.{}", catalog.name), problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(text: &str) -> String {
        parse(text.as_bytes(), "fjord.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_full_file_is_read() {
        let text = "memory_limit = \"50%\"\ndata_dir = \"/srv/lake\"\n[catalog.iceberg]\ntype = \"embedded\"\nwarehouse = \"/srv/warehouse\"\n";
        let config = parse(text.as_bytes(), "fjord.toml").unwrap();
        assert_eq!(config.memory_limit, Some(MemoryLimit::Percent(50)));
        assert_eq!(config.data_dir, Some(PathBuf::from("/srv/lake")));
        assert_eq!(config.catalogs[0].name, "iceberg");
        assert_eq!(parse(b"", "fjord.toml").unwrap(), Config::default());
    }

    #[test]
    fn limits_server_and_telemetry_are_read() {
        let text = "[limits]\nqueries_running_max = 32\nqueries_queued_max = 0\nquery_memory = \"25%\"\nquery_time = \"10min\"\nquery_rows = 5\nhistory_entries = 7\n[server]\ndrain_time = \"5s\"\n[telemetry]\notlp_endpoint = \"http://127.0.0.1:4317\"\n";
        let config = parse(text.as_bytes(), "fjord.toml").unwrap();
        let limits = LimitsConfig {
            queries_running_max: Some(32),
            queries_queued_max: Some(0),
            query_memory: Some(MemoryLimit::Percent(25)),
            query_time: Some(Duration::from_secs(600)),
            query_rows: Some(5),
            history_entries: Some(7),
        };
        assert_eq!(config.limits, limits);
        assert_eq!(config.server.drain_time, Duration::from_secs(5));
        assert_eq!(config.telemetry.otlp_endpoint.as_deref(), Some("http://127.0.0.1:4317"));
    }

    /// The operator's guide lists every key.
    #[test]
    fn every_key_is_documented() {
        let guide = include_str!("../../../docs/operations.md");
        for key in [cluster::KEYS, limits::KEYS, server::KEYS, telemetry::KEYS].concat() {
            assert!(guide.contains(&format!("| `{key}` |")), "{key}");
        }
    }

    #[test]
    fn errors_name_file_key_what_was_found_and_what_is_accepted() {
        for (text, expected) in [
            (
                "data_dri = 1",
                "fjord.toml: data_dri: unknown key; accepted here: auth, catalog, cluster, data_dir, limits, memory_limit, role, server, storage, telemetry, tls, user",
            ),
            (
                "[sever]",
                "fjord.toml: sever: unknown section; accepted here: auth, catalog, cluster, data_dir, limits, memory_limit, role, server, storage, telemetry, tls, user",
            ),
            (
                "data_dir = 7",
                "fjord.toml: data_dir: found the number 7; accepted: a string that is not empty",
            ),
            (
                "memory_limit = true",
                "fjord.toml: memory_limit: found true; accepted: a string or a whole number",
            ),
            (
                "catalog = 3",
                "fjord.toml: catalog: found the number 3; accepted: sections of the form [catalog.NAME]",
            ),
            ("[catalog.a]", "fjord.toml: catalog.a.type: is missing; accepted: \"embedded\""),
            (
                "[catalog.a]\ntype = \"sqlite\"",
                "fjord.toml: catalog.a.type: found the string \"sqlite\"; accepted: \"embedded\"",
            ),
            (
                "[catalog.n]\ntype = \"hive\"\nuri = \"x\"",
                "fjord.toml: catalog.n.type: catalogs of type \"hive\" are not in this version; accepted: \"embedded\", \"rest\"",
            ),
            (
                "[catalog.a]\ntype = \"embedded\"\nwarehose = \"x\"",
                "fjord.toml: catalog.a.warehose: unknown key; accepted here: password, url, warehouse",
            ),
            ("[catalog.a]\ntype = \"embedded\"\n[catalog.A]\ntype = \"embedded\"", "by case alone"),
            ("[catalog.\"a b\"]\ntype = \"embedded\"", "catalog.\"a b\": not a catalog's name"),
            (
                "[catalog.a]\ntype = \"embedded\"\nwarehouse = \"s3://b/w\"",
                "catalog.a.warehouse: found \"s3://b/w\"",
            ),
            (
                "[limits]\nqueries_running_max = 0",
                "fjord.toml: limits.queries_running_max: found the number 0; accepted: a whole number from 1 to 100000",
            ),
            (
                "[limits]\nquery_time = 30",
                "fjord.toml: limits.query_time: found \"30\"; accepted: a time with its unit",
            ),
            (
                "[limits]\nquery_memory = \"1KB\"",
                "fjord.toml: limits.query_memory: found \"1KB\"; accepted: a size",
            ),
            (
                "[limits]\nquery_tim = \"1s\"",
                "fjord.toml: limits.query_tim: unknown key; accepted here: history_entries",
            ),
            ("limits = 3", "fjord.toml: limits: found the number 3; accepted: a section [limits]"),
            (
                "[server]\ndrain_time = true",
                "fjord.toml: server.drain_time: found true; accepted: a string or a whole number",
            ),
            (
                "[telemetry]\notlp_endpoint = \"https://u:canary@h\"",
                "fjord.toml: telemetry.otlp_endpoint: found something else",
            ),
            ("a = 1\nb = = 2", "fjord.toml: line 2: "),
        ] {
            let found = message(text);
            assert!(found.contains(expected), "{text}\n{found}");
            assert!(!found.contains("canary"), "{found}");
        }
        assert!(parse(b"a = 1\n\xff", "f").unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn no_mutation_of_a_file_panics() {
        let text = "memory_limit = \"4GB\"\n[catalog.iceberg]\ntype = \"embedded\"\nwarehouse = \"/tmp/ü\"\n";
        let mut seed = 7_u64;
        for _ in 0..3000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % bytes.len();
                match seed % 3 {
                    0 => bytes[at] = (seed >> 24) as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b"[]{}=\".\n\\"[(seed >> 20) as usize % 9]),
                }
            }
            let _outcome = parse(&bytes, "fjord.toml");
        }
        let deep = format!("a = {}", "[".repeat(100_000));
        assert!(parse(deep.as_bytes(), "fjord.toml").is_err());
    }
}
