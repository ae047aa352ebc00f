//! Every row exactly once: splits, limits, odd paths, repeated execution.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect};
use fjord_catalog::spec::PrimitiveType;
use fjord_catalog::table::Table;
use serde_json::json;

use super::lake::{Lake, identity, optional, plan, rows, stored, texts};

const ROWS: i64 = 9_000;

/// Three files of ten row groups each.
async fn thirty_row_groups(lake: &Lake) -> Table {
    let fields = vec![optional(1, "k", PrimitiveType::Long)];
    let properties = [("write.parquet.row-group-limit", "300")];
    let mut table = lake.create_with(fields, json!([]), &properties).await;
    for file in 0..3 {
        let keys: Int64Array = (file * ROWS / 3..(file + 1) * ROWS / 3).collect();
        let batch =
            RecordBatch::try_from_iter_with_nullable([("k", Arc::new(keys) as ArrayRef, true)]);
        table = lake.write(&table, batch.unwrap()).await;
    }
    table
}

fn sorted(rows: Vec<String>) -> Vec<i64> {
    let mut keys: Vec<i64> = rows.iter().map(|k| k.parse().unwrap()).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn splits_return_every_row_exactly_once() {
    let lake = Lake::new().await;
    let table = thirty_row_groups(&lake).await;
    for partitions in [1, 2, 7] {
        let context = lake.sql(&table, partitions);
        let plan = plan(&context, "SELECT k FROM t").await;
        assert_eq!(plan.output_partitioning().partition_count(), partitions);
        let found = texts(&collect(plan, context.task_ctx()).await.unwrap());
        assert!(sorted(found).into_iter().eq(0..ROWS), "{partitions} partitions");
        let filtered = rows(&context, "SELECT k FROM t WHERE k % 5 = 0").await;
        assert!(sorted(filtered).into_iter().eq((0..ROWS).step_by(5)), "{partitions} partitions");
    }
}

#[tokio::test]
async fn a_limit_returns_so_many_rows_with_and_without_a_filter() {
    let lake = Lake::new().await;
    let table = thirty_row_groups(&lake).await;
    for partitions in [1, 2, 7] {
        let context = lake.sql(&table, partitions);
        for (sql, count) in [
            ("SELECT k FROM t LIMIT 17", 17),
            ("SELECT k FROM t LIMIT 0", 0),
            ("SELECT k FROM t LIMIT 3500", 3_500),
            ("SELECT k FROM t LIMIT 17 OFFSET 8990", 10),
            ("SELECT k FROM t LIMIT 100000", 9_000),
            ("SELECT k FROM t WHERE k % 3 = 0 LIMIT 2000", 2_000),
            ("SELECT k FROM t WHERE k >= 8995 LIMIT 17", 5),
            ("SELECT k FROM t WHERE k IN (1, 4000, 8999) LIMIT 2", 2),
        ] {
            let found = sorted(rows(&context, sql).await);
            assert_eq!(found.len(), count, "{sql}, {partitions} partitions");
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{sql}: a row came twice");
        }
    }
}

/// Hazard: partitions share one queue of files, so a plan instance is good for one execution
/// (stack §3).
#[tokio::test]
async fn a_plan_that_was_reset_yields_every_row_again() {
    let lake = Lake::new().await;
    let table = thirty_row_groups(&lake).await;
    let context = lake.sql(&table, 2);
    let mut plan: Arc<dyn ExecutionPlan> = plan(&context, "SELECT k FROM t").await;
    for _ in 0..3 {
        let found = texts(&collect(Arc::clone(&plan), context.task_ctx()).await.unwrap());
        assert_eq!(found.len(), ROWS as usize);
        plan = reset_plan_states(plan).unwrap();
    }
    let recursive = "WITH RECURSIVE r AS (SELECT 0 AS n UNION ALL
        SELECT r.n + t.k FROM r JOIN t ON t.k = 1 WHERE r.n < 4) SELECT n FROM r ORDER BY n";
    assert_eq!(rows(&context, recursive).await, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn partition_values_of_any_characters_are_read_back() {
    let lake = Lake::new().await;
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "p", PrimitiveType::String)];
    let table = lake.create(fields, identity(2, "p")).await;
    let parts = [
        "with space",
        "50%",
        "%20",
        "a/b",
        "größe 表",
        "a+b&c=d",
        "q?x#y",
        "..",
        "",
        " ",
        "null",
        "'",
    ];
    let keys: ArrayRef = Arc::new((0..parts.len() as i64).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("k", keys, true),
        ("p", Arc::new(StringArray::from(parts.to_vec())) as _, true),
    ]);
    let table = lake.write(&table, batch.unwrap()).await;
    let found = lake.rows(&table, "SELECT p FROM t ORDER BY k").await;
    assert_eq!(found, parts);
    for (key, part) in parts.iter().enumerate() {
        let sql = format!("SELECT k FROM t WHERE p = '{}'", part.replace('\'', "''"));
        assert_eq!(lake.rows(&table, &sql).await, [key.to_string()], "{part}");
    }
}

/// Hazard: text and bytes are coerced by name before ids are looked at (stack §3).
#[tokio::test]
async fn a_name_that_passed_from_bytes_to_text_reads_neither_as_the_other() {
    let lake = Lake::new().await;
    // In the file `v` is bytes; the table has since renamed it and given the name to a text.
    let fields = vec![
        optional(1, "renamed", PrimitiveType::Binary),
        optional(2, "v", PrimitiveType::String),
    ];
    let table = lake.create(fields, json!([])).await;
    let bytes: ArrayRef =
        Arc::new(arrow::array::BinaryArray::from(vec![&[0xff_u8, 0xfe][..], &[0x00]]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["é", "x"]));
    let columns =
        vec![(stored("v", DataType::Binary, 1), bytes), (stored("w", DataType::Utf8, 2), text)];
    let file = lake.file(&table, "f.parquet", columns).build().unwrap();
    let table = lake.append(&table, vec![file]).await;
    assert_eq!(lake.rows(&table, "SELECT renamed, v FROM t").await, ["fffe|é", "00|x"]);
    assert_eq!(lake.rows(&table, "SELECT v FROM t WHERE renamed = X'fffe'").await, ["é"]);
}
