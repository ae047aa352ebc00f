//! Delete files of other engines: what they delete is never seen, whatever the query asks.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema as ArrowSchema};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionContext;
use fjord_catalog::faults::commit_delete_files;
use fjord_catalog::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, FormatVersion, PrimitiveType,
    TableMetadata, TableUpdate,
};
use fjord_catalog::table::Table;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::lake::{Lake, describe, local, optional, rows, session, stored};
use crate::error::{Error, ErrorKind};
use crate::iceberg::deletes::DeleteCache;
use crate::iceberg::table::IcebergTable;

/// Rows of the table, `k` from 0 in order, and of each of its row groups.
const ROWS: i64 = 40_000;
const GROUP_ROWS: usize = 5_000;

/// One file with `k` and `k / 100` as text; all positions are keys.
async fn one_file(lake: &Lake) -> Table {
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "v", PrimitiveType::String)];
    let table = lake.create(fields, json!([])).await;
    let texts: StringArray = (0..ROWS).map(|k| Some((k / 100).to_string())).collect();
    let columns: Vec<(_, ArrayRef)> = vec![
        (stored("k", DataType::Int64, 1), Arc::new((0..ROWS).collect::<Int64Array>())),
        (stored("v", DataType::Utf8, 2), Arc::new(texts)),
    ];
    let file = put(&table, "rows.parquet", columns).build().unwrap();
    lake.append(&table, vec![file]).await
}

/// Writes a Parquet file of several row groups below the table.
fn put(
    table: &Table,
    name: &str,
    columns: Vec<(arrow::datatypes::Field, ArrayRef)>,
) -> DataFileBuilder {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays).unwrap();
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(GROUP_ROWS)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let uri = format!("{}/data/{name}", table.metadata().location());
    std::fs::create_dir_all(local(&uri).parent().unwrap()).unwrap();
    std::fs::write(local(&uri), &bytes).unwrap();
    describe(&uri, &bytes, batch.num_rows())
}

fn position_deletes(table: &Table, positions: impl IntoIterator<Item = i64>) -> DataFile {
    let path = format!("{}/data/rows.parquet", table.metadata().location());
    let positions: Int64Array = positions.into_iter().collect();
    let paths = StringArray::from(vec![path; positions.len()]);
    let columns: Vec<(_, ArrayRef)> = vec![
        (stored("file_path", DataType::Utf8, 2_147_483_546), Arc::new(paths)),
        (stored("pos", DataType::Int64, 2_147_483_545), Arc::new(positions)),
    ];
    let mut file = put(table, &format!("{}.parquet", uuid::Uuid::new_v4()), columns);
    file.content(DataContentType::PositionDeletes).build().unwrap()
}

fn equality_deletes(table: &Table, keys: impl IntoIterator<Item = i64>) -> DataFile {
    let columns: Vec<(_, ArrayRef)> =
        vec![(stored("k", DataType::Int64, 1), Arc::new(keys.into_iter().collect::<Int64Array>()))];
    let mut file = put(table, &format!("{}.parquet", uuid::Uuid::new_v4()), columns);
    file.content(DataContentType::EqualityDeletes).equality_ids(Some(vec![1])).build().unwrap()
}

async fn commit(lake: &Lake, table: &Table, deletes: &[DataFile]) -> Table {
    let (metastore, storage) = (lake.catalog.metastore().as_ref(), lake.catalog.storage());
    commit_delete_files(metastore, storage, table.name(), deletes).await.unwrap()
}

/// What is asked of a table from which `deleted` are gone, however they went.
async fn check(lake: &Lake, table: &Table, deleted: &[i64]) {
    let deleted: std::collections::BTreeSet<i64> = deleted.iter().copied().collect();
    let kept: Vec<i64> = (0..ROWS).filter(|k| !deleted.contains(k)).collect();
    let count = |condition: &dyn Fn(i64) -> bool| kept.iter().filter(|k| condition(**k)).count();
    let text = |n: usize| vec![n.to_string()];
    for partitions in [1, 4] {
        let context = lake.sql(table, partitions);
        let ask = async |sql: &str| rows(&context, sql).await;
        let mut all: Vec<i64> =
            ask("SELECT k FROM t").await.iter().map(|k| k.parse().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, kept, "{partitions} partitions");
        assert_eq!(ask("SELECT count(*) FROM t").await, text(kept.len()));
        assert_eq!(ask("SELECT sum(1) FROM t").await, text(kept.len()));
        assert_eq!(ask("SELECT count(v) FROM t").await, text(kept.len()));
        let ends = format!("{}|{}", kept[0], kept[kept.len() - 1]);
        assert_eq!(ask("SELECT min(k), max(k) FROM t").await, [ends]);
        let filtered = ask("SELECT count(*) FROM t WHERE k >= 7000 AND v < '3'").await;
        assert_eq!(filtered, text(count(&|k| k >= 7000 && (k / 100).to_string().as_str() < "3")));
        // Fails on a row that is deleted, and on no other.
        let bad = deleted.first().unwrap();
        let sql =
            format!("SELECT count(*), count(10 / (k - {bad})) FROM t WHERE 10 / (k - {bad}) > -99");
        assert_eq!(ask(&sql).await, [format!("{0}|{0}", kept.len())]);
        for limit in [0, 1, 10, 9_000, 39_000] {
            let sql = format!("SELECT count(*) FROM (SELECT v FROM t LIMIT {limit})");
            assert_eq!(ask(&sql).await, text(limit.min(kept.len())), "{sql}");
            let sql = format!("SELECT count(*) FROM (SELECT 1 FROM t WHERE k > 5 LIMIT {limit})");
            assert_eq!(ask(&sql).await, text(limit.min(count(&|k| k > 5))), "{sql}");
        }
        let last: Vec<String> = kept.iter().rev().take(5).map(ToString::to_string).collect();
        assert_eq!(ask("SELECT k FROM t ORDER BY k DESC LIMIT 5").await, last);
        let first: Vec<String> = kept.iter().take(5).map(|k| format!("{}|{k}", k / 100)).collect();
        assert_eq!(ask("SELECT v, k FROM t ORDER BY k LIMIT 5").await, first);
        let joined =
            ask("SELECT count(*) FROM t JOIN (SELECT k FROM t WHERE k < 200) s USING (k)").await;
        assert_eq!(joined, text(count(&|k| k < 200)));
        let numbers = ask("SELECT max(file_row_index() - k), count(file_row_index()) FROM t").await;
        assert_eq!(numbers, [format!("0|{}", kept.len())]);
    }
}

fn scattered() -> Vec<i64> {
    (0..ROWS).filter(|k| k % 97 == 0 || *k == ROWS - 1).collect()
}

fn in_runs() -> Vec<i64> {
    [0..3, 4_990..12_000, 39_990..40_000].into_iter().flatten().collect()
}

/// Hazards: a limit that counts deleted rows, `count(*)` and bounds taken from statistics, positions
/// counted within row groups or ranges, rows that a `TopK` keeps from before they were deleted.
#[tokio::test]
async fn rows_deleted_by_position_are_never_seen_scattered_or_in_runs() {
    for deleted in [scattered(), in_runs(), vec![0], (1..ROWS).collect()] {
        let lake = Lake::new().await;
        let table = one_file(&lake).await;
        let (some, others): (Vec<i64>, Vec<i64>) = deleted.iter().partition(|k| **k < 20_000);
        let files = [position_deletes(&table, some), position_deletes(&table, others)];
        let table = commit(&lake, &table, &files).await;
        check(&lake, &table, &deleted).await;
    }
}

#[tokio::test]
async fn rows_deleted_by_key_are_never_seen() {
    for deleted in [scattered(), in_runs()] {
        let lake = Lake::new().await;
        let table = one_file(&lake).await;
        let (keys, positions): (Vec<i64>, Vec<i64>) = deleted.iter().partition(|k| **k % 3 == 0);
        let files = [equality_deletes(&table, keys.clone())];
        let table = commit(&lake, &table, &files).await;
        check(&lake, &table, &keys).await;
        let table = commit(&lake, &table, &[position_deletes(&table, positions)]).await;
        check(&lake, &table, &deleted).await;
    }
}

#[tokio::test]
async fn a_file_without_a_row_left_yields_nothing() {
    let lake = Lake::new().await;
    let table = one_file(&lake).await;
    let table = commit(&lake, &table, &[position_deletes(&table, 0..ROWS)]).await;
    for sql in ["SELECT k FROM t", "SELECT v FROM t WHERE k > 5", "SELECT k FROM t LIMIT 3"] {
        assert!(lake.rows(&table, sql).await.is_empty(), "{sql}");
    }
    assert_eq!(lake.rows(&table, "SELECT count(*) FROM t").await, ["0"]);
}

/// Hazard: a limit is thought to be filled by files whose rows are deleted, and the others are not read.
#[tokio::test]
async fn a_limit_is_filled_from_further_files_when_the_first_has_no_rows_left() {
    let lake = Lake::new().await;
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "v", PrimitiveType::String)];
    let table = lake.create(fields, json!([])).await;
    let keys = || -> ArrayRef { Arc::new((0..10).collect::<Int64Array>()) };
    let other = put(&table, "other.parquet", vec![(stored("k", DataType::Int64, 1), keys())]);
    let first = put(&table, "rows.parquet", vec![(stored("k", DataType::Int64, 1), keys())]);
    for order in [[first.clone(), other.clone()], [other, first]] {
        let files = order.map(|file| file.build().unwrap()).to_vec();
        let written = lake.append(&table, files).await;
        let deleted = commit(&lake, &written, &[position_deletes(&table, 0..10)]).await;
        let found = lake.rows(&deleted, "SELECT k FROM t LIMIT 5").await;
        assert_eq!(found.len(), 5);
        lake.catalog
            .commit_rows(
                &deleted,
                fjord_catalog::change::RowsChange::OverwriteWhere {
                    filter: fjord_catalog::predicate::Predicate::True,
                    files: vec![],
                },
                fjord_catalog::change::CommitOptions::default(),
            )
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_from_before_the_deletes_has_all_rows_and_counts_them_without_reading() {
    let lake = Lake::new().await;
    let before = one_file(&lake).await;
    let table = commit(&lake, &before, &[position_deletes(&before, [1, 2])]).await;
    let snapshot = Arc::clone(before.current_snapshot().unwrap());
    let earlier = IcebergTable::try_new_at(lake.catalog.clone(), table.clone(), snapshot).unwrap();
    let context = session(1);
    context.register_table("t", Arc::new(earlier)).unwrap();
    assert_eq!(rows(&context, "SELECT count(k + 0) FROM t").await, [ROWS.to_string()]);
    let plan = |context: SessionContext| async move {
        super::lake::shown(&super::lake::plan(&context, "SELECT count(*) FROM t").await)
    };
    assert!(!plan(context).await.contains("DataSourceExec"), "clean files pay nothing");
    let shown = plan(lake.sql(&table, 1)).await;
    assert!(shown.contains("files_with_deletes=1"), "{shown}");
}

/// Hazard: a delete file that cannot be read counts as one that deletes nothing.
#[tokio::test]
async fn a_delete_file_that_is_missing_or_damaged_fails_the_query_by_its_name() {
    for deletes in [position_deletes as fn(&Table, Vec<i64>) -> DataFile, equality_deletes] {
        let lake = Lake::new().await;
        let table = one_file(&lake).await;
        let file = deletes(&table, vec![1, 2]);
        let path = local(file.file_path());
        let table = commit(&lake, &table, &[file]).await;
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, vec![0; bytes.len()]).unwrap();
        let error = lake.error(&table, "SELECT k FROM t").await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        std::fs::remove_file(&path).unwrap();
        for sql in ["SELECT k FROM t", "SELECT count(*) FROM t", "SELECT k FROM t LIMIT 1"] {
            let error = lake.error(&table, sql).await;
            assert_eq!(error.kind(), ErrorKind::NotFound, "{sql}: {error}");
            let text = error.to_string();
            let named = text.contains("delete file") && text.contains(path.to_str().unwrap());
            assert!(named, "{sql}: {text}");
        }
    }
}

/// Hazard: a manifest that counts fewer rows than a file has, so that a selection ends too early.
#[tokio::test]
async fn a_row_count_that_is_not_the_files_fails_a_selection() {
    let lake = Lake::new().await;
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "v", PrimitiveType::String)];
    let table = lake.create(fields, json!([])).await;
    let keys: ArrayRef = Arc::new((0..ROWS).collect::<Int64Array>());
    let mut file = put(&table, "rows.parquet", vec![(stored("k", DataType::Int64, 1), keys)]);
    let file = file.record_count(u64::try_from(ROWS).unwrap() - 1).build().unwrap();
    let table = lake.append(&table, vec![file]).await;
    let table = commit(&lake, &table, &[position_deletes(&table, [7])]).await;
    let error = lake.error(&table, "SELECT k FROM t").await;
    assert!(error.to_string().contains("rows.parquet"), "{error}");
}

/// Hazard: deletes that grow without bound outside the memory pool.
#[tokio::test]
async fn deletes_beyond_the_memory_pool_fail_by_name_and_give_back_what_they_held() {
    let lake = Lake::new().await;
    let table = one_file(&lake).await;
    let table = commit(&lake, &table, &[equality_deletes(&table, 0..20_000)]).await;
    let pool = Arc::new(GreedyMemoryPool::new(200_000));
    let env = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool) as _).build_arc();
    let cache = DeleteCache::new(1 << 20);
    let config = session(1).copied_config().with_extension(Arc::new(cache));
    let context = SessionContext::new_with_config_rt(config, env.unwrap());
    let provider = IcebergTable::try_new(lake.catalog.clone(), table).unwrap();
    context.register_table("t", Arc::new(provider)).unwrap();
    let error = context.sql("SELECT k FROM t").await.unwrap().collect().await.unwrap_err();
    let error = Error::from(error);
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(error.to_string().contains("IcebergDeletes"), "{error}");
    let held = datafusion::execution::memory_pool::MemoryPool::reserved(pool.as_ref());
    assert_eq!(held, 0, "bytes are still held");
}

#[tokio::test]
async fn delete_files_are_read_once_however_many_ask() {
    let lake = Lake::new().await;
    let table = one_file(&lake).await;
    let files = [position_deletes(&table, scattered()), equality_deletes(&table, [5, 6])];
    let table = commit(&lake, &table, &files).await;
    let cache = DeleteCache::new(1 << 20);
    let config = session(4).copied_config().with_extension(Arc::new(cache.clone()));
    let context = SessionContext::new_with_config(config);
    let provider = IcebergTable::try_new(lake.catalog.clone(), table).unwrap();
    context.register_table("t", Arc::new(provider)).unwrap();
    for _ in 0..3 {
        rows(&context, "SELECT k FROM t WHERE k > 10").await;
    }
    let statistics = cache.statistics();
    let row_groups = u64::try_from(ROWS).unwrap() / GROUP_ROWS as u64;
    assert_eq!(statistics.misses, 2 + row_groups, "{statistics:?}");
    assert!(statistics.hits >= 4, "{statistics:?}");
}

/// Format 2 files of position deletes in a table of format 3, and delete files in formats that
/// cannot be read.
#[tokio::test]
async fn what_cannot_be_applied_is_refused() {
    let lake = Lake::new().await;
    let table = one_file(&lake).await;
    let upgrade = |_: &TableMetadata| {
        Ok(vec![TableUpdate::UpgradeFormatVersion { format_version: FormatVersion::V3 }])
    };
    let table = lake.catalog.commit_metadata(table.name(), upgrade).await.unwrap().table;
    for (format, kind) in [
        (DataFileFormat::Orc, ErrorKind::Unsupported),
        (DataFileFormat::Avro, ErrorKind::Unsupported),
        (DataFileFormat::Puffin, ErrorKind::Corrupt),
    ] {
        let mut file = describe(&format!("{}/data/d", table.metadata().location()), b"", 1);
        file.content(DataContentType::PositionDeletes).file_format(format);
        let after = commit(&lake, &table, &[file.build().unwrap()]).await;
        let error = lake.error(&after, "SELECT k FROM t").await;
        assert_eq!(error.kind(), kind, "{format}: {error}");
        assert!(error.to_string().contains("delete file"), "{error}");
        lake.catalog
            .rollback_to(table.name(), table.current_snapshot().unwrap().snapshot_id())
            .await
            .unwrap();
    }
}
