//! Whole statements: plans from rows to a commit in an embedded catalog, read back by a scan.

use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, UInt64Type};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use fjord_catalog::catalog::{Catalog, CreateMode, CreateTable};
use fjord_catalog::change::CommitOptions;
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::predicate::Predicate;
use fjord_catalog::spec::{FormatVersion, NestedField, PrimitiveType, Schema, Type};
use fjord_catalog::storage::Storage;
use fjord_catalog::table::Table;
use serde_json::json;
use tempfile::TempDir;

use super::{Fit, WriteTarget, plan_write};
use crate::iceberg::commit::{CommitAction, CommitOutcome, plan_commit};
use crate::iceberg::table::IcebergTable;

struct Fixture {
    dir: TempDir,
    catalog: Catalog,
    state: SessionState,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let warehouse = format!("file://{}/warehouse", dir.path().display());
        let options = EmbeddedOptions::new(dir.path().join("catalog.db"), &warehouse);
        let embedded = Arc::new(Embedded::open(options).await.unwrap());
        let catalog = Catalog::new("iceberg", embedded, Storage::local(), warehouse);
        let config = SessionConfig::new().with_target_partitions(2);
        let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
        catalog
            .create_namespace(&Namespace::parse("s").unwrap(), Default::default())
            .await
            .unwrap();
        Self { dir, catalog, state }
    }

    fn create(&self) -> CreateTable {
        let field = |id, name, ty, required| -> Arc<NestedField> {
            let ty = Type::Primitive(ty);
            if required {
                NestedField::required(id, name, ty)
            } else {
                NestedField::optional(id, name, ty)
            }
            .into()
        };
        let fields = vec![
            field(1, "k", PrimitiveType::Int, true),
            field(2, "v", PrimitiveType::String, false),
        ];
        CreateTable {
            name: TableName::new(Namespace::parse("s").unwrap(), "t").unwrap(),
            schema: Schema::builder().with_fields(fields).build().unwrap(),
            partition_spec: serde_json::from_value(
                json!({"fields": [{"source-id": 1, "name": "k_bucket", "transform": "bucket[4]"}]}),
            )
            .unwrap(),
            sort_order: serde_json::from_value(json!({"order-id": 1, "fields": [
                {"transform": "identity", "source-id": 1, "direction": "desc", "null-order": "nulls-last"}
            ]}))
            .unwrap(),
            location: None,
            properties: Default::default(),
            format_version: FormatVersion::V2,
            mode: CreateMode::Create,
        }
    }

    fn rows(&self, keys: &[Option<i32>]) -> Arc<dyn ExecutionPlan> {
        let values = keys.iter().map(|k| k.map(|k| format!("v{k}"))).collect::<StringArray>();
        let keys = Int32Array::from(keys.to_vec());
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("a", Arc::new(keys) as _, true),
            ("b", Arc::new(values) as _, true),
        ])
        .unwrap();
        let schema = batch.schema();
        MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap()
    }

    async fn run(
        &self,
        table: &Table,
        action: CommitAction,
        keys: &[Option<i32>],
    ) -> (crate::Result<u64>, CommitOutcome) {
        let target = WriteTarget { catalog: self.catalog.clone(), table: table.clone() };
        let outcome = CommitOutcome::default();
        let write = plan_write(self.rows(keys), &target, Fit::Exact, &self.state).unwrap();
        let options = CommitOptions::default();
        let plan = plan_commit(write, &target, action, options, outcome.clone()).unwrap();
        let done = collect(Arc::clone(&plan), self.state.task_ctx()).await;
        let again = collect(plan, self.state.task_ctx()).await.unwrap_err();
        assert!(again.to_string().contains("only once"), "{again}");
        let count = done
            .map_err(crate::Error::from)
            .map(|batches| batches[0].column(0).as_primitive::<UInt64Type>().value(0));
        (count, outcome)
    }

    async fn keys(&self, table: &Table) -> Vec<i32> {
        let provider = IcebergTable::try_new(self.catalog.clone(), table.clone()).unwrap();
        let context = SessionContext::new_with_state(self.state.clone());
        let batches = context.read_table(Arc::new(provider)).unwrap().collect().await.unwrap();
        let mut keys: Vec<i32> = batches
            .iter()
            .flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec())
            .collect();
        keys.sort_unstable();
        keys
    }

    fn parquet_files(&self) -> usize {
        fn count(dir: &std::path::Path) -> usize {
            std::fs::read_dir(dir).into_iter().flatten().fold(0, |n, entry| {
                let path = entry.unwrap().path();
                let parquet = path.extension().is_some_and(|e| e == "parquet");
                n + if path.is_dir() { count(&path) } else { usize::from(parquet) }
            })
        }
        count(self.dir.path())
    }
}

#[tokio::test]
async fn create_append_and_overwrite_are_read_back() {
    let fixture = Fixture::new().await;
    let staged = fixture.catalog.stage_table(fixture.create()).await.unwrap();
    let table = staged.table.clone();
    let ten: Vec<_> = (0..10).map(Some).collect();
    let (count, outcome) = fixture.run(&table, CommitAction::Create(Box::new(staged)), &ten).await;
    assert_eq!(count.unwrap(), 10);
    let table = outcome.committed().unwrap().table.clone();
    assert_eq!(fixture.keys(&table).await, (0..10).collect::<Vec<_>>());
    // One file per bucket: rows were clustered before they were written.
    assert!(fixture.parquet_files() <= 4, "{}", fixture.parquet_files());

    let (count, outcome) = fixture.run(&table, CommitAction::Append, &[Some(10), Some(11)]).await;
    assert_eq!(count.unwrap(), 2);
    let table = outcome.committed().unwrap().table.clone();
    assert_eq!(fixture.keys(&table).await, (0..12).collect::<Vec<_>>());

    let (count, outcome) = fixture.run(&table, CommitAction::Append, &[]).await;
    assert_eq!(count.unwrap(), 0);
    assert!(outcome.committed().unwrap().snapshot.is_none(), "no rows, no snapshot");

    let all = CommitAction::OverwriteWhere(Predicate::True);
    let (count, outcome) = fixture.run(&table, all, &[Some(7)]).await;
    assert_eq!(count.unwrap(), 1);
    assert_eq!(fixture.keys(&outcome.committed().unwrap().table).await, [7]);
}

#[tokio::test]
async fn a_write_that_runs_again_fails_instead_of_writing_nothing() {
    let fixture = Fixture::new().await;
    let staged = fixture.catalog.stage_table(fixture.create()).await.unwrap();
    let target = WriteTarget { catalog: fixture.catalog.clone(), table: staged.table };
    let write =
        plan_write(fixture.rows(&[Some(1), Some(2)]), &target, Fit::Exact, &fixture.state).unwrap();
    let files = collect(Arc::clone(&write), fixture.state.task_ctx()).await.unwrap();
    assert!(files.iter().map(RecordBatch::num_rows).sum::<usize>() > 0);
    let again = collect(write, fixture.state.task_ctx()).await.unwrap_err();
    assert!(again.to_string().contains("only once"), "{again}");
}

#[tokio::test]
async fn a_write_that_fails_leaves_no_file_and_no_commit() {
    let fixture = Fixture::new().await;
    let staged = fixture.catalog.stage_table(fixture.create()).await.unwrap();
    let table = staged.table.clone();
    let action = CommitAction::Create(Box::new(staged));
    let (count, outcome) = fixture.run(&table, action, &[Some(1), None]).await;
    let error = count.unwrap_err().to_string();
    assert!(error.contains("column \"k\" is required"), "{error}");
    assert!(outcome.committed().is_none());
    assert_eq!(fixture.parquet_files(), 0);
    assert!(fixture.catalog.load_table(table.name()).await.is_err());
}
