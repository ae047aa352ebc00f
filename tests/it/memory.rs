//! Operators under a memory limit: they spill and answer right, or fail with a name and a remedy.
//!
//! `tests/scripts/spill` does the same at full size and measures the process.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::physical_plan::ExecutionPlan;
use fjord_engine::ErrorKind;
use fjord_tests::lake::Lake;
use futures::TryStreamExt;

use crate::process::measured;

const LIMIT_BYTES: usize = 64 << 20;
/// Ten times the limit at about 100 bytes a row.
const ROWS: i64 = 6_400_000;

/// Rows of about 100 bytes whose keys are all different and in no order.
fn source(rows: i64) -> String {
    format!(
        "(SELECT (value * 2654435761) % 4294967296 AS k, concat('padding so that a row has about a hundred bytes, which is what rows have: ', value) AS pad
          FROM generate_series(1, {rows}))"
    )
}

fn spilled_bytes(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0);
    own + plan.children().into_iter().map(spilled_bytes).sum::<usize>()
}

/// The rows of a statement and the bytes that it spilled.
async fn run(lake: &Lake, sql: &str) -> fjord_engine::Result<(Vec<RecordBatch>, usize)> {
    let session = lake.session();
    let statement = session.parse(sql)?.remove(0);
    let result = session.execute(&statement).await?;
    let plan = result.plan.unwrap();
    let rows = result.stream.try_collect().await?;
    Ok((rows, spilled_bytes(&plan)))
}

fn numbers(rows: &[RecordBatch]) -> Vec<i64> {
    rows[0].columns().iter().map(|c| c.as_primitive::<Int64Type>().value(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_by_of_ten_times_the_limit_spills_and_is_right() {
    let lake = Lake::with_memory_limit(Some(LIMIT_BYTES)).await.unwrap();
    let sql = format!(
        "SELECT count(*), sum(n), sum(cast(length(pad) > 70 AS bigint)) FROM
         (SELECT k, max(pad) AS pad, count(*) AS n FROM {} GROUP BY k)",
        source(ROWS)
    );
    let (rows, spilled) = run(&lake, &sql).await.unwrap();
    assert_eq!(numbers(&rows), [ROWS, ROWS, ROWS]);
    assert!(spilled > 0, "nothing was spilled");
    measured(&format!("memory: GROUP BY of {ROWS} keys spilled {} MiB", spilled >> 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sort_of_ten_times_the_limit_spills_and_is_right() {
    let lake = Lake::with_memory_limit(Some(LIMIT_BYTES)).await.unwrap();
    let sql = format!(
        "SELECT count(*), sum(cast(k < before AS bigint)), sum(cast(length(pad) > 70 AS bigint)) FROM
         (SELECT k, pad, lag(k) OVER (ORDER BY k) AS before FROM {})",
        source(ROWS)
    );
    let (rows, spilled) = run(&lake, &sql).await.unwrap();
    assert_eq!(numbers(&rows), [ROWS, 0, ROWS]);
    assert!(spilled > 0, "nothing was spilled");
    measured(&format!("memory: sort of {ROWS} rows spilled {} MiB", spilled >> 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_cannot_spill_names_itself_and_the_remedy() {
    let lake = Lake::with_memory_limit(Some(LIMIT_BYTES)).await.unwrap();
    let rows = source(3_000_000);
    let sql =
        format!("SELECT count(*), max(a.pad), max(b.pad) FROM {rows} a JOIN {rows} b ON a.k = b.k");
    let error = run(&lake, &sql).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error:?}");
    let message = error.to_string();
    assert!(message.contains("HashJoin"), "{message}");
    assert!(message.contains("--memory-limit"), "{message}");
    // The memory is given back: the next statement has all of it.
    let (rows, _) = run(&lake, "SELECT count(*) FROM generate_series(1, 1000)").await.unwrap();
    assert_eq!(numbers(&rows), [1000]);
}
