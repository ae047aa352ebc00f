//! What ANALYZE counted reaches the optimizer, as a hint.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::stats::Precision;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use fjord_catalog::spec::PrimitiveType;
use fjord_catalog::table::Table;
use fjord_catalog::table_statistics::DistinctSketch;
use serde_json::json;

use super::lake::{Lake, optional, plan};
use crate::iceberg::distinct;

async fn distinct_of(lake: &Lake, table: &Table) -> Precision<usize> {
    let plan = plan(&lake.sql(table, 1), "SELECT k FROM t").await;
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
    statistics.unwrap().column_statistics[0].distinct_count
}

#[tokio::test]
async fn distinct_values_that_analyze_counted_are_a_hint_of_the_scan() {
    let lake = Lake::new().await;
    let table = lake.create(vec![optional(1, "k", PrimitiveType::Long)], json!([])).await;
    let column: ArrayRef = Arc::new((0..100_i64).map(|n| n % 7).collect::<Int64Array>());
    let schema = Schema::new(vec![Field::new("k", DataType::Int64, true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::clone(&column)]).unwrap();
    let table = lake.write(&table, batch.clone()).await;
    assert_eq!(distinct_of(&lake, &table).await, Precision::Absent);

    let mut sketch = DistinctSketch::new(1).unwrap();
    distinct::add(&mut sketch, &column).unwrap();
    let snapshot = table.current_snapshot().unwrap();
    let table = lake.catalog.put_statistics(&table, snapshot, &[sketch]).await.unwrap().table;
    assert_eq!(distinct_of(&lake, &table).await, Precision::Inexact(7));
    // Later snapshots go by the nearest that was analyzed.
    let table = lake.write(&table, batch).await;
    assert_eq!(distinct_of(&lake, &table).await, Precision::Inexact(7));
}
