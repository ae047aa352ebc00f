//! DoPut: updates, parameters and bulk loads.

use arrow_flight::PutResult;
use arrow_flight::sql::{
    Any, Command, CommandStatementIngest, DoPutUpdateResult, TableExistsOption, TableNotExistOption,
};
use bytes::Bytes;
use fjord_engine::queries::{Lane, QueryKind};
use fjord_engine::session::{IfMissing, IfPresent, IngestTarget};
use prost::Message;
use tonic::Status;

use super::caller::Caller;
use super::core::{Asked, Core};
use super::egress::{INGEST_BYTES_MAX, Incoming};
use super::prepared;
use super::ran;
use super::statement::{self, Ask};
use super::status::status_of;

/// What a stream of DoPut begins with.
pub(crate) fn command(incoming: &Incoming) -> Result<Command, Status> {
    let any = Any::decode(&**incoming.command()?).map_err(|e| {
        Status::invalid_argument(format!("the command of the stream cannot be read: {e}"))
    })?;
    Command::try_from(any).map_err(|e| Status::invalid_argument(e.to_string()))
}

/// Does what the stream's command says; the answer's metadata.
pub(crate) async fn run(
    core: &Core,
    caller: &Caller,
    command: Command,
    incoming: Incoming,
) -> Result<PutResult, Status> {
    let app_metadata = match command {
        Command::CommandStatementUpdate(update) => {
            no_transaction(update.transaction_id.as_ref())?;
            let ask =
                Ask { sql: update.query, bound: Bytes::new(), session: caller.session.clone() };
            let statements = statement::parse(&ask)?;
            if statements.is_empty() {
                return Err(statement::nothing());
            }
            counted(ran::run_script(core, caller, &ask.session, &statements).await?.affected)
        }
        Command::CommandPreparedStatementUpdate(update) => {
            let (mut ask, prepared) =
                prepared::open(core, caller, &update.prepared_statement_handle)?;
            let bound = prepared::bound(&ask, &prepared, incoming).await?;
            if !bound.is_empty() {
                ask.bound = bound;
            }
            counted(run_prepared(core, caller, &ask).await?)
        }
        Command::CommandPreparedStatementQuery(query) => {
            let handle = query.prepared_statement_handle;
            prepared::bind(core, caller, &handle, incoming).await?.encode_to_vec()
        }
        Command::CommandStatementIngest(ingest) => {
            counted(Some(Box::pin(run_ingest(core, caller, ingest, incoming)).await?))
        }
        other => {
            let what = other.type_url().rsplit('.').next().unwrap_or_default().to_owned();
            return Err(Status::unimplemented(format!("DoPut of {what} is not supported")));
        }
    };
    Ok(PutResult { app_metadata: app_metadata.into() })
}

/// A transaction that nobody began cannot be taken part in.
pub(crate) fn no_transaction(id: Option<&Bytes>) -> Result<(), Status> {
    match id {
        Some(id) if !id.is_empty() => Err(Status::invalid_argument(
            "transactions are not supported: every statement commits by itself",
        )),
        _ => Ok(()),
    }
}

fn counted(rows: Option<u64>) -> Vec<u8> {
    let record_count = rows.map_or(0, |rows| i64::try_from(rows).unwrap_or(i64::MAX));
    DoPutUpdateResult { record_count }.encode_to_vec()
}

async fn run_prepared(core: &Core, caller: &Caller, ask: &Ask) -> Result<Option<u64>, Status> {
    let statements = statement::parse(ask)?;
    match statements.as_slice() {
        [] => Err(statement::nothing()),
        [one] => {
            let ran = statement::executions(core, caller, &ask.session, one, &ask.bound).await?;
            Ok(ran.affected)
        }
        script => Ok(ran::run_script(core, caller, &ask.session, script).await?.affected),
    }
}

async fn run_ingest(
    core: &Core,
    caller: &Caller,
    ingest: CommandStatementIngest,
    incoming: Incoming,
) -> Result<u64, Status> {
    let target = target(&ingest)?;
    let rows = incoming.with_bytes_max(INGEST_BYTES_MAX).rows().await?;
    let rows = rows.ok_or_else(|| Status::invalid_argument("the stream has no schema"))?;
    let text = format!("ingest into {}", target.table);
    let asked = Asked { text: &text, kind: QueryKind::Change, lane: Lane::Heavy };
    let query = core.admit(caller, asked, None).await?;
    let id = query.id();
    let load = Box::pin(caller.session.ingest(target, rows.into_stream(), &query));
    let loaded = query.during(load).await;
    let loaded = loaded.map_err(|e| status_of(&e, Some(id)))?;
    query.finish(loaded);
    Ok(loaded)
}

fn target(ingest: &CommandStatementIngest) -> Result<IngestTarget, Status> {
    no_transaction(ingest.transaction_id.as_ref())?;
    if ingest.temporary {
        return Err(Status::unimplemented("ingest into a temporary table is not supported"));
    }
    let options = ingest.table_definition_options.ok_or_else(|| {
        Status::invalid_argument("ingest must say what to do when the table exists or is missing")
    })?;
    let if_missing = match options.if_not_exist() {
        TableNotExistOption::Create => IfMissing::Create,
        TableNotExistOption::Fail | TableNotExistOption::Unspecified => IfMissing::Fail,
    };
    let if_present = match options.if_exists() {
        TableExistsOption::Append => IfPresent::Append,
        TableExistsOption::Replace => IfPresent::Replace,
        TableExistsOption::Fail | TableExistsOption::Unspecified => IfPresent::Fail,
    };
    let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    Ok(IngestTarget {
        catalog: named(&ingest.catalog),
        schema: named(&ingest.schema),
        table: ingest.table.clone(),
        if_missing,
        if_present,
    })
}
