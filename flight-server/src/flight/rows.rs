//! DoGet: the rows of a query, the outcome of a statement that ran, or the answer to a metadata
//! command.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow_flight::FlightData;
use arrow_flight::sql::Command;
use chrono::DateTime;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use fjord_engine::queries::{Kept, QueryHandle};
use fjord_engine::query::QueryResult;
use fjord_engine::session::{PlannedQuery, Session, StatementOptions};
use fjord_engine::sql::statement::Statement;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::time::Sleep;
use tonic::Status;
use uuid::Uuid;

use super::caller::Caller;
use super::core::Core;
use super::egress::{EgressSchema, EncodeOptions, Profile, StatusOf, encode};
use super::metadata::{self, MetadataOptions};
use super::parameters::{self, Values};
use super::sql_info::SqlInfoValues;
use super::statement::outcome_schema;
use super::status::{deadline_exceeded, status_for, status_of};
use super::ticket::{HANDLE_LIFE, QueryTicket, QueryWork, Work};
use crate::progress;
use crate::telemetry::{Metrics, Open};

/// The messages of one DoGet.
pub(crate) struct Rows {
    messages: BoxStream<'static, Result<FlightData, Status>>,
    deadline: Option<Pin<Box<Sleep>>>,
    is_over: bool,
    metrics: Arc<Metrics>,
    _open: Open,
    _kept: Kept,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl Rows {
    fn new(
        core: &Core,
        caller: &Caller,
        rows: SendableRecordBatchStream,
        egress: EgressSchema,
        status: StatusOf,
    ) -> Self {
        let options = EncodeOptions { compression: caller.compression, status };
        let deadline = caller.deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        Self {
            messages: encode(rows, egress, options).boxed(),
            deadline,
            is_over: false,
            metrics: Arc::clone(&core.metrics),
            _open: core.metrics.stream(),
            _kept: caller.wanted.while_kept(),
        }
    }

    /// The same, from its first rows on: an error that comes before them is the call's own. Grafana's
    /// plugin forgets one that follows the schema, and shows an empty panel.
    async fn held(mut self) -> Result<Self, Status> {
        let schema = self.messages.next().await.transpose()?;
        let first = self.messages.next().await.transpose()?;
        let begun = stream::iter(schema.into_iter().chain(first).map(Ok));
        let rest = std::mem::replace(&mut self.messages, stream::empty().boxed());
        self.messages = begun.chain(rest).boxed();
        Ok(self)
    }

    /// The same, and how far `plan` is in between.
    fn telling(mut self, plan: Arc<dyn ExecutionPlan>) -> Self {
        self.messages = progress::interleave(self.messages, plan).boxed();
        self
    }
}

impl Stream for Rows {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.poll_unpin(cx).is_ready()
        {
            self.is_over = true;
            return Poll::Ready(Some(Err(deadline_exceeded())));
        }
        let next = self.messages.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(Ok(message))) => {
                let bytes = message.data_header.len() + message.data_body.len();
                self.metrics.sent(bytes as u64);
            }
            Poll::Ready(Some(Err(_)) | None) => self.is_over = true,
            Poll::Pending => {}
        }
        next
    }
}

/// What a ticket stands for.
pub(crate) async fn of_ticket(core: &Core, caller: &Caller, sealed: &[u8]) -> Result<Rows, Status> {
    let (ticket, bound) = QueryTicket::open(&core.sealer, sealed, &caller.identity.user)?;
    match ticket.work {
        Work::Affected(rows) => {
            let count = i64::try_from(rows).unwrap_or(i64::MAX);
            let schema = outcome_schema(true);
            let column = Arc::new(Int64Array::from(vec![count]));
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column])
                .map_err(|e| Status::internal(format!("the outcome: {e}")))?;
            let rows = stream::iter([Ok(batch)]);
            let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
            told(core, caller, rows, status_for(ticket.id))
        }
        Work::Done => {
            let rows = RecordBatchStreamAdapter::new(outcome_schema(false), stream::empty());
            told(core, caller, Box::pin(rows), status_for(ticket.id))
        }
        Work::Query(work) => Box::pin(of_query(core, caller, ticket.id, &work, &bound)).await,
    }
}

/// The answer to a metadata command.
pub(crate) fn of_metadata(core: &Core, caller: &Caller, command: &Command) -> Result<Rows, Status> {
    let options = metadata_options(caller.profile);
    let (schema, batches) =
        metadata::run(&caller.session, command, &options).map_err(|e| status_of(&e, None))?;
    let rows = batches.map_err(DataFusionError::from);
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
    let status: StatusOf = Arc::new(|e| status_of(&e, None));
    told(core, caller, rows, status)
}

/// Schemas of tables are shown as their rows would be sent.
fn metadata_options(profile: Profile) -> MetadataOptions {
    MetadataOptions {
        shape: Arc::new(move |columns| shaped(columns, profile)),
        sql_info: match profile {
            Profile::Grafana => SqlInfoValues::WithoutMaps,
            _ => SqlInfoValues::default(),
        },
        handle_lifetime: HANDLE_LIFE,
    }
}

/// A table's columns as a query of it sends them, except that NOT NULL shows.
fn shaped(columns: &Schema, profile: Profile) -> SchemaRef {
    let source = Arc::new(columns.clone());
    let Ok(egress) = EgressSchema::try_new(&source, profile) else { return source };
    let fields = egress.wire().fields().iter().zip(columns.fields());
    let fields = fields
        .map(|(sent, stored)| Arc::new(sent.as_ref().clone().with_nullable(stored.is_nullable())));
    let metadata = columns.metadata().clone();
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<FieldRef>>(), metadata))
}

/// Rows whose schema is what it is, whatever the profile.
fn told(
    core: &Core,
    caller: &Caller,
    rows: SendableRecordBatchStream,
    status: StatusOf,
) -> Result<Rows, Status> {
    let egress = EgressSchema::verbatim(&rows.schema());
    Ok(Rows::new(core, caller, rows, egress, status))
}

async fn of_query(
    core: &Core,
    caller: &Caller,
    id: Uuid,
    work: &QueryWork,
    bound: &[u8],
) -> Result<Rows, Status> {
    let session = core.open_session(&caller.identity);
    session.go_to(&work.place).map_err(|e| status_of(&e, Some(id)))?;
    let statements = session.parse(&work.sql).map_err(|e| status_of(&e, Some(id)))?;
    let Some(statement) = statements.first() else {
        return Err(Status::internal("a ticket without a statement"));
    };
    // A ticket that is read again is another query of the registry.
    let known = core.engine.queries().find(id).is_some();
    let query = core.admit(caller, statement.into(), (!known).then_some(id)).await?;
    let run = Run { session, statement: statement.clone(), work: work.clone(), query };
    let told = |e: &fjord_engine::Error| status_of(e, Some(run.query.id()));
    let executions = parameters::executions(bound)?;
    let result = match (core.plans.get(&id), executions.as_slice()) {
        (Some(planned), [_]) => run.query.during(planned.execute(Some(&run.query))).await,
        (None, [values]) => run.once(values.clone()).await,
        (_, _) => Box::pin(run.many(executions)).await,
    };
    let result = run.query.track(result.map_err(|e| {
        run.query.fail(&e);
        told(&e)
    })?);
    let egress = EgressSchema::try_new(&result.schema, work.profile()).map_err(|e| told(&e))?;
    let plan = result.plan.filter(|_| caller.is_told_progress);
    let rows = Rows::new(core, caller, result.stream, egress, status_for(run.query.id()));
    match plan {
        Some(plan) => Ok(rows.telling(plan)),
        None if work.profile() == Profile::Grafana => rows.held().await,
        None => Ok(rows),
    }
}

/// A query that is planned from its ticket.
#[derive(Clone, Debug)]
struct Run {
    session: Session,
    statement: Statement,
    work: QueryWork,
    query: QueryHandle,
}

impl Run {
    async fn planned(&self, parameters: Values) -> fjord_engine::Result<PlannedQuery> {
        let now = self.work.now_micros.and_then(DateTime::from_timestamp_micros);
        let pins = Some(self.work.pins.clone());
        let options =
            StatementOptions { parameters, pins, now, query: Some(self.query.clone()), rows: None };
        self.query.during(self.session.plan(&self.statement, options)).await
    }

    async fn once(&self, parameters: Values) -> fjord_engine::Result<QueryResult> {
        self.planned(parameters).await?.execute(Some(&self.query)).await
    }

    /// NULL for each parameter: the columns are known though no row follows.
    async fn nulls(&self) -> fjord_engine::Result<Values> {
        let describing = Box::pin(self.session.describe(&self.statement));
        let described = self.query.during(describing).await?;
        let nulls = described.parameters.iter();
        let nulls = nulls
            .map(|p| datafusion::common::ScalarValue::try_new_null(p.field.data_type()))
            .collect::<Result<Values, _>>()?;
        Ok(nulls)
    }

    /// One execution after the other, each planned when its turn comes.
    async fn many(&self, executions: Vec<Values>) -> fjord_engine::Result<QueryResult> {
        let first = match executions.first() {
            Some(first) => first.clone(),
            None => self.nulls().await?,
        };
        let planned = self.planned(first).await?;
        let schema = SchemaRef::clone(planned.schema());
        let (run, shape) = (self.clone(), SchemaRef::clone(&schema));
        let rows = stream::iter(executions)
            .then(move |values| {
                let (run, shape) = (run.clone(), SchemaRef::clone(&shape));
                async move {
                    let rows = run.once(values).await?.stream;
                    // Values may tell of NULLs otherwise; the columns are the first one's.
                    Ok::<_, DataFusionError>(rows.map(move |batch| {
                        let batch = batch?;
                        Ok(batch.with_schema(SchemaRef::clone(&shape))?)
                    }))
                }
            })
            .try_flatten();
        let mut result = QueryResult::rows(SchemaRef::clone(&schema), Vec::new());
        result.stream = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
        Ok(result)
    }
}
