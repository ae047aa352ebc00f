//! Which files a scan reads: manifests and files by metrics, files and row groups while it runs.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use datafusion::physical_plan::collect;
use fjord_catalog::spec::{PrimitiveType, SortOrder};
use fjord_catalog::table::Table;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, path::Path};

use super::lake::{Lake, describe, identity, metric, optional, parquet, plan, rows, shown, stored};
use fjord_catalog::storage::Storage;

/// Four commits of three files each: partition `p0`..`p3`, keys of file `n` from `100 n`.
async fn twelve_files(lake: &Lake) -> Table {
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "p", PrimitiveType::String)];
    let mut table = lake.create(fields, identity(2, "p")).await;
    assert_eq!(SortOrder::unsorted_order().fields.len(), 0);
    for manifest in 0..4_i64 {
        let mut files = Vec::new();
        for file in 0..3_i64 {
            let from = (manifest * 3 + file) * 100;
            let keys: Int64Array = (from..from + 100).collect();
            let part = StringArray::from(vec![format!("p{manifest}"); 100]);
            let columns = vec![
                (stored("k", arrow::datatypes::DataType::Int64, 1), Arc::new(keys) as _),
                (stored("p", arrow::datatypes::DataType::Utf8, 2), Arc::new(part) as _),
            ];
            let mut builder = lake.file(&table, &format!("f{from}.parquet"), columns);
            builder
                .partition(fjord_catalog::spec::Struct::from_iter([Some(
                    fjord_catalog::spec::Literal::string(format!("p{manifest}")),
                )]))
                .null_value_counts([(1, 0), (2, 0)].into())
                .lower_bounds([(1, fjord_catalog::spec::Datum::long(from))].into())
                .upper_bounds([(1, fjord_catalog::spec::Datum::long(from + 99))].into());
            files.push(builder.build().unwrap());
        }
        table = lake.append(&table, files).await;
    }
    table
}

#[tokio::test]
async fn a_plan_shows_how_many_files_and_manifests_the_filter_left() {
    let lake = Lake::new().await;
    let table = twelve_files(&lake).await;
    let context = lake.sql(&table, 2);
    for (filter, expected, count) in [
        ("true", "files=12/12, manifests=4/4", "1200"),
        ("p = 'p1'", "files=3/12, manifests=1/4", "300"),
        ("p = 'p1' AND k < 410", "files=2/12, manifests=1/4", "110"),
        ("k BETWEEN 250 AND 349", "files=2/12, manifests=4/4", "100"),
        ("k = 1199 OR p IN ('p0')", "files=4/12, manifests=4/4", "301"),
    ] {
        // `count(k + 0)` is not answered by metadata.
        let sql = format!("SELECT count(k + 0) FROM t WHERE {filter}");
        let shown = shown(&plan(&context, &sql).await);
        assert!(shown.contains(expected), "{filter}: {shown}");
        assert_eq!(rows(&context, &sql).await, [count], "{filter}");
        let explained = rows(&context, &format!("EXPLAIN ANALYZE {sql}")).await.join("\n");
        assert!(explained.contains(expected), "{filter}: {explained}");
    }
    let none = shown(&plan(&context, "SELECT k FROM t WHERE p = 'p9'").await);
    assert!(none.contains("EmptyExec"), "{none}");
}

#[tokio::test]
async fn a_topk_stops_opening_files_that_cannot_win() {
    let lake = Lake::new().await;
    let table = twelve_files(&lake).await;
    let context = lake.sql(&table, 1);
    let plan = plan(&context, "SELECT k FROM t ORDER BY k DESC LIMIT 3").await;
    let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    assert_eq!(super::lake::texts(&batches), ["1199", "1198", "1197"]);
    let pruned = metric(&plan, "files_ranges_pruned_statistics");
    assert!(pruned >= 8, "{pruned} files pruned in {}", shown(&plan));
}

#[tokio::test]
async fn a_hash_join_prunes_the_files_that_its_build_side_rules_out() {
    let lake = Lake::new().await;
    let table = twelve_files(&lake).await;
    let context = lake.sql(&table, 1);
    let build =
        RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![7, 9])) as _)]).unwrap();
    context.register_batch("few", build).unwrap();
    let plan = plan(&context, "SELECT t.k FROM few JOIN t ON few.x = t.k ORDER BY t.k").await;
    let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    assert_eq!(super::lake::texts(&batches), ["7", "9"]);
    let pruned = metric(&plan, "files_ranges_pruned_statistics")
        + metric(&plan, "row_groups_pruned_statistics");
    assert_eq!(pruned, 11, "{}", shown(&plan));
}

/// Hazard: footers by path alone collide when two buckets hold the same path (stack §3).
#[tokio::test]
async fn equal_paths_in_two_stores_do_not_share_a_footer() {
    let (a, b) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
    let storage = Storage::local()
        .with_store("s3://a/", Arc::clone(&a) as _)
        .unwrap()
        .with_store("s3://b/", Arc::clone(&b) as _)
        .unwrap();
    let lake = Lake::over(storage).await;
    let fields = vec![optional(1, "k", PrimitiveType::Long)];
    let table = lake.create(fields, serde_json::json!([])).await;
    let mut files = Vec::new();
    let mut sizes = Vec::new();
    for (store, bucket, from) in [(&a, "a", 0_i64), (&b, "b", 1_000)] {
        let keys: Int64Array = (from..from + 100).collect();
        let field = stored("k", arrow::datatypes::DataType::Int64, 1);
        let bytes = parquet(vec![(field, Arc::new(keys) as _)]);
        sizes.push(bytes.len());
        files.push(describe(&format!("s3://{bucket}/d/f.parquet"), &bytes, 100).build().unwrap());
        store.put(&Path::from("d/f.parquet"), bytes.into()).await.unwrap();
    }
    assert_eq!(sizes[0], sizes[1], "else the size would tell them apart");
    let table = lake.append(&table, files).await;
    // Row groups are pruned by the footer: with the other file's, nothing would be found.
    for key in [5, 1_005, 50, 1_050] {
        let found = lake.rows(&table, &format!("SELECT k FROM t WHERE k = {key}")).await;
        assert_eq!(found, [key.to_string()]);
    }
    assert_eq!(lake.rows(&table, "SELECT count(*), sum(k) FROM t").await, ["200|109900"]);
}
