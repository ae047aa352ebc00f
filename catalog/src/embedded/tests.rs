//! What the suite cannot say: races between processes' worth of pools, damaged files, other layouts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iceberg::spec::TableMetadataBuilder;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::embedded::{Embedded, EmbeddedOptions};
use crate::error::{ErrorKind, Result};
use crate::metastore::{EntryKind, Metastore, TableCommit, View};
use crate::name::{Namespace, TableName};
use crate::spec::{
    FormatVersion, MAIN_BRANCH, NestedField, Operation, PrimitiveType, Schema, Snapshot,
    SnapshotReference, SnapshotRetention, SortOrder, Summary, TableRequirement, TableUpdate, Type,
    UnboundPartitionSpec,
};
use crate::storage::Storage;
use crate::suite;
use crate::table::Table;

struct World {
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn warehouse(&self) -> String {
        format!("file://{}", self.path("warehouse").display())
    }

    fn options(&self) -> EmbeddedOptions {
        EmbeddedOptions::new(self.path("catalog.db"), self.warehouse())
    }

    async fn open(&self) -> Result<Embedded> {
        Embedded::open(self.options()).await
    }

    async fn sql(&self) -> SqliteConnection {
        let options =
            SqliteConnectOptions::new().filename(self.path("catalog.db")).create_if_missing(true);
        options.connect().await.unwrap()
    }

    fn create(&self, name: &TableName, properties: &[(&str, &str)]) -> TableCommit {
        let field = NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long));
        let schema = Schema::builder().with_fields([field.into()]).build().unwrap();
        let location = format!("{}/{}", self.warehouse(), uuid::Uuid::new_v4());
        let properties =
            properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let order = SortOrder::unsorted_order();
        let spec = UnboundPartitionSpec::default();
        let built =
            TableMetadataBuilder::new(schema, spec, order, location, FormatVersion::V2, properties)
                .unwrap()
                .build()
                .unwrap();
        TableCommit {
            name: name.clone(),
            requirements: vec![TableRequirement::NotExist],
            updates: built.changes,
            staged: Some(Table::staged(name.clone(), built.metadata)),
        }
    }
}

fn name(table: &str) -> TableName {
    TableName::new(Namespace::parse("db").unwrap(), table).unwrap()
}

async fn with_table(world: &World, properties: &[(&str, &str)]) -> (Embedded, Table) {
    let embedded = world.open().await.unwrap();
    embedded.create_namespace(&name("t").namespace, BTreeMap::new()).await.unwrap();
    let table = embedded.commit(world.create(&name("t"), properties)).await.unwrap();
    (embedded, table)
}

fn set(table: &Table, value: &str) -> TableCommit {
    TableCommit {
        name: table.name().clone(),
        requirements: vec![TableRequirement::UuidMatch { uuid: table.metadata().uuid() }],
        updates: vec![TableUpdate::SetProperties {
            updates: HashMap::from([("k".to_owned(), value.to_owned())]),
        }],
        staged: None,
    }
}

/// A snapshot on `main` of the table as it was loaded.
fn append(table: &Table, id: i64) -> TableCommit {
    let metadata = table.metadata();
    let parent = metadata.current_snapshot().map(|s| s.snapshot_id());
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(parent)
        .with_sequence_number(metadata.next_sequence_number())
        .with_timestamp_ms(chrono::Utc::now().timestamp_millis())
        .with_manifest_list(format!("{}/metadata/snap-{id}.avro", metadata.location()))
        .with_summary(Summary {
            operation: Operation::Append,
            additional_properties: HashMap::new(),
        })
        .with_schema_id(metadata.current_schema_id())
        .build();
    let reference = SnapshotReference::new(id, SnapshotRetention::branch(None, None, None));
    TableCommit {
        name: table.name().clone(),
        requirements: vec![
            TableRequirement::UuidMatch { uuid: metadata.uuid() },
            TableRequirement::RefSnapshotIdMatch {
                r#ref: MAIN_BRANCH.to_owned(),
                snapshot_id: parent,
            },
        ],
        updates: vec![
            TableUpdate::AddSnapshot { snapshot },
            TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.to_owned(), reference },
        ],
        staged: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_catalog_passes_the_suite() {
    let world = World::new();
    let embedded = Arc::new(world.open().await.unwrap());
    let report = suite::run(embedded, Storage::local(), &world.warehouse()).await;
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    // One table at a time is all that it commits.
    let together = report.skipped.iter().all(|name| name.contains("committed_together"));
    assert!(together && report.skipped.len() == 2, "{:?}", report.skipped);
    assert!(report.passed.len() >= 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_instances_with_fifty_commits_each_lose_no_update() {
    let world = World::new();
    let (embedded, _) = with_table(&world, &[]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let options = world.options();
        tasks.spawn(async move {
            let embedded = Embedded::open(options).await.unwrap();
            for i in 0..50 {
                loop {
                    let base = embedded.load_table(&name("t")).await.unwrap();
                    match embedded.commit(append(&base, writer * 1000 + i + 1)).await {
                        Ok(_) => break,
                        Err(e) => assert_eq!(e.kind(), ErrorKind::Stale, "{e:?}"),
                    }
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let table = embedded.load_table(&name("t")).await.unwrap();
    assert_eq!(table.metadata().snapshots().count(), 200);
    // Losers left nothing behind: one file for each version that was current once.
    let directory = format!("{}/metadata", table.metadata().location());
    let files = std::fs::read_dir(directory.strip_prefix("file://").unwrap()).unwrap().count();
    assert_eq!(files, 201);
}

#[tokio::test]
async fn ten_instances_may_open_a_new_file_at_once() {
    let world = World::new();
    let opened = futures::future::join_all((0..10).map(|_| world.open())).await;
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    let world = World::new();
    std::fs::write(world.path("catalog.db"), "this is a text file, not a database; ".repeat(100))
        .unwrap();
    let before = std::fs::read(world.path("catalog.db")).unwrap();
    let error = world.open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("catalog.db") && error.to_string().contains("not a SQLite"),
        "{error}"
    );
    assert_eq!(std::fs::read(world.path("catalog.db")).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_do() {
    let world = World::new();
    let (embedded, _) = with_table(&world, &[]).await;
    embedded.close().await;
    let bytes = std::fs::read(world.path("catalog.db")).unwrap();
    let mut failures = 0;
    for seed in 0..60_u64 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut damaged = bytes.clone();
        if seed % 3 == 0 {
            damaged.truncate(rng.usize(100..bytes.len()));
        } else {
            let start = rng.usize(100..bytes.len());
            let end = (start + 2000).min(bytes.len());
            damaged[start..end].iter_mut().for_each(|b| *b = rng.u8(..));
        }
        for side in ["catalog.db-wal", "catalog.db-shm"] {
            let _gone = std::fs::remove_file(world.path(side));
        }
        std::fs::write(world.path("catalog.db"), damaged).unwrap();
        let outcome = match world.open().await {
            Ok(embedded) => {
                let loaded = embedded.load_table(&name("t")).await.map(|_| ());
                embedded.close().await;
                loaded
            }
            Err(e) => Err(e),
        };
        if let Err(e) = outcome {
            failures += 1;
            let expected = [
                ErrorKind::Corrupt,
                ErrorKind::NotFound,
                ErrorKind::InvalidArgument,
                ErrorKind::Unsupported,
                ErrorKind::Storage,
            ];
            assert!(expected.contains(&e.kind()), "seed {seed}: {e:?}");
        }
    }
    assert!(failures > 5, "{failures}");
}

#[tokio::test]
async fn a_directory_in_place_of_the_file_is_named() {
    let world = World::new();
    std::fs::create_dir(world.path("catalog.db")).unwrap();
    let error = world.open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("catalog.db"), "{error}");
}

#[tokio::test]
async fn a_layout_made_by_a_newer_fjord_is_refused() {
    let world = World::new();
    world.open().await.unwrap().close().await;
    let mut sql = world.sql().await;
    sqlx::query("UPDATE fjord_layout SET version = 7").execute(&mut sql).await.unwrap();
    sql.close().await.unwrap();
    let error = world.open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("made by a newer fjord (layout 7"), "{error}");
}

/// Both generations of PyIceberg's tables, the older one without `iceberg_type`.
#[tokio::test]
async fn a_database_made_by_pyiceberg_opens_with_its_rows() {
    for type_column in ["", ", iceberg_type VARCHAR(5)"] {
        let world = World::new();
        let mut sql = world.sql().await;
        let tables = format!(
            "CREATE TABLE iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL,
             table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000){type_column},
             PRIMARY KEY (catalog_name, table_namespace, table_name))"
        );
        let properties = "CREATE TABLE iceberg_namespace_properties (catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL,
             property_key VARCHAR(255) NOT NULL, property_value VARCHAR(1000) NOT NULL, PRIMARY KEY (catalog_name, namespace, property_key))";
        sqlx::query(&tables).execute(&mut sql).await.unwrap();
        sqlx::query(properties).execute(&mut sql).await.unwrap();
        for row in [
            "('iceberg','db','exists','true')",
            "('iceberg','props.only','owner','x')",
            "('other','elsewhere','exists','true')",
        ] {
            sqlx::query(&format!("INSERT INTO iceberg_namespace_properties VALUES {row}"))
                .execute(&mut sql)
                .await
                .unwrap();
        }
        let commit = world.create(&name("customerId"), &[]);
        let metadata = Arc::clone(commit.staged.as_ref().unwrap().metadata());
        let location = format!(
            "{}/metadata/00001-{}.metadata.json",
            metadata.location(),
            uuid::Uuid::new_v4()
        );
        let json = serde_json::to_vec(&metadata).unwrap();
        Storage::local().put_new(&location, json.into()).await.unwrap();
        for namespace in ["db", "implied"] {
            sqlx::query("INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location) VALUES ('iceberg', ?, 'customerId', ?)")
                .bind(namespace)
                .bind(&location)
                .execute(&mut sql)
                .await
                .unwrap();
        }
        sql.close().await.unwrap();

        let embedded = world.open().await.unwrap();
        let namespaces: Vec<String> =
            embedded.list_namespaces().await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(namespaces, ["db", "implied", "props", "props.only"]);
        let table = embedded.load_table(&name("CUSTOMERID")).await.unwrap();
        assert_eq!(table.name().name, "customerId");
        let committed = embedded.commit(set(&table, "v")).await.unwrap();
        assert!(committed.metadata_location().unwrap().contains("/metadata/00002-"));
    }
}

#[tokio::test]
async fn names_that_differ_by_case_alone_are_ambiguous_unless_exact() {
    let world = World::new();
    let (embedded, table) = with_table(&world, &[]).await;
    let mut sql = world.sql().await;
    sqlx::query("INSERT INTO iceberg_tables SELECT catalog_name, table_namespace, 'T', metadata_location, NULL, 'TABLE' FROM iceberg_tables WHERE table_name = 't'")
        .execute(&mut sql)
        .await
        .unwrap();
    assert_eq!(embedded.load_table(&name("t")).await.unwrap().name(), table.name());
    assert_eq!(embedded.load_table(&name("T")).await.unwrap().name().name, "T");
    sqlx::query("UPDATE iceberg_tables SET table_name = 'tÄb' WHERE table_name = 'T'")
        .execute(&mut sql)
        .await
        .unwrap();
    sqlx::query("UPDATE iceberg_tables SET table_name = 'TÄb' WHERE table_name = 't'")
        .execute(&mut sql)
        .await
        .unwrap();
    let error = embedded.load_table(&name("täb")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.to_string().contains("db.tÄb") && error.to_string().contains("db.TÄb"),
        "{error}"
    );
}

#[tokio::test]
async fn a_lock_is_waited_out() {
    let world = World::new();
    let (embedded, table) = with_table(&world, &[]).await;
    let mut sql = world.sql().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut sql).await.unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        sqlx::query("COMMIT").execute(&mut sql).await.unwrap();
    };
    let started = Instant::now();
    let other = Namespace::parse("other").unwrap();
    let (committed, created, ()) = tokio::join!(
        embedded.commit(set(&table, "v")),
        embedded.create_namespace(&other, BTreeMap::new()),
        release
    );
    committed.unwrap();
    created.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_lock_that_outlasts_the_timeout_is_unavailable_and_leaves_nothing_behind() {
    let world = World::new();
    let (_, table) = with_table(&world, &[]).await;
    let options = EmbeddedOptions { busy_timeout: Duration::from_millis(200), ..world.options() };
    let impatient = Embedded::open(options).await.unwrap();
    let mut sql = world.sql().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut sql).await.unwrap();
    let error = impatient.commit(set(&table, "v")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.is_retryable());
    sqlx::query("ROLLBACK").execute(&mut sql).await.unwrap();
    let directory = format!("{}/metadata", table.metadata().location());
    let files = std::fs::read_dir(directory.strip_prefix("file://").unwrap()).unwrap().count();
    assert_eq!(files, 1);
}

#[tokio::test]
async fn a_missing_metadata_file_is_damage_not_an_absent_table() {
    let world = World::new();
    let (embedded, table) = with_table(&world, &[]).await;
    embedded.close().await;
    let location = table.metadata_location().unwrap();
    std::fs::remove_file(location.strip_prefix("file://").unwrap()).unwrap();
    let error = world.open().await.unwrap().load_table(&name("t")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(location), "{error}");
}

#[tokio::test]
async fn old_metadata_files_go_where_the_table_asks_for_it() {
    let world = World::new();
    let properties = [
        ("write.metadata.delete-after-commit.enabled", "true"),
        ("write.metadata.previous-versions-max", "2"),
    ];
    let (embedded, mut table) = with_table(&world, &properties).await;
    for i in 0..6 {
        table = embedded.commit(set(&table, &i.to_string())).await.unwrap();
    }
    let directory = format!("{}/metadata", table.metadata().location());
    let files = std::fs::read_dir(directory.strip_prefix("file://").unwrap()).unwrap().count();
    assert_eq!(files, 3, "the current one and two before it");
}

#[tokio::test]
async fn compressed_metadata_round_trips() {
    let world = World::new();
    let (embedded, table) =
        with_table(&world, &[("write.metadata.compression-codec", "gzip")]).await;
    let table = embedded.commit(set(&table, "v")).await.unwrap();
    assert!(table.metadata_location().unwrap().ends_with(".gz.metadata.json"));
    embedded.close().await;
    let loaded = world.open().await.unwrap().load_table(&name("t")).await.unwrap();
    assert_eq!(loaded.metadata(), table.metadata());
}

#[tokio::test]
async fn a_view_of_another_engine_takes_its_name_and_is_not_read() {
    let world = World::new();
    let (embedded, _) = with_table(&world, &[]).await;
    let mut sql = world.sql().await;
    sqlx::query(
        "INSERT INTO iceberg_tables VALUES ('iceberg', 'db', 'v', 'file:///v.json', NULL, 'VIEW')",
    )
    .execute(&mut sql)
    .await
    .unwrap();
    assert_eq!(embedded.load_view(&name("v")).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(embedded.load_table(&name("v")).await.unwrap_err().kind(), ErrorKind::NotFound);
    let listed = embedded.list(&name("v").namespace).await.unwrap();
    assert_eq!(
        listed.iter().map(|e| e.kind).collect::<Vec<_>>(),
        [EntryKind::Table, EntryKind::View]
    );
    let view = View {
        name: name("V"),
        sql: "SELECT 1".to_owned(),
        columns: vec![],
        default_catalog: "iceberg".to_owned(),
        default_namespace: name("v").namespace,
        properties: BTreeMap::new(),
    };
    assert_eq!(embedded.put_view(view, true).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn a_scripted_fault_ends_as_it_says() {
    use crate::faults::{CommitFault, FaultMetastore};
    let world = World::new();
    let (embedded, table) = with_table(&world, &[]).await;
    let faults = FaultMetastore::new(Arc::new(embedded));
    let cases = [
        (CommitFault::Refuse, Some(ErrorKind::Unavailable), false),
        (CommitFault::LoseRequest, Some(ErrorKind::CommitUnknown), false),
        (CommitFault::SpuriousStale, Some(ErrorKind::Stale), false),
        (CommitFault::LoseAnswer, Some(ErrorKind::CommitUnknown), true),
        (CommitFault::DeliverTwice, None, true),
        (CommitFault::DeliverTwiceLoseFirst, Some(ErrorKind::Stale), true),
    ];
    for (id, (fault, kind, applied)) in (1..).zip(cases) {
        let base = faults.load_table(table.name()).await.unwrap();
        faults.script([fault]);
        let outcome = faults.commit(append(&base, id)).await;
        assert_eq!(outcome.err().map(|e| e.kind()), kind, "{fault:?}");
        let now = faults.load_table(table.name()).await.unwrap();
        assert_eq!(now.metadata().snapshot_by_id(id).is_some(), applied, "{fault:?}");
    }
    let base = faults.load_table(table.name()).await.unwrap();
    faults.script([CommitFault::ApplyDuringLoad(2)]);
    assert_eq!(
        faults.commit(append(&base, 77)).await.unwrap_err().kind(),
        ErrorKind::CommitUnknown
    );
    let first = faults.load_table(table.name()).await.unwrap();
    assert!(first.metadata().snapshot_by_id(77).is_none());
    let second = faults.load_table(table.name()).await.unwrap();
    assert!(second.metadata().snapshot_by_id(77).is_some());
}

#[tokio::test]
async fn metadata_that_cannot_be_written_leaves_the_table_as_it_was() {
    use crate::faults::{FaultStore, Operation as StoreOperation, StoreEffect, StoreFault};
    let world = World::new();
    let (_, table) = with_table(&world, &[]).await;
    let store = FaultStore::local();
    let storage = Storage::local().with_store("file:///", Arc::new(store.clone())).unwrap();
    let embedded = Embedded::open(EmbeddedOptions { storage, ..world.options() }).await.unwrap();
    store.fail(StoreFault {
        operation: StoreOperation::Put,
        path_contains: ".metadata.json".to_owned(),
        skip: 0,
        count: 1,
        effect: StoreEffect::Fail,
    });
    assert_eq!(embedded.commit(set(&table, "v")).await.unwrap_err().kind(), ErrorKind::Storage);
    let now = embedded.load_table(table.name()).await.unwrap();
    assert_eq!(now.metadata_location(), table.metadata_location());
    embedded.commit(set(&table, "v")).await.unwrap();
    assert_eq!(store.requests(StoreOperation::Put).len(), 2);
}

#[tokio::test]
async fn a_backup_brings_back_what_was_dropped_since_and_forgets_what_came() {
    use crate::embedded::RestoreMode;
    let world = World::new();
    let (embedded, table) = with_table(&world, &[]).await;
    let contents = embedded.back_up(&world.path("backup.db")).await.unwrap();
    assert_eq!((contents.tables, contents.views), (1, 0));
    embedded.commit(set(&table, "later")).await.unwrap();
    embedded.commit(world.create(&name("new"), &[])).await.unwrap();
    embedded.drop_table(&name("t")).await.unwrap();
    let file = world.path("backup.db");
    let refused = embedded.restore(&file, "iceberg", RestoreMode::IntoEmpty).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    embedded.restore(&file, "iceberg", RestoreMode::Replace).await.unwrap();
    let restored = embedded.load_table(&name("t")).await.unwrap();
    assert_eq!(restored.metadata_location(), table.metadata_location());
    assert_eq!(embedded.load_table(&name("new")).await.unwrap_err().kind(), ErrorKind::NotFound);
    // A commit that began before the restore starts anew from what was restored.
    embedded.commit(set(&restored, "again")).await.unwrap();
}
