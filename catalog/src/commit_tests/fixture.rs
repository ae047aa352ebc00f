//! A catalog in a temporary directory, tables of one shape, data files that are only metadata.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::{Catalog, CreateMode, CreateTable};
use crate::change::{CommitOptions, Isolation, RowsChange};
use crate::commit::CommitLimits;
use crate::embedded::{Embedded, EmbeddedOptions};
use crate::manifest::Entry;
use crate::metastore::Metastore;
use crate::name::{Namespace, TableName};
use crate::predicate::{Comparison, Predicate};
use crate::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, Literal,
    NestedField, PrimitiveType, Schema, Snapshot, SortOrder, Struct, Transform, Type,
    UnboundPartitionSpec,
};
use crate::storage::Storage;
use crate::table::Table;

pub(super) struct Fixture {
    pub(super) directory: tempfile::TempDir,
    pub(super) metastore: Arc<dyn Metastore>,
    pub(super) catalog: Catalog,
}

pub(super) fn name(table: &str) -> TableName {
    TableName::new(Namespace::new(["gold"]).unwrap(), table).unwrap()
}

pub(super) fn limits() -> CommitLimits {
    CommitLimits {
        total_max: Duration::from_secs(60),
        backoff_min: Duration::from_millis(2),
        backoff_max: Duration::from_millis(50),
        unknown_max: Duration::from_millis(200),
        unavailable_max: Duration::from_secs(5),
    }
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let metastore = open(&directory).await;
        let namespace = Namespace::new(["gold"]).unwrap();
        metastore.create_namespace(&namespace, BTreeMap::new()).await.unwrap();
        let catalog = over(&directory, Arc::clone(&metastore));
        Self { directory, metastore, catalog }
    }

    /// Another catalog on the same files, as another process would open it.
    pub(super) async fn another(&self) -> Catalog {
        over(&self.directory, open(&self.directory).await)
    }

    pub(super) fn over(&self, metastore: Arc<dyn Metastore>) -> Catalog {
        over(&self.directory, metastore)
    }

    /// Columns `id long required, part string, name string`, partitioned by `part`.
    pub(super) async fn create(&self, table: &str, version: FormatVersion) -> Table {
        self.create_with(table, version, &[]).await
    }

    pub(super) async fn create_with(
        &self,
        table: &str,
        version: FormatVersion,
        properties: &[(&str, &str)],
    ) -> Table {
        let mut create = request(table, CreateMode::Create);
        create.format_version = version;
        create.properties =
            properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let staged = self.catalog.stage_table(create).await.unwrap();
        self.catalog.commit_staged(staged, vec![], CommitOptions::default()).await.unwrap().table
    }

    pub(super) async fn load(&self, table: &str) -> Table {
        self.catalog.load_table(&name(table)).await.unwrap()
    }

    pub(super) async fn append(&self, table: &Table, files: Vec<DataFile>) -> Table {
        let change = RowsChange::Append { files };
        self.catalog.commit_rows(table, change, CommitOptions::default()).await.unwrap().table
    }

    pub(super) async fn live(&self, table: &Table) -> Vec<Entry> {
        live(&self.catalog, table).await
    }

    pub(super) async fn manifests(&self, table: &Table) -> usize {
        let Some(snapshot) = table.current_snapshot() else { return 0 };
        self.catalog.load_manifest_list(table, snapshot).await.unwrap().len()
    }
}

async fn open(directory: &tempfile::TempDir) -> Arc<dyn Metastore> {
    let warehouse = format!("file://{}/warehouse", directory.path().display());
    let options = EmbeddedOptions::new(directory.path().join("catalog.db"), warehouse);
    Arc::new(Embedded::open(options).await.unwrap())
}

fn over(directory: &tempfile::TempDir, metastore: Arc<dyn Metastore>) -> Catalog {
    let warehouse = format!("file://{}/warehouse", directory.path().display());
    Catalog::new("iceberg", metastore, Storage::local(), warehouse).with_commit_limits(limits())
}

/// Every live entry of the current snapshot, by path.
pub(super) async fn live(catalog: &Catalog, table: &Table) -> Vec<Entry> {
    let Some(snapshot) = table.current_snapshot() else { return vec![] };
    let mut out = vec![];
    for manifest in catalog.load_manifest_list(table, snapshot).await.unwrap().iter() {
        let entries = catalog.load_manifest(table, manifest).await.unwrap();
        out.extend(entries.iter().filter(|entry| entry.is_alive()).cloned());
    }
    out.sort_by(|a, b| a.file_path().cmp(b.file_path()));
    out
}

pub(super) fn paths(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.file_path().rsplit('/').next().unwrap().to_owned()).collect()
}

pub(super) fn request(table: &str, mode: CreateMode) -> CreateTable {
    let field = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
    CreateTable {
        name: name(table),
        schema: Schema::builder()
            .with_fields([
                Arc::new(NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long))),
                field(2, "part", PrimitiveType::String),
                field(3, "name", PrimitiveType::String),
            ])
            .build()
            .unwrap(),
        partition_spec: UnboundPartitionSpec::builder()
            .add_partition_field(2, "part", Transform::Identity)
            .unwrap()
            .build(),
        sort_order: SortOrder::unsorted_order(),
        location: None,
        properties: HashMap::new(),
        format_version: FormatVersion::V2,
        mode,
    }
}

/// A file of partition `part` with ids `low..=high`, one row each.
pub(super) fn file(table: &Table, file_name: &str, part: &str, low: i64, high: i64) -> DataFile {
    let rows = u64::try_from(high - low + 1).unwrap();
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("{}/data/{file_name}", table.metadata().location()))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::string(part))]))
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(rows)
        .file_size_in_bytes(100 + rows)
        .value_counts(HashMap::from([(1, rows), (2, rows)]))
        .null_value_counts(HashMap::from([(1, 0), (2, 0)]))
        .lower_bounds(HashMap::from([(1, Datum::long(low)), (2, Datum::string(part))]))
        .upper_bounds(HashMap::from([(1, Datum::long(high)), (2, Datum::string(part))]))
        .build()
        .unwrap()
}

/// Position deletes of one row somewhere in partition `part`.
pub(super) fn delete_file(table: &Table, file_name: &str, part: &str) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path(format!("{}/data/{file_name}", table.metadata().location()))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::string(part))]))
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(1)
        .file_size_in_bytes(100)
        .build()
        .unwrap()
}

/// Like [`file()`], with bytes on disk, for tests of what gets deleted.
pub(super) fn real_file(table: &Table, file_name: &str, part: &str) -> DataFile {
    let file = file(table, file_name, part, 1, 3);
    let path = local(file.file_path());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, b"rows").unwrap();
    file
}

pub(super) fn local(uri: &str) -> std::path::PathBuf {
    std::path::PathBuf::from(uri.strip_prefix("file://").unwrap())
}

pub(super) fn part_is(part: &str) -> Predicate {
    Predicate::Compare(2, Comparison::Eq, Datum::string(part))
}

pub(super) fn at(isolation: Isolation) -> CommitOptions {
    CommitOptions { isolation, ..CommitOptions::default() }
}

pub(super) fn summary<'a>(snapshot: &'a Snapshot, key: &str) -> Option<&'a str> {
    snapshot.summary().additional_properties.get(key).map(String::as_str)
}
