//! Rows found by deleted keys are kept as positions: of this file, by these deletes, and no others.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use fjord_catalog::change::{CommitOptions, RowsChange};
use fjord_catalog::evolve::{ColumnChange, change_columns};
use fjord_catalog::faults::commit_delete_files;
use fjord_catalog::predicate::Predicate;
use fjord_catalog::spec::{
    DataContentType, DataFile, DataFileBuilder, Literal, PrimitiveType, Struct, Type,
};
use fjord_catalog::table::Table;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::lake::{Lake, describe, identity, local, metric, optional, plan, rows, session, stored};
use crate::iceberg::deletes::DeleteCache;
use crate::iceberg::table::IcebergTable;

/// Rows of a row group, and row groups of a file.
const GROUP_ROWS: i64 = 5_000;
const GROUPS: i64 = 8;

/// A lake and a cache of its own, so that what is read can be counted.
struct Counted {
    lake: Lake,
    cache: DeleteCache,
}

impl Counted {
    async fn new() -> Self {
        Self { lake: Lake::new().await, cache: DeleteCache::new(1 << 20) }
    }

    fn sql(&self, table: &Table, partitions: usize) -> SessionContext {
        let config = session(partitions).copied_config();
        let context =
            SessionContext::new_with_config(config.with_extension(Arc::new(self.cache.clone())));
        let provider = IcebergTable::try_new(self.lake.catalog.clone(), table.clone()).unwrap();
        context.register_table("t", Arc::new(provider)).unwrap();
        context
    }

    async fn rows(&self, table: &Table, sql: &str) -> Vec<String> {
        rows(&self.sql(table, 2), sql).await
    }

    /// Bytes of data files that `sql` reads.
    async fn bytes(&self, table: &Table, sql: &str) -> usize {
        let context = self.sql(table, 1);
        let plan = plan(&context, sql).await;
        collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
        metric(&plan, "bytes_scanned")
    }

    async fn put(&self, table: &Table, deletes: DataFile) -> Table {
        let (metastore, storage) =
            (self.lake.catalog.metastore().as_ref(), self.lake.catalog.storage());
        commit_delete_files(metastore, storage, table.name(), &[deletes]).await.unwrap()
    }
}

/// A Parquet file of several row groups below the table.
fn file(table: &Table, name: &str, columns: Vec<(Field, ArrayRef)>) -> DataFileBuilder {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays).unwrap();
    let group_rows = usize::try_from(GROUP_ROWS).unwrap();
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let uri = format!("{}/data/{name}", table.metadata().location());
    std::fs::create_dir_all(local(&uri).parent().unwrap()).unwrap();
    std::fs::write(local(&uri), &bytes).unwrap();
    describe(&uri, &bytes, batch.num_rows())
}

/// Rows with the keys `k` and some text.
fn data(table: &Table, name: &str, keys: impl IntoIterator<Item = i64>) -> DataFileBuilder {
    let keys: Int64Array = keys.into_iter().collect();
    let texts: StringArray = keys.values().iter().map(|k| Some(format!("of {k}"))).collect();
    let columns: Vec<(_, ArrayRef)> = vec![
        (stored("k", DataType::Int64, 1), Arc::new(keys)),
        (stored("v", DataType::Utf8, 2), Arc::new(texts)),
    ];
    file(table, name, columns)
}

fn deletes(table: &Table, name: &str, keys: impl IntoIterator<Item = i64>) -> DataFileBuilder {
    let keys: ArrayRef = Arc::new(keys.into_iter().collect::<Int64Array>());
    let mut file = file(table, name, vec![(stored("k", DataType::Int64, 1), keys)]);
    file.content(DataContentType::EqualityDeletes).equality_ids(Some(vec![1]));
    file
}

async fn table(lake: &Lake, partition: serde_json::Value) -> Table {
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "v", PrimitiveType::String)];
    lake.create(fields, partition).await
}

/// `k` from 0 on in order, `GROUPS` row groups of it, without the rows of `keys`.
async fn one_file(counted: &Counted, keys: impl IntoIterator<Item = i64>) -> Table {
    let table = table(&counted.lake, json!([])).await;
    let rows = data(&table, "rows.parquet", 0..GROUPS * GROUP_ROWS).build().unwrap();
    let table = counted.lake.append(&table, vec![rows]).await;
    let keys = deletes(&table, "keys.parquet", keys).build().unwrap();
    counted.put(&table, keys).await
}

#[tokio::test]
async fn what_was_found_is_not_looked_for_again() {
    let counted = Counted::new().await;
    let table = one_file(&counted, (0..GROUPS).map(|group| group * GROUP_ROWS + 7)).await;
    let sql = "SELECT count(v) FROM t";
    let cold = counted.bytes(&table, sql).await;
    let misses = counted.cache.statistics().misses;
    assert_eq!(misses, 1 + u64::try_from(GROUPS).unwrap(), "the keys, and each row group");
    let warm = counted.bytes(&table, sql).await;
    assert!(warm < cold, "keys are read again: {warm} bytes, {cold} at first");
    assert_eq!(counted.cache.statistics().misses, misses);
    let left = GROUPS * GROUP_ROWS - GROUPS;
    for partitions in [1, 2, 4] {
        let context = counted.sql(&table, partitions);
        assert_eq!(rows(&context, sql).await, [left.to_string()]);
        assert_eq!(rows(&context, "SELECT count(*) FROM t WHERE v = 'of 7'").await, ["0"]);
    }
    // Another column set of the same rows.
    assert_eq!(counted.rows(&table, "SELECT min(k) FROM t WHERE k >= 5007").await, ["5008"]);
    assert_eq!(counted.cache.statistics().misses, misses);
}

#[tokio::test]
async fn only_what_a_query_reads_is_looked_through() {
    let counted = Counted::new().await;
    let table = one_file(&counted, [7, 3 * GROUP_ROWS + 7]).await;
    let sql = format!("SELECT v FROM t WHERE k = {}", 3 * GROUP_ROWS + 7);
    assert!(counted.rows(&table, &sql).await.is_empty());
    assert_eq!(counted.cache.statistics().misses, 2, "the keys, and one row group");
}

/// Keys that lie outside what a row group may hold are not looked for in it.
#[tokio::test]
async fn row_groups_beyond_all_keys_are_not_read_for_them() {
    let near = Counted::new().await;
    let narrow = one_file(&near, [7, 9]).await;
    let far = Counted::new().await;
    let wide = one_file(&far, [7, GROUPS * GROUP_ROWS - 1]).await;
    let sql = "SELECT count(v) FROM t";
    let (narrow, wide) = (near.bytes(&narrow, sql).await, far.bytes(&wide, sql).await);
    let keys_of_a_group = 8 * usize::try_from(GROUP_ROWS).unwrap();
    assert!(narrow + 4 * keys_of_a_group < wide, "{narrow} bytes, {wide} with wide bounds");
}

#[tokio::test]
async fn a_cache_with_no_room_costs_time_only() {
    let mut counted = Counted::new().await;
    counted.cache = DeleteCache::new(1);
    let table = one_file(&counted, [7, 8, 20_000]).await;
    for _ in 0..2 {
        let left = (GROUPS * GROUP_ROWS - 3).to_string();
        assert_eq!(counted.rows(&table, "SELECT count(v) FROM t").await, [left]);
    }
}

/// Hazard: what was found in a file for one age or set of deletes is taken for another.
#[tokio::test]
async fn newer_deletes_and_files_that_came_again_are_looked_through_anew() {
    let counted = Counted::new().await;
    let lake = &counted.lake;
    let sql = "SELECT k FROM t ORDER BY k";
    let table = table(lake, json!([])).await;
    let rows = data(&table, "rows.parquet", 0..4);
    let table = lake.append(&table, vec![rows.clone().build().unwrap()]).await;
    let table = counted.put(&table, deletes(&table, "a", [1]).build().unwrap()).await;
    assert_eq!(counted.rows(&table, sql).await, ["0", "2", "3"]);
    let earlier = table.clone();
    let table = counted.put(&table, deletes(&table, "b", [2]).build().unwrap()).await;
    assert_eq!(counted.rows(&table, sql).await, ["0", "3"]);
    // The same file comes again: older deletes are not of it, newer ones are.
    let change = RowsChange::OverwriteWhere { filter: Predicate::True, files: vec![] };
    let options = CommitOptions::default();
    let emptied = lake.catalog.commit_rows(&table, change, options).await.unwrap().table;
    let table = lake.append(&emptied, vec![rows.build().unwrap()]).await;
    assert_eq!(counted.rows(&table, sql).await, ["0", "1", "2", "3"]);
    let table = counted.put(&table, deletes(&table, "c", [3]).build().unwrap()).await;
    assert_eq!(counted.rows(&table, sql).await, ["0", "1", "2"]);
    assert_eq!(counted.rows(&earlier, sql).await, ["0", "2", "3"], "as it was");
}

/// Hazard: files of one name are one.
#[tokio::test]
async fn files_that_were_rewritten_under_their_names_are_looked_through_anew() {
    let counted = Counted::new().await;
    let lake = &counted.lake;
    let sql = "SELECT k FROM t ORDER BY k";
    let table = table(lake, json!([])).await;
    for (rows, gone, left) in [
        (vec![0, 1, 2], vec![1], vec!["0", "2"]),
        (vec![4, 3, 2, 1, 0], vec![2], vec!["0", "1", "3", "4"]),
        (vec![2, 9], vec![9, 10], vec!["2"]),
    ] {
        let change = RowsChange::OverwriteWhere { filter: Predicate::True, files: vec![] };
        let options = CommitOptions::default();
        let table = lake.catalog.load_table(table.name()).await.unwrap();
        let table = match table.current_snapshot() {
            Some(_) => lake.catalog.commit_rows(&table, change, options).await.unwrap().table,
            None => table,
        };
        let rows = data(&table, "rows.parquet", rows).build().unwrap();
        let table = lake.append(&table, vec![rows]).await;
        let table = counted.put(&table, deletes(&table, "keys", gone).build().unwrap()).await;
        for _ in 0..2 {
            assert_eq!(counted.rows(&table, sql).await, left);
        }
    }
}

/// Hazard: deletes of one partition are applied to another whose rows have the same keys.
#[tokio::test]
async fn what_was_found_in_one_partition_is_not_of_another() {
    let counted = Counted::new().await;
    let lake = &counted.lake;
    let table = table(lake, identity(2, "v")).await;
    let partition = |v: &str| Struct::from_iter([Some(Literal::string(v))]);
    let mut files = Vec::new();
    for v in ["a", "b"] {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![v, v]));
        let columns =
            vec![(stored("k", DataType::Int64, 1), keys), (stored("v", DataType::Utf8, 2), texts)];
        files.push(file(&table, v, columns).partition(partition(v)).build().unwrap());
    }
    let table = lake.append(&table, files).await;
    let sql = "SELECT v, k FROM t ORDER BY v, k";
    for (of, left) in [("b", vec!["a|1", "a|2", "b|2"]), ("a", vec!["a|2", "b|2"])] {
        let mut keys = deletes(&table, &format!("keys-{of}"), [1]);
        let table = counted.put(&table, keys.partition(partition(of)).build().unwrap()).await;
        for _ in 0..2 {
            assert_eq!(counted.rows(&table, sql).await, left);
        }
    }
}

/// Hazard: a key column that was renamed, promoted or dropped is not the one that was looked for.
#[tokio::test]
async fn found_rows_stay_deleted_while_their_key_column_changes() {
    let counted = Counted::new().await;
    let lake = &counted.lake;
    let fields = vec![optional(1, "id", PrimitiveType::Long), optional(2, "k", PrimitiveType::Int)];
    let mut table = lake.create(fields, json!([])).await;
    let columns: Vec<(_, ArrayRef)> = vec![
        (stored("id", DataType::Int64, 1), Arc::new((0..10).collect::<Int64Array>())),
        (stored("k", DataType::Int32, 2), Arc::new((0..10).collect::<Int32Array>())),
    ];
    let rows = file(&table, "rows", columns).build().unwrap();
    table = lake.append(&table, vec![rows]).await;
    let by_k = |table: &Table, name: &str, keys: ArrayRef| {
        let ty = keys.data_type().clone();
        let mut file = file(table, name, vec![(stored("k", ty, 2), keys)]);
        file.content(DataContentType::EqualityDeletes).equality_ids(Some(vec![2]));
        file.build().unwrap()
    };
    let ints = Arc::new(Int32Array::from(vec![3]));
    table = counted.put(&table, by_k(&table, "ints", ints)).await;
    let sql = "SELECT count(id), sum(id) FROM t";
    assert_eq!(counted.rows(&table, sql).await, ["9|42"]);
    let name = |name: &str| vec![name.to_owned()];
    let changes = [
        ColumnChange::Rename(name("k"), "key".to_owned()),
        ColumnChange::SetType(name("key"), Type::Primitive(PrimitiveType::Long)),
        ColumnChange::Drop(name("key")),
    ];
    let mut left = (9, 42);
    for (change, key) in changes.into_iter().zip([4, 5, 6]) {
        let edit = |metadata: &_| change_columns(metadata, std::slice::from_ref(&change));
        table = lake.catalog.commit_metadata(table.name(), edit).await.unwrap().table;
        assert_eq!(counted.rows(&table, sql).await, [format!("{}|{}", left.0, left.1)]);
        let longs = Arc::new(Int64Array::from(vec![key]));
        let keys: ArrayRef = match key {
            4 => Arc::new(Int32Array::from(vec![4])),
            _ => longs,
        };
        table = counted.put(&table, by_k(&table, &format!("keys-{key}"), keys)).await;
        left = (left.0 - 1, left.1 - key);
        for _ in 0..2 {
            assert_eq!(counted.rows(&table, sql).await, [format!("{}|{}", left.0, left.1)]);
        }
    }
}
