//! A PostgreSQL database by URL: connections that wait for nothing for ever, and what its errors mean.

use std::borrow::Cow;
use std::future::Future;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Postgres, TransactionManager};

use crate::embedded::database::failure::Failure;
use crate::embedded::database::patience::Patience;
use crate::embedded::database::postgres_codes::{kind_of, server_error};
use crate::embedded::database::statement::{Row, Statement, text_row, texts};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Connections of one process; a server has 100 by default, for everybody.
const CONNECTIONS_MAX: u32 = 8;
/// A connection that nobody has used for so long goes back to the server.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long a server may take to accept a connection. With [`ANSWER_TIME_MAX`] below the 10 s in
/// which a statement must have failed whose catalog is down.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(4);
/// How long a server may take to answer, waiting for locks apart.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a server that went away during a COMMIT is asked what became of it.
const OUTCOME_TIME_MAX: Duration = Duration::from_secs(5);

/// What a session must be like, whatever the role or the database has for a default: a commit that
/// was acknowledged survives a crash; a lock is waited for so long; a client that stops in the
/// middle of a transaction does not stop all others.
const SET_UP: &str = "SELECT set_config('synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
    set_config('lock_timeout', $1, false),
    set_config('idle_in_transaction_session_timeout', $1, false)";

/// Names the transaction: its number, and the timeline in which the number means it. A standby that
/// takes over begins a new timeline, and may give the number again.
const IDENTITY: &str =
    "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), txid_current()::text";
/// What became of such a transaction.
const OUTCOME: &str = "SELECT CASE WHEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) = $1
    THEN txid_status($2::text::bigint) END";

/// Transactions see what was committed before each statement, whatever the default is: the
/// compare-and-set relies on it.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// A transaction that only reads, and sees one state of everything.
pub(super) const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

type Manager = <Postgres as sqlx::Database>::TransactionManager;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    url: String,
    password: Option<Secret>,
}

impl PostgresOptions {
    /// `postgres://USER@HOST:PORT/DATABASE`, with `?sslmode=…` and the like; the password apart.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no such URL, and for one that holds a password.
    pub fn try_new(url: &str, password: Option<Secret>) -> Result<Self> {
        let invalid = |problem: &str| {
            // The URL is not repeated: it may hold a password.
            Error::new(ErrorKind::InvalidArgument, format!("database url: {problem}"))
        };
        let parsed = url::Url::parse(url).map_err(|e| invalid("not a URL").with_source(e))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(invalid("accepted: postgres://USER@HOST:PORT/DATABASE"));
        }
        if parsed.password().is_some() || parsed.query_pairs().any(|(key, _)| key == "password") {
            return Err(invalid(
                "it holds a password, which is configured beside it, by reference",
            ));
        }
        PgConnectOptions::from_str(url)
            .map_err(|e| invalid("not understood as a PostgreSQL URL").with_source(e))?;
        Ok(Self { url: url.to_owned(), password })
    }

    fn connect_options(&self) -> sqlx::Result<PgConnectOptions> {
        let mut options = PgConnectOptions::from_str(&self.url)?.application_name("fjord");
        if let Some(password) = &self.password {
            options = options.password(password.expose());
        }
        Ok(options.disable_statement_logging())
    }
}

/// A pool of connections to one database.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pool: PgPool,
    /// Where it is, without a password.
    address: Arc<str>,
    busy_timeout: Duration,
    /// Whether it can say what became of a transaction; what only speaks its language may not.
    tells_outcomes: Arc<OnceLock<bool>>,
}

impl Server {
    /// Connects to nothing yet.
    pub(super) fn new(options: &PostgresOptions, busy_timeout: Duration) -> Result<Self> {
        let connect = options.connect_options().map_err(|e| {
            Error::new(ErrorKind::InvalidArgument, "database url: not understood").with_source(e)
        })?;
        let address = address(&connect);
        let milliseconds = busy_timeout.as_millis().to_string();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(CONNECT_TIME_MAX)
            .idle_timeout(IDLE_MAX)
            .after_connect(move |connection, _| {
                let milliseconds = milliseconds.clone();
                Box::pin(async move {
                    sqlx::query(SET_UP).bind(milliseconds).execute(connection).await.map(|_| ())
                })
            })
            .connect_lazy_with(connect);
        Ok(Self { pool, address: address.into(), busy_timeout, tells_outcomes: Arc::default() })
    }

    pub(super) async fn link(&self) -> sqlx::Result<Link> {
        let mut patience = Patience::new(CONNECT_TIME_MAX);
        let connection = loop {
            match self.pool.acquire().await {
                // The driver itself waits for a server that refuses or is starting, not for one
                // that is just ending.
                Err(sqlx::Error::Io(_)) if patience.pause().await => {}
                other => break other?,
            }
        };
        Ok(Link { connection, state: State::Idle, server: self.clone() })
    }

    /// Whether a transaction was committed; `None` when that cannot be learnt.
    async fn is_committed(&self, identity: &Identity) -> Option<bool> {
        let mut patience = Patience::new(OUTCOME_TIME_MAX);
        loop {
            match self.outcome(identity).await {
                Ok(Some(outcome)) if outcome == "committed" => return Some(true),
                Ok(Some(outcome)) if outcome == "aborted" => return Some(false),
                // Another timeline, or too long ago.
                Ok(None) => return None,
                // In progress, or not back yet.
                Ok(Some(_)) | Err(_) => {}
            }
            if !patience.pause().await {
                return None;
            }
        }
    }

    async fn outcome(&self, identity: &Identity) -> Result<Option<String>, Failure> {
        let mut link = self.link().await?;
        let statement = Statement::new(OUTCOME).text(&identity.timeline).text(&identity.number);
        let rows = link.rows(&statement).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// Where it is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// What a failure means to someone who knows the server and not its codes.
    pub(super) fn error(&self, failure: Failure) -> Error {
        let address = &self.address;
        let (kind, problem) = match &failure {
            Failure::Silent(waited) => {
                (ErrorKind::Unavailable, format!("has not answered for {} s", waited.as_secs()))
            }
            Failure::Aborted => (
                ErrorKind::Unavailable,
                "went away before the change was made; nothing was changed".to_owned(),
            ),
            Failure::Sqlx(error) => self.meaning(error),
        };
        let error = Error::new(kind, format!("catalog database {address:?} {problem}"));
        match failure {
            Failure::Sqlx(source) => error.with_source(source),
            Failure::Silent(_) | Failure::Aborted => error,
        }
    }

    fn meaning(&self, error: &sqlx::Error) -> (ErrorKind, String) {
        if let Some(error) = server_error(error) {
            return (kind_of(error.code()), self.problem(error));
        }
        match error {
            sqlx::Error::PoolTimedOut => (
                ErrorKind::Unavailable,
                format!(
                    "gave no connection within {} s: is it running, can it be reached, has it connections left?",
                    CONNECT_TIME_MAX.as_secs()
                ),
            ),
            sqlx::Error::Io(e) => (ErrorKind::Unavailable, format!("cannot be reached: {e}")),
            sqlx::Error::Tls(e) => {
                (ErrorKind::Unavailable, format!("cannot be reached over TLS: {e}"))
            }
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                (ErrorKind::Unavailable, "has been closed".to_owned())
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                (ErrorKind::Corrupt, "holds a value of an unexpected type".to_owned())
            }
            _ => (ErrorKind::Storage, "cannot be used".to_owned()),
        }
    }

    fn problem(&self, error: &PgDatabaseError) -> String {
        let said = error.message();
        match error.code() {
            "28P01" | "28000" => format!(
                "refuses the user or the password ({said}): see `password` in the configuration"
            ),
            "25006" => {
                "may only be read: is it a standby, or read-only by configuration?".to_owned()
            }
            "42501" => format!("does not allow it: {said}"),
            "3D000" => format!("does not exist ({said}): make it with CREATE DATABASE"),
            "42P01" | "42703" | "3F000" => {
                format!("does not have the layout of an Iceberg catalog: {said}")
            }
            "22001" => format!("has no room for so long a name, location or property: {said}"),
            "23505" => "holds such an entry already".to_owned(),
            "55P03" => {
                format!("is locked by another process (waited {} s)", self.busy_timeout.as_secs())
            }
            code => format!("says: {said} (SQLSTATE {code})"),
        }
    }
}

/// `postgres://USER@HOST:PORT/DATABASE`.
fn address(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    format!(
        "postgres://{}@{}:{}/{database}",
        options.get_username(),
        options.get_host(),
        options.get_port()
    )
}

/// Where a link is between two statements, and in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// In a transaction all of whose statements have succeeded.
    Open,
    /// In a transaction that can only be rolled back.
    Failed,
    /// A statement is under way, or its answer never came.
    Waiting,
}

/// What a transaction can be asked for by.
#[derive(Debug)]
struct Identity {
    timeline: String,
    number: String,
}

/// A connection that is closed, not reused, when an answer is still owed.
#[derive(Debug)]
pub(super) struct Link {
    connection: PoolConnection<Postgres>,
    state: State,
    server: Server,
}

impl Link {
    pub(super) async fn begin(&mut self, statement: &'static str) -> Result<(), Failure> {
        debug_assert_eq!(self.state, State::Idle, "transactions do not nest");
        if self.server.tells_outcomes.get().is_none() {
            // Before the transaction, which a refusal would end.
            let identity = self.rows(&Statement::new(IDENTITY)).await;
            let is_answer = identity.as_ref().map_or_else(Failure::is_definite, |_| true);
            if is_answer {
                self.server.tells_outcomes.get_or_init(|| identity.is_ok());
            } else {
                identity?;
            }
        }
        self.state = State::Waiting;
        let manager = Manager::begin(&mut self.connection, Some(Cow::Borrowed(statement)));
        answer(ANSWER_TIME_MAX, manager).await?;
        self.state = State::Open;
        Ok(())
    }

    /// An answer that is lost is asked for again, by the transaction's number.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        // PostgreSQL would answer with ROLLBACK, and the driver with success.
        if self.state != State::Open {
            return Err(Failure::Aborted);
        }
        // Whatever goes wrong up to here: without COMMIT nothing lasts.
        let identity = self.identity().await.map_err(|_| Failure::Aborted)?;
        self.state = State::Waiting;
        let limit = self.lock_limit();
        let failure = match answer(limit, Manager::commit(&mut self.connection)).await {
            Ok(()) => {
                self.state = State::Idle;
                return Ok(());
            }
            Err(failure) if failure.is_definite() => return Err(failure),
            Err(failure) => failure,
        };
        match identity {
            Some(identity) => match self.server.is_committed(&identity).await {
                Some(true) => Ok(()),
                Some(false) => Err(Failure::Aborted),
                None => Err(failure),
            },
            None => Err(failure),
        }
    }

    async fn identity(&mut self) -> Result<Option<Identity>, Failure> {
        if self.server.tells_outcomes.get() != Some(&true) {
            return Ok(None);
        }
        let rows = self.rows(&Statement::new(IDENTITY)).await?;
        let identity = rows.into_iter().next().and_then(texts);
        Ok(identity.map(|[timeline, number]| Identity { timeline, number }))
    }

    /// How long to wait for an answer that may be waiting for locks.
    fn lock_limit(&self) -> Duration {
        self.server.busy_timeout + ANSWER_TIME_MAX
    }

    /// A read whose connection ends under it is made once more: the server may be back by now.
    pub(super) async fn rows(&mut self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        let is_alone = self.state == State::Idle;
        match self.try_rows(statement).await {
            Err(failure) if is_alone && failure.is_disconnected() => {
                let server = self.server.clone();
                *self = server.link().await?;
                self.try_rows(statement).await
            }
            other => other,
        }
    }

    async fn try_rows(&mut self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        let limit = if self.state == State::Open { self.lock_limit() } else { ANSWER_TIME_MAX };
        let before = self.enter();
        let query = statement.query::<Postgres>().fetch_all(&mut *self.connection);
        let answer = answer(limit, query).await;
        let rows = self.left(before, answer)?;
        Ok(rows.iter().map(text_row).collect::<sqlx::Result<_>>()?)
    }

    pub(super) async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        let (before, limit) = (self.enter(), self.lock_limit());
        let query = statement.query::<Postgres>().execute(&mut *self.connection);
        let done = answer(limit, query).await;
        Ok(self.left(before, done)?.rows_affected())
    }

    fn enter(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Waiting)
    }

    /// After an answer: an error of the server leaves the connection usable, its transaction not.
    fn left<T>(&mut self, before: State, answer: Result<T, Failure>) -> Result<T, Failure> {
        self.state = match &answer {
            Ok(_) => before,
            Err(failure) if !failure.is_definite() => State::Waiting,
            Err(_) if before == State::Idle => State::Idle,
            Err(_) => State::Failed,
        };
        answer
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        match self.state {
            State::Idle => {}
            // Goes out with the next use, or when the pool looks after the connection.
            State::Open | State::Failed => Manager::start_rollback(&mut self.connection),
            State::Waiting => self.connection.close_on_drop(),
        }
    }
}

async fn answer<T>(
    limit: Duration,
    statement: impl Future<Output = sqlx::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, statement).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Silent(limit)),
    }
}
