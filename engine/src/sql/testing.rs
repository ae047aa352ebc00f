//! A session without catalogs or with one of ours, for the tests of this module.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use fjord_catalog::catalog::{Catalog, CreateMode, CreateTable};
use fjord_catalog::change::CommitOptions;
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::faults::FaultMetastore;
use fjord_catalog::metastore::View;
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::spec::{
    FormatVersion, NestedField, PrimitiveType, Schema, SortOrder, Transform, Type,
    UnboundPartitionSpec,
};
use fjord_catalog::storage::Storage;
use futures::TryStreamExt;

use crate::engine::{Engine, EngineOptions};
use crate::error::{Error, Result};
use crate::foreign::Databases;
use crate::queries::QueriesOptions;
use crate::session::{Session, SessionOptions};

pub(crate) fn engine(memory_limit_bytes: usize) -> Engine {
    engine_with(memory_limit_bytes, Databases::default())
}

fn engine_with(memory_limit_bytes: usize, databases: Databases) -> Engine {
    // The directory outlives the engine in tests; the system's temporary directory is its root.
    Engine::try_new(EngineOptions {
        memory_limit_bytes: Some(memory_limit_bytes),
        spill_dir: std::env::temp_dir().join("fjord-engine-tests"),
        target_partitions: Some(4),
        storage: Storage::local(),
        file_relations: fjord_connectors::file_relations(),
        databases,
        queries: QueriesOptions::default(),
    })
    .unwrap()
}

pub(crate) fn session_with_memory(memory_limit_bytes: usize) -> Session {
    engine(memory_limit_bytes).session(SessionOptions::default())
}

pub(crate) fn session() -> Session {
    session_with_memory(1 << 30)
}

pub(crate) async fn run(session: &Session, sql: &str) -> Result<Vec<RecordBatch>> {
    let mut last = Vec::new();
    for statement in session.parse(sql)? {
        let result = session.execute(&statement).await?;
        last = result.stream.try_collect().await.map_err(Error::from)?;
    }
    Ok(last)
}

pub(crate) async fn rows(session: &Session, sql: &str) -> Vec<RecordBatch> {
    let shown: String = sql.chars().take(200).collect();
    run(session, sql).await.unwrap_or_else(|e| panic!("{shown}: {e:?}"))
}

pub(crate) async fn fails(session: &Session, sql: &str) -> Error {
    run(session, sql).await.map(drop).unwrap_err()
}

/// A lake with the tables `t` and, partitioned by name, `p`: each
/// `(customerId int not null, name string, day date)`.
pub(crate) struct TestLake {
    engine: Engine,
    catalog: Catalog,
    _directory: tempfile::TempDir,
}

impl TestLake {
    /// Mounts the same tables as `nessie` too: a catalog with branches of its own, which may stand
    /// in names.
    pub(crate) fn mount_with_references(&self) {
        let metastore = FaultMetastore::new(Arc::clone(self.catalog.metastore()));
        let metastore = Arc::new(metastore.with_references());
        let (storage, warehouse) = (self.catalog.storage().clone(), self.catalog.warehouse());
        self.engine.mount(Catalog::new("nessie", metastore, storage, warehouse)).unwrap();
    }
}

fn name(name: &str) -> TableName {
    TableName::new(Namespace::parse("default").unwrap(), name).unwrap()
}

pub(crate) async fn lake() -> TestLake {
    lake_with(Databases::default()).await
}

/// The same beside live databases.
pub(crate) async fn lake_with(databases: Databases) -> TestLake {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = format!("file://{}/warehouse", directory.path().display());
    let options = EmbeddedOptions::new(directory.path().join("catalog.db"), &warehouse);
    let embedded = Arc::new(Embedded::open(options).await.unwrap());
    let catalog = Catalog::new("iceberg", embedded, Storage::local(), warehouse);
    let namespace = Namespace::parse("default").unwrap();
    catalog.create_namespace(&namespace, BTreeMap::new()).await.unwrap();
    let field = |id, name: &str, required, ty| {
        let ty = Type::Primitive(ty);
        Arc::new(if required {
            NestedField::required(id, name, ty)
        } else {
            NestedField::optional(id, name, ty)
        })
    };
    let schema = Schema::builder()
        .with_fields([
            field(1, "customerId", true, PrimitiveType::Int),
            field(2, "name", false, PrimitiveType::String),
            field(3, "day", false, PrimitiveType::Date),
        ])
        .build()
        .unwrap();
    for (table, partition) in [("t", None), ("p", Some("name"))] {
        let mut spec = UnboundPartitionSpec::builder();
        if let Some(column) = partition {
            spec = spec.add_partition_field(2, column, Transform::Identity).unwrap();
        }
        let staged = catalog
            .stage_table(CreateTable {
                name: name(table),
                schema: schema.clone(),
                partition_spec: spec.build(),
                sort_order: SortOrder::unsorted_order(),
                location: None,
                properties: std::collections::HashMap::new(),
                format_version: FormatVersion::V2,
                mode: CreateMode::Create,
            })
            .await
            .unwrap();
        catalog.commit_staged(staged, Vec::new(), CommitOptions::default()).await.unwrap();
    }
    let engine = engine_with(1 << 30, databases);
    engine.mount(catalog.clone()).unwrap();
    TestLake { engine, catalog, _directory: directory }
}

impl TestLake {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn session(&self) -> Session {
        self.session_with(SessionOptions::default())
    }

    pub(crate) fn session_with(&self, options: SessionOptions) -> Session {
        self.engine.session(options)
    }

    /// Snapshot ids of `t`, oldest first.
    pub(crate) async fn snapshots(&self) -> Vec<i64> {
        let table = self.catalog.load_table(&name("t")).await.unwrap();
        table.metadata().history().iter().map(|h| h.snapshot_id).collect()
    }

    pub(crate) async fn view(&self, view: &str, sql: &str) {
        let view = View {
            name: name(view),
            sql: sql.to_owned(),
            columns: Vec::new(),
            default_catalog: "iceberg".to_owned(),
            default_namespace: Namespace::parse("default").unwrap(),
            properties: BTreeMap::new(),
        };
        self.catalog.metastore().put_view(view, false).await.unwrap();
    }
}
