//! Queries: planned, executed, streamed.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{DFSchema, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions, execute_stream,
};
use fjord_connectors::codec;
use futures::{FutureExt, Stream, StreamExt};
use sqlparser::ast::Query;

use super::context::StatementContext;
use super::foreign::object;
use super::{deep, plan};
use crate::cluster::{ClusterExec, Placement, place};
use crate::error::Result;
use crate::halting::halting;
use crate::iceberg::commit::write_of;
use crate::queries::QueryHandle;
use crate::query::{ORIGIN_KEYS, PinnedRelation, QueryResult, ResultKind};

/// Runs a query.
pub(crate) async fn run(ctx: &StatementContext, query: &Query) -> Result<QueryResult> {
    let Planned { physical, schema, .. } = plan(ctx, query).await?;
    execute(ctx, physical, ResultKind::Rows, Some(schema))
}

/// A query before it runs.
pub(crate) struct Planned {
    pub(crate) logical: LogicalPlan,
    /// What runs.
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    /// The columns of its rows.
    pub(crate) schema: SchemaRef,
}

/// Plans a query.
pub(crate) async fn plan(ctx: &StatementContext, query: &Query) -> Result<Planned> {
    let logical = plan::plan_query(ctx, query.clone()).await?;
    let physical = plan::physical(ctx, &logical).await?;
    // The logical schema has the names that the query wrote; the physical one may not.
    let schema = named_like(&with_origins(ctx, logical.schema()), &physical.schema());
    Ok(Planned { logical, physical, schema })
}

/// The columns, those of tables that were read with where they come from. A relation that the query
/// calls otherwise is not recognised: no origin is better than a wrong one.
fn with_origins(ctx: &StatementContext, schema: &DFSchema) -> SchemaRef {
    let read = ctx.receipt();
    let fields = schema.iter().map(|(qualifier, field)| {
        let parts = qualifier.map(TableReference::to_vec).unwrap_or_default();
        let Some(origin) = origin(ctx, &read, &parts) else { return Arc::clone(field) };
        let mut metadata = field.metadata().clone();
        metadata.extend(ORIGIN_KEYS.map(str::to_owned).into_iter().zip(origin));
        Arc::new(field.as_ref().clone().with_metadata(metadata))
    });
    let fields: Vec<FieldRef> = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Catalog, schema and table of a relation that was read.
fn origin(
    ctx: &StatementContext,
    read: &[PinnedRelation],
    parts: &[String],
) -> Option<[String; 3]> {
    let scope = ctx.scope();
    if let Some(foreign) = object::of_relation(ctx, parts, &scope).ok()? {
        return ctx.foreign_origin(&foreign);
    }
    let name = ctx.qualify_parts(parts, &scope).ok()?;
    let full_name = name.to_string();
    let is_read = read.iter().any(|relation| relation.name.eq_ignore_ascii_case(&full_name));
    let origin = [name.catalog.name().to_owned(), name.name.namespace.to_string(), name.name.name];
    is_read.then_some(origin)
}

/// Starts a physical plan; every statement that yields or changes rows ends here.
pub(crate) fn execute(
    ctx: &StatementContext,
    plan: Arc<dyn ExecutionPlan>,
    kind: ResultKind,
    schema: Option<SchemaRef>,
) -> Result<QueryResult> {
    execute_in(ctx, ctx.query(), plan, kind, schema)
}

/// The same in `query`, under its limits.
pub(crate) fn execute_in(
    ctx: &StatementContext,
    query: Option<&QueryHandle>,
    plan: Arc<dyn ExecutionPlan>,
    kind: ResultKind,
    schema: Option<SchemaRef>,
) -> Result<QueryResult> {
    let plan = on_workers(ctx, query, plan)?;
    let (plan, task) = match query {
        Some(query) => (halting(plan, &query.switch())?, ctx.task_of(query)),
        None => (plan, ctx.task()),
    };
    let stream = execute_stream(Arc::clone(&plan), task)?;
    let schema = match schema {
        Some(named) => named_like(&named, &stream.schema()),
        None => stream.schema(),
    };
    let guarded = Guarded { inner: stream, schema: Arc::clone(&schema), broken: false };
    Ok(QueryResult {
        kind,
        schema,
        stream: Box::pin(guarded),
        plan: Some(plan),
        relations: ctx.receipt(),
    })
}

/// A query's plan on workers; `None` where it runs in one place.
pub(crate) fn spread(
    ctx: &StatementContext,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<ClusterExec>>> {
    let Some(cluster) = ctx.services.cluster() else { return Ok(None) };
    Ok(match place(cluster, &plan, &ctx.state)? {
        Placement::Local(_) => None,
        Placement::Spread(spread) => {
            let query = ctx.query();
            let of_query = (query.map(QueryHandle::switch), query.map(QueryHandle::id));
            let (cluster, state) = (Arc::clone(cluster), Arc::clone(&ctx.state));
            Some(Arc::new(ClusterExec::new(cluster, plan, spread, state, None, of_query)))
        }
    })
}

/// The plan on workers, where there are some and it is worth it; else as it is. Of a statement that
/// writes, the commit stays here.
fn on_workers(
    ctx: &StatementContext,
    query: Option<&QueryHandle>,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(cluster) = ctx.services.cluster() else { return Ok(plan) };
    let write = write_of(&plan);
    // It stays here with its transaction; its input may be read more than once before the first row.
    let is_foreign_write = codec::is_write(plan.as_ref());
    let below = match &write {
        // Its rows name files: few, and wanted when all of them are there.
        Some(write) => in_one_partition(&write.input),
        None if is_foreign_write => match plan.children().first() {
            Some(input) => in_one_partition(input),
            None => return Ok(plan),
        },
        None => Arc::clone(&plan),
    };
    let spread = match place(cluster, &below, &ctx.state)? {
        Placement::Local(reason) => {
            tracing::debug!(%reason, "runs in one place");
            return Ok(plan);
        }
        Placement::Spread(spread) => spread,
    };
    let is_write = write.is_some() || is_foreign_write;
    let of_query = (query.map(QueryHandle::switch), query.map(QueryHandle::id));
    let state = Arc::clone(&ctx.state);
    let exec = ClusterExec::new(Arc::clone(cluster), below, spread, state, write, of_query);
    let exec: Arc<dyn ExecutionPlan> = Arc::new(exec);
    if !is_write {
        return Ok(exec);
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(plan.replace_children(vec![exec], options)?)
}

fn in_one_partition(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.is::<CoalescePartitionsExec>() {
        true => Arc::clone(plan),
        false => Arc::new(CoalescePartitionsExec::new(Arc::clone(plan))),
    }
}

/// The schema of the rows, with the names that the query gave. What only the plan that runs knows,
/// as that an outer join makes a column nullable, is kept.
fn named_like(named: &SchemaRef, rows: &SchemaRef) -> SchemaRef {
    let same = named.fields().len() == rows.fields().len()
        && named
            .fields()
            .iter()
            .zip(rows.fields())
            .all(|(named, row)| named.data_type() == row.data_type());
    if !same {
        return Arc::clone(rows);
    }
    let fields: Vec<Field> = named
        .fields()
        .iter()
        .zip(rows.fields())
        .map(|(named, row)| {
            let mut metadata = named.metadata().clone();
            metadata.extend(row.metadata().clone());
            Field::new(
                named.name(),
                row.data_type().clone(),
                named.is_nullable() || row.is_nullable(),
            )
            .with_metadata(metadata)
        })
        .collect();
    let mut metadata = named.metadata().clone();
    metadata.extend(rows.metadata().clone());
    Arc::new(Schema::new_with_metadata(fields, metadata))
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

    use super::super::plan;
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
        rows(&s, "SELECT TIMESTAMP WITH TIME ZONE '2024-01-01 00:00:00+01:00', now()").await;
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
    async fn subqueries_that_would_be_planned_for_ever_are_refused() {
        let s = session();
        let nested = |head: &str, levels: usize, tail: &str| {
            let (heads, tails) = (head.repeat(levels), tail.repeat(levels));
            format!("SELECT count(*) FROM (VALUES (1)) t(x) WHERE {heads}true{tails}")
        };
        for head in [
            "EXISTS (SELECT 1 FROM (VALUES (1)) t(x) WHERE ",
            "NOT EXISTS (SELECT 1 FROM (VALUES (1)) t(x) WHERE ",
            "x IN (SELECT x FROM (VALUES (1)) t(x) WHERE ",
            "x = (SELECT max(x) FROM (VALUES (1)) t(x) WHERE ",
        ] {
            rows(&s, &nested(head, 8, ")")).await;
            for levels in [plan::SUBQUERY_DEPTH_MAX + 1, 60] {
                let e = fails(&s, &nested(head, levels, ")")).await;
                assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
                assert!(e.to_string().contains("nest"), "{e}");
            }
        }
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

    #[tokio::test]
    async fn inserts_deletes_time_travel_and_views_on_a_lake() {
        let lake = super::super::testing::lake().await;
        let s = lake.session();
        rows(&s, "INSERT INTO t VALUES (1, 'a', DATE '2024-01-01'), (2, NULL, NULL)").await;
        rows(&s, "INSERT INTO T (NAME, customerid) VALUES ('b', 3)").await;
        let batches = rows(
            &s,
            "SELECT CUSTOMERID, t.Name FROM Default.T WHERE customerid > 1 ORDER BY CustomerID",
        )
        .await;
        assert_batches_eq!(
            [
                "+------------+------+",
                "| customerId | name |",
                "+------------+------+",
                "| 2          |      |",
                "| 3          | b    |",
                "+------------+------+"
            ],
            &batches
        );
        let batches =
            rows(&s, "SELECT a.*, b.customerId FROM t a JOIN t b USING (CustomerId)").await;
        assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 3);
        let plan = rows(&s, "EXPLAIN INSERT INTO t SELECT * FROM t").await;
        assert!(format!("{plan:?}").contains("IcebergWriteExec"), "{plan:?}");
        assert_eq!(
            fails(&s, "EXPLAIN ANALYZE INSERT INTO t SELECT * FROM t").await.kind(),
            ErrorKind::Unsupported
        );
        let count = |b: Vec<arrow::array::RecordBatch>| {
            format!("{}", arrow::util::pretty::pretty_format_batches(&b).unwrap())
        };
        assert!(count(rows(&s, "SELECT count(*) FROM t").await).contains("| 3 "));
        let first = lake.snapshots().await[0];
        let sql = format!("SELECT count(*) FROM t FOR VERSION AS OF {first}");
        assert!(count(rows(&s, &sql).await).contains("| 2 "));
        let sql = format!(
            "SELECT count(*) FROM t VERSION AS OF {first} a, t b WHERE a.CUSTOMERID = b.customerid"
        );
        assert!(count(rows(&s, &sql).await).contains("| 2 "));
        let e = fails(&s, "SELECT * FROM t FOR VERSION AS OF 7").await;
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.to_string().contains(&first.to_string()), "{e}");
        let e =
            fails(&s, "SELECT * FROM t FOR TIMESTAMP AS OF TIMESTAMP '2001-01-01 00:00:00'").await;
        assert!(e.to_string().contains(&first.to_string()), "{e}");
        rows(&s, "SELECT * FROM t FOR TIMESTAMP AS OF now()").await;

        lake.view("v", "SELECT CUSTOMERID, upper(NAME) AS Loud FROM t").await;
        let batches = rows(&s, "SELECT loud, customerid FROM V WHERE LOUD = 'A'").await;
        assert_batches_eq!(
            [
                "+------+------------+",
                "| Loud | customerId |",
                "+------+------------+",
                "| A    | 1          |",
                "+------+------------+"
            ],
            &batches
        );
        lake.view("w1", "SELECT * FROM w2").await;
        lake.view("w2", "SELECT * FROM w1").await;
        let e = fails(&s, "SELECT * FROM w1").await;
        assert!(e.to_string().contains("refers to itself"), "{e}");

        for (sql, part) in [
            ("INSERT INTO t (name) VALUES ('x')", "NOT NULL"),
            ("INSERT INTO t (nope) VALUES (1)", "no column"),
            ("INSERT INTO t (name, NAME) VALUES ('a', 'b')", "twice"),
            ("INSERT INTO t VALUES (1)", "columns are to be filled"),
            ("INSERT INTO t (customerid, name) VALUES (1, [1])", "cannot take"),
            ("INSERT INTO v VALUES (1, 'x')", "is a view"),
            ("INSERT OR REPLACE INTO t VALUES (1)", "OR REPLACE"),
            ("INSERT INTO t VALUES (1) RETURNING name", "RETURNING"),
            ("DELETE FROM t LIMIT 1", "LIMIT"),
            ("DELETE FROM t USING u WHERE t.a = u.a", "USING"),
            ("DELETE FROM t WHERE customerid IN (SELECT 1)", ""),
            ("DELETE FROM t WHERE upper(name) = 'A'", "row-level"),
        ] {
            let e = fails(&s, sql).await;
            assert!(e.to_string().contains(part), "{sql}: {e}");
        }
        assert!(count(rows(&s, "SELECT count(*) FROM t").await).contains("| 3 "));
        rows(&s, "DELETE FROM t WHERE false").await;
        assert!(count(rows(&s, "SELECT count(*) FROM t").await).contains("| 3 "));
        rows(
            &s,
            "INSERT OVERWRITE t SELECT customerId + 10, name, day FROM t WHERE customerId = 3",
        )
        .await;
        assert!(count(rows(&s, "SELECT customerid FROM t").await).contains("| 13 "));
        rows(&s, "PREPARE add (int) AS INSERT INTO t (customerId) VALUES ($1)").await;
        rows(&s, "EXECUTE add(5)").await;
        rows(&s, "EXECUTE add(6)").await;
        assert!(count(rows(&s, "SELECT sum(customerid) FROM t").await).contains("| 24 "));
        let affected = rows(&s, "TRUNCATE TABLE t").await;
        assert!(count(affected).contains("| 3 "));
        assert!(count(rows(&s, "SELECT count(*) FROM t").await).contains("| 0 "));
    }

    #[tokio::test]
    async fn overwrites_and_deletes_of_partitions() {
        let lake = super::super::testing::lake().await;
        let s = lake.session();
        let all = "SELECT customerid, name FROM p ORDER BY 2, 1";
        rows(&s, "INSERT INTO p (customerid, name) VALUES (1, 'a'), (2, 'b'), (3, 'b'), (4, NULL)")
            .await;
        rows(&s, "INSERT OVERWRITE p PARTITION (NAME = 'b') SELECT 20, NULL").await;
        let expected = ["1a", "20b", "4"];
        let shown = |batches: Vec<arrow::array::RecordBatch>| -> Vec<String> {
            let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
            text.lines()
                .filter(|l| l.starts_with('|'))
                .skip(1)
                .map(|l| l.replace(['|', ' '], ""))
                .collect()
        };
        assert_eq!(shown(rows(&s, all).await), expected);
        rows(&s, "INSERT OVERWRITE p SELECT 10, 'a', NULL").await;
        assert_eq!(shown(rows(&s, all).await), ["10a", "20b", "4"]);
        let deleted = rows(&s, "DELETE FROM p WHERE NAME = 'a'").await;
        assert_eq!(shown(deleted), ["1"]);
        rows(&s, "DELETE FROM p AS x WHERE x.name IS NULL").await;
        assert_eq!(shown(rows(&s, all).await), ["20b"]);
        rows(&s, "INSERT INTO p VALUES (21, 'b', NULL), (22, 'b', NULL)").await;
        let e = fails(&s, "DELETE FROM p WHERE customerid = 21").await;
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("row-level"), "{e}");
        for sql in [
            "INSERT OVERWRITE p PARTITION (customerid = 1) SELECT 'x', NULL",
            "INSERT OVERWRITE p PARTITION (name = 'b', day) SELECT 1",
        ] {
            fails(&s, sql).await;
        }
        assert_eq!(shown(rows(&s, all).await), ["20b", "21b", "22b"]);
    }
}
