//! The SQLite file: connections, waiting for other processes' locks, and what its errors mean.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};

use crate::error::{Error, ErrorKind, Result};

/// Connections of one process; a writer holds SQLite's only lock anyway.
const CONNECTIONS_MAX: u32 = 8;
/// Pauses between attempts at a busy file: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

// SQLite's primary result codes.
const SQLITE_ERROR: i32 = 1;
const SQLITE_PERM: i32 = 3;
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_READONLY: i32 = 8;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_AUTH: i32 = 23;
const SQLITE_NOTADB: i32 = 26;

/// A pool of connections to one file.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pool: SqlitePool,
    path: Arc<Path>,
    busy_timeout: Duration,
}

impl Database {
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
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(busy_timeout.max(Duration::from_secs(1)))
            .connect_lazy_with(options.clone());
        let database = Self { pool, path: path.into(), busy_timeout };
        database.enter_wal(&options).await?;
        Ok(database)
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
                Err(e) => return Err(self.error(e)),
            }
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A connection for reads and single statements.
    pub(super) async fn connection(&self) -> Result<PoolConnection<Sqlite>> {
        self.pool.acquire().await.map_err(|e| self.error(e))
    }

    /// A transaction that holds the write lock from its start, so that it never fails half way
    /// because somebody else wrote meanwhile.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        let mut patience = Patience::new(self.busy_timeout);
        loop {
            match self.pool.begin_with("BEGIN IMMEDIATE").await {
                Ok(transaction) => return Ok(transaction),
                Err(e) if is_busy(&e) && patience.pause().await => {}
                Err(e) => return Err(self.error(e)),
            }
        }
    }

    /// How long a caller may go on trying a single busy statement.
    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.busy_timeout)
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// What an error means to someone who knows the file and not SQLite.
    pub(super) fn error(&self, error: sqlx::Error) -> Error {
        let path = self.path.display();
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

/// A bounded wait with growing, jittered pauses.
pub(super) struct Patience {
    deadline: Instant,
    next: Duration,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { deadline: Instant::now() + limit, next: PAUSE_MIN }
    }

    /// Sleeps, or answers `false` when the time is up.
    pub(super) async fn pause(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        tokio::time::sleep(self.next.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.next = (self.next * 2).min(PAUSE_MAX);
        true
    }
}

/// Another process or connection holds the lock; the statement did nothing.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(SQLITE_BUSY | SQLITE_LOCKED))
}

/// SQLite has answered that the statement did nothing. An I/O error says no such thing: the
/// write-ahead log may hold the commit.
pub(super) fn is_definite(error: &sqlx::Error) -> bool {
    matches!(
        primary_code(error),
        Some(
            SQLITE_ERROR
                | SQLITE_PERM
                | SQLITE_BUSY
                | SQLITE_LOCKED
                | SQLITE_READONLY
                | SQLITE_FULL
                | SQLITE_CANTOPEN
                | SQLITE_CONSTRAINT
                | SQLITE_AUTH
                | SQLITE_NOTADB
        )
    )
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
