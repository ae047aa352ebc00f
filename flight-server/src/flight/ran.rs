//! Statements that have run: DDL and DML, once each, to their end.

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use fjord_engine::queries::QueryKind;
use fjord_engine::query::ResultKind;
use fjord_engine::session::{Session, StatementOptions};
use fjord_engine::sql::statement::Statement;
use futures::TryStreamExt;
use tonic::Status;
use uuid::Uuid;

use super::caller::Caller;
use super::core::Core;
use super::parameters::Values;
use super::status::status_of;

/// What a statement came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ran {
    /// Rows that it changed; `None` for DDL, SET and the like.
    pub(crate) affected: Option<u64>,
    /// What was done, in words.
    pub(crate) message: String,
    /// Its id in `system.queries`.
    pub(crate) id: Uuid,
}

/// What parameters stand for in one run.
#[derive(Debug)]
pub(crate) enum Bound {
    /// One value each.
    Values(Values),
    /// Many rows at once, for a statement that takes them.
    Rows(RecordBatch),
}

/// Runs one statement to its end. Dropping the future stops it.
pub(crate) async fn run(
    core: &Core,
    caller: &Caller,
    session: &Session,
    statement: &Statement,
    values: Bound,
) -> Result<Ran, Status> {
    let query = core.admit(caller, statement.into(), None).await?;
    let id = query.id();
    let told = |e: &fjord_engine::Error| status_of(e, Some(id));
    let (parameters, rows) = match values {
        Bound::Values(values) => (values, None),
        Bound::Rows(rows) => (Values::new(), Some(rows)),
    };
    let query_too = Some(query.clone());
    let options = StatementOptions { parameters, rows, query: query_too, ..Default::default() };
    let result = query.during(session.execute_with(statement, options)).await;
    let result = query.track(result.map_err(|e| told(&e))?);
    caller.gauge.watch(result.plan.as_ref());
    let mut ran = Ran { affected: None, message: String::new(), id };
    match &result.kind {
        ResultKind::Done(text) => ran.message.clone_from(text),
        ResultKind::Affected => ran.affected = Some(0),
        ResultKind::Rows => {}
    }
    let counted = drain(result.stream).await.map_err(|e| told(&e.into()))?;
    if let Some(affected) = &mut ran.affected {
        *affected = counted;
    }
    if session.kind(statement).is_ok_and(|kind| kind == QueryKind::Command) {
        // SET, USE and PREPARE changed the session.
        caller.keep(core);
    }
    Ok(ran)
}

/// Reads rows to their end, and adds up the counts that the first column may hold.
async fn drain(mut rows: SendableRecordBatchStream) -> datafusion::error::Result<u64> {
    use arrow::array::AsArray;
    use arrow::datatypes::UInt64Type;
    let mut total = 0;
    while let Some(batch) = rows.try_next().await? {
        let counts = batch.columns().first().and_then(|c| c.as_primitive_opt::<UInt64Type>());
        total += counts.map_or(0, |counts| counts.iter().flatten().sum());
    }
    Ok(total)
}

/// Runs a script in order; the sum of the rows that its statements changed.
///
/// # Errors
/// Names the statement by its number and place.
pub(crate) async fn run_script(
    core: &Core,
    caller: &Caller,
    session: &Session,
    statements: &[Statement],
) -> Result<Ran, Status> {
    let mut all = Ran::default();
    for (i, statement) in statements.iter().enumerate() {
        let ran = run(core, caller, session, statement, Bound::Values(Values::new())).await;
        let ran = ran.map_err(|status| named(status, i, statement, statements.len()))?;
        if let Some(rows) = ran.affected {
            all.affected = Some(all.affected.unwrap_or(0).saturating_add(rows));
        }
        (all.message, all.id) = (ran.message, ran.id);
    }
    Ok(all)
}

/// Says which statement of a script failed; one alone needs no number.
fn named(status: Status, at: usize, statement: &Statement, of: usize) -> Status {
    if of == 1 {
        return status;
    }
    let (line, column) = statement.position;
    let place = format!("statement {} of {of} (line {line}, column {column})", at + 1);
    let message = format!("{place}: {}", status.message());
    Status::with_metadata(status.code(), message, status.metadata().clone())
}
