//! Scans that are read in another process: nothing of what DataFusion's own messages lose is lost. All
//! other tests of scans go through messages too, by [`super::lake::rows`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use datafusion::common::Statistics;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use fjord_catalog::faults::commit_delete_files;
use fjord_catalog::spec::{DataContentType, PrimitiveType};
use fjord_catalog::storage::Storage;
use serde_json::json;

use super::lake::{Lake, optional, plan, rows_there, stored, texts};
use crate::cluster::sent;
use crate::iceberg::wire::scan_of;

async fn ten_rows(lake: &Lake) -> fjord_catalog::table::Table {
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "v", PrimitiveType::String)];
    let table = lake.create(fields, json!([])).await;
    let columns: Vec<(Field, ArrayRef)> = vec![
        (stored("k", DataType::Int64, 1), Arc::new((0..10).collect::<Int64Array>())),
        (
            stored("v", DataType::Utf8, 2),
            Arc::new((0..10).map(|k| Some(format!("v{k}"))).collect::<StringArray>()),
        ),
    ];
    let file = lake.file(&table, "rows.parquet", columns).build().unwrap();
    lake.append(&table, vec![file]).await
}

/// Hazard: the deletes of a file are an extension, which DataFusion's messages drop: deleted rows come
/// back on workers (stack §3).
#[tokio::test]
async fn a_scan_that_is_sent_leaves_deleted_rows_out() {
    let lake = Lake::new().await;
    let table = ten_rows(&lake).await;
    let path = format!("{}/data/rows.parquet", table.metadata().location());
    let columns: Vec<(Field, ArrayRef)> = vec![
        (
            stored("file_path", DataType::Utf8, 2_147_483_546),
            Arc::new(StringArray::from(vec![path; 3])),
        ),
        (stored("pos", DataType::Int64, 2_147_483_545), Arc::new(Int64Array::from(vec![0, 4, 9]))),
    ];
    let mut positions = lake.file(&table, "positions.parquet", columns);
    let positions = positions.content(DataContentType::PositionDeletes).build().unwrap();
    let keys: Vec<(Field, ArrayRef)> =
        vec![(stored("k", DataType::Int64, 1), Arc::new(Int64Array::from(vec![5, 6])))];
    let mut keys = lake.file(&table, "keys.parquet", keys);
    let keys = keys.content(DataContentType::EqualityDeletes).equality_ids(Some(vec![1]));
    let deletes = [positions, keys.build().unwrap()];
    let (metastore, storage) = (lake.catalog.metastore().as_ref(), lake.catalog.storage());
    let table = commit_delete_files(metastore, storage, table.name(), &deletes).await.unwrap();
    let context = lake.sql(&table, 2);
    for (sql, expected) in [
        ("SELECT k FROM t ORDER BY k", vec!["1", "2", "3", "7", "8"]),
        // Deleted by keys that the query does not read.
        ("SELECT v FROM t ORDER BY v", vec!["v1", "v2", "v3", "v7", "v8"]),
        ("SELECT count(*) FROM t", vec!["5"]),
    ] {
        assert_eq!(texts(&rows_there(&context, sql).await), expected, "{sql}");
    }
}

/// Hazard: the adapter that finds columns by field id is dropped by DataFusion's messages: a worker
/// would find them by name (stack §3).
#[tokio::test]
async fn a_scan_that_is_sent_finds_columns_by_field_id() {
    let lake = Lake::new().await;
    let fields = vec![optional(1, "a", PrimitiveType::Long), optional(2, "b", PrimitiveType::Long)];
    let table = lake.create(fields, json!([])).await;
    // In the file each has the other's name.
    let columns: Vec<(Field, ArrayRef)> = vec![
        (stored("b", DataType::Int64, 1), Arc::new(Int64Array::from(vec![1, 2]))),
        (stored("a", DataType::Int64, 2), Arc::new(Int64Array::from(vec![30, 40]))),
    ];
    let file = lake.file(&table, "rows.parquet", columns).build().unwrap();
    let table = lake.append(&table, vec![file]).await;
    let context = lake.sql(&table, 1);
    let found = rows_there(&context, "SELECT a, b FROM t WHERE a < 10 ORDER BY a").await;
    assert_eq!(texts(&found), ["1|30", "2|40"]);
}

/// Hazard: DataFusion's messages cut a limit to 32 bits, and a larger one becomes a small one
/// (stack §3).
#[tokio::test]
async fn a_limit_beyond_32_bits_is_sent_whole() {
    let lake = Lake::new().await;
    let table = ten_rows(&lake).await;
    let context = lake.sql(&table, 1);
    let limit = (1_usize << 32) + 1;
    let planned = plan(&context, &format!("SELECT k FROM t LIMIT {limit}")).await;
    let (config, _) = scan_of(planned.as_ref()).expect("the limit is the scan's");
    assert_eq!(config.limit, Some(limit));
    let task = context.task_ctx();
    let planned = sent(&planned, &task, &Storage::local()).unwrap();
    let found = datafusion::physical_plan::collect(planned, task).await.unwrap();
    assert_eq!(texts(&found).len(), 10);
}

/// Hazard: statistics that are lost on the way make a worker's join build on the wrong side, without
/// filters for what it reads (stack §3).
#[tokio::test]
async fn statistics_and_figures_of_a_scan_are_sent() {
    fn statistics(plan: &Arc<dyn ExecutionPlan>) -> Statistics {
        let found = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
        found.unwrap().as_ref().clone()
    }
    let lake = Lake::new().await;
    let table = ten_rows(&lake).await;
    let batch = RecordBatch::try_from_iter([
        ("k", Arc::new(Int64Array::from(vec![100, 200])) as ArrayRef),
        ("v", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
    ]);
    let table = lake.write(&table, batch.unwrap()).await;
    let context = lake.sql(&table, 2);
    let here = plan(&context, "SELECT v, k FROM t WHERE k > 150").await;
    let there = sent(&here, &context.task_ctx(), &Storage::local()).unwrap();
    assert_eq!(statistics(&here), statistics(&there));
    let shown = |plan| super::lake::shown(plan);
    assert_eq!(shown(&here), shown(&there));
}

/// Hazard: a bare Parquet source has a message of DataFusion's own, in which its row selection is lost:
/// whatever reads files without being ours is never sent (stack §3).
#[tokio::test]
async fn files_that_are_no_tables_are_never_sent() {
    use crate::cluster::{Cluster, ClusterOptions, NodeAuth, Placement, place};

    #[derive(Debug)]
    struct Anybody;
    impl NodeAuth for Anybody {
        fn sign(&self) -> String {
            String::new()
        }

        fn check(&self, _: Option<&str>) -> Result<(), String> {
            Ok(())
        }
    }

    let schema = Arc::new(ArrowSchema::new(vec![Field::new("k", DataType::Int64, true)]));
    let selection = parquet::arrow::arrow_reader::RowSelection::from(vec![]);
    let file = PartitionedFile::new("rows.parquet", 1_000)
        .with_extension(ParquetRowSelection::new(selection));
    let source = Arc::new(ParquetSource::new(schema));
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source);
    let bare: Arc<dyn ExecutionPlan> =
        DataSourceExec::from_data_source(config.with_file(file).build());
    let mut options = ClusterOptions::new(Arc::new(Anybody));
    (options.bytes_min, options.task_bytes) = (0, 1);
    options.workers = vec!["http://a:1".parse().unwrap(), "http://b:1".parse().unwrap()];
    let databases = std::sync::Weak::<crate::services::Services>::new();
    let cluster = Cluster::new(options, "same".into(), Storage::local(), databases);
    let state = super::lake::session(2).state();
    match place(&cluster, &bare, &state).unwrap() {
        Placement::Local(reason) => assert!(reason.contains("no table's"), "{reason}"),
        Placement::Spread(_) => panic!("a bare Parquet source was sent"),
    }
    // One of a table's files with an extension that nobody knows is not sent either.
    let lake = Lake::new().await;
    let table = ten_rows(&lake).await;
    let planned = plan(&lake.sql(&table, 1), "SELECT k FROM t").await;
    let (config, _) = scan_of(planned.as_ref()).unwrap();
    let mut config = config.clone();
    let group = config.file_groups.remove(0).into_inner().remove(0);
    config.file_groups.push(vec![group.with_extension(7_u8)].into());
    let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
    match place(&cluster, &scan, &state).unwrap() {
        Placement::Local(reason) => {
            assert!(reason.contains("extensions that no message carries"), "{reason}")
        }
        Placement::Spread(_) => panic!("an extension was lost"),
    }
}
