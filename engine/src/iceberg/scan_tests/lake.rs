//! A catalog in a temporary directory, files made by hand or by the write path, and SQL over them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use fjord_catalog::catalog::{Catalog, CreateMode, CreateTable};
use fjord_catalog::change::{CommitOptions, RowsChange};
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, FormatVersion, NestedField,
    PrimitiveType, Schema, SortOrder, Type,
};
use fjord_catalog::storage::Storage;
use fjord_catalog::table::Table;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::sent;
use crate::error::Error;
use crate::iceberg::commit::{CommitAction, CommitOutcome, plan_commit};
use crate::iceberg::table::IcebergTable;
use crate::iceberg::types::FIELD_ID;
use crate::iceberg::write::{Fit, WriteTarget, plan_write};

pub(super) struct Lake {
    pub(super) dir: TempDir,
    pub(super) catalog: Catalog,
}

impl Lake {
    pub(super) async fn new() -> Self {
        Self::over(Storage::local()).await
    }

    pub(super) async fn over(storage: Storage) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let warehouse = format!("file://{}/warehouse", dir.path().display());
        let options = EmbeddedOptions::new(dir.path().join("catalog.db"), &warehouse);
        let embedded = Arc::new(Embedded::open(options).await.unwrap());
        let catalog = Catalog::new("iceberg", embedded, storage, warehouse);
        let namespace = Namespace::parse("s").unwrap();
        catalog.create_namespace(&namespace, Default::default()).await.unwrap();
        Self { dir, catalog }
    }

    /// A table partitioned by `partition`, the JSON of its partition fields.
    pub(super) async fn create(&self, fields: Vec<NestedField>, partition: Value) -> Table {
        self.create_with(fields, partition, &[]).await
    }

    pub(super) async fn create_with(
        &self,
        fields: Vec<NestedField>,
        partition: Value,
        properties: &[(&str, &str)],
    ) -> Table {
        let create = CreateTable {
            name: TableName::new(Namespace::parse("s").unwrap(), "t").unwrap(),
            schema: Schema::builder()
                .with_fields(fields.into_iter().map(Arc::new))
                .build()
                .unwrap(),
            partition_spec: serde_json::from_value(json!({"fields": partition})).unwrap(),
            sort_order: SortOrder::unsorted_order(),
            location: None,
            properties: properties
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<HashMap<_, _>>(),
            format_version: FormatVersion::V2,
            mode: CreateMode::Create,
        };
        let staged = self.catalog.stage_table(create).await.unwrap();
        self.catalog.commit_staged(staged, vec![], CommitOptions::default()).await.unwrap().table
    }

    /// Appends through the write path.
    pub(super) async fn write(&self, table: &Table, batch: RecordBatch) -> Table {
        let target = WriteTarget { catalog: self.catalog.clone(), table: table.clone() };
        let outcome = CommitOutcome::default();
        let schema = batch.schema();
        let rows = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap();
        let state = session(1).state();
        let write = plan_write(rows, &target, Fit::Exact, &state).unwrap();
        let options = CommitOptions::default();
        let plan =
            plan_commit(write, &target, CommitAction::Append, options, outcome.clone()).unwrap();
        collect(plan, state.task_ctx()).await.unwrap();
        outcome.committed().unwrap().table.clone()
    }

    /// A file that the write path would not make.
    pub(super) fn file(
        &self,
        table: &Table,
        name: &str,
        columns: Vec<(Field, ArrayRef)>,
    ) -> DataFileBuilder {
        let path = format!("{}/data/{name}", table.metadata().location());
        let bytes = parquet(columns.clone());
        let disk = local(&path);
        std::fs::create_dir_all(disk.parent().unwrap()).unwrap();
        std::fs::write(disk, &bytes).unwrap();
        describe(&path, &bytes, columns[0].1.len())
    }

    pub(super) async fn append(&self, table: &Table, files: Vec<DataFile>) -> Table {
        let change = RowsChange::Append { files };
        self.catalog.commit_rows(table, change, CommitOptions::default()).await.unwrap().table
    }

    /// A session that knows `table` as `t`.
    pub(super) fn sql(&self, table: &Table, partitions: usize) -> SessionContext {
        let context = session(partitions);
        let provider = IcebergTable::try_new(self.catalog.clone(), table.clone()).unwrap();
        context.register_table("t", Arc::new(provider)).unwrap();
        context
    }

    /// The rows that `sql` yields, as text in order.
    pub(super) async fn rows(&self, table: &Table, sql: &str) -> Vec<String> {
        rows(&self.sql(table, 2), sql).await
    }

    pub(super) async fn error(&self, table: &Table, sql: &str) -> Error {
        let context = self.sql(table, 2);
        let frame = context.sql(sql).await.unwrap();
        Error::from(frame.collect().await.unwrap_err())
    }

    /// Every Parquet file below the directory.
    pub(super) fn parquet_files(&self) -> Vec<PathBuf> {
        fn walk(dir: &std::path::Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.extension().is_some_and(|e| e == "parquet") {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.dir.path(), &mut found);
        found.sort();
        found
    }
}

/// As the engine configures it, but for small files.
pub(super) fn session(partitions: usize) -> SessionContext {
    let mut config =
        SessionConfig::new().with_target_partitions(partitions).with_repartition_file_min_size(1);
    config.options_mut().execution.parquet.pushdown_filters = true;
    config.options_mut().execution.collect_statistics = true;
    SessionContext::new_with_config(config)
}

/// The rows that `sql` yields here, which are those that it yields in another process.
pub(super) async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    let here = context.sql(sql).await.unwrap().collect().await.unwrap();
    let here = texts(&here);
    // Times differ, and a recursive query is never sent.
    if sql.starts_with("EXPLAIN") || sql.contains("RECURSIVE") {
        return here;
    }
    let mut there = texts(&rows_there(context, sql).await);
    let is_any = sql.contains("LIMIT") && !sql.contains("ORDER BY");
    if is_any {
        assert_eq!(here.len(), there.len(), "sent elsewhere: {sql}");
    } else {
        let mut same = here.clone();
        same.sort_unstable();
        there.sort_unstable();
        assert_eq!(same, there, "sent elsewhere: {sql}");
    }
    here
}

/// What `sql` yields when its plan has gone through messages.
pub(super) async fn rows_there(context: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    let plan = plan(context, sql).await;
    let task = context.task_ctx();
    let plan = sent(&plan, &task, &Storage::local()).unwrap();
    collect(plan, task).await.unwrap()
}

pub(super) fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let mut text = String::new();
            for (i, column) in columns.iter().enumerate() {
                let separator = if i == 0 { "" } else { "|" };
                write!(text, "{separator}{}", column.value(row)).unwrap();
            }
            rows.push(text);
        }
    }
    rows
}

pub(super) async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

pub(super) fn shown(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

/// What the operators of an executed plan counted under `name`: pruned, for pruning metrics.
pub(super) fn metric(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let own: usize = plan.metrics().map_or(0, |metrics| {
        metrics
            .iter()
            .map(|metric| match metric.value() {
                MetricValue::PruningMetrics { name: n, pruning_metrics } if *n == *name => {
                    pruning_metrics.pruned()
                }
                other if other.name() == name => other.as_usize(),
                _ => 0,
            })
            .sum()
    });
    own + plan.children().into_iter().map(|child| metric(child, name)).sum::<usize>()
}

pub(super) fn optional(id: i32, name: &str, ty: PrimitiveType) -> NestedField {
    NestedField::optional(id, name, Type::Primitive(ty))
}

pub(super) fn identity(source: i32, name: &str) -> Value {
    json!([{"source-id": source, "name": name, "transform": "identity"}])
}

/// A column of a file, with a field id.
pub(super) fn stored(name: &str, ty: DataType, id: i32) -> Field {
    Field::new(name, ty, true).with_metadata(HashMap::from([(FIELD_ID.to_owned(), id.to_string())]))
}

pub(super) fn parquet(columns: Vec<(Field, ArrayRef)>) -> Vec<u8> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// A data file without any metrics.
pub(super) fn describe(uri: &str, bytes: &[u8], rows: usize) -> DataFileBuilder {
    let mut builder = DataFileBuilder::default();
    builder
        .content(DataContentType::Data)
        .file_path(uri.to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition_spec_id(0)
        .record_count(rows as u64)
        .file_size_in_bytes(bytes.len() as u64);
    builder
}

pub(super) fn local(uri: &str) -> PathBuf {
    PathBuf::from(uri.strip_prefix("file://").unwrap())
}
