//! The schema `system`: what the process itself knows, as relations and procedures. It is found in
//! every catalog that has no schema of that name.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;
use uuid::Uuid;

use super::cluster_tables;
use super::context::{QualifiedName, StatementContext};
use super::lane::SYSTEM_SCHEMA;
use crate::error::{Error, ErrorKind, Result};
use crate::queries::registry::not_live;
use crate::queries::{Queries, QueryInfo, Viewer};
use crate::query::QueryResult;

/// Queries in one batch.
const BATCH_ROWS: usize = 1_024;

const QUERIES: &str = "queries";
const STAGES: &str = "stages";
const WORKERS: &str = "workers";

/// The relation behind a name of the schema; `None` where the name means something stored.
pub(crate) async fn relation(
    ctx: &StatementContext,
    name: &QualifiedName,
) -> Option<Result<Arc<dyn TableProvider>>> {
    let [schema] = name.name.namespace.levels() else { return None };
    if !schema.eq_ignore_ascii_case(SYSTEM_SCHEMA) {
        return None;
    }
    // A stored schema of that name comes first. A catalog that does not answer has none: what the
    // process knows must be seen most of all when something is down.
    if name.catalog.metastore().load_namespace(&name.name.namespace).await.is_ok() {
        return None;
    }
    Some(table(ctx, &name.name.name))
}

/// A relation of the schema.
///
/// # Errors
/// `NotFound`, listing what there is.
pub(crate) fn table(ctx: &StatementContext, name: &str) -> Result<Arc<dyn TableProvider>> {
    if name.eq_ignore_ascii_case(WORKERS) || name.eq_ignore_ascii_case(STAGES) {
        let cluster = ctx.services.cluster().cloned();
        let source: Arc<dyn PartitionStream> = match name.eq_ignore_ascii_case(WORKERS) {
            true => Arc::new(cluster_tables::Workers::new(cluster)),
            false => Arc::new(cluster_tables::Stages::new(cluster, ctx.viewer.clone(), {
                ctx.services.queries.clone()
            })),
        };
        return Ok(Arc::new(SystemTable { source }));
    }
    if !name.eq_ignore_ascii_case(QUERIES) {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "table \"{SYSTEM_SCHEMA}.{name}\" not found; there is {QUERIES}, {STAGES}, {WORKERS}"
            ),
        ));
    }
    let queries = ctx.services.queries.clone();
    let source = QueriesSource { schema: schema_of_queries(), queries, viewer: ctx.viewer.clone() };
    Ok(Arc::new(SystemTable { source: Arc::new(source) }))
}

/// `CALL system.kill('…')`.
pub(crate) fn kill(ctx: &StatementContext, id: &str) -> Result<QueryResult> {
    let id: Uuid = id.parse().map_err(|e| {
        let shown: String = id.chars().take(80).collect();
        Error::invalid(format!("{shown:?} is not the id of a query; system.queries lists them"))
            .with_source(e)
    })?;
    let queries = &ctx.services.queries;
    // Somebody else's query is answered as one that is not there.
    match queries.find(id) {
        Some(query) if ctx.viewer.sees(&query.user) => queries.kill(id, ctx.viewer.name())?,
        _ => return Err(not_live(id)),
    }
    Ok(QueryResult::done(format!("killed query {id}")))
}

/// Everything of the schema is small and made anew by every scan.
#[derive(Debug)]
struct SystemTable {
    source: Arc<dyn PartitionStream>,
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.source.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let source = Arc::clone(&self.source);
        let exec = StreamingTableExec::try_new(
            self.schema(),
            vec![source],
            projection,
            None,
            false,
            limit,
        )?;
        Ok(Arc::new(exec))
    }
}

/// The queries that the viewer may see.
#[derive(Debug)]
struct QueriesSource {
    schema: SchemaRef,
    queries: Queries,
    viewer: Viewer,
}

impl PartitionStream for QueriesSource {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let mut seen = self.queries.list();
        seen.retain(|query| self.viewer.sees(&query.user));
        let chunks: Vec<Vec<Arc<QueryInfo>>> =
            seen.chunks(BATCH_ROWS).map(<[Arc<QueryInfo>]>::to_vec).collect();
        let made_of = Arc::clone(&schema);
        let batches = chunks.into_iter().map(move |chunk| batch(&made_of, &chunk));
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}

fn schema_of_queries() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let time = |name: &str, nullable| {
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Field::new(name, zoned, nullable)
    };
    Arc::new(Schema::new(vec![
        text("id", false),
        text("user", false),
        text("client", false),
        text("session", false),
        text("kind", false),
        text("state", false),
        text("text", false),
        text("error", true),
        text("error_kind", true),
        time("queued_at", false),
        time("started_at", true),
        time("finished_at", true),
        number("queue_ms"),
        number("plan_ms"),
        number("run_ms"),
        number("rows"),
        number("bytes"),
        number("memory_peak_bytes"),
    ]))
}

fn batch(schema: &SchemaRef, queries: &[Arc<QueryInfo>]) -> DfResult<RecordBatch> {
    fn texts<'a>(
        queries: &'a [Arc<QueryInfo>],
        of: impl Fn(&'a QueryInfo) -> Option<&'a str>,
    ) -> ArrayRef {
        Arc::new(queries.iter().map(|query| of(query)).collect::<StringArray>())
    }
    let numbers = |of: &dyn Fn(&QueryInfo) -> u64| -> ArrayRef {
        let values = queries.iter().map(|query| i64::try_from(of(query)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(values))
    };
    let millis = |of: &dyn Fn(&QueryInfo) -> Duration| {
        numbers(&|query| u64::try_from(of(query).as_millis()).unwrap_or(u64::MAX))
    };
    let times = |of: &dyn Fn(&QueryInfo) -> Option<DateTime<Utc>>| -> ArrayRef {
        let values = queries.iter().map(|query| of(query).map(|at| at.timestamp_micros()));
        Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let ids: Vec<String> = queries.iter().map(|query| query.id.to_string()).collect();
    let columns = vec![
        Arc::new(StringArray::from(ids)) as ArrayRef,
        texts(queries, |query| Some(&query.user)),
        texts(queries, |query| Some(&query.client)),
        texts(queries, |query| Some(&query.session)),
        texts(queries, |query| Some(query.kind.name())),
        texts(queries, |query| Some(query.state.name())),
        texts(queries, |query| Some(&query.text)),
        texts(queries, |query| query.error.as_deref()),
        texts(queries, |query| query.error_kind.as_deref()),
        times(&|query| Some(query.queued_at)),
        times(&|query| query.started_at),
        times(&|query| query.finished_at),
        millis(&|query| query.queue_time),
        millis(&|query| query.plan_time),
        millis(&|query| query.run_time),
        numbers(&|query| query.rows),
        numbers(&|query| query.bytes),
        numbers(&|query| query.memory_peak_bytes),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(DataFusionError::from)
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::super::testing::{engine, lake, rows};
    use crate::engine::Engine;
    use crate::error::{Error, ErrorKind, Result};
    use crate::queries::{Lane, QueryHandle, QueryKind, QueryRequest, QueryState, Viewer, Wanted};
    use crate::session::{Session, SessionOptions};

    fn session(engine: &Engine, user: Option<&str>) -> Session {
        let viewer = Viewer { user: user.map(str::to_owned), is_admin: user.is_none() };
        engine.session(SessionOptions { viewer, ..SessionOptions::default() })
    }

    async fn query_of(engine: &Engine, user: &str) -> QueryHandle {
        let request = QueryRequest {
            id: None,
            user: user.to_owned(),
            client: String::new(),
            session: String::new(),
            text: format!("SELECT '{user}'"),
            kind: QueryKind::Query,
            lane: Lane::Heavy,
            wanted: Wanted::default(),
        };
        engine.queries().admit(request).await.unwrap()
    }

    async fn submit(session: &Session, sql: &str) -> Result<String> {
        let statement = session.parse(sql)?.remove(0);
        let result = session.submit(&statement, "test").await?;
        let batches: Vec<_> = result.stream.try_collect().await.map_err(Error::from)?;
        Ok(arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string())
    }

    #[tokio::test]
    async fn everybody_sees_and_kills_his_own_queries_and_an_admin_all() {
        let lake = lake().await;
        let engine = lake.engine();
        let (ann, bob) = (query_of(engine, "ann").await, query_of(engine, "bob").await);
        let of_ann = session(engine, Some("ann"));
        let seen = submit(&of_ann, "SELECT text FROM system.queries").await.unwrap();
        assert!(seen.contains("'ann'") && !seen.contains("'bob'"), "{seen}");
        let of_nobody = session(engine, None);
        let seen = submit(&of_nobody, "SELECT text FROM iceberg.SYSTEM.Queries").await.unwrap();
        assert!(seen.contains("'ann'") && seen.contains("'bob'"), "{seen}");

        let kill_bob = format!("CALL system.kill('{}')", bob.id());
        let e = submit(&of_ann, &kill_bob).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
        assert_eq!(bob.info().state, QueryState::Planning);
        submit(&of_ann, &format!("CALL system.kill(id => '{}')", ann.id())).await.unwrap();
        assert_eq!(ann.cancelled().await.kind(), ErrorKind::Cancelled);
        submit(&of_nobody, &kill_bob).await.unwrap();
        assert_eq!(bob.cancelled().await.kind(), ErrorKind::Cancelled);
        for sql in
            ["CALL system.kill('x')", "CALL system.kill()", "CALL system.nosuch(1)", "CALL kill"]
        {
            submit(&of_nobody, sql).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_schema_of_that_name_comes_first() {
        let lake = lake().await;
        let session = lake.session();
        rows(&session, "SELECT id FROM system.queries").await;
        rows(&session, "CREATE SCHEMA system").await;
        let e = super::super::testing::fails(&session, "SELECT id FROM system.queries").await;
        assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    }

    #[tokio::test]
    async fn a_query_over_its_memory_fails_by_name_and_its_peak_is_kept() {
        let engine = engine(1 << 30);
        let session = session(&engine, None);
        submit(&session, "SET query_memory_bytes = 1000000").await.unwrap();
        let sql = "SELECT count(*) FROM generate_series(1, 300000) AS a(x) \
                   JOIN generate_series(1, 300000) AS b(y) ON x = y";
        let e = submit(&session, sql).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
        assert!(
            e.to_string().contains("query_memory") && e.to_string().contains("asked for"),
            "{e}"
        );
        let failed = engine.queries().list().into_iter().find(|q| q.text == sql).unwrap();
        assert_eq!(failed.state, QueryState::Failed);
        let peak = failed.memory_peak_bytes;
        // Some reservations cannot be refused: they are counted, and the next that can be is.
        assert!(peak > 0 && peak <= 1_250_000, "{peak}");

        submit(&session, "SET query_memory_bytes = 0").await.unwrap();
        submit(&session, sql).await.unwrap();
        submit(&session, "SET query_rows_max = 2").await.unwrap();
        let e = submit(&session, "SELECT * FROM (VALUES (1), (2), (3)) t").await.unwrap_err();
        assert!(e.to_string().contains("more than 2 rows"), "{e}");
    }
}
