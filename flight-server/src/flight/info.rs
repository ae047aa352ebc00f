//! GetFlightInfo and GetSchema: from a descriptor to what its command would yield.

use arrow::datatypes::SchemaRef;
use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::sql::{Any, Command};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::caller::Caller;
use super::core::Core;
use super::egress::schema_bytes;
use super::puts::no_transaction;
use super::statement::{self, Ask};
use super::{metadata, prepared};

/// The command in a descriptor.
fn command(descriptor: &FlightDescriptor) -> Result<Command, Status> {
    if descriptor.r#type() != DescriptorType::Cmd {
        return Err(Status::invalid_argument(
            "the descriptor names a path; this server takes the commands of Flight SQL",
        ));
    }
    let unreadable =
        || Status::invalid_argument("the descriptor's command is not one of Flight SQL");
    let any = Any::decode(&*descriptor.cmd).map_err(|_| unreadable())?;
    Command::try_from(any).map_err(|_| unreadable())
}

/// The statement that a descriptor asks for; `None` for metadata commands.
pub(crate) fn ask(
    core: &Core,
    caller: &Caller,
    descriptor: &FlightDescriptor,
) -> Result<Option<Ask>, Status> {
    statement_of(core, caller, &command(descriptor)?)
}

fn statement_of(core: &Core, caller: &Caller, command: &Command) -> Result<Option<Ask>, Status> {
    match command {
        Command::CommandStatementQuery(query) => {
            no_transaction(query.transaction_id.as_ref())?;
            let (sql, session) = (query.query.clone(), caller.session.clone());
            Ok(Some(Ask { sql, bound: Bytes::new(), session }))
        }
        Command::CommandPreparedStatementQuery(query) => {
            let (ask, _) = prepared::open(core, caller, &query.prepared_statement_handle)?;
            Ok(Some(ask))
        }
        _ => Ok(None),
    }
}

/// The info of a descriptor.
pub(crate) async fn of(
    core: &Core,
    caller: &Caller,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let command = command(&descriptor)?;
    if let Some(ask) = statement_of(core, caller, &command)? {
        return statement::info(core, caller, ask, descriptor).await;
    }
    let Some(schema) = metadata::schema(&command) else { return Err(unsupported(&command)) };
    // The ticket of a metadata command is the command: it needs no seal, for what it may show is
    // decided when it is read.
    let endpoint = FlightEndpoint {
        ticket: Some(Ticket { ticket: descriptor.cmd.clone() }),
        ..FlightEndpoint::default()
    };
    Ok(FlightInfo {
        schema: schema_bytes(&schema),
        flight_descriptor: Some(descriptor),
        endpoint: vec![endpoint],
        total_records: -1,
        total_bytes: -1,
        ordered: true,
        app_metadata: Bytes::new(),
    })
}

/// The columns of a descriptor's rows; nothing runs.
pub(crate) async fn columns(
    core: &Core,
    caller: &Caller,
    descriptor: &FlightDescriptor,
) -> Result<SchemaRef, Status> {
    let command = command(descriptor)?;
    match statement_of(core, caller, &command)? {
        Some(ask) => statement::columns(caller, &ask).await,
        None => metadata::schema(&command).ok_or_else(|| unsupported(&command)),
    }
}

fn unsupported(command: &Command) -> Status {
    let what = command.type_url().rsplit('.').next().unwrap_or_default();
    Status::unimplemented(format!("{what:?} is not supported; send SQL or a metadata command"))
}
