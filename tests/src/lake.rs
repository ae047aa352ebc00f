//! A lakehouse in a temporary directory, in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::commit::CommitLimits;
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::metastore::Metastore;
use fjord_catalog::storage::Storage;
use fjord_engine::engine::{Engine, EngineOptions};
use fjord_engine::foreign::Databases;
use fjord_engine::queries::QueriesOptions;
use fjord_engine::session::{Session, SessionOptions};
use futures::TryStreamExt;
use tempfile::TempDir;

/// A data directory with an engine on it.
#[derive(Debug)]
pub struct Lake {
    path: PathBuf,
    engine: Engine,
    catalog: Catalog,
    /// Held so that a temporary directory lives as long as the lake.
    _directory: Option<TempDir>,
}

/// How to open a lake.
#[derive(Debug)]
pub struct LakeOptions {
    /// Bytes that operators may hold; `None`: the engine's default.
    pub memory_limit_bytes: Option<usize>,
    /// Partitions of a plan.
    pub target_partitions: usize,
    /// The stores, for metadata and scans alike.
    pub storage: Storage,
    /// Limits of the commit loop; `None`: the defaults.
    pub commit_limits: Option<CommitLimits>,
    /// Where tables go; `None`: below the data directory.
    pub warehouse: Option<String>,
}

impl Default for LakeOptions {
    fn default() -> Self {
        Self {
            memory_limit_bytes: None,
            target_partitions: 2,
            storage: Storage::local(),
            commit_limits: None,
            warehouse: None,
        }
    }
}

impl Lake {
    /// A new, empty lake with the schema `default`; gone when dropped.
    pub async fn new() -> Result<Self> {
        Self::with_memory_limit(None).await
    }

    /// The same under a memory limit in bytes.
    pub async fn with_memory_limit(memory_limit_bytes: Option<usize>) -> Result<Self> {
        let options = LakeOptions { memory_limit_bytes, ..LakeOptions::default() };
        let directory = tempfile::tempdir()?;
        let mut lake = Self::open(directory.path(), options, |metastore| metastore).await?;
        lake._directory = Some(directory);
        Ok(lake)
    }

    /// A new, empty lake whose tables go to `warehouse`; gone when dropped, but for the bucket.
    pub async fn on(storage: Storage, warehouse: String) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let options = LakeOptions { storage, warehouse: Some(warehouse), ..LakeOptions::default() };
        let mut lake = Self::open(directory.path(), options, |metastore| metastore).await?;
        lake._directory = Some(directory);
        Ok(lake)
    }

    /// Opens the lake at `path`, which may have tables already; `wrap` may put something between
    /// the engine and the embedded catalog.
    pub async fn open(
        path: &Path,
        options: LakeOptions,
        wrap: impl FnOnce(Arc<dyn Metastore>) -> Arc<dyn Metastore>,
    ) -> Result<Self> {
        let path = path.canonicalize()?;
        let beside = || format!("file://{}/warehouse", path.display());
        let warehouse = options.warehouse.unwrap_or_else(beside);
        let mut embedded = EmbeddedOptions::new(path.join("catalog.db"), &warehouse);
        embedded.storage = options.storage.clone();
        let metastore = wrap(Arc::new(Embedded::open(embedded).await?));
        let mut catalog = Catalog::new("iceberg", metastore, options.storage.clone(), warehouse);
        if let Some(limits) = options.commit_limits {
            catalog = catalog.with_commit_limits(limits);
        }
        let engine = Engine::try_new(EngineOptions {
            memory_limit_bytes: options.memory_limit_bytes,
            spill_dir: path.join("spill"),
            target_partitions: Some(options.target_partitions),
            storage: options.storage,
            file_relations: fjord_connectors::file_relations(),
            databases: Databases {
                kinds: fjord_connectors::connector_kinds(),
                optimizer_rules: fjord_connectors::optimizer_rules(),
                physical_optimizer_rules: fjord_connectors::physical_optimizer_rules(),
                ..Databases::default()
            },
            queries: QueriesOptions::default(),
        })?;
        engine.mount(catalog.clone())?;
        let lake = Self { path, engine, catalog, _directory: None };
        lake.run("CREATE SCHEMA IF NOT EXISTS \"default\"").await?;
        Ok(lake)
    }

    /// The data directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The catalog mounted as `iceberg`.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A new session with the defaults.
    pub fn session(&self) -> Session {
        self.engine.session(SessionOptions::default())
    }

    /// Runs a script and returns the rows of its last statement.
    pub async fn run(&self, script: &str) -> fjord_engine::Result<Vec<RecordBatch>> {
        let session = self.session();
        let mut last = Vec::new();
        for statement in session.parse(script)? {
            last = session.execute(&statement).await?.stream.try_collect().await?;
        }
        Ok(last)
    }
}
