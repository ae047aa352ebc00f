//! What the source answers about filters, and what a scan costs beside DataFusion's own.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Fields};
use datafusion::physical_plan::collect;
use datafusion::prelude::ParquetReadOptions;
use fjord_catalog::spec::{NestedField, PrimitiveType, StructType, Type};
use fjord_catalog::table::Table;
use serde_json::json;

use super::lake::{Lake, metric, optional, plan, rows, session, shown, stored, texts};

/// `s` is stored with a narrower field under another name.
async fn with_struct(lake: &Lake) -> Table {
    let inner = StructType::new(vec![Arc::new(optional(3, "a", PrimitiveType::Long))]);
    let fields = vec![
        optional(1, "k", PrimitiveType::Long),
        NestedField::optional(2, "s", Type::Struct(inner)),
    ];
    let table = lake.create(fields, json!([])).await;
    let inner = Fields::from(vec![stored("old", DataType::Int32, 3)]);
    let values: ArrayRef = Arc::new((0..100).collect::<Int32Array>());
    let structs = StructArray::new(inner.clone(), vec![values], None);
    let columns = vec![
        (
            stored("k", DataType::Int64, 1),
            Arc::new((0..100_i64).collect::<Int64Array>()) as ArrayRef,
        ),
        (stored("s", DataType::Struct(inner), 2), Arc::new(structs)),
    ];
    let file = lake.file(&table, "f.parquet", columns).build().unwrap();
    lake.append(&table, vec![file]).await
}

/// Hazard: a conjunct that cannot become a row filter once it is rewritten is silently ignored
/// (stack §3).
#[tokio::test]
async fn a_filter_on_a_nested_column_is_never_lost() {
    let lake = Lake::new().await;
    let table = with_struct(&lake).await;
    let context = lake.sql(&table, 2);
    for (filter, expected) in [
        ("s['a'] = 7", vec!["7"]),
        ("s['a'] = 7 AND k < 50", vec!["7"]),
        ("s['a'] = 7 AND k > 50", vec![]),
        ("s['a'] = 7 OR k = 50", vec!["7", "50"]),
        ("s IS NULL", vec![]),
        ("s['a'] + 1 < 3 AND s IS NOT NULL", vec!["0", "1"]),
    ] {
        let sql = format!("SELECT k FROM t WHERE {filter} ORDER BY k");
        assert_eq!(rows(&context, &sql).await, expected, "{filter}");
    }
    let shown = shown(&plan(&context, "SELECT k FROM t WHERE s['a'] = 7").await);
    assert!(shown.contains("FilterExec"), "{shown}");
    assert_eq!(rows(&context, "SELECT sum(s['a']) FROM t").await, ["4950"]);
    assert_eq!(rows(&context, "SELECT s FROM t WHERE k = 3").await, ["{a: 3}"]);
}

async fn primitives(lake: &Lake) -> Table {
    let fields = vec![
        optional(1, "k", PrimitiveType::Long),
        optional(2, "s", PrimitiveType::String),
        optional(3, "i", PrimitiveType::Int),
        optional(4, "b", PrimitiveType::Binary),
    ];
    let properties = [("write.parquet.row-group-limit", "2500")];
    let table = lake.create_with(fields, json!([]), &properties).await;
    let keys: ArrayRef = Arc::new((0..20_000_i64).collect::<Int64Array>());
    let text: StringArray = (0..20_000).map(|i| Some(format!("text {}", i % 977))).collect();
    let bytes = arrow::compute::cast(&text, &DataType::Binary).unwrap();
    let ints: ArrayRef = Arc::new((0..20_000).map(|i| i % 31).collect::<Int32Array>());
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("k", keys, true),
        ("s", Arc::new(text) as _, true),
        ("i", ints, true),
        ("b", bytes, true),
    ]);
    lake.write(&table, batch.unwrap()).await
}

#[tokio::test]
async fn filters_on_primitive_columns_run_in_the_scan_alone() {
    let lake = Lake::new().await;
    let table = primitives(&lake).await;
    let context = lake.sql(&table, 2);
    for filter in ["k < 100", "s = 'text 5'", "i IN (1, 2) AND s LIKE '%9'", "k + i = 40"] {
        let shown = shown(&plan(&context, &format!("SELECT k FROM t WHERE {filter}")).await);
        assert!(!shown.contains("FilterExec"), "{filter}: {shown}");
        assert!(shown.contains("predicate="), "{filter}: {shown}");
    }
}

/// The scan reads the bytes, prunes the row groups and has the partitions of DataFusion's own.
#[tokio::test]
async fn a_clean_scan_costs_what_datafusions_own_costs() {
    let lake = Lake::new().await;
    let table = primitives(&lake).await;
    for partitions in [1, 3] {
        let ours = lake.sql(&table, partitions);
        let theirs = session(partitions);
        let file = lake.parquet_files().remove(0);
        let options = ParquetReadOptions::default();
        theirs.register_parquet("t", file.to_str().unwrap(), options).await.unwrap();
        for sql in [
            "SELECT * FROM t",
            "SELECT i FROM t",
            "SELECT k, s FROM t WHERE k BETWEEN 6000 AND 6100",
            "SELECT s, count(*) FROM t WHERE i = 3 GROUP BY s",
            "SELECT k FROM t ORDER BY k DESC LIMIT 5",
        ] {
            let our_plan = plan(&ours, sql).await;
            let their_plan = plan(&theirs, sql).await;
            let mut our_rows =
                texts(&collect(Arc::clone(&our_plan), ours.task_ctx()).await.unwrap());
            let their_batches = collect(Arc::clone(&their_plan), theirs.task_ctx()).await.unwrap();
            let mut their_rows = texts(&their_batches);
            our_rows.sort();
            their_rows.sort();
            assert_eq!(our_rows, their_rows, "{sql}");
            for name in ["bytes_scanned", "files_opened"] {
                let (our, their) = (metric(&our_plan, name), metric(&their_plan, name));
                assert!(our <= their, "{sql}: {name} {our} > {their}");
            }
            for name in ["row_groups_pruned_statistics", "page_index_rows_pruned"] {
                let (our, their) = (metric(&our_plan, name), metric(&their_plan, name));
                assert!(our >= their, "{sql}: {name} {our} < {their}");
            }
            let operators = |text: String| {
                let names = text.lines().map(|l| l.trim().split(':').next().unwrap().to_owned());
                names.collect::<Vec<_>>()
            };
            assert_eq!(operators(shown(&our_plan)), operators(shown(&their_plan)), "{sql}");
        }
    }
}

/// DataFusion's projections keep a total of bytes that counts columns nobody reads any more, so a
/// total with texts in it would make a join build on the larger table.
#[tokio::test]
async fn a_join_builds_on_the_side_of_fewer_rows_where_widths_vary() {
    let lake = Lake::new().await;
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "note", PrimitiveType::String)];
    let table = lake.create(fields, json!([])).await;
    let notes: StringArray = (0..50_i64).map(|n| Some(format!("{n}").repeat(2000))).collect();
    let columns = vec![
        (
            stored("k", DataType::Int64, 1),
            Arc::new((0..50_i64).collect::<Int64Array>()) as ArrayRef,
        ),
        (stored("note", DataType::Utf8, 2), Arc::new(notes)),
    ];
    let file = lake.file(&table, "f.parquet", columns).build().unwrap();
    let table = lake.append(&table, vec![file]).await;
    let context = lake.sql(&table, 2);
    // Fewer bytes than the texts have, more rows.
    let numbers = "CREATE TABLE many AS SELECT value AS m FROM generate_series(1, 120)";
    context.sql(numbers).await.unwrap().collect().await.unwrap();
    let sql = "SELECT count(note) FROM many JOIN t ON m = k";
    assert_eq!(rows(&context, sql).await, ["49"]);
    let shown = shown(&plan(&context, sql).await);
    let join = shown.find("HashJoinExec").unwrap();
    let built_from = shown[join..].find("f.parquet").unwrap();
    let probed_by = shown[join..].find("DataSourceExec: partitions").unwrap();
    assert!(built_from < probed_by, "{shown}");
}
