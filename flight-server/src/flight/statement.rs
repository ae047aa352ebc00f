//! What GetFlightInfo and GetSchema do with a statement: a query is planned and pinned; DDL and
//! DML run here, once, and their ticket tells the outcome however often it is read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use fjord_engine::queries::QueryKind;
use fjord_engine::session::{Session, StatementOptions};
use fjord_engine::sql::statement::Statement;
use prost::Message;
use prost_types::Timestamp;
use serde::Serialize;
use tonic::Status;
use uuid::Uuid;

use super::caller::Caller;
use super::core::Core;
use super::egress::{EgressSchema, schema_bytes};
use super::parameters::{self, Values};
use super::ran::{self, Bound, Ran};
use super::status::status_of;
use super::ticket::{QueryTicket, QueryWork, Work};

/// A statement that a client asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) sql: String,
    /// Bound rows, as [`parameters::bind`] wrote them.
    pub(crate) bound: Bytes,
    /// Where it runs.
    pub(crate) session: Session,
}

/// What `FlightInfo.app_metadata` says, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    kind: &'static str,
    message: &'a str,
    query_id: Uuid,
}

/// The info of a statement, and with it the ticket to its rows or its outcome.
pub(crate) async fn info(
    core: &Core,
    caller: &Caller,
    ask: Ask,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let statements = parse(&ask)?;
    let Some((last, before)) = statements.split_last() else { return Err(nothing()) };
    if !before.is_empty() {
        // The answer is the last one's; what stands before it runs now, in order.
        ran::run_script(core, caller, &ask.session, before).await?;
    }
    let kind = ask.session.kind(last).map_err(|e| status_of(&e, None))?;
    match kind {
        QueryKind::Query => query_info(core, caller, &ask, last, descriptor).await,
        QueryKind::Change | QueryKind::Command => {
            let ran = executions(core, caller, &ask.session, last, &ask.bound).await?;
            outcome_info(core, caller, &ran, descriptor)
        }
    }
}

/// Runs a statement once for each row that was bound, or once with all of them where it takes that;
/// the sum of what was changed.
pub(crate) async fn executions(
    core: &Core,
    caller: &Caller,
    session: &Session,
    statement: &Statement,
    bound: &[u8],
) -> Result<Ran, Status> {
    if statement.takes_rows()
        && let Some(rows) = parameters::rows(bound)?.filter(|rows| rows.num_rows() > 1)
    {
        return ran::run(core, caller, session, statement, Bound::Rows(rows)).await;
    }
    let mut all = Ran::default();
    let executions = parameters::executions(bound)?;
    let rows = executions.len();
    for (row, values) in executions.into_iter().enumerate() {
        let ran = ran::run(core, caller, session, statement, Bound::Values(values)).await;
        let ran = ran.map_err(|status| match rows {
            1 => status,
            _ => of_row(&status, row, rows),
        })?;
        if let Some(rows) = ran.affected {
            all.affected = Some(all.affected.unwrap_or(0).saturating_add(rows));
        }
        (all.message, all.id) = (ran.message, ran.id);
    }
    Ok(all)
}

/// Every row is a statement that commits by itself: an error says which, and what stands.
fn of_row(status: &Status, row: usize, rows: usize) -> Status {
    let message = format!(
        "row {} of {rows} parameters ({row} before it were committed): {}",
        row + 1,
        status.message()
    );
    Status::with_metadata(status.code(), message, status.metadata().clone())
}

async fn query_info(
    core: &Core,
    caller: &Caller,
    ask: &Ask,
    statement: &Statement,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let mut executions = parameters::executions(&ask.bound)?;
    let repeats = executions.len() != 1;
    let first = executions.drain(..).next();
    let id = Uuid::now_v7();
    let parameters = match first {
        Some(values) => values,
        // Rows of parameters, and none of them: the columns are known, and no row follows.
        None => nulls(&ask.session, statement).await?,
    };
    let options = StatementOptions { parameters, ..Default::default() };
    let planned = match ask.session.plan(statement, options).await {
        Ok(planned) => planned,
        Err(e) => {
            note_failure(core, caller, statement, id, &e).await;
            return Err(status_of(&e, Some(id)));
        }
    };
    let egress = EgressSchema::try_new(planned.schema(), caller.profile)
        .map_err(|e| status_of(&e, Some(id)))?;
    let work = QueryWork::new(
        statement.text.clone(),
        ask.session.place(),
        planned.pins(),
        planned.now().map(|now| now.timestamp_micros()),
        caller.profile,
    );
    if !repeats {
        core.plans.insert(id, Arc::new(planned));
    }
    let ticket = QueryTicket::new(id, &caller.identity.user, Work::Query(Box::new(work)));
    let told = Told { kind: "rows", message: "", query_id: id };
    flight_info(core, &ticket, &ask.bound, egress.wire(), &told, -1, descriptor)
}

/// NULL for each parameter.
async fn nulls(session: &Session, statement: &Statement) -> Result<Values, Status> {
    let described = session.describe(statement).await.map_err(|e| status_of(&e, None))?;
    let nulls = described.parameters.iter();
    nulls
        .map(|p| datafusion::common::ScalarValue::try_new_null(p.field.data_type()))
        .collect::<Result<_, _>>()
        .map_err(|e| status_of(&e.into(), None))
}

/// A query that cannot be planned is part of the history too.
async fn note_failure(
    core: &Core,
    caller: &Caller,
    statement: &Statement,
    id: Uuid,
    error: &fjord_engine::Error,
) {
    // The queue may be full; the client is told of its own error all the same.
    if let Ok(query) = core.admit(caller, statement.into(), Some(id)).await {
        query.fail(error);
    }
}

/// The columns of an outcome's one row, or of none.
pub(crate) fn outcome_schema(affected: bool) -> SchemaRef {
    let count = Field::new("count", DataType::Int64, true);
    Arc::new(match affected {
        true => Schema::new(vec![count]),
        false => Schema::empty(),
    })
}

fn outcome_info(
    core: &Core,
    caller: &Caller,
    ran: &Ran,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let (kind, work, total) = match ran.affected {
        Some(rows) => ("affected", Work::Affected(rows), i64::try_from(rows).unwrap_or(i64::MAX)),
        None => ("done", Work::Done, -1),
    };
    let ticket = QueryTicket::new(ran.id, &caller.identity.user, work);
    let told = Told { kind, message: &ran.message, query_id: ran.id };
    let schema = outcome_schema(ran.affected.is_some());
    flight_info(core, &ticket, &[], &schema, &told, total, descriptor)
}

fn flight_info(
    core: &Core,
    ticket: &QueryTicket,
    bound: &[u8],
    schema: &SchemaRef,
    told: &Told<'_>,
    total_records: i64,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let handle = ticket.seal(&core.sealer, bound)?;
    let packed = TicketStatementQuery { statement_handle: handle }.as_any().encode_to_vec();
    let endpoint = FlightEndpoint {
        ticket: Some(Ticket { ticket: packed.into() }),
        // None: the rows are where the info came from.
        location: Vec::new(),
        expiration_time: Some(Timestamp { seconds: ticket.expires(), nanos: 0 }),
        app_metadata: Bytes::new(),
    };
    let app_metadata =
        serde_json::to_vec(told).map_err(|_| Status::internal("the outcome cannot be written"))?;
    Ok(FlightInfo {
        schema: schema_bytes(schema),
        flight_descriptor: Some(descriptor),
        endpoint: vec![endpoint],
        total_records,
        total_bytes: -1,
        ordered: true,
        app_metadata: app_metadata.into(),
    })
}

/// The columns that a statement would yield; nothing runs.
pub(crate) async fn columns(caller: &Caller, ask: &Ask) -> Result<SchemaRef, Status> {
    let statements = parse(ask)?;
    let Some(last) = statements.last() else { return Err(nothing()) };
    let described = ask.session.describe(last).await.map_err(|e| status_of(&e, None))?;
    match described.kind {
        QueryKind::Query => {
            let egress = EgressSchema::try_new(&described.schema, caller.profile);
            Ok(SchemaRef::clone(egress.map_err(|e| status_of(&e, None))?.wire()))
        }
        QueryKind::Change => Ok(outcome_schema(true)),
        QueryKind::Command => Ok(outcome_schema(false)),
    }
}

pub(crate) fn parse(ask: &Ask) -> Result<Vec<Statement>, Status> {
    let statements = ask.session.parse(&ask.sql).map_err(|e| status_of(&e, None))?;
    if statements.len() > 1 && !ask.bound.is_empty() {
        return Err(Status::invalid_argument(
            "parameters go with one statement, not with a script",
        ));
    }
    Ok(statements)
}

pub(crate) fn nothing() -> Status {
    Status::invalid_argument("the text holds no statement")
}
