//! A lakehouse in a temporary directory, in this process.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::storage::Storage;
use fjord_engine::engine::{Engine, EngineOptions};
use fjord_engine::session::{Session, SessionOptions};
use futures::TryStreamExt;
use tempfile::TempDir;

/// A fresh data directory with an engine on it; gone when dropped.
#[derive(Debug)]
pub struct Lake {
    directory: TempDir,
    engine: Engine,
    catalog: Catalog,
}

impl Lake {
    /// A new, empty lake with the schema `default`.
    pub async fn new() -> Result<Self> {
        Self::with_memory_limit(None).await
    }

    /// The same under a memory limit in bytes.
    pub async fn with_memory_limit(memory_limit_bytes: Option<usize>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let storage = Storage::local();
        let warehouse = format!("file://{}/warehouse", directory.path().display());
        let embedded =
            Embedded::open(EmbeddedOptions::new(directory.path().join("catalog.db"), &warehouse))
                .await?;
        let catalog = Catalog::new("iceberg", Arc::new(embedded), storage.clone(), warehouse);
        let engine = Engine::try_new(EngineOptions {
            memory_limit_bytes,
            spill_dir: directory.path().join("spill"),
            target_partitions: Some(2),
            storage,
            file_relations: fjord_connectors::file_relations(),
        })?;
        engine.mount(catalog.clone())?;
        let lake = Self { directory, engine, catalog };
        lake.run("CREATE SCHEMA IF NOT EXISTS \"default\"").await?;
        Ok(lake)
    }

    /// The data directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
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
