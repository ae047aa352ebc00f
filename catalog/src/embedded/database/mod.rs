//! The database below an embedded catalog, SQLite or PostgreSQL: connections, transactions, and what
//! its errors mean. What the two do differently stays in this folder.
//!
//! Modules, bottom-up.

mod patience;
mod statement;
mod dialect;
mod sqlite_codes;
mod postgres_codes;
mod failure;
mod sqlite;
mod postgres;

use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction as SqlxTransaction};

use crate::embedded::database::patience::Patience;
use crate::embedded::database::postgres::{Link, Server};
use crate::embedded::database::sqlite::File;
use crate::error::{Error, Result};

pub(super) use dialect::Dialect;
pub(super) use failure::Failure;
pub use postgres::PostgresOptions;
pub(super) use statement::{Statement, texts};

/// A pool of connections to one database.
#[derive(Clone, Debug)]
pub(super) struct Database {
    kind: Kind,
    busy_timeout: Duration,
}

#[derive(Clone, Debug)]
enum Kind {
    Sqlite(File),
    Postgres(Server),
}

impl Database {
    /// Opens or makes a SQLite file.
    pub(super) async fn open_file(path: &Path, busy_timeout: Duration) -> Result<Self> {
        let file = File::open(path, busy_timeout).await?;
        Ok(Self { kind: Kind::Sqlite(file), busy_timeout })
    }

    /// A PostgreSQL database, which is not connected to yet.
    pub(super) fn postgres(options: &PostgresOptions, busy_timeout: Duration) -> Result<Self> {
        let server = Server::new(options, busy_timeout)?;
        Ok(Self { kind: Kind::Postgres(server), busy_timeout })
    }

    /// A new SQLite file without a log beside it, for backups.
    pub(super) async fn create_plain_file(path: &Path, busy_timeout: Duration) -> Result<Self> {
        let file = File::create_plain(path, busy_timeout).await?;
        Ok(Self { kind: Kind::Sqlite(file), busy_timeout })
    }

    /// A SQLite file that is there and stays as it is.
    pub(super) async fn open_plain_file(path: &Path, busy_timeout: Duration) -> Result<Self> {
        let file = File::open_plain(path, busy_timeout).await?;
        Ok(Self { kind: Kind::Sqlite(file), busy_timeout })
    }

    pub(super) fn busy_timeout(&self) -> Duration {
        self.busy_timeout
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self.kind {
            Kind::Sqlite(_) => Dialect::Sqlite,
            Kind::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A connection for reads and single statements.
    pub(super) async fn connection(&self) -> Result<Connection> {
        let inner = match &self.kind {
            Kind::Sqlite(file) => file.connection().await.map(Inner::Sqlite),
            Kind::Postgres(server) => server.link().await.map(Inner::Postgres),
        };
        Ok(Connection { inner: inner.map_err(|e| self.error(e))?, database: self.clone() })
    }

    /// A transaction for statements that decide by themselves, such as a compare-and-set.
    pub(super) async fn begin(&self) -> Result<Transaction> {
        self.begin_with(None).await
    }

    /// A transaction that nobody else writes beside: what it has read stays true until its end.
    pub(super) async fn begin_alone(&self) -> Result<Transaction> {
        self.begin_with(self.dialect().lock_names()).await
    }

    /// The same while the layout is being made.
    pub(super) async fn begin_layout(&self) -> Result<Transaction> {
        self.begin_with(self.dialect().lock_layout()).await
    }

    async fn begin_with(&self, lock: Option<&'static str>) -> Result<Transaction> {
        let mut patience = Patience::new(self.busy_timeout);
        loop {
            match self.try_begin(lock).await {
                Ok(inner) => {
                    return Ok(Transaction(Connection { inner, database: self.clone() }));
                }
                Err(failure) if failure.is_busy() && patience.pause().await => {}
                Err(failure) => return Err(self.error(failure)),
            }
        }
    }

    async fn try_begin(&self, lock: Option<&'static str>) -> Result<Inner, Failure> {
        match &self.kind {
            Kind::Sqlite(file) => Ok(Inner::SqliteTransaction(file.begin().await?)),
            Kind::Postgres(server) => {
                let mut link = server.link().await?;
                link.begin(postgres::BEGIN).await?;
                if let Some(lock) = lock {
                    link.execute(&Statement::new(lock)).await?;
                }
                Ok(Inner::Postgres(link))
            }
        }
    }

    /// A transaction that only reads, and sees one state of everything.
    pub(super) async fn begin_reading(&self) -> Result<Connection> {
        let inner = match &self.kind {
            Kind::Sqlite(file) => file.begin_reading().await.map(Inner::SqliteTransaction),
            Kind::Postgres(server) => {
                let mut link = server.link().await.map_err(|e| self.error(e))?;
                link.begin(postgres::BEGIN_READING).await.map_err(|e| self.error(e))?;
                Ok(Inner::Postgres(link))
            }
        };
        Ok(Connection { inner: inner.map_err(|e| self.error(e))?, database: self.clone() })
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        match &self.kind {
            Kind::Sqlite(file) => file.close().await,
            Kind::Postgres(server) => server.close().await,
        }
    }

    /// What a failure means to someone who knows the database and not its codes.
    pub(super) fn error(&self, failure: impl Into<Failure>) -> Error {
        match &self.kind {
            Kind::Sqlite(file) => file.error(failure.into()),
            Kind::Postgres(server) => server.error(failure.into()),
        }
    }

    /// How messages call it.
    pub(super) fn name(&self) -> String {
        match &self.kind {
            Kind::Sqlite(file) => file.path().display().to_string(),
            Kind::Postgres(server) => server.address().to_owned(),
        }
    }
}

/// What statements run on.
#[derive(Debug)]
pub(super) struct Connection {
    inner: Inner,
    database: Database,
}

#[derive(Debug)]
enum Inner {
    Sqlite(PoolConnection<Sqlite>),
    SqliteTransaction(SqlxTransaction<'static, Sqlite>),
    Postgres(Link),
}

/// The same, to SQLite twice over.
enum Raw<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut Link),
}

impl Connection {
    fn raw(&mut self) -> Raw<'_> {
        match &mut self.inner {
            Inner::Sqlite(connection) => Raw::Sqlite(connection),
            Inner::SqliteTransaction(transaction) => Raw::Sqlite(transaction),
            Inner::Postgres(link) => Raw::Postgres(link),
        }
    }

    pub(super) async fn try_rows(
        &mut self,
        statement: &Statement,
    ) -> Result<Vec<statement::Row>, Failure> {
        match self.raw() {
            Raw::Sqlite(connection) => Ok(sqlite::rows(connection, statement).await?),
            Raw::Postgres(link) => link.rows(statement).await,
        }
    }

    pub(super) async fn try_execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        match self.raw() {
            Raw::Sqlite(connection) => Ok(sqlite::execute(connection, statement).await?),
            Raw::Postgres(link) => link.execute(statement).await,
        }
    }

    /// The rows of a statement.
    pub(super) async fn rows(&mut self, statement: Statement) -> Result<Vec<statement::Row>> {
        self.try_rows(&statement).await.map_err(|e| self.database.error(e))
    }

    /// The rows of a statement whose columns are never NULL.
    pub(super) async fn texts<const N: usize>(
        &mut self,
        statement: Statement,
    ) -> Result<Vec<[String; N]>> {
        let rows = self.rows(statement).await?.into_iter().map(texts).collect::<Option<_>>();
        rows.ok_or_else(|| {
            let null = sqlx::Error::Decode("a row without a value".into());
            self.database.error(null)
        })
    }

    /// How many rows a statement has changed.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64> {
        self.try_execute(&statement).await.map_err(|e| self.database.error(e))
    }
}

/// A transaction, rolled back when dropped.
#[derive(Debug)]
pub(super) struct Transaction(Connection);

impl std::ops::Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl std::ops::DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Transaction {
    /// Makes it last. A failure that is not definite leaves open whether it does.
    pub(super) async fn try_commit(self) -> Result<(), Failure> {
        match self.0.inner {
            Inner::SqliteTransaction(transaction) => Ok(transaction.commit().await?),
            Inner::Postgres(mut link) => link.commit().await,
            Inner::Sqlite(_) => Ok(()),
        }
    }

    /// The same; what is not known is an error of that kind.
    pub(super) async fn commit(self, what: &str) -> Result<()> {
        let database = self.0.database.clone();
        match self.try_commit().await {
            Ok(()) => Ok(()),
            Err(failure) if failure.is_definite() => Err(database.error(failure)),
            Err(failure) => Err(unknown(&database, what, failure)),
        }
    }
}

/// It is not known whether `what` was changed.
pub(super) fn unknown(database: &Database, what: &str, failure: Failure) -> Error {
    let message = format!(
        "{what}: the catalog did not say whether the change was made; look before repeating it"
    );
    Error::new(crate::error::ErrorKind::CommitUnknown, message).with_source(database.error(failure))
}
