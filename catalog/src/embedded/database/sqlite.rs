//! The SQLite file: connections, waiting for other processes' locks, and what its errors mean.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};

use crate::embedded::database::failure::Failure;
use crate::embedded::database::patience::Patience;
use crate::embedded::database::sqlite_codes::{
    SQLITE_AUTH, SQLITE_BUSY, SQLITE_CANTOPEN, SQLITE_CONSTRAINT, SQLITE_CORRUPT, SQLITE_ERROR,
    SQLITE_FULL, SQLITE_LOCKED, SQLITE_NOTADB, SQLITE_PERM, SQLITE_READONLY, is_busy, primary_code,
};
use crate::embedded::database::statement::{Row, Statement, text_row};
use crate::error::{Error, ErrorKind, Result};

/// Connections of one process; a writer holds SQLite's only lock anyway.
const CONNECTIONS_MAX: u32 = 8;

/// A pool of connections to one file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pool: SqlitePool,
    path: Arc<Path>,
    busy_timeout: Duration,
}

impl File {
    /// Opens or makes the file and puts it in WAL mode, so that readers never wait for a writer.
    pub(super) async fn open(path: &Path, busy_timeout: Duration) -> Result<Self> {
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(directory).await.map_err(|e| {
                Error::new(
                    ErrorKind::Storage,
                    format!("directory {:?}: cannot make it: {e}", directory.display()),
                )
                .with_source(e)
            })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(busy_timeout)
            // A commit that was acknowledged survives a power cut.
            .synchronous(SqliteSynchronous::Full);
        let file = Self::with(path, &options, busy_timeout);
        file.enter_wal(&options).await?;
        Ok(file)
    }

    /// Makes a file that has no log beside it once it is closed.
    pub(super) async fn create_plain(path: &Path, busy_timeout: Duration) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Delete)
            .synchronous(SqliteSynchronous::Full);
        Self::connected(path, &options, busy_timeout).await
    }

    /// Opens a file that is there, to read it.
    pub(super) async fn open_plain(path: &Path, busy_timeout: Duration) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        Self::connected(path, &options, busy_timeout).await
    }

    fn with(path: &Path, options: &SqliteConnectOptions, busy_timeout: Duration) -> Self {
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(busy_timeout.max(Duration::from_secs(1)))
            .connect_lazy_with(options.clone());
        Self { pool, path: path.into(), busy_timeout }
    }

    /// What cannot be opened is told now.
    async fn connected(
        path: &Path,
        options: &SqliteConnectOptions,
        busy_timeout: Duration,
    ) -> Result<Self> {
        let file = Self::with(path, options, busy_timeout);
        drop(file.connection().await.map_err(|e| file.error(e.into()))?);
        Ok(file)
    }

    /// The switch needs the file for itself and does not honour SQLite's own busy timeout.
    async fn enter_wal(&self, options: &SqliteConnectOptions) -> Result<()> {
        let mut patience = Patience::new(self.busy_timeout);
        loop {
            let switched = async {
                let mut connection = options.connect().await?;
                let mode: String =
                    sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await?;
                if !mode.eq_ignore_ascii_case("wal") {
                    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await?;
                }
                connection.close().await
            };
            match switched.await {
                Ok(()) => return Ok(()),
                Err(e) if is_busy(&e) && patience.pause().await => {}
                Err(e) => return Err(self.error(e.into())),
            }
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A connection for reads and single statements.
    pub(super) async fn connection(&self) -> sqlx::Result<PoolConnection<Sqlite>> {
        self.pool.acquire().await
    }

    /// A transaction that holds the write lock from its start, so that it never fails half way
    /// because somebody else wrote meanwhile.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        let mut patience = Patience::new(self.busy_timeout);
        loop {
            match self.pool.begin_with("BEGIN IMMEDIATE").await {
                Ok(transaction) => return Ok(transaction),
                Err(e) if is_busy(&e) && patience.pause().await => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// A transaction that only reads, and sees one state of everything.
    pub(super) async fn begin_reading(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.pool.begin().await
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// What an error means to someone who knows the file and not SQLite.
    pub(super) fn error(&self, failure: Failure) -> Error {
        let path = self.path.display();
        let error = match failure {
            Failure::Sqlx(error) => error,
            // Only a server is waited for.
            Failure::Silent(_) | Failure::Aborted => sqlx::Error::WorkerCrashed,
        };
        let (kind, problem) = match (&error, primary_code(&error)) {
            (_, Some(SQLITE_BUSY | SQLITE_LOCKED)) => (
                ErrorKind::Unavailable,
                format!("is locked by another process (waited {} s)", self.busy_timeout.as_secs()),
            ),
            (_, Some(SQLITE_NOTADB)) => (
                ErrorKind::Corrupt,
                "is not a SQLite database: give another path, or move the file away to start an empty catalog".to_owned(),
            ),
            (_, Some(SQLITE_CORRUPT)) => (
                ErrorKind::Corrupt,
                "is damaged: restore it from a backup, or rescue it with `sqlite3 catalog.db .recover`; the tables' own files are untouched".to_owned(),
            ),
            (_, Some(SQLITE_READONLY | SQLITE_PERM | SQLITE_AUTH)) => {
                (ErrorKind::PermissionDenied, "may not be written".to_owned())
            }
            (_, Some(SQLITE_CANTOPEN)) => (
                ErrorKind::Storage,
                "cannot be opened: is it a file, and may its directory be written?".to_owned(),
            ),
            (_, Some(SQLITE_FULL)) => (ErrorKind::Storage, "has no room left on its disk".to_owned()),
            (_, Some(SQLITE_CONSTRAINT)) => {
                (ErrorKind::AlreadyExists, "holds such an entry already".to_owned())
            }
            (_, Some(SQLITE_ERROR)) => {
                (ErrorKind::Corrupt, "does not have the layout of an Iceberg catalog".to_owned())
            }
            (sqlx::Error::PoolTimedOut, _) => {
                (ErrorKind::Unavailable, "has all its connections in use".to_owned())
            }
            (sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed, _) => {
                (ErrorKind::Unavailable, "has been closed".to_owned())
            }
            (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_), _) => {
                (ErrorKind::Corrupt, "holds a value of an unexpected type".to_owned())
            }
            _ => (ErrorKind::Storage, "cannot be used".to_owned()),
        };
        Error::new(kind, format!("catalog database {path:?} {problem}", path = path.to_string()))
            .with_source(error)
    }
}

/// The rows of a statement.
pub(super) async fn rows(
    connection: &mut SqliteConnection,
    statement: &Statement,
) -> sqlx::Result<Vec<Row>> {
    statement.query::<Sqlite>().fetch_all(connection).await?.iter().map(text_row).collect()
}

/// How many rows a statement has changed.
pub(super) async fn execute(
    connection: &mut SqliteConnection,
    statement: &Statement,
) -> sqlx::Result<u64> {
    Ok(statement.query::<Sqlite>().execute(connection).await?.rows_affected())
}
