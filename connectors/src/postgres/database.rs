//! One database: its connections, and what is known of its relations, for a while.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;

use super::columns::{self, Class, RemoteColumn};
use super::failure::is_gone;
use super::metadata::{self, Found, FoundStatistics};
use super::options::Settings;
use super::pool::{Lease, Pool, Turn};
use super::quote;
use super::session;
use super::snapshot::Statements;
use crate::connector::{RemoteKind, RemoteName};
use crate::error::{Error, ErrorKind};

/// Relations whose description is kept.
const DESCRIBED_MAX: u64 = 10_000;
/// How often a connection that turns out to be dead is replaced by another.
const ATTEMPTS_MAX: usize = 3;
/// How long a connection on which something was committed has to become as new.
const RENEW_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement waits for others that write.
const WRITER_TIMEOUT: Duration = Duration::from_secs(600);
/// The beginning of everything that reads.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// What to do where a relation has changed.
const CHANGED: &str = "; what was known of it is forgotten: run the statement again";
/// SQLSTATEs of importing a snapshot whose transaction has ended: there is no such name, there is
/// no such object, the source is not running.
const IS_NO_MORE: [&str; 3] = ["22023", "42704", "55000"];

/// What takes a transaction that has just begun to the state `exported`.
fn set_snapshot(exported: &str) -> String {
    // The name is the database's own, digits and dashes.
    format!("SET TRANSACTION SNAPSHOT {}", quote::text(exported).unwrap_or_default())
}

/// Begins a transaction that reads in the state `exported`.
pub(super) fn begin_in_sql(exported: &str) -> String {
    format!("{BEGIN_READ}; {}", set_snapshot(exported))
}

/// What a relation looks like.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: RemoteName,
    pub(super) found: Found,
    pub(super) columns: Vec<RemoteColumn>,
    pub(super) statistics: Vec<FoundStatistics>,
}

/// Where a connection's turn is from.
enum Turns {
    Shared,
    Reserved,
    /// Had already.
    Held(Turn),
}

pub(super) struct Database {
    pub(super) pool: Arc<Pool>,
    /// Writers hold a connection while what they write is read, maybe from here: they never hold
    /// all of them.
    writers: Semaphore,
    described: Cache<RemoteName, Option<Arc<Described>>>,
    pub(super) statements: Statements,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Database {
    pub(super) fn try_new(settings: Settings) -> Result<Self, Error> {
        let ttl = settings.metadata_ttl;
        let kept = if ttl.is_zero() { 0 } else { DESCRIBED_MAX };
        Ok(Self {
            writers: Semaphore::new((settings.connections_max / 2).max(1)),
            pool: Pool::try_new(settings)?,
            described: Cache::builder().max_capacity(kept).time_to_live(ttl).build(),
            statements: Statements::default(),
        })
    }

    pub(super) fn settings(&self) -> &Settings {
        self.pool.settings()
    }

    /// Runs `sql`, which begins a transaction, on a connection that is alive.
    pub(super) async fn begin(&self, sql: &str) -> Result<Lease, Error> {
        Ok(self.begin_on(Turns::Shared, sql).await?.0)
    }

    /// The same; with what the first row of an answer says.
    async fn begin_on(
        &self,
        mut turns: Turns,
        sql: &str,
    ) -> Result<(Lease, Option<String>), Error> {
        for attempt in 1.. {
            let lease = match turns {
                Turns::Shared => self.pool.acquire().await?,
                Turns::Reserved => self.pool.acquire_reserved().await?,
                Turns::Held(turn) => {
                    // A dead connection takes the turn with it.
                    turns = Turns::Shared;
                    self.pool.lease(turn).await?
                }
            };
            match lease.client()?.simple_query(sql).await {
                Ok(answers) => {
                    let said = answers.iter().find_map(|answer| match answer {
                        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                        _ => None,
                    });
                    return Ok((lease, said));
                }
                // It died while it was idle: nothing has happened on it.
                Err(e) if is_gone(&e) && attempt < ATTEMPTS_MAX => {
                    tracing::debug!(error = %e, "a connection to PostgreSQL was dead");
                }
                Err(e) => return Err(self.pool.failed_reading("a transaction cannot begin", e)),
            }
        }
        Err(self.pool.error(ErrorKind::Unavailable, "no connection is alive"))
    }

    /// A transaction that reads, and the name of the state that it sees.
    pub(super) async fn begin_exported(&self, turn: Turn) -> Result<(Lease, String), Error> {
        let sql = format!("{BEGIN_READ}; SELECT pg_export_snapshot()");
        let (lease, name) = self.begin_on(Turns::Held(turn), &sql).await?;
        let unnamed =
            || self.pool.error(ErrorKind::Corrupt, "a snapshot was exported without a name");
        Ok((lease, name.ok_or_else(unnamed)?))
    }

    /// A transaction that reads in the state `exported`; `None` where that is no more.
    pub(super) async fn begin_in(
        &self,
        turn: Option<Turn>,
        exported: &str,
    ) -> Result<Option<Lease>, Error> {
        let turns = turn.map_or(Turns::Shared, Turns::Held);
        let (lease, _) = self.begin_on(turns, BEGIN_READ).await?;
        let set = set_snapshot(exported);
        match lease.client()?.batch_execute(&set).await {
            Ok(()) => Ok(Some(lease)),
            Err(e) if e.code().is_some_and(|code| IS_NO_MORE.contains(&code.code())) => Ok(None),
            Err(e) => Err(self.pool.failed_reading("a transaction cannot begin", e)),
        }
    }

    /// A transaction for a question about names, which does not wait for those who read.
    pub(super) async fn begin_lookup(&self) -> Result<Lease, Error> {
        Ok(self.begin_on(Turns::Reserved, BEGIN_READ).await?.0)
    }

    /// Ends a transaction that has only read, or of which nothing is to stay. What a function in it, of
    /// a view or of a user's text, has set (a search path, a role) or locked does not outlive it.
    pub(super) async fn end_read(&self, lease: Lease) -> Result<(), Error> {
        const END: &str = "ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all()";
        lease
            .client()?
            .batch_execute(END)
            .await
            .map_err(|e| self.pool.failed_reading("a transaction that reads cannot end", e))?;
        self.check_encoding(&lease)?;
        lease.finish();
        Ok(())
    }

    /// Leaves a transaction that has only read to others of its statement.
    pub(super) async fn set_back(&self, lease: &Lease) -> Result<(), Error> {
        session::set_back(lease.client()?, self.settings().statement_timeout)
            .await
            .map_err(|e| self.pool.failed_reading("a transaction that reads cannot go on", e))?;
        self.check_encoding(lease)
    }

    /// Gives back a connection on which something was committed. What was committed is, whatever becomes
    /// of the connection: where it is not as new soon, the next statement has another.
    pub(super) async fn end_write(&self, lease: Lease) {
        let renewed = async {
            let client = lease.client().ok()?;
            session::renew(client, self.settings().statement_timeout).await.ok()
        };
        match timeout(RENEW_TIMEOUT, renewed).await {
            Ok(Some(())) => lease.finish(),
            _ => tracing::debug!("a connection to PostgreSQL is not used again"),
        }
    }

    /// Refuses what was read or written in an encoding that is not ours.
    pub(super) fn check_encoding(&self, lease: &Lease) -> Result<(), Error> {
        let Some(encoding) = lease.tap()?.other_encoding() else { return Ok(()) };
        let what = format!(
            "a function of the database has set client_encoding to {encoding:?}, in which texts would be \
             taken for others; let it leave the encoding alone, or read what it reads without it"
        );
        Err(self.pool.error(ErrorKind::Unsupported, what))
    }

    /// A place among those who write.
    pub(super) async fn writer(&self) -> Result<SemaphorePermit<'_>, Error> {
        match timeout(WRITER_TIMEOUT, self.writers.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => {
                let what = format!(
                    "others have been writing for {} s; raise `connections_max`",
                    WRITER_TIMEOUT.as_secs()
                );
                Err(self.pool.error(ErrorKind::LimitExceeded, what))
            }
        }
    }

    /// The relation, as it was within the time that a description is kept.
    pub(super) async fn describe(
        &self,
        name: &RemoteName,
    ) -> Result<Option<Arc<Described>>, Error> {
        self.described
            .try_get_with(name.clone(), self.load(name))
            .await
            .map_err(|e: Arc<Error>| Error::new(e.kind(), e.to_string()))
    }

    async fn load(&self, name: &RemoteName) -> Result<Option<Arc<Described>>, Error> {
        let lease = self.begin_lookup().await?;
        let client = lease.client()?;
        let failed =
            |e| self.pool.failed_reading(&format!("relation {name} cannot be looked up"), e);
        let Some(found) = metadata::relation(client, name).await.map_err(failed)? else {
            self.end_read(lease).await?;
            return Ok(None);
        };
        let stored = metadata::columns(client, found.oid).await.map_err(failed)?;
        let statistics = match found.kind {
            RemoteKind::View => Vec::new(),
            _ => metadata::statistics(client, name).await.map_err(failed)?,
        };
        self.end_read(lease).await?;
        let columns = stored
            .iter()
            .map(|c| {
                let mut column = columns::column(&c.name, !c.required, &c.ty, self.settings());
                if !found.is_utf8 && matches!(column.class, Class::Text) {
                    // Bytes are ordered otherwise there than they are here.
                    column.class = Class::Opaque;
                }
                column
            })
            .collect();
        Ok(Some(Arc::new(Described { name: name.clone(), found, columns, statistics })))
    }

    /// The failure of `what` where a relation is not what it was when it was looked up.
    pub(super) fn changed(&self, what: &str, e: tokio_postgres::Error) -> Error {
        self.forget();
        let e = self.pool.failed(what, e);
        Error::new(e.kind(), format!("{e}{CHANGED}"))
    }

    /// The same, found otherwise than by an error.
    pub(super) fn changed_otherwise(&self, what: &str) -> Error {
        self.forget();
        self.pool.error(ErrorKind::Conflict, format!("{what}{CHANGED}"))
    }

    pub(super) fn forget(&self) {
        self.described.invalidate_all();
    }
}
