//! DoAction: prepared statements, sessions, cancelling, renewing.

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, Any, Command, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus,
    FlightEndpoint, FlightInfo, RenewFlightEndpointRequest, Ticket,
};
use bytes::Bytes;
use prost::Message;
use prost_types::Timestamp;
use tonic::Status;

use super::caller::Caller;
use super::core::Core;
use super::poll_info;
use super::prepared;
use super::puts::no_transaction;
use super::session_options;
use super::session_proto::SetSessionOptionsRequest;
use super::ticket::QueryTicket;

/// The actions there are, each with what it does.
const ACTIONS: [(&str, &str); 9] = [
    ("CreatePreparedStatement", "Prepares a statement; the handle is good on any server."),
    ("ClosePreparedStatement", "Closes a prepared statement."),
    ("CancelFlightInfo", "Stops the query that an info belongs to."),
    ("CancelQuery", "Stops a query (the older form of CancelFlightInfo)."),
    ("RenewFlightEndpoint", "Gives the ticket of an endpoint a new life."),
    ("SetSessionOptions", "Sets catalog, schema, output_profile and settings."),
    ("GetSessionOptions", "Tells the options of the session."),
    ("CloseSession", "Ends the session and its token."),
    ("BeginTransaction", "Refused: every statement commits by itself."),
];

/// The list of actions.
pub(crate) fn list() -> Vec<ActionType> {
    let action = |(r#type, description): (&str, &str)| ActionType {
        r#type: r#type.to_owned(),
        description: description.to_owned(),
    };
    ACTIONS.map(action).into()
}

/// Does one action; the bodies of its results.
pub(crate) async fn run(
    core: &Core,
    caller: &Caller,
    action: &Action,
) -> Result<Vec<Bytes>, Status> {
    let body = &action.body;
    Ok(match action.r#type.as_str() {
        "CreatePreparedStatement" => {
            let request: ActionCreatePreparedStatementRequest = packed(body)?;
            no_transaction(request.transaction_id.as_ref())?;
            let created = prepared::create(core, caller, request.query).await?;
            vec![created.as_any().encode_to_vec().into()]
        }
        // Handles carry their statement: there is nothing to free.
        "ClosePreparedStatement" => {
            let _request: ActionClosePreparedStatementRequest = packed(body)?;
            Vec::new()
        }
        "CancelFlightInfo" => {
            let request: CancelFlightInfoRequest = plain(body)?;
            let info = request.info.ok_or_else(|| missing("info"))?;
            let status = i32::from(cancel(core, caller, &info)?);
            vec![CancelFlightInfoResult { status }.encode_to_vec().into()]
        }
        "CancelQuery" => {
            let request: ActionCancelQueryRequest = packed(body)?;
            let info = FlightInfo::decode(request.info).map_err(|e| unreadable(&e))?;
            // The same values under the older name.
            let result = i32::from(cancel(core, caller, &info)?);
            vec![ActionCancelQueryResult { result }.as_any().encode_to_vec().into()]
        }
        "RenewFlightEndpoint" => {
            let request: RenewFlightEndpointRequest = plain(body)?;
            let endpoint = request.endpoint.ok_or_else(|| missing("endpoint"))?;
            vec![renew(core, caller, endpoint)?.encode_to_vec().into()]
        }
        "SetSessionOptions" => {
            let request: SetSessionOptionsRequest = plain(body)?;
            let set = session_options::set(core, caller, request).await?;
            vec![set.encode_to_vec().into()]
        }
        "GetSessionOptions" => vec![session_options::get(caller).encode_to_vec().into()],
        "CloseSession" => vec![session_options::close(core, caller).encode_to_vec().into()],
        "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
            return Err(Status::unimplemented(
                "transactions are not supported: every statement commits by itself",
            ));
        }
        "CreatePreparedSubstraitPlan" => {
            return Err(Status::unimplemented("Substrait plans are not supported; send SQL"));
        }
        other => {
            let known = ACTIONS.map(|(name, _)| name).join(", ");
            let problem = format!("action {other:?} is not known; there are {known}");
            return Err(Status::unimplemented(problem));
        }
    })
}

/// A message packed in an `Any`, as Flight SQL's actions have it.
fn packed<M: ProstMessageExt + Default>(body: &Bytes) -> Result<M, Status> {
    let any = Any::decode(&**body).map_err(|e| unreadable(&e))?;
    any.unpack::<M>()
        .map_err(|e| Status::invalid_argument(format!("the action's body: {e}")))?
        .ok_or_else(|| {
            Status::invalid_argument(format!(
                "the action's body is a {}, which is not this action's",
                any.type_url
            ))
        })
}

/// A message as it is, as Flight's own actions have it.
fn plain<M: Message + Default>(body: &Bytes) -> Result<M, Status> {
    M::decode(&**body).map_err(|e| unreadable(&e))
}

fn unreadable(e: &prost::DecodeError) -> Status {
    Status::invalid_argument(format!("the action's body cannot be read: {e}"))
}

fn missing(part: &str) -> Status {
    Status::invalid_argument(format!("the action's body has no {part}"))
}

/// The sealed ticket in what a client sends back of an endpoint.
pub(crate) fn sealed_ticket(ticket: &Ticket) -> Result<Bytes, Status> {
    let any = Any::decode(&*ticket.ticket).map_err(|_| not_a_ticket())?;
    match Command::try_from(any) {
        Ok(Command::TicketStatementQuery(ticket)) => Ok(ticket.statement_handle),
        _ => Err(not_a_ticket()),
    }
}

fn not_a_ticket() -> Status {
    Status::invalid_argument("the ticket is not one of a statement of this server")
}

fn cancel(core: &Core, caller: &Caller, info: &FlightInfo) -> Result<CancelStatus, Status> {
    let user = &caller.identity.user;
    if let Some(id) = poll_info::polled(core, caller, info.flight_descriptor.as_ref()) {
        return Ok(match core.polls.stop(user, id) {
            true => CancelStatus::Cancelled,
            false => CancelStatus::NotCancellable,
        });
    }
    let mut cancelled = false;
    for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
        let (ticket, _) = QueryTicket::open(&core.sealer, &sealed_ticket(ticket)?, user)?;
        core.plans.invalidate(&ticket.id);
        cancelled |= core.engine.queries().kill(ticket.id, user).is_ok();
    }
    Ok(match cancelled {
        true => CancelStatus::Cancelled,
        false => CancelStatus::NotCancellable,
    })
}

fn renew(core: &Core, caller: &Caller, endpoint: FlightEndpoint) -> Result<FlightEndpoint, Status> {
    let ticket = endpoint.ticket.as_ref().ok_or_else(|| missing("ticket"))?;
    let sealed = sealed_ticket(ticket)?;
    let (ticket, bound) = QueryTicket::open(&core.sealer, &sealed, &caller.identity.user)?;
    let ticket = ticket.renewed();
    let statement_handle = ticket.seal(&core.sealer, &bound)?;
    let packed = TicketStatementQuery { statement_handle }.as_any().encode_to_vec();
    Ok(FlightEndpoint {
        ticket: Some(Ticket { ticket: packed.into() }),
        expiration_time: Some(Timestamp { seconds: ticket.expires(), nanos: 0 }),
        ..endpoint
    })
}
