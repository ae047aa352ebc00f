//! Puts the layers together: storage, catalogs, engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use fjord_catalog::catalog::Catalog;
use fjord_catalog::embedded::{Embedded, EmbeddedDatabase, EmbeddedOptions};
use fjord_catalog::name::Namespace;
use fjord_catalog::rest::{Rest, Vending};
use fjord_catalog::storage::s3::{self, S3Options};
use fjord_catalog::storage::{Storage, VendedStores};
use fjord_connectors::connector::{self, ConnectorOptions};
use fjord_engine::cluster::ClusterOptions;
use fjord_engine::engine::{Engine, EngineOptions};
use fjord_engine::foreign::Databases;
use fjord_engine::foreign::definition::METADATA_TTL;
use fjord_engine::queries::{QueriesOptions, QueryLimits, QueryObserver};
use fjord_engine::session::{Session, SessionOptions};

use crate::cli::Settings;
use crate::cluster::{Desk, Membership, http_url};
use crate::config::{
    CatalogConfig, CatalogKind, ConfigError, DatabaseConfig, LimitsConfig, MemoryLimit, RestConfig,
    StorageConfig, StoragePlace,
};
use crate::files::ServerFiles;
use crate::kept_catalogs::KeptCatalogs;

/// The catalog that is always there.
const DEFAULT_CATALOG: &str = "iceberg";
/// The schema of sessions that name none.
const DEFAULT_SCHEMA: &str = "default";

/// Where a server remembers its statements, below the data directory.
const HISTORY_DIR: &str = "queries";

/// An engine with its catalogs, and the directory that it lives in.
#[derive(Debug)]
pub struct Lakehouse {
    engine: Engine,
    data_dir: PathBuf,
    embedded: Vec<Embedded>,
}

impl Lakehouse {
    /// Opens the data directory, making it where needed. What statements have come to is known
    /// while the process lives.
    pub(crate) async fn open(settings: &Settings) -> Result<Self> {
        let data_dir = make_directory(&settings.data_dir)?;
        let queries = queries(&settings.file.limits);
        Self::open_with(settings, data_dir, queries, Tables::Anywhere, Storage::local()).await
    }

    /// The same for a server: the history of statements outlives it, and `observer` is told of
    /// each that has ended.
    pub(crate) async fn open_server(
        settings: &Settings,
        observer: Arc<dyn QueryObserver>,
    ) -> Result<Self> {
        let data_dir = make_directory(&settings.data_dir)?;
        let queries = QueriesOptions {
            history_dir: Some(data_dir.join(HISTORY_DIR)),
            observer: Some(observer),
            ..queries(&settings.file.limits)
        };
        let tables = Tables::Within(&settings.file.storage);
        Self::open_with(settings, data_dir, queries, tables, Storage::local()).await
    }

    /// `local` is local disk; buckets come from the settings.
    pub(crate) async fn open_with(
        settings: &Settings,
        data_dir: PathBuf,
        queries: QueriesOptions,
        tables: Tables<'_>,
        local: Storage,
    ) -> Result<Self> {
        let storage = stores(local, &settings.file.storage)?;
        let engine = Engine::try_new(EngineOptions {
            memory_limit_bytes: settings.memory_limit.map(limit_bytes),
            spill_dir: data_dir.join("spill"),
            target_partitions: None,
            storage: storage.clone(),
            file_relations: fjord_connectors::file_relations(),
            queries,
            databases: databases(settings, &data_dir),
        })?;
        let mut lakehouse = Self { engine, data_dir, embedded: Vec::new() };
        for catalog in catalogs(&settings.file.catalogs) {
            if let CatalogKind::Database(config) = &catalog.kind {
                mount_database(&lakehouse.engine, &settings.origin, &catalog.name, config)?;
                continue;
            }
            lakehouse.mount(&catalog, &storage, tables, &settings.file.storage).await?;
        }
        lakehouse.engine.mount_kept_databases()?;
        Ok(lakehouse)
    }

    async fn mount(
        &mut self,
        config: &CatalogConfig,
        storage: &Storage,
        tables: Tables<'_>,
        stores: &[StorageConfig],
    ) -> Result<()> {
        let (warehouse, postgres) = match &config.kind {
            CatalogKind::Embedded { warehouse, postgres } => (warehouse, postgres),
            CatalogKind::Database(_) => return Ok(()),
            CatalogKind::Rest(rest) => {
                return self.mount_rest(&config.name, rest, storage, tables, stores);
            }
        };
        let warehouse_uri = match warehouse {
            Some(uri) if uri.starts_with("file:") || uri.starts_with("s3:") => uri.clone(),
            Some(path) => file_uri(&std::path::absolute(path)?)?,
            None if config.name == DEFAULT_CATALOG => file_uri(&self.data_dir.join("warehouse"))?,
            None => file_uri(&self.data_dir.join(format!("warehouse-{}", config.name)))?,
        };
        // Tables that were made before a warehouse was configured stay in reach.
        let own = [warehouse_uri.clone(), file_uri(&self.data_dir.join("warehouse"))?];
        let storage = tables.confine(storage, &own)?;
        let database = match postgres {
            Some(server) => EmbeddedDatabase::Postgres(server.clone()),
            None => EmbeddedDatabase::File(self.data_dir.join("catalog.db")),
        };
        let mut options = EmbeddedOptions::on(database, warehouse_uri.clone());
        options.catalog_name.clone_from(&config.name);
        options.storage = storage.clone();
        options.first_namespace = Some(Namespace::new([DEFAULT_SCHEMA])?);
        let embedded = Embedded::open(options)
            .await
            .with_context(|| format!("catalog {:?} cannot be opened", config.name))?;
        self.embedded.push(embedded.clone());
        let catalog =
            Catalog::new(config.name.as_str(), Arc::new(embedded), storage.clone(), warehouse_uri);
        self.engine.mount(catalog)?;
        Ok(())
    }

    /// Nothing is asked of the server yet: one that is down keeps nobody from starting.
    fn mount_rest(
        &self,
        name: &str,
        config: &RestConfig,
        storage: &Storage,
        tables: Tables<'_>,
        stores: &[StorageConfig],
    ) -> Result<()> {
        // Where its tables may lie, the server tells later and the configuration now.
        let location = config.location.clone().unwrap_or_default();
        let storage = tables.confine(storage, config.location.as_slice())?;
        let mut options = config.options(storage.clone());
        let storage = match config.vended_credentials {
            true => {
                let vended = VendedStores::default();
                let places = stores.iter().filter_map(place).collect();
                options.vending = Some(Vending { stores: vended.clone(), places });
                storage.with_vended(vended)
            }
            false => storage,
        };
        let rest =
            Rest::try_new(options).with_context(|| format!("catalog {name:?} cannot be set up"))?;
        self.engine.mount(Catalog::new(name, Arc::new(rest), storage, location))?;
        Ok(())
    }

    /// A session as one person's shell has it: every file that the process may read.
    pub fn session(&self) -> Session {
        self.engine.session(SessionOptions::default())
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Which files a server's statements may name: never the data directory, a warehouse, or what
    /// the configuration keeps secrets in.
    ///
    /// # Errors
    /// For a `[storage]` prefix that overlaps with one of these.
    pub(crate) fn file_policy(&self, settings: &Settings) -> Result<ServerFiles, ConfigError> {
        let catalogs = self.engine.catalogs();
        let local = |uri: &str| uri.strip_prefix("file://").map(PathBuf::from);
        let warehouses = catalogs.iter().map(|c| c.warehouse());
        let warehouses: Vec<&str> = warehouses.filter(|warehouse| !warehouse.is_empty()).collect();
        let mut forbidden: Vec<PathBuf> = warehouses.iter().filter_map(|w| local(w)).collect();
        forbidden.push(self.data_dir.clone());
        forbidden.extend(settings.file.auth.passwords.clone());
        forbidden.extend(settings.file.tls.iter().map(|tls| tls.key.clone()));
        let buckets = warehouses.into_iter().filter(|w| !w.starts_with("file:"));
        let buckets = buckets.map(str::to_owned).collect();
        ServerFiles::try_new(&settings.origin, &settings.file.storage, forbidden, buckets)
    }

    /// The embedded catalog of that name.
    pub(crate) fn embedded(&self, name: &str) -> Option<&Embedded> {
        self.embedded.iter().find(|catalog| catalog.catalog_name().eq_ignore_ascii_case(name))
    }

    /// Where everything lives.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Becomes the coordinator of a cluster, at whose desk workers register.
    pub(crate) fn open_desk(&self, settings: &Settings) -> Result<Desk> {
        let config = &settings.file.cluster;
        let auth = Membership::open(&settings.file, &self.data_dir)?;
        let mut options = ClusterOptions::new(Arc::clone(&auth));
        options.workers =
            config.workers.iter().map(|worker| http_url(worker)).collect::<Result<_>>()?;
        options.bytes_min = config.bytes_min.unwrap_or(options.bytes_min);
        options.task_bytes = config.task_bytes.unwrap_or(options.task_bytes);
        options.coordinator_works = config.coordinator_works;
        let cluster = self.engine.coordinate(options)?;
        Desk::open(self.engine.clone(), cluster, auth, &self.data_dir)
    }

    /// Closes the catalogs, so that their databases are single files again.
    pub(crate) async fn close(self) {
        self.engine.close_databases().await;
        drop(self.engine);
        for embedded in &self.embedded {
            embedded.close().await;
        }
    }
}

/// Nothing is asked of the database yet: one that is down keeps nobody from starting.
///
/// # Errors
/// A [`ConfigError`] for options that the connector refuses.
fn mount_database(engine: &Engine, file: &str, name: &str, config: &DatabaseConfig) -> Result<()> {
    let refused = |problem: String| {
        let key = format!("catalog.{name}");
        // Connectors say which option it is, in backticks, and which catalog.
        let problem = problem.trim_start_matches(&format!("catalog {name:?}: "));
        let option = problem.split_once("option `").and_then(|(_, rest)| rest.split_once('`'));
        let key = option.map_or(key.clone(), |(option, _)| format!("{key}.{option}"));
        ConfigError::new(file, key, problem)
    };
    let kinds = fjord_connectors::connector_kinds();
    let kind = kinds.iter().find(|kind| kind.name() == config.kind);
    let kind = kind.ok_or_else(|| refused(format!("no kind {:?}", config.kind)))?;
    let secrets = config.secrets.iter().map(|(key, (secret, reference))| {
        let value = secret.expose().to_owned();
        (key.clone(), connector::Secret { value, reference: reference.clone() })
    });
    let connector = kind
        .open(ConnectorOptions {
            catalog: name.to_owned(),
            options: config.options.clone(),
            secrets: secrets.collect(),
            metadata_ttl: METADATA_TTL,
        })
        .map_err(|e| refused(e.to_string()))?;
    engine.mount_database(name, connector)?;
    Ok(())
}

/// Which databases there may be, and where those are kept that statements make.
fn databases(settings: &Settings, data_dir: &Path) -> Databases {
    Databases {
        kinds: fjord_connectors::connector_kinds(),
        home: Some(Arc::new(KeptCatalogs::new(data_dir).beside(own_secrets(settings)))),
        optimizer_rules: fjord_connectors::optimizer_rules(),
        physical_optimizer_rules: fjord_connectors::physical_optimizer_rules(),
    }
}

/// The engine of a worker, and its data directory: stores, memory, and the databases that it can
/// open; no catalogs of tables. What it reads and writes comes with the plans of its coordinator.
pub(crate) fn worker_engine(settings: &Settings) -> Result<(Engine, PathBuf)> {
    let data_dir = make_directory(&settings.data_dir)?;
    let engine = Engine::try_new(EngineOptions {
        memory_limit_bytes: settings.memory_limit.map(limit_bytes),
        spill_dir: data_dir.join("spill"),
        target_partitions: None,
        storage: stores(Storage::local(), &settings.file.storage)?,
        file_relations: fjord_connectors::file_relations(),
        queries: QueriesOptions::default(),
        databases: databases(settings, &data_dir),
    })?;
    for catalog in &settings.file.catalogs {
        if let CatalogKind::Database(config) = &catalog.kind {
            mount_database(&engine, &settings.origin, &catalog.name, config)?;
        }
    }
    engine.mount_kept_databases()?;
    Ok((engine, data_dir))
}

/// Where the tables of a process may lie, whatever their metadata says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tables<'a> {
    /// Wherever the person who runs the process may read and write.
    Anywhere,
    /// In the warehouse of their catalog and below the prefixes that are no exchange of files.
    Within(&'a [StorageConfig]),
}

impl Tables<'_> {
    /// `storage` as a catalog may use it whose own places are `own`.
    fn confine(self, storage: &Storage, own: &[String]) -> Result<Storage> {
        let Self::Within(configured) = self else { return Ok(storage.clone()) };
        let prefixes = configured.iter().filter(|store| !store.files).map(StorageConfig::prefix);
        let places: Vec<String> = prefixes.chain(own.iter().cloned()).collect();
        Ok(storage.clone().confined_to(places.iter().map(String::as_str))?)
    }
}

/// Files that the configuration keeps secrets of the process in, and itself.
fn own_secrets(settings: &Settings) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from(&settings.origin)];
    files.extend(settings.file.auth.passwords.clone());
    files.extend(settings.file.tls.iter().map(|tls| tls.key.clone()));
    files
}

/// A bucket that the configuration describes.
fn place(config: &StorageConfig) -> Option<(String, S3Options)> {
    match &config.place {
        StoragePlace::Directory(_) => None,
        StoragePlace::S3 { prefix, options } => Some((prefix.clone(), options.as_ref().clone())),
    }
}

/// Local disk, and the buckets that the configuration describes.
fn stores(local: Storage, configured: &[StorageConfig]) -> Result<Storage> {
    configured.iter().try_fold(local, |storage, config| match &config.place {
        StoragePlace::Directory(_) => Ok(storage),
        StoragePlace::S3 { prefix, options } => {
            Ok(storage.with_store(prefix, s3::store(options)?)?)
        }
    })
}

/// The built-in catalog first, unless the file describes it itself.
fn catalogs(configured: &[CatalogConfig]) -> Vec<CatalogConfig> {
    let is_default = |c: &&CatalogConfig| c.name.eq_ignore_ascii_case(DEFAULT_CATALOG);
    let default = configured.iter().find(is_default).cloned().unwrap_or_else(|| CatalogConfig {
        name: DEFAULT_CATALOG.to_owned(),
        kind: CatalogKind::Embedded { warehouse: None, postgres: None },
    });
    let others = configured.iter().filter(|c| !is_default(c)).cloned();
    std::iter::once(default).chain(others).collect()
}

/// The limits of `[limits]`, the defaults where it says nothing.
fn queries(limits: &LimitsConfig) -> QueriesOptions {
    let defaults = QueriesOptions::default();
    QueriesOptions {
        running_max: limits.queries_running_max.unwrap_or(defaults.running_max),
        queued_max: limits.queries_queued_max.unwrap_or(defaults.queued_max),
        limits: QueryLimits {
            time: limits.query_time.unwrap_or(defaults.limits.time),
            rows: limits.query_rows,
            memory_bytes: limits.query_memory.map(limit_bytes),
        },
        history_entries_max: limits.history_entries.unwrap_or(defaults.history_entries_max),
        ..defaults
    }
}

fn make_directory(path: &Path) -> Result<PathBuf> {
    let named = || format!("data directory {:?} cannot be made or opened", path.display());
    std::fs::create_dir_all(path).with_context(named)?;
    // Locations end up in metadata: they must not depend on where the next process starts.
    std::fs::canonicalize(path).with_context(named)
}

fn file_uri(path: &Path) -> Result<String> {
    let path = path.to_str().with_context(|| format!("path {:?} is not UTF-8", path.display()))?;
    Ok(format!("file://{path}"))
}

/// A limit of the configuration in bytes.
pub(crate) fn limit_bytes(limit: MemoryLimit) -> usize {
    let bytes = match limit {
        MemoryLimit::Bytes(bytes) => bytes,
        MemoryLimit::Percent(percent) => {
            fjord_engine::engine::machine_memory_bytes() / 100 * u64::from(percent)
        }
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
