//! One transaction that writes, and what becomes of it when the answer to COMMIT is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::database::Database;
use super::pool::Lease;
use crate::connector::RemoteName;
use crate::error::{Error, ErrorKind};

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// How long the outcome of a COMMIT is looked for.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(60);
const OUTCOME_PAUSE: Duration = Duration::from_millis(500);

/// Rolled back unless it is committed.
pub(super) struct Transaction {
    database: Arc<Database>,
    lease: Lease,
    /// The database's own number of it.
    id: String,
    /// For messages.
    what: String,
}

impl Transaction {
    pub(super) async fn begin(database: &Arc<Database>, what: &str) -> Result<Self, Error> {
        let lease = database.begin(BEGIN).await?;
        let failed = |e| database.pool.failed(what, e);
        let rows = lease
            .client()?
            .query_typed("SELECT pg_current_xact_id()::text", &[])
            .await
            .map_err(failed)?;
        let id = match rows.first() {
            Some(row) => row.try_get(0).map_err(failed)?,
            None => {
                let what = "a transaction without a number";
                return Err(database.pool.error(ErrorKind::Corrupt, what));
            }
        };
        Ok(Self { database: Arc::clone(database), lease, id, what: what.to_owned() })
    }

    pub(super) fn client(&self) -> Result<&Client, Error> {
        self.lease.client()
    }

    pub(super) fn failed(&self, e: tokio_postgres::Error) -> Error {
        self.database.pool.failed(&self.what, e)
    }

    /// Runs one statement; what holds several is refused by the protocol.
    pub(super) async fn execute(&self, sql: &str) -> Result<u64, Error> {
        self.client()?.execute(sql, &[]).await.map_err(|e| self.failed(e))
    }

    /// The letter by which the database calls the kind of a relation.
    pub(super) async fn relation_kind(&self, name: &RemoteName) -> Result<Option<String>, Error> {
        const KIND: &str = "SELECT c.relkind::text FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&name.schema, Type::TEXT), (&name.name, Type::TEXT)];
        let rows =
            self.client()?.query_typed(KIND, &parameters).await.map_err(|e| self.failed(e))?;
        rows.first().map(|row| row.try_get(0)).transpose().map_err(|e| self.failed(e))
    }

    pub(super) async fn roll_back(self) -> Result<(), Error> {
        self.database.end_read(self.lease).await
    }

    /// Commits. An answer that is lost is looked for.
    ///
    /// # Errors
    /// Only where the transaction did not happen, or where nobody can tell.
    pub(super) async fn commit(self) -> Result<(), Error> {
        self.database.check_encoding(&self.lease)?;
        match self.client()?.batch_execute("COMMIT").await {
            Ok(()) => {
                self.database.end_write(self.lease).await;
                Ok(())
            }
            Err(e) if e.as_db_error().is_some() && !is_going_down(&e) => Err(self.failed(e)),
            Err(e) => {
                let Self { database, lease, id, what } = self;
                drop(lease);
                let lost = database.pool.failed(&format!("{what}: COMMIT"), e);
                resolve(&database, &id, lost).await
            }
        }
    }
}

/// The server ends this connection, not this transaction.
fn is_going_down(e: &tokio_postgres::Error) -> bool {
    e.code().is_some_and(|code| code.code().starts_with("57P") || code.code().starts_with("08"))
}

/// Asks on other connections what became of a transaction.
async fn resolve(database: &Arc<Database>, id: &str, lost: Error) -> Result<(), Error> {
    let deadline = Instant::now() + OUTCOME_TIMEOUT;
    let mut last = lost;
    while Instant::now() < deadline {
        match status(database, id).await {
            Ok(Some(status)) if status == "committed" => {
                tracing::warn!(id, "the answer to COMMIT was lost; the transaction has happened");
                return Ok(());
            }
            Ok(Some(status)) if status == "aborted" => return Err(last),
            // It still runs, or nobody remembers.
            Ok(_) => {}
            Err(e) => last = e,
        }
        sleep(OUTCOME_PAUSE).await;
    }
    let what = format!(
        "whether transaction {id} was committed is not known: look with \
         SELECT pg_xact_status('{id}')"
    );
    Err(database.pool.error(ErrorKind::Unavailable, what).with_source(last))
}

async fn status(database: &Arc<Database>, id: &str) -> Result<Option<String>, Error> {
    let lease = database.begin_lookup().await?;
    let failed = |e| database.pool.failed("the outcome of a transaction", e);
    let rows = lease
        .client()?
        .query_typed("SELECT pg_xact_status($1::text::xid8)", &[(&id, Type::TEXT)])
        .await
        .map_err(failed)?;
    let status = match rows.first() {
        Some(row) => row.try_get(0).map_err(failed)?,
        None => None,
    };
    database.end_read(lease).await?;
    Ok(status)
}
