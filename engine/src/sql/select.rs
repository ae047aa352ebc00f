//! Queries: planned, executed, streamed.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, Stream, StreamExt};
use sqlparser::ast::Query;

use super::context::StatementContext;
use super::{deep, plan};
use crate::error::Result;
use crate::query::{QueryResult, ResultKind};

/// Runs a query.
pub(crate) async fn run(ctx: &StatementContext, query: &Query) -> Result<QueryResult> {
    let planned = plan::plan_query(ctx, query.clone()).await?;
    let physical = plan::physical(ctx, &planned).await?;
    // The logical schema has the names that the query wrote; the physical one may not.
    let schema = Arc::clone(planned.schema().inner());
    execute(ctx, physical, ResultKind::Rows, Some(schema))
}

/// Starts a physical plan; every statement that yields or changes rows ends here.
pub(crate) fn execute(
    ctx: &StatementContext,
    plan: Arc<dyn ExecutionPlan>,
    kind: ResultKind,
    schema: Option<SchemaRef>,
) -> Result<QueryResult> {
    let task = Arc::new(datafusion::execution::TaskContext::from(ctx.state.as_ref()));
    let stream = execute_stream(Arc::clone(&plan), task)?;
    let schema = schema
        .filter(|s| {
            let physical = stream.schema();
            s.fields().len() == physical.fields().len()
                && s.fields()
                    .iter()
                    .zip(physical.fields())
                    .all(|(a, b)| a.data_type() == b.data_type())
        })
        .unwrap_or_else(|| stream.schema());
    let guarded = Guarded { inner: stream, schema: Arc::clone(&schema), broken: false };
    Ok(QueryResult {
        kind,
        schema,
        stream: Box::pin(guarded),
        plan: Some(plan),
        relations: ctx.receipt(),
    })
}

/// Turns a panic of an operator into an error, and names the columns as the query did.
struct Guarded {
    inner: SendableRecordBatchStream,
    schema: SchemaRef,
    broken: bool,
}

impl Stream for Guarded {
    type Item = datafusion::error::Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.broken {
            return Poll::Ready(None);
        }
        let next = self.inner.next();
        let mut caught = std::panic::AssertUnwindSafe(next).catch_unwind();
        match caught.poll_unpin(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(None)) => Poll::Ready(None),
            Poll::Ready(Ok(Some(Ok(batch)))) => {
                let named = batch.with_schema(Arc::clone(&self.schema));
                Poll::Ready(Some(named.map_err(DataFusionError::from)))
            }
            Poll::Ready(Ok(Some(Err(e)))) => {
                self.broken = true;
                Poll::Ready(Some(Err(e)))
            }
            Poll::Ready(Err(panic)) => {
                self.broken = true;
                let payload: Box<dyn Any + Send> = panic;
                Poll::Ready(Some(Err(deep::panicked(&*payload).into())))
            }
        }
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::assert_batches_eq;
    use futures::TryStreamExt;

    use super::super::testing::{fails, rows, session};
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn literals_follow_the_contract() {
        let s = session();
        let batches = rows(&s, "SELECT 1.5 AS d, 7 / 2 AS q, arrow_typeof(1.5) AS t").await;
        assert_batches_eq!(
            [
                "+-----+---+------------------+",
                "| d   | q | t                |",
                "+-----+---+------------------+",
                "| 1.5 | 3 | Decimal128(2, 1) |",
                "+-----+---+------------------+"
            ],
            &batches
        );
        for order in ["x", "x DESC"] {
            let sql = format!("SELECT x FROM (VALUES (1), (NULL)) t(x) ORDER BY {order}");
            let batches = rows(&s, &sql).await;
            assert_batches_eq!(["+---+", "| x |", "+---+", "| 1 |", "|   |", "+---+"], &batches);
        }
    }

    #[tokio::test]
    async fn aliases_are_found_regardless_of_case_and_shown_as_written() {
        let s = session();
        let batches = rows(
            &s,
            "WITH Cte(customerId) AS (SELECT 1) \
             SELECT CUSTOMERID, c.CustomerId + 1 AS \"NextOne\" FROM cte C \
             WHERE customerid = 1 GROUP BY customerID ORDER BY nextone",
        )
        .await;
        assert_batches_eq!(
            [
                "+------------+---------+",
                "| customerId | NextOne |",
                "+------------+---------+",
                "| 1          | 2       |",
                "+------------+---------+"
            ],
            &batches
        );
    }

    #[tokio::test]
    async fn an_ambiguous_name_is_reached_by_quoting() {
        let s = session();
        let from = "FROM (SELECT 1 AS \"a\", 2 AS \"A\") t";
        let batches = rows(&s, &format!("SELECT \"A\", \"a\" {from}")).await;
        assert_batches_eq!(
            ["+---+---+", "| A | a |", "+---+---+", "| 2 | 1 |", "+---+---+"],
            &batches
        );
        let e = fails(&s, &format!("SELECT a {from}")).await;
        assert_eq!(e.kind(), ErrorKind::Invalid);
        assert!(e.to_string().contains("\"A\" or \"a\""), "{e}");
    }

    #[tokio::test]
    async fn statements_at_the_depth_limit_run_on_small_stacks() {
        let s = session();
        for sql in [
            format!("SELECT x{} FROM (VALUES (1)) t(x)", "+x".repeat(240)),
            format!(
                "SELECT count(*) FROM (VALUES (1)) t(x) WHERE x = 0{}",
                " OR x = 1".repeat(2_000)
            ),
            format!("SELECT count(*) FROM (SELECT 1{})", " UNION ALL SELECT 1".repeat(1_999)),
            format!(
                "SELECT {}1{} FROM (VALUES (1)) t(x)",
                "CASE WHEN x = 1 THEN ".repeat(100),
                " END".repeat(100)
            ),
            format!("{}SELECT 1{}", "SELECT * FROM (".repeat(100), ")".repeat(100)),
        ] {
            rows(&s, &sql).await;
        }
    }

    #[tokio::test]
    async fn a_plan_that_ctes_blow_up_is_refused() {
        let mut sql = "WITH c0 AS (SELECT 1 AS x)".to_owned();
        for i in 1..40 {
            sql += &format!(", c{i} AS (SELECT a.x FROM c{} a, c{} b)", i - 1, i - 1);
        }
        let e = fails(&session(), &format!("{sql} SELECT * FROM c39")).await;
        assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
    }

    #[tokio::test]
    async fn settings_are_set_shown_and_reset() {
        let s = session();
        rows(&s, "SET batch_size = 99").await;
        let batches = rows(&s, "SHOW batch_size").await;
        assert!(format!("{batches:?}").contains("99"));
        rows(&s, "RESET batch_size").await;
        rows(&s, "SHOW ALL").await;
        let e = fails(&s, "SET datafusion.runtime.memory_limit = '1G'").await;
        assert_eq!(e.kind(), ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn explain_shows_plans() {
        let s = session();
        for sql in ["EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1", "EXPLAIN FORMAT TREE SELECT 1"]
        {
            assert!(!rows(&s, sql).await.is_empty());
        }
        fails(&s, "EXPLAIN FORMAT poem SELECT 1").await;
    }

    #[tokio::test]
    async fn prepared_statements_take_typed_values() {
        let s = session();
        rows(&s, "PREPARE p (bigint, varchar) AS SELECT $1 + 1 AS n, $2 AS t").await;
        let batches = rows(&s, "EXECUTE P('41', 'x')").await;
        assert_batches_eq!(
            ["+----+---+", "| n  | t |", "+----+---+", "| 42 | x |", "+----+---+"],
            &batches
        );
        fails(&s, "EXECUTE p(1)").await;
        fails(&s, "EXECUTE p('many', 'x')").await;
        rows(&s, "DEALLOCATE p").await;
        assert_eq!(fails(&s, "EXECUTE p(1, 'x')").await.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn unsupported_statements_say_so() {
        let s = session();
        for sql in ["UPDATE t SET a = 1", "BEGIN", "GRANT SELECT ON t TO u", "KILL 1"] {
            assert_eq!(fails(&s, sql).await.kind(), ErrorKind::Unsupported, "{sql}");
        }
    }

    #[tokio::test]
    async fn memory_errors_name_the_operator_and_the_setting() {
        let s = super::super::testing::session_with_memory(1 << 20);
        let sql = "SELECT count(*) FROM generate_series(1, 2000000) a(x) \
                   JOIN generate_series(1, 2000000) b(y) ON x = y";
        let statement = s.parse(sql).unwrap().remove(0);
        let result = s.execute(&statement).await.unwrap();
        let e = result.stream.try_collect::<Vec<_>>().await.unwrap_err();
        let e = crate::Error::from(e);
        assert_eq!(e.kind(), ErrorKind::LimitExceeded);
        assert!(e.to_string().contains("memory-limit"), "{e}");
        assert!(e.to_string().contains("HashJoin"), "{e}");
    }
}
