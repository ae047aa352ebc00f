//! The path policy of a server, tried by hundreds of statements: none reaches a byte of what it
//! hides. The stores and a listening port are the witnesses, not the errors.

mod forged;

use std::collections::HashMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fjord_catalog::catalog::Catalog;
use fjord_catalog::faults::{FaultStore, Operation};
use fjord_catalog::metastore::TableCommit;
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::spec::{Snapshot, SnapshotReference, SnapshotRetention, TableUpdate};
use fjord_catalog::storage::Storage;
use fjord_engine::queries::QueriesOptions;
use fjord_engine::session::{Session, SessionOptions};
use futures::TryStreamExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::Settings;
use crate::compose::{Lakehouse, Tables};
use crate::config;

/// In every file that must not be read.
const CANARY: &str = "canary";

/// Places that no statement of a server has any business with. `$` is the directory of the test,
/// `#` a port that somebody listens on.
const PLACES: &[&str] = &[
    "/",
    "/etc",
    "file:///",
    "file:///etc",
    "file:/etc",
    "FILE:///etc",
    "file://localhost/etc",
    "file://host/share",
    "//host/share",
    "\\\\host\\share",
    "/proc/self",
    "/dev/shm",
    "~/x",
    "../../out",
    "$",
    "$/out",
    "file://$/out",
    "file://$/lake",
    "file://$/lake/queries",
    "file://$/lake/warehouse2",
    "file://$/lake/warehouse/../../out",
    "file://$/lake/warehouse/./../../out",
    "file://$/lake/warehouse/link",
    "file://$/lake/warehouse/link/deep",
    "$/in/link",
    "file://$/in/link",
    "file://$/in/../out",
    "file://$/inside",
    "file://$/lake/warehouse/%2e%2e/%2e%2e/out",
    "file://$/lake/warehouse/..%2f..%2fout",
    "file://$/in/%252e%252e/out",
    "file://$/in/..%5c..%5cout",
    "file://$/in\\..\\out",
    "s3://lake",
    "s3://lake/x",
    "s3://lake/w2",
    "s3://lake/w/../x",
    "s3://lake/w/%2e%2e/x",
    "s3://lake/w/..%2fx",
    "s3://LAKE/w",
    "s3://other/w",
    "s3a://lake/x",
    "s3n://other/w",
    "S3://lake/x",
    "s3://lake:#/w",
    "s3://127.0.0.1:#/w",
    "s3://key:secret@lake/w",
    "s3://lake/w/../../127.0.0.1:#",
    "http://127.0.0.1:#/x",
    "https://127.0.0.1:#/x",
    "http://localhost:#/x",
    "http://[::1]:#/x",
    "http://0x7f000001:#/x",
    "http://2130706433:#/x",
    "http://169.254.169.254/latest/meta-data",
    "http://metadata.google.internal/x",
    "gs://b/x",
    "az://c/x",
    "abfss://c@a.dfs.core.windows.net/x",
    "hdfs://127.0.0.1:#/x",
    "ftp://127.0.0.1:#/x",
];

/// Statements that name a place, `{}`; `~` is another number each time.
const DOORS: &[&str] = &[
    "SELECT * FROM read_csv('{}')",
    "SELECT * FROM read_csv('{}/secret.csv')",
    "SELECT * FROM read_json('{}/secret.json')",
    "SELECT * FROM read_parquet('{}/*.parquet')",
    "SELECT * FROM read_parquet('{}/**')",
    "EXPLAIN SELECT * FROM read_csv('{}/secret.csv')",
    "CREATE TABLE n~ AS SELECT * FROM read_csv('{}/secret.csv')",
    "COPY (SELECT 1 AS a) TO '{}/new.csv' (FORMAT csv)",
    "COPY (SELECT 1 AS a) TO '{}/new.parquet' (FORMAT parquet)",
    "CREATE TABLE n~ (a int) LOCATION '{}/t'",
    "CREATE TABLE n~ (a int) WITH (location = '{}/t')",
    "CREATE TABLE n~ WITH (location = '{}/t') AS SELECT 1 AS a",
    "CREATE OR REPLACE TABLE inside (a varchar) LOCATION '{}/t'",
    "CREATE SCHEMA s~ LOCATION '{}/s'",
    "CREATE SCHEMA s~ WITH (location = '{}/s')",
    "CREATE TABLE n~ (a int) TBLPROPERTIES ('write.data.path' = '{}')",
    "ALTER TABLE inside SET TBLPROPERTIES ('write.data.path' = '{}')",
    "ALTER TABLE inside SET TBLPROPERTIES ('write.metadata.path' = '{}')",
    "ALTER TABLE inside SET TBLPROPERTIES ('write.object-storage.path' = '{}')",
    "CALL iceberg.system.register_table(table => 'default.n~', metadata_file => '{}/00000-x.metadata.json')",
    "CALL iceberg.system.register_table('default.n~', '{}/00000-x.metadata.json')",
    "CALL iceberg.system.add_files(table => 'default.inside', source_table => '`parquet`.`{}`')",
    "CALL iceberg.system.add_files('default.inside', '{}/*.parquet')",
    "CALL iceberg.system.snapshot(source_table => 'parquet.`{}`', table => 'default.n~')",
    "CREATE EXTERNAL TABLE e~ (a varchar) STORED AS CSV LOCATION '{}/secret.csv'",
    "SELECT * FROM '{}/secret.csv'",
];

struct Fixture {
    root: PathBuf,
    port: u16,
    connections: Arc<AtomicUsize>,
    disk: FaultStore,
    lakehouse: Lakehouse,
    settings: Settings,
    session: Session,
    seen: usize,
    _server: JoinSet<()>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for made in ["lake/warehouse", "lake/warehouse2", "in", "inside", "out/deep"] {
            std::fs::create_dir_all(root.join(made)).unwrap();
        }
        for place in ["out", "out/deep", "inside", "lake/warehouse2", "lake"] {
            for name in ["secret.csv", "secret.json", "x.parquet", "00000-x.metadata.json"] {
                std::fs::write(root.join(place).join(name), format!("{CANARY}\n{CANARY}")).unwrap();
            }
        }
        std::fs::write(root.join("in/a.csv"), "n\n1\n").unwrap();
        symlink(root.join("out"), root.join("lake/warehouse/link")).unwrap();
        symlink(root.join("out"), root.join("in/link")).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut server = JoinSet::new();
        let counted = Arc::clone(&connections);
        server.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(connection);
            }
        });

        let text = format!(
            "[storage.exchange]\nprefix = \"file://{}/in/\"\nfiles = true\n[storage.lake]\nprefix = \"s3://lake/w/\"\nendpoint = \"http://127.0.0.1:{port}\"\naccess_key_id = \"k\"\nsecret_access_key = {{ env = \"PATH\" }}\n",
            root.display()
        );
        let settings = Settings {
            data_dir: root.join("lake"),
            memory_limit: None,
            file: config::parse(text.as_bytes(), "fjord.toml").unwrap(),
            origin: "fjord.toml".to_owned(),
        };
        let disk = FaultStore::local();
        let local = Storage::local().with_store("file:///", Arc::new(disk.clone())).unwrap();
        let tables = Tables::Within(&settings.file.storage);
        let queries = QueriesOptions::default();
        let lakehouse =
            Lakehouse::open_with(&settings, root.join("lake"), queries, tables, local).await;
        let lakehouse = lakehouse.unwrap();
        let files = lakehouse.file_policy(&settings).unwrap();
        let options = SessionOptions { files: Some(Arc::new(files)), ..SessionOptions::default() };
        let session = lakehouse.engine().session(options);
        let mut fixture = Self {
            root,
            port,
            connections,
            disk,
            lakehouse,
            settings,
            session,
            seen: 0,
            _server: server,
            _directory: directory,
        };
        fixture.run("CREATE TABLE inside (a varchar)").await.unwrap();
        fixture.run("INSERT INTO inside VALUES ('x')").await.unwrap();
        fixture.assert_nothing_reached("the start");
        fixture
    }

    /// What every row says, or the error; whatever is said must not hold a canary.
    async fn run(&self, sql: &str) -> Result<String, String> {
        let said = run(&self.session, sql).await;
        match &said {
            Ok(text) | Err(text) => assert!(!text.contains(CANARY), "{sql}: {text}"),
        }
        said
    }

    /// Every object that was asked for since the last time lies where it may, wherever links lead.
    fn assert_nothing_reached(&mut self, what: &str) {
        let mut asked = Vec::new();
        for operation in [Operation::Put, Operation::Get, Operation::Delete, Operation::List] {
            asked.extend(self.disk.requests(operation));
        }
        for path in &asked {
            let path = PathBuf::from(format!("/{path}"));
            let there = path.ancestors().find(|p| p.exists()).unwrap().canonicalize().unwrap();
            let is_inside = ["lake/warehouse", "in"].iter().any(|d| {
                let allowed = self.root.join(d);
                path.starts_with(&allowed) && there.starts_with(&allowed)
            });
            assert!(is_inside, "{what} reached {path:?}");
        }
        self.seen += asked.len();
        let connections = self.connections.load(Ordering::SeqCst);
        assert_eq!(connections, 0, "{what} reached the network");
    }

    fn catalog(&self) -> Catalog {
        self.lakehouse.engine().catalogs().remove(0)
    }

    /// Tables that somebody else made, whose files lie where the server's catalog does not reach.
    async fn make_hostile_tables(&self) -> Vec<&'static str> {
        let elsewhere = Lakehouse::open(&self.settings).await.unwrap();
        let root = self.root.display();
        let mut script = String::new();
        let out = format!("file://{root}/out");
        for (table, location) in [
            ("outside", format!("{out}/t1")),
            ("linked", format!("file://{root}/lake/warehouse/link/t2")),
        ] {
            script += &format!("CREATE TABLE {table} (a varchar) LOCATION '{location}';");
            script += &format!("INSERT INTO {table} VALUES ('{CANARY}');");
        }
        for table in ["data_outside", "metadata_outside", "list_outside", "both"] {
            script += &format!("CREATE TABLE {table} (a varchar);");
            script += &format!("INSERT INTO {table} VALUES ('x');");
        }
        run(&elsewhere.session(), &script).await.unwrap();
        let catalog = elsewhere.engine().catalogs().remove(0);
        set(&catalog, "data_outside", "write.data.path", &format!("{out}/t3")).await;
        set(&catalog, "both", "write.data.path", &format!("{out}/t5")).await;
        let insert = format!(
            "INSERT INTO data_outside VALUES ('{CANARY}'); INSERT INTO both VALUES ('{CANARY}')"
        );
        run(&elsewhere.session(), &insert).await.unwrap();
        set(&catalog, "metadata_outside", "write.metadata.path", &format!("{out}/t4")).await;
        set(&catalog, "both", "write.metadata.path", &format!("{out}/t6")).await;
        put_list_outside(&catalog, "list_outside", &self.root).await;
        elsewhere.close().await;
        vec!["outside", "linked", "data_outside", "metadata_outside", "list_outside", "both"]
    }
}

async fn run(session: &Session, script: &str) -> Result<String, String> {
    let mut said = String::new();
    for statement in session.parse(script).map_err(|e| format!("{e} {e:?}"))? {
        let result = session.execute(&statement).await.map_err(|e| format!("{e} {e:?}"))?;
        let batches: Vec<_> =
            result.stream.try_collect().await.map_err(|e| format!("{e} {e:?}"))?;
        said += &arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    }
    Ok(said)
}

fn name(table: &str) -> TableName {
    TableName::new(Namespace::new(["default"]).unwrap(), table).unwrap()
}

/// Sets a property as other engines do; the SQL of this one refuses to.
async fn set(catalog: &Catalog, table: &str, key: &str, value: &str) {
    let updates = HashMap::from([(key.to_owned(), value.to_owned())]);
    let edit = move |_: &_| Ok(vec![TableUpdate::SetProperties { updates: updates.clone() }]);
    catalog.commit_metadata(&name(table), edit).await.unwrap();
}

/// Gives a table a snapshot whose manifest list lies outside.
async fn put_list_outside(catalog: &Catalog, table: &str, root: &std::path::Path) {
    let loaded = catalog.load_table(&name(table)).await.unwrap();
    let current = loaded.current_snapshot().unwrap();
    let list = root.join("out/list.avro");
    std::fs::copy(current.manifest_list().strip_prefix("file://").unwrap(), &list).unwrap();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(4711)
        .with_parent_snapshot_id(Some(current.snapshot_id()))
        .with_sequence_number(current.sequence_number() + 1)
        .with_timestamp_ms(current.timestamp_ms() + 1)
        .with_manifest_list(format!("file://{}", list.display()))
        .with_summary(current.summary().clone())
        .with_schema_id(0)
        .build();
    let retention = SnapshotRetention::branch(None, None, None);
    let reference = SnapshotReference::new(4711, retention);
    let updates = vec![
        TableUpdate::AddSnapshot { snapshot },
        TableUpdate::SetSnapshotRef { ref_name: "main".to_owned(), reference },
    ];
    let commit = TableCommit { name: name(table), requirements: Vec::new(), updates, staged: None };
    catalog.metastore().commit(commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_no_statement_that_names_a_place_reaches_a_byte_of_it() {
    let mut fixture = Fixture::new().await;
    let root = fixture.root.display().to_string();
    let mut tries = 0;
    for place in PLACES {
        let place = place.replace('$', &root).replace('#', &fixture.port.to_string());
        for door in DOORS {
            tries += 1;
            let sql = door.replace("{}", &place).replace('~', &tries.to_string());
            if let Ok(said) = fixture.run(&sql).await {
                panic!("{sql} succeeded: {said}");
            }
            fixture.assert_nothing_reached(&sql);
        }
    }
    assert!(tries >= 200, "{tries}");
    println!("measured: {tries} tries to name a place, none reached it");
    let answer = fixture.run("SELECT a FROM inside").await.unwrap();
    assert!(answer.contains('x'), "{answer}");

    // What is allowed works, and the witnesses are awake.
    let before = fixture.seen;
    let answer = fixture.run(&format!("SELECT n FROM read_csv('{root}/in/a.csv')")).await.unwrap();
    assert!(answer.contains('1'), "{answer}");
    let copy = format!("COPY (SELECT 1 AS n) TO '{root}/in/b.csv' (FORMAT csv)");
    fixture.run(&copy).await.unwrap();
    let within = format!("CREATE TABLE w (a int) LOCATION 'file://{root}/lake/warehouse/own/w'");
    fixture.run(&within).await.unwrap();
    fixture.assert_nothing_reached("what is allowed");
    assert!(fixture.seen > before + 3);
    let bucket = fixture.run("CREATE TABLE b (a int) LOCATION 's3://lake/w/b'");
    let _no_server = tokio::time::timeout(Duration::from_secs(2), bucket).await;
    assert!(fixture.connections.load(Ordering::SeqCst) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g6_no_table_whose_files_lie_elsewhere_leads_there() {
    let mut fixture = Fixture::new().await;
    let tables = fixture.make_hostile_tables().await;
    let listed = |fixture: &Fixture| {
        let mut files = Vec::new();
        let mut directories = vec![fixture.root.join("out")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    };
    let before = listed(&fixture);
    assert!(before.iter().filter(|p| p.extension().is_some_and(|e| e == "parquet")).count() > 5);
    let mut tries = 0;
    for table in &tables {
        // The first three read what lies elsewhere, or write there: refused. Others may succeed
        // by what lies inside alone.
        let reads = match *table {
            "metadata_outside" => 0,
            _ => 2,
        };
        let statements = [
            format!("SELECT * FROM {table}"),
            format!("SELECT upper(a) FROM {table} WHERE a > 'b'"),
            format!("INSERT INTO {table} VALUES ('y')"),
            format!("SELECT count(*) FROM {table}"),
            format!("SELECT * FROM \"{table}$files\""),
            format!("SELECT * FROM \"{table}$manifests\""),
            format!("SELECT * FROM \"{table}$snapshots\""),
            format!("CREATE TABLE copy_{table} AS SELECT * FROM {table}"),
            format!(
                "COPY (SELECT a FROM {table}) TO '{}/in/{table}.csv' (FORMAT csv)",
                fixture.root.display()
            ),
            format!("INSERT INTO inside SELECT * FROM {table}"),
            format!("INSERT OVERWRITE {table} VALUES ('z')"),
            format!("DELETE FROM {table} WHERE a = 'q'"),
            format!("SHOW STATS FOR {table}"),
            format!("ANALYZE {table}"),
            format!("SHOW CREATE TABLE {table}"),
            format!("ALTER TABLE {table} ADD COLUMN b int"),
            format!("CREATE OR REPLACE TABLE {table} (c int)"),
            format!("TRUNCATE TABLE {table}"),
            format!("DROP TABLE {table} PURGE"),
        ];
        for (i, sql) in statements.iter().enumerate() {
            tries += 1;
            // Bounds of columns stand in a manifest, which lies inside.
            let said = match sql.contains("$files") {
                true => run(&fixture.session, sql).await,
                false => fixture.run(sql).await,
            };
            fixture.assert_nothing_reached(sql);
            assert!(said.is_err() || i >= reads, "{sql}: {said:?}");
            assert_eq!(listed(&fixture), before, "{sql}: a file outside came or went");
        }
    }
    println!("measured: {tries} statements on tables that point elsewhere, none got there");
    // A metadata file named by somebody with the catalog's API.
    for place in ["out/00000-x.metadata.json", "lake/warehouse/link/00000-x.metadata.json"] {
        let location = format!("file://{}/{place}", fixture.root.display());
        let error = fixture.catalog().load_table_at(&name("x"), &location).await.unwrap_err();
        assert_eq!(error.kind(), fjord_catalog::ErrorKind::PermissionDenied, "{error:?}");
        fixture.assert_nothing_reached(&location);
    }
}
