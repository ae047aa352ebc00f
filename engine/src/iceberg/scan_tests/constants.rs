//! Statistics that claim to be exact, and columns that are read from them instead of from a file.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::datasource::MemTable;
use fjord_catalog::spec::{DataFile, DataFileBuilder, Datum, Literal, PrimitiveType, Struct};
use fjord_catalog::table::Table;
use serde_json::json;

use super::lake::{Lake, identity, optional, plan, rows, shown, stored};

fn longs(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn built(mut builder: DataFileBuilder, edit: impl FnOnce(&mut DataFileBuilder)) -> DataFile {
    edit(&mut builder);
    builder.build().unwrap()
}

/// Hazard: an exact min that equals the max replaces the column by a literal, and as many NULLs as
/// rows by NULL (stack §3).
#[tokio::test]
async fn a_column_is_a_constant_only_in_the_files_where_it_is_one() {
    let lake = Lake::new().await;
    let fields = vec![
        optional(1, "k", PrimitiveType::Long),
        optional(2, "s", PrimitiveType::String),
        optional(3, "f", PrimitiveType::Double),
    ];
    let table = lake.create(fields, json!([])).await;
    let make = |name: &str, k: &[Option<i64>], s: &[&str], f: &[f64]| {
        let columns = vec![
            (stored("k", DataType::Int64, 1), longs(k)),
            (stored("s", DataType::Utf8, 2), Arc::new(StringArray::from(s.to_vec())) as ArrayRef),
            (stored("f", DataType::Float64, 3), Arc::new(Float64Array::from(f.to_vec()))),
        ];
        lake.file(&table, name, columns)
    };
    let files = vec![
        // Really constant, and as many NULLs as rows.
        built(make("1", &[Some(7), Some(7)], &["x", "x"], &[1.0, 2.0]), |b| {
            b.null_value_counts([(1, 0)].into())
                .lower_bounds([(1, Datum::long(7))].into())
                .upper_bounds([(1, Datum::long(7))].into());
        }),
        built(make("2", &[None, None], &["y", "y"], &[3.0, 4.0]), |b| {
            b.null_value_counts([(1, 2)].into());
        }),
        // Equal bounds, but a NULL besides; and one without a count of NULLs.
        built(make("3", &[Some(8), None], &["z", "z"], &[5.0, 6.0]), |b| {
            b.null_value_counts([(1, 1)].into())
                .lower_bounds([(1, Datum::long(8))].into())
                .upper_bounds([(1, Datum::long(8))].into());
        }),
        built(make("4", &[Some(9), None], &["z", "z"], &[5.5, 6.5]), |b| {
            b.lower_bounds([(1, Datum::long(9))].into()).upper_bounds([(1, Datum::long(9))].into());
        }),
        // Text cut to the same prefix; floats whose NaN the bounds ignore; a zero of either sign.
        built(make("5", &[Some(1), Some(2)], &["abc1", "abc2"], &[7.0, f64::NAN]), |b| {
            b.null_value_counts([(2, 0), (3, 0)].into())
                .lower_bounds([(2, Datum::string("abc")), (3, Datum::double(7.0))].into())
                .upper_bounds([(2, Datum::string("abd")), (3, Datum::double(7.0))].into())
                .nan_value_counts([(3, 1)].into());
        }),
        built(make("6", &[Some(3), Some(4)], &["q", "q"], &[8.0, f64::NAN]), |b| {
            b.null_value_counts([(3, 0)].into())
                .lower_bounds([(3, Datum::double(8.0))].into())
                .upper_bounds([(3, Datum::double(8.0))].into());
        }),
        built(make("7", &[Some(5), Some(6)], &["r", "r"], &[0.0, -0.0]), |b| {
            b.null_value_counts([(3, 0)].into())
                .lower_bounds([(3, Datum::double(0.0))].into())
                .upper_bounds([(3, Datum::double(0.0))].into())
                .nan_value_counts([(3, 0)].into());
        }),
    ];
    let table = lake.append(&table, files).await;
    let mut found = lake.rows(&table, "SELECT k, s, f FROM t").await;
    found.sort();
    let mut expected = [
        "7|x|1.0",
        "7|x|2.0",
        "NULL|y|3.0",
        "NULL|y|4.0",
        "8|z|5.0",
        "NULL|z|6.0",
        "9|z|5.5",
        "NULL|z|6.5",
        "1|abc1|7.0",
        "2|abc2|NaN",
        "3|q|8.0",
        "4|q|NaN",
        "5|r|0.0",
        "6|r|-0.0",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
    let count = |filter: &str| format!("SELECT count(s || '') FROM t WHERE {filter}");
    for (filter, rows) in
        [("k = 7", "2"), ("k IS NULL", "4"), ("s = 'abc2'", "1"), ("f = 'NaN'::double", "2")]
    {
        assert_eq!(lake.rows(&table, &count(filter)).await, [rows], "{filter}");
    }
}

/// Partitioned by `p`, which only the second of the files stores.
async fn partitioned(lake: &Lake, ty: PrimitiveType, parts: &[Option<Literal>]) -> Table {
    let fields = vec![optional(1, "k", PrimitiveType::Long), optional(2, "p", ty)];
    let table = lake.create(fields, identity(2, "p")).await;
    let files = parts
        .iter()
        .enumerate()
        .map(|(i, part)| {
            let keys = longs(&[Some(i as i64), Some(i as i64 + 10)]);
            let columns = vec![(stored("k", DataType::Int64, 1), keys)];
            built(lake.file(&table, &format!("{i}.parquet"), columns), |b| {
                b.partition(Struct::from_iter([part.clone()]));
            })
        })
        .collect();
    lake.append(&table, files).await
}

/// Hazard: `PartitionedFile::with_statistics` claims that partition values are never NULL (stack §3).
#[tokio::test]
async fn a_null_partition_value_is_null_in_rows_filters_and_counts() {
    let lake = Lake::new().await;
    let parts = [Some(Literal::int(5)), None, Some(Literal::int(6))];
    let table = partitioned(&lake, PrimitiveType::Int, &parts).await;
    for (sql, expected) in [
        ("SELECT k, p FROM t ORDER BY k", &["0|5", "1|NULL", "2|6", "10|5", "11|NULL", "12|6"][..]),
        ("SELECT k FROM t WHERE p IS NULL ORDER BY k", &["1", "11"]),
        ("SELECT k FROM t WHERE p = 5 ORDER BY k", &["0", "10"]),
        ("SELECT k FROM t WHERE p <> 5 ORDER BY k", &["2", "12"]),
        ("SELECT k FROM t WHERE coalesce(p, 0) = 0 ORDER BY k", &["1", "11"]),
        ("SELECT count(*), count(p), min(p), max(p) FROM t", &["6|4|5|6"]),
        ("SELECT p, count(*) FROM t GROUP BY p ORDER BY p", &["5|2", "6|2", "NULL|2"]),
    ] {
        assert_eq!(lake.rows(&table, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_nan_partition_value_is_nan_even_if_the_file_omits_the_column() {
    let lake = Lake::new().await;
    let parts = [Some(Literal::double(f64::NAN)), Some(Literal::double(1.5)), None];
    let table = partitioned(&lake, PrimitiveType::Double, &parts).await;
    for (sql, expected) in [
        (
            "SELECT k, p FROM t ORDER BY k",
            &["0|NaN", "1|1.5", "2|NULL", "10|NaN", "11|1.5", "12|NULL"][..],
        ),
        ("SELECT k FROM t WHERE isnan(p) ORDER BY k", &["0", "10"]),
        ("SELECT k FROM t WHERE p = 'NaN'::double ORDER BY k", &["0", "10"]),
        ("SELECT k FROM t WHERE p < 2 ORDER BY k", &["1", "11"]),
        ("SELECT count(p) FROM t", &["4"]),
    ] {
        assert_eq!(lake.rows(&table, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn counts_and_extremes_come_from_metadata_only_when_that_is_exact() {
    let lake = Lake::new().await;
    let fields = vec![
        optional(1, "k", PrimitiveType::Int),
        optional(2, "s", PrimitiveType::String),
        optional(3, "f", PrimitiveType::Double),
    ];
    let table = lake.create(fields, json!([])).await;
    let long = "x".repeat(40);
    let mut table = table;
    for base in [0, 100] {
        let batch = arrow::array::RecordBatch::try_from_iter_with_nullable([
            (
                "k",
                Arc::new(Int32Array::from(vec![Some(base + 1), None, Some(base + 3)])) as ArrayRef,
                true,
            ),
            ("s", Arc::new(StringArray::from(vec![Some("a"), Some(&long), None])), true),
            ("f", Arc::new(Float64Array::from(vec![1.0, 2.0 + f64::from(base), 3.0])), true),
        ])
        .unwrap();
        table = lake.write(&table, batch).await;
    }
    let context = lake.sql(&table, 2);
    let check = async |sql: &str, expected: &str, scans: bool| {
        let shown = shown(&plan(&context, sql).await);
        assert_eq!(shown.contains("DataSourceExec"), scans, "{sql}: {shown}");
        assert_eq!(rows(&context, sql).await, [expected], "{sql}");
    };
    check("SELECT count(*) FROM t", "6", false).await;
    check("SELECT count(*), count(k), count(s), min(k), max(k) FROM t", "6|4|4|1|103", false).await;
    check("SELECT min(f), max(f) FROM t", "1.0|102.0", false).await;
    // Bounds of text are cut; a filter, a limit or a file without metrics leaves only the data.
    check("SELECT max(s) FROM t", &long, true).await;
    check("SELECT count(*) FROM t WHERE k > 2", "3", true).await;
    check("SELECT max(k) FROM t WHERE f < 3", "101", true).await;
    check("SELECT count(*), max(k) FROM (SELECT k FROM t LIMIT 100)", "6|103", false).await;
    let limited = rows(&context, "SELECT count(*) FROM (SELECT k FROM t LIMIT 4)").await;
    assert_eq!(limited, ["4"]);
    let limited = shown(&plan(&context, "SELECT max(k) FROM (SELECT k FROM t LIMIT 4)").await);
    assert!(limited.contains("DataSourceExec"), "{limited}");

    let columns =
        vec![(stored("k", DataType::Int32, 1), Arc::new(Int32Array::from(vec![500])) as _)];
    let file = lake.file(&table, "bare.parquet", columns).build().unwrap();
    let table = lake.append(&table, vec![file]).await;
    let context = lake.sql(&table, 2);
    let check = async |sql: &str, expected: &str, scans: bool| {
        let shown = shown(&plan(&context, sql).await);
        assert_eq!(shown.contains("DataSourceExec"), scans, "{sql}: {shown}");
        assert_eq!(rows(&context, sql).await, [expected], "{sql}");
    };
    check("SELECT count(*) FROM t", "7", false).await;
    check("SELECT max(k) FROM t", "500", true).await;
    check("SELECT count(s), count(k) FROM t", "4|5", true).await;
}

#[tokio::test]
async fn not_a_number_and_zeroes_are_never_pruned_by_bounds() {
    let lake = Lake::new().await;
    let table = lake.create(vec![optional(1, "f", PrimitiveType::Double)], json!([])).await;
    let mut table = table;
    for values in [vec![1.0, f64::NAN], vec![0.0, 5.0], vec![-0.0, -5.0], vec![f64::NAN, f64::NAN]]
    {
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        let batch =
            arrow::array::RecordBatch::try_from_iter_with_nullable([("f", column, true)]).unwrap();
        table = lake.write(&table, batch).await;
    }
    // DataFusion over the same rows in memory says what is right: NaN is its greatest number.
    let context = lake.sql(&table, 2);
    let all = context.sql("SELECT f FROM t").await.unwrap().collect().await.unwrap();
    let memory = MemTable::try_new(all[0].schema(), vec![all]).unwrap();
    context.register_table("m", Arc::new(memory)).unwrap();
    for filter in [
        "f > 4",
        "4 < f",
        "f >= 'NaN'::double",
        "f = 'NaN'::double",
        "f <> 1",
        "f <= 1",
        "f < 0",
        "f = 1",
        "f = 0",
        "f = -0.0",
        "f < 0.0",
        "f > -0.0",
        "f >= 0",
        "f <= -0.0",
        "isnan(f)",
        "NOT (f < 4)",
        "NOT (f >= 4)",
        "-f < -4",
        "f + 1 > 5",
        "f IN (5, 1)",
        "f IN (0, 9)",
        "f IN (0, 7, 8, 9)",
        "f NOT IN (1, 0, 5)",
        "f NOT IN (1, 5)",
        "f BETWEEN 2 AND 9",
        "f NOT BETWEEN -9 AND 2",
        "f IS DISTINCT FROM 1",
        "f IS NOT DISTINCT FROM 'NaN'::double",
        "f > 4 OR f IS NULL",
        "CAST(f AS float) > 4",
        "abs(f) > 4",
    ] {
        let select = |from: &str| format!("SELECT f FROM {from} WHERE {filter} ORDER BY f");
        // `f = 0` makes f a constant to the optimizer, so the zeroes come in any order.
        let (mut found, mut expected) =
            (rows(&context, &select("t")).await, rows(&context, &select("m")).await);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{filter}");
    }
    let above = rows(&context, "SELECT f FROM t WHERE f > 4 ORDER BY f").await;
    assert_eq!(above, ["5.0", "NaN", "NaN", "NaN"]);
    let top = lake.rows(&table, "SELECT f FROM t ORDER BY f DESC LIMIT 4").await;
    assert_eq!(top, ["NaN", "NaN", "NaN", "5.0"]);
    assert_eq!(lake.rows(&table, "SELECT max(f), min(f) FROM t").await, ["NaN|-5.0"]);
}
