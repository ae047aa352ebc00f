//! A lakehouse in a directory that is kept between runs, in this process.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::predicate::Predicate;
use fjord_catalog::storage::Storage;
use fjord_connectors::relation::FileRelation;
use fjord_engine::engine::{Engine, EngineOptions};
use fjord_engine::queries::QueriesOptions;
use fjord_engine::session::{Session, SessionOptions};
use futures::TryStreamExt;

/// An engine on a data directory.
#[derive(Debug)]
pub struct BenchLake {
    engine: Engine,
    catalog: Catalog,
}

impl BenchLake {
    /// Opens the lake in `directory`, which is made if need be, with one partition a core.
    pub async fn open(directory: &Path) -> Result<Self> {
        Self::open_with(directory, Vec::new()).await
    }

    /// The same, with relations beside those that are built in.
    pub async fn open_with(
        directory: &Path,
        relations: Vec<Arc<dyn FileRelation>>,
    ) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let storage = Storage::local();
        let warehouse = format!("file://{}/warehouse", directory.display());
        let options = EmbeddedOptions::new(directory.join("catalog.db"), &warehouse);
        let embedded = Embedded::open(options).await?;
        let catalog = Catalog::new("iceberg", Arc::new(embedded), storage.clone(), warehouse);
        let engine = Engine::try_new(EngineOptions {
            memory_limit_bytes: None,
            spill_dir: directory.join("spill"),
            target_partitions: Some(cores()?),
            storage,
            file_relations: [fjord_connectors::file_relations(), relations].concat(),
            databases: Default::default(),
            queries: QueriesOptions::default(),
        })?;
        engine.mount(catalog.clone())?;
        let lake = Self { engine, catalog };
        lake.run("CREATE SCHEMA IF NOT EXISTS iceberg.\"default\"").await?;
        Ok(lake)
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

    /// Runs a script in a session of its own; returns the number of rows of its last statement.
    pub async fn run(&self, script: &str) -> Result<usize> {
        execute(&self.session(), script).await
    }

    /// The folder, with a slash at its end, that holds exactly the live data files of a table.
    ///
    /// # Errors
    /// If other files lie there too: another engine would read them as rows of the table.
    pub async fn data_folder(&self, schema: &str, table: &str) -> Result<String> {
        let name = TableName::new(Namespace::new([schema])?, table)?;
        let table = self.catalog.load_table(&name).await?;
        let snapshot = table.current_snapshot().context("the table was never written")?;
        let plan = self.catalog.plan_files(&table, snapshot, &Predicate::True).await?;
        let first = plan.files.first().context("the table has no files")?.file.file_path();
        let path = first.strip_prefix("file://").context("the table is not on this disk")?;
        let (folder, _) = path.rsplit_once('/').context("a file without a folder")?;
        let there = std::fs::read_dir(folder)?.count();
        if there != plan.files.len() {
            bail!("{folder} holds {there} files, the table {}; remove the lake", plan.files.len());
        }
        Ok(format!("{folder}/"))
    }
}

/// The number of cores, which every engine here gets as its number of threads.
pub fn cores() -> Result<usize> {
    Ok(std::thread::available_parallelism()?.get())
}

/// Runs a script to its last row; returns the number of rows of its last statement.
pub async fn execute(session: &Session, script: &str) -> Result<usize> {
    let mut rows = 0;
    for statement in session.parse(script)? {
        let mut stream = session.execute(&statement).await?.stream;
        rows = 0;
        while let Some(batch) = stream.try_next().await? {
            rows += batch.num_rows();
        }
    }
    Ok(rows)
}

/// Runs a script and keeps the rows of its last statement.
pub async fn collect(session: &Session, script: &str) -> Result<Vec<RecordBatch>> {
    let mut last = Vec::new();
    for statement in session.parse(script)? {
        last = session.execute(&statement).await?.stream.try_collect().await?;
    }
    Ok(last)
}

/// Prints a line at once; a reader that went away is no error of the benchmark.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _gone = writeln!(out, "{line}").and_then(|()| out.flush());
}
