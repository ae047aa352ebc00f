//! A lake of one embedded catalog, for the tests of this folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::name::Namespace;
use fjord_catalog::storage::Storage;
use fjord_engine::Error;
use fjord_engine::engine::{Engine, EngineOptions};
use fjord_engine::queries::QueriesOptions;
use fjord_engine::session::{Session, SessionOptions};
use futures::TryStreamExt;

/// An engine over the catalog `iceberg` with the schema `default`.
pub(crate) struct TestLake {
    pub(crate) session: Session,
    pub(crate) catalog: Catalog,
    _engine: Engine,
}

impl TestLake {
    /// Opens the lake in `directory`, with no memory of what was there.
    pub(crate) async fn open(directory: &Path) -> Self {
        let warehouse = format!("file://{}/warehouse", directory.display());
        let options = EmbeddedOptions::new(directory.join("catalog.db"), &warehouse);
        let embedded = Arc::new(Embedded::open(options).await.unwrap());
        let catalog = Catalog::new("iceberg", embedded, Storage::local(), warehouse);
        // There already when a lake is opened again.
        drop(
            catalog.create_namespace(&Namespace::parse("default").unwrap(), BTreeMap::new()).await,
        );
        let engine = Engine::try_new(EngineOptions {
            memory_limit_bytes: Some(1 << 30),
            spill_dir: directory.join("spill"),
            target_partitions: Some(2),
            storage: Storage::local(),
            file_relations: fjord_connectors::file_relations(),
            databases: Default::default(),
            queries: QueriesOptions::default(),
        })
        .unwrap();
        engine.mount(catalog.clone()).unwrap();
        let session = engine.session(SessionOptions::default());
        Self { session, catalog, _engine: engine }
    }

    /// Runs statements; the rows of the last one.
    pub(crate) async fn run(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        let mut rows = Vec::new();
        for statement in self.session.parse(sql)? {
            let result = self.session.execute(&statement).await?;
            rows = result.stream.try_collect().await?;
        }
        Ok(rows)
    }
}
