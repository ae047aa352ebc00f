//! Manifests that lie inside and name files that do not: real Avro, with whatever path a writer may have
//! put there.

use fjord_catalog::catalog::{CreateMode, CreateTable};
use fjord_catalog::change::{CommitOptions, RowsChange};
use fjord_catalog::faults::commit_delete_files;
use fjord_catalog::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, FormatVersion, NestedField,
    PrimitiveType, Schema, SortOrder, Type, UnboundPartitionSpec,
};

use super::*;

/// Where files are said to be. `$` is the directory of the test, `#` a port that somebody listens on.
const PATHS: &[&str] = &[
    "file://$/out/x.parquet",
    "file:$/out/x.parquet",
    "$/out/x.parquet",
    "FILE://$/out/x.parquet",
    "file://localhost$/out/x.parquet",
    "file://$/lake/warehouse/../../out/x.parquet",
    "file://$/lake/warehouse/./../../out/x.parquet",
    "file://$/lake/warehouse/link/x.parquet",
    "file://$/lake/warehouse/link/deep/x.parquet",
    "file://$/lake/warehouse2/x.parquet",
    "file://$/lake/catalog.db",
    "file://$/in/a.csv",
    "file:///etc/passwd",
    "file:///proc/self/environ",
    "s3://lake/x/x.parquet",
    "s3://lake/w/../x/x.parquet",
    "s3://lake/w2/x.parquet",
    "s3a://other/w/x.parquet",
    "http://127.0.0.1:#/x.parquet",
    "https://169.254.169.254/latest/meta-data",
    "../../out/x.parquet",
    "",
];

/// What a file is said to be.
#[derive(Clone, Copy, Debug)]
enum Forged {
    Data,
    Positions,
    Keys,
    Vector,
}

fn forged(path: &str, kind: Forged, data: &str) -> DataFile {
    let mut file = DataFileBuilder::default();
    file.file_path(path.to_owned()).record_count(1).file_size_in_bytes(14).partition_spec_id(0);
    match kind {
        Forged::Data => {
            file.content(DataContentType::Data).file_format(DataFileFormat::Parquet);
        }
        Forged::Positions => {
            file.content(DataContentType::PositionDeletes).file_format(DataFileFormat::Parquet);
        }
        Forged::Keys => {
            file.content(DataContentType::EqualityDeletes)
                .file_format(DataFileFormat::Parquet)
                .equality_ids(Some(vec![1]));
        }
        Forged::Vector => {
            file.content(DataContentType::PositionDeletes)
                .file_format(DataFileFormat::Puffin)
                .referenced_data_file(Some(data.to_owned()))
                .content_offset(Some(0))
                .content_size_in_bytes(Some(14));
        }
    }
    file.build().unwrap()
}

/// A table with one good row and a file at `path`, in a manifest within the warehouse.
async fn make(elsewhere: &Lakehouse, table: &str, path: &str, kind: Forged) {
    let catalog = elsewhere.engine().catalogs().remove(0);
    let column = NestedField::optional(1, "a", Type::Primitive(PrimitiveType::String));
    let version =
        if matches!(kind, Forged::Vector) { FormatVersion::V3 } else { FormatVersion::V2 };
    let create = CreateTable {
        name: name(table),
        schema: Schema::builder().with_fields([Arc::new(column)]).build().unwrap(),
        partition_spec: UnboundPartitionSpec::default(),
        sort_order: SortOrder::unsorted_order(),
        location: None,
        properties: HashMap::new(),
        format_version: version,
        mode: CreateMode::Create,
    };
    let staged = catalog.stage_table(create).await.unwrap();
    catalog.commit_staged(staged, vec![], CommitOptions::default()).await.unwrap();
    run(&elsewhere.session(), &format!("INSERT INTO {table} VALUES ('x')")).await.unwrap();
    let loaded = catalog.load_table(&name(table)).await.unwrap();
    let snapshot = loaded.current_snapshot().unwrap();
    let list = catalog.load_manifest_list(&loaded, snapshot).await.unwrap();
    let entries = catalog.load_manifest(&loaded, &list[0]).await.unwrap();
    let file = forged(path, kind, entries[0].file_path());
    if matches!(kind, Forged::Data) {
        let change = RowsChange::Append { files: vec![file] };
        catalog.commit_rows(&loaded, change, CommitOptions::default()).await.unwrap();
    } else {
        let metastore = catalog.metastore().as_ref();
        commit_delete_files(metastore, catalog.storage(), &name(table), &[file]).await.unwrap();
    }
}

/// Hazard: a manifest holds absolute paths of anybody's choice (CVE-2026-42812 and its class), and
/// reading a table reads what they say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g6_no_path_in_a_forged_manifest_is_followed() {
    let mut fixture = Fixture::new().await;
    let elsewhere = Lakehouse::open(&fixture.settings).await.unwrap();
    let root = fixture.root.display().to_string();
    let mut tables = Vec::new();
    for (n, path) in PATHS.iter().enumerate() {
        let path = path.replace('$', &root).replace('#', &fixture.port.to_string());
        for (k, kind) in
            [Forged::Data, Forged::Positions, Forged::Keys, Forged::Vector].into_iter().enumerate()
        {
            let table = format!("forged_{n}_{k}");
            make(&elsewhere, &table, &path, kind).await;
            tables.push((table, path.clone(), kind));
        }
    }
    elsewhere.close().await;
    let witnesses =
        ["out/x.parquet", "out/deep/x.parquet", "lake/warehouse2/x.parquet", "in/a.csv"];
    let mut tries = 0;
    for (table, path, kind) in &tables {
        for (sql, must_fail) in [
            (format!("SELECT a FROM {table}"), true),
            (format!("SELECT count(*) FROM {table} WHERE a >= ''"), true),
            (format!("SELECT a FROM {table} ORDER BY a LIMIT 1"), true),
            (format!("CREATE TABLE copy_{table} AS SELECT a FROM {table}"), true),
            (format!("SELECT * FROM \"{table}$position_deletes\""), false),
            (format!("SELECT count(*) FROM \"{table}$files\""), false),
            (format!("ANALYZE {table}"), true),
            (format!("INSERT OVERWRITE {table} SELECT a FROM {table}"), true),
            (format!("DELETE FROM {table} WHERE a = 'q'"), false),
            (format!("TRUNCATE TABLE {table}"), false),
            (format!("DROP TABLE {table} PURGE"), false),
        ] {
            tries += 1;
            let said = fixture.run(&sql).await;
            fixture.assert_nothing_reached(&format!("{sql} with {kind:?} at {path:?}"));
            assert!(said.is_err() || !must_fail, "{sql} with {kind:?} at {path:?}: {said:?}");
            for witness in witnesses {
                assert!(fixture.root.join(witness).exists(), "{sql}: {witness} is gone");
            }
        }
    }
    println!(
        "measured: {tries} statements on {} forged manifests, none left the warehouse",
        tables.len()
    );
    let answer = fixture.run("SELECT a FROM inside").await.unwrap();
    assert!(answer.contains('x'), "{answer}");
}
