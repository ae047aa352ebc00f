//! The commit loop: the only place in Fjord that retries a commit.

use tokio::time::Instant;

use super::limits::{Backoff, CommitLimits, deadline_in, out_of_time};
use super::operation::{Operation, Proposal};
use super::queue::CommitQueue;
use super::reconcile::{Finding, look, reconcile};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::metadata::MetadataReader;
use crate::metastore::{Metastore, TableCommit};
use crate::name::TableName;
use crate::table::Table;

/// Where commits go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitContext<'a> {
    /// The pointers.
    pub(crate) metastore: &'a dyn Metastore,
    /// For older metadata files.
    pub(crate) reader: &'a MetadataReader,
    /// One commit at a time for each table.
    pub(crate) queue: &'a CommitQueue,
    /// Time.
    pub(crate) limits: CommitLimits,
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The table after the commit, `None` when there was nothing to commit.
    pub(crate) result: Result<Option<Table>>,
    /// The answer to some attempt was lost. However the operation ended, its files stay: a request
    /// that is still on its way may refer to any of them.
    pub(crate) was_unknown: bool,
}

/// What one attempt came to.
enum Attempt {
    Done(Option<Table>),
    /// It was applied by an earlier attempt that was told that it lost.
    Found(Table),
    Lost,
    /// The head that the lost request was made for, and the error.
    Unknown(Box<Option<Table>>, Error),
    Failed(Error),
}

/// Carries out `operation` on the table `name`.
///
/// ```text
/// queue ► load ► propose ► commit ─ applied ─► done
///          ▲                 ├─ stale ────► back off ─► load
///          └──── superseded ─┴─ unknown ──► reconcile ─► applied: done; unclear: error, files stay
/// ```
pub(crate) async fn run(
    context: CommitContext<'_>,
    name: &TableName,
    operation: &mut dyn Operation,
) -> Ended {
    let mut lost_answer = LostAnswer { base: None };
    let result = drive(context, name, operation, &mut lost_answer).await;
    Ended { result, was_unknown: lost_answer.base.is_some() }
}

/// Remembers the first attempt whose answer was lost; never forgotten within an operation.
struct LostAnswer {
    base: Option<Option<Table>>,
}

async fn drive(
    context: CommitContext<'_>,
    name: &TableName,
    operation: &mut dyn Operation,
    lost_answer: &mut LostAnswer,
) -> Result<Option<Table>> {
    let limits = context.limits;
    let deadline = deadline_in(limits.total_max)?;
    let _turn = context.queue.wait(name, deadline).await?;
    let mut backoff = Backoff::new(limits.backoff_min, limits.backoff_max, deadline);
    let mut raced = false;
    loop {
        // A lost race after a lost answer may have been lost to ourselves.
        if let Some(base) = &lost_answer.base
            && let Finding::Applied(table) =
                look(context.metastore, context.reader, name, base.as_ref(), operation).await?
        {
            return Ok(Some(*table));
        }
        match attempt(context, name, operation, deadline, raced).await {
            Attempt::Done(table) => return Ok(table),
            Attempt::Found(table) => {
                // Some answer went astray: nothing may be deleted.
                lost_answer.base.get_or_insert(None);
                return Ok(Some(table));
            }
            Attempt::Failed(error) => return Err(error),
            Attempt::Lost => raced = true,
            Attempt::Unknown(base, error) => {
                let found = reconcile(
                    context.metastore,
                    context.reader,
                    name,
                    base.as_ref().as_ref(),
                    operation,
                    &limits,
                )
                .await;
                lost_answer.base.get_or_insert(*base);
                match found.unwrap_or(Finding::Unclear) {
                    Finding::Applied(table) => return Ok(Some(*table)),
                    Finding::Superseded => {}
                    Finding::Unclear => return Err(unknown(name, operation, error)),
                }
            }
        }
        if !backoff.wait().await {
            return Err(out_of_time(&name.to_string(), &limits));
        }
    }
}

async fn attempt(
    context: CommitContext<'_>,
    name: &TableName,
    operation: &mut dyn Operation,
    deadline: Instant,
    raced: bool,
) -> Attempt {
    let head = match load(context, name, deadline).await {
        Ok(head) => head,
        Err(error) => return Attempt::Failed(error),
    };
    // A request that was delivered twice loses its second race to itself.
    if raced
        && operation.has_identity()
        && let Some(head) = &head
        && operation.is_applied(head.metadata())
    {
        return Attempt::Found(head.clone());
    }
    let commit = match operation.propose(head.as_ref()).await {
        Ok(Proposal::Commit(commit)) => commit,
        Ok(Proposal::Nothing) => return Attempt::Done(None),
        Err(error) => return Attempt::Failed(error),
    };
    match send(context, *commit, deadline).await {
        Ok(table) => {
            failpoint::hit("K8").await;
            Attempt::Done(Some(table))
        }
        Err(error) => match error.kind() {
            ErrorKind::Stale => Attempt::Lost,
            ErrorKind::AlreadyExists if head.is_none() => Attempt::Failed(error),
            ErrorKind::CommitUnknown => Attempt::Unknown(Box::new(head), error),
            // An update that the metadata of the moment refuses (a sequence number or row id taken
            // on another branch) is a lost race if the table has moved since.
            ErrorKind::Corrupt | ErrorKind::InvalidArgument | ErrorKind::Bug => {
                match load(context, name, deadline).await {
                    Ok(now) if moved(head.as_ref(), now.as_ref()) => Attempt::Lost,
                    _ => Attempt::Failed(error),
                }
            }
            _ => Attempt::Failed(error),
        },
    }
}

fn moved(then: Option<&Table>, now: Option<&Table>) -> bool {
    then.and_then(Table::metadata_location) != now.and_then(Table::metadata_location)
}

async fn load(
    context: CommitContext<'_>,
    name: &TableName,
    deadline: Instant,
) -> Result<Option<Table>> {
    let mut patience = patience(context, deadline)?;
    loop {
        match context.metastore.load_table(name).await {
            Ok(table) => return Ok(Some(table)),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == ErrorKind::Unavailable && patience.wait().await => {}
            Err(e) => return Err(e),
        }
    }
}

/// `Unavailable` says that nothing was sent, so the same commit may be sent again.
async fn send(context: CommitContext<'_>, commit: TableCommit, deadline: Instant) -> Result<Table> {
    let mut patience = patience(context, deadline)?;
    loop {
        match context.metastore.commit(commit.clone()).await {
            Err(e) if e.kind() == ErrorKind::Unavailable && patience.wait().await => {}
            other => return other,
        }
    }
}

fn patience(context: CommitContext<'_>, deadline: Instant) -> Result<Backoff> {
    let limits = context.limits;
    let until = deadline_in(limits.unavailable_max)?.min(deadline);
    Ok(Backoff::new(limits.backoff_min, limits.backoff_max, until))
}

fn unknown(name: &TableName, operation: &dyn Operation, error: Error) -> Error {
    Error::new(
        ErrorKind::CommitUnknown,
        format!(
            "table \"{name}\": it is unknown whether the commit was applied; look for operation {} before repeating the statement (none of its files was deleted)",
            operation.op_id()
        ),
    )
    .with_source(error)
}
