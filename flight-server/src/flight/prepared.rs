//! Prepared statements: a handle carries the text, where it was prepared and what was bound, so
//! that any server executes it, any number of times.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use arrow_flight::sql::{ActionCreatePreparedStatementResult, DoPutPreparedStatementResult};
use bytes::Bytes;
use fjord_engine::queries::QueryKind;
use fjord_engine::session::Description;
use fjord_engine::sql::statement::Statement;
use tonic::Status;

use super::caller::Caller;
use super::core::Core;
use super::egress::{EgressSchema, Incoming, PARAMETERS_BYTES_MAX, parameter_schema, schema_bytes};
use super::parameters;
use super::statement::{self, Ask};
use super::status::status_of;
use super::takes::Takes;
use super::ticket::PreparedHandle;

/// Prepares a text. A query shows its columns; what changes something shows none, by which the JDBC
/// driver knows it from a query (JDBC-05).
pub(crate) async fn create(
    core: &Core,
    caller: &Caller,
    sql: String,
) -> Result<ActionCreatePreparedStatementResult, Status> {
    let ask = Ask { sql, bound: Bytes::new(), session: caller.session.clone() };
    let statements = statement::parse(&ask)?;
    let (dataset_schema, parameter_schema, takes) = match statements.as_slice() {
        [] => return Err(statement::nothing()),
        [one] => {
            let described = describe(caller, one).await?;
            let takes = Takes::new(&described.parameters);
            (dataset(caller, &described)?, parameters_of(caller, &described), takes)
        }
        // A script takes no parameters; its columns are those of its last statement, which may
        // depend on what stands before it.
        _ => (Bytes::new(), schema_bytes(&Schema::empty()), Takes::default()),
    };
    let place = caller.session.place();
    let handle = PreparedHandle::new(&caller.identity.user, ask.sql, place, takes);
    Ok(ActionCreatePreparedStatementResult {
        prepared_statement_handle: handle.seal(&core.sealer, &[])?,
        dataset_schema,
        parameter_schema,
    })
}

async fn describe(caller: &Caller, statement: &Statement) -> Result<Description, Status> {
    caller.session.describe(statement).await.map_err(|e| status_of(&e, None))
}

fn dataset(caller: &Caller, described: &Description) -> Result<Bytes, Status> {
    if described.kind != QueryKind::Query {
        return Ok(Bytes::new());
    }
    let egress = EgressSchema::try_new(&described.schema, caller.profile)
        .map_err(|e| status_of(&e, None))?;
    Ok(schema_bytes(egress.wire()))
}

fn parameters_of(caller: &Caller, described: &Description) -> Bytes {
    let fields: Vec<FieldRef> = described.parameters.iter().map(|p| Arc::clone(&p.field)).collect();
    schema_bytes(&parameter_schema(&fields, caller.profile))
}

/// The statement behind a handle, and the handle.
pub(crate) fn open(
    core: &Core,
    caller: &Caller,
    handle: &[u8],
) -> Result<(Ask, PreparedHandle), Status> {
    let (prepared, bound) = PreparedHandle::open(&core.sealer, handle, &caller.identity.user)?;
    let mut session = caller.session.clone();
    if caller.is_new() {
        // This server does not know the session: the handle says where it was.
        session = session.fork();
        session.go_to(&prepared.place).map_err(|e| status_of(&e, None))?;
    }
    Ok((Ask { sql: prepared.sql.clone(), bound, session }, prepared))
}

/// Binds rows to a handle; the handle that comes back is the one to execute.
pub(crate) async fn bind(
    core: &Core,
    caller: &Caller,
    handle: &[u8],
    incoming: Incoming,
) -> Result<DoPutPreparedStatementResult, Status> {
    let (ask, prepared) = open(core, caller, handle)?;
    let bound = bound(&ask, &prepared, incoming).await?;
    Ok(DoPutPreparedStatementResult {
        prepared_statement_handle: Some(prepared.seal(&core.sealer, &bound)?),
    })
}

/// Rows of parameters, cast to what the statement takes.
pub(crate) async fn bound(
    ask: &Ask,
    prepared: &PreparedHandle,
    incoming: Incoming,
) -> Result<Bytes, Status> {
    let (schema, rows) = match incoming.with_bytes_max(PARAMETERS_BYTES_MAX).rows().await? {
        // A driver that has nothing to bind sends a batch without columns (JDBC-05).
        Some(rows) if !rows.schema().fields().is_empty() => {
            (Arc::clone(rows.schema()), rows.collect().await?)
        }
        _ => return Ok(Bytes::new()),
    };
    if statement::parse(ask)?.len() != 1 {
        return Err(Status::invalid_argument(
            "parameters go with one statement, not with a script",
        ));
    }
    parameters::bind(&schema, &rows, &prepared.takes.parameters()?)
}
