//! The connections to one database: never more than the budget, handed out in the order of asking.
//!
//! ```text
//! acquire ─ turn (semaphore) ─ idle one, or connect ─ Lease ─ finish  => idle
//!                                                        └─── dropped => cancel, close, turn back
//! ```
//!
//! A lease that is dropped in the middle of something keeps its place in the budget until the
//! server was told to stop and the connection is closed: what the database sees stays in the budget.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
pub(super) use tokio::sync::OwnedSemaphorePermit as Turn;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::{CancelToken, Client, Config};

use super::failure::{AGAIN, failed, failed_reading};
use super::link::Link;
use super::options::Settings;
use super::session;
use super::tap::Tap;
use crate::error::{Error, ErrorKind};

/// After a failed connect, everybody is told the same for so long without asking again.
const BREAKER: Duration = Duration::from_secs(2);
/// How long a statement waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server has to take a request to cancel, and to end what it cancels.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Pool {
    settings: Settings,
    config: Config,
    link: Link,
    turns: Arc<Semaphore>,
    /// One connection of the budget that scans do not take, so that names are resolved while all
    /// others read.
    reserved: Arc<Semaphore>,
    waiting: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// Why the last connect failed, and when.
    broken: Option<(Instant, String)>,
    /// What speaks the protocol, a task for each connection, and what cancels and closes.
    tasks: JoinSet<()>,
    closed: bool,
}

struct Connection {
    client: Client,
    tap: Tap,
    /// Resolves when the connection is gone.
    gone: tokio::sync::oneshot::Receiver<()>,
    abort: tokio::task::AbortHandle,
    handle: Handle,
}

/// Why there is no connection.
#[derive(Debug)]
enum Refused {
    /// Nobody is at the address.
    Address(std::io::Error),
    /// Somebody is, and says no, or something else.
    Protocol(tokio_postgres::Error),
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("place", &self.settings.place()).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn try_new(settings: Settings) -> Result<Arc<Self>, Error> {
        let mut config = Config::new();
        config
            .user(&settings.user)
            .dbname(&settings.database)
            .application_name(session::APPLICATION)
            // Every stream is handed to `Linking`, which asks for TLS or does not.
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
        if let Some(password) = &settings.password {
            config.password(&password.value);
        }
        Ok(Arc::new(Self {
            link: Link::try_new(&settings)?,
            turns: Arc::new(Semaphore::new(settings.connections_max.saturating_sub(1).max(1))),
            reserved: Arc::new(Semaphore::new(usize::from(settings.connections_max > 1))),
            waiting: AtomicUsize::new(0),
            state: Mutex::default(),
            config,
            settings,
        }))
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error that says which catalog it is, and where its database is.
    pub(super) fn error(&self, kind: ErrorKind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, self.within(&what.to_string()))
    }

    fn within(&self, what: &str) -> String {
        let Settings { catalog, .. } = &self.settings;
        format!("catalog {catalog:?} (PostgreSQL at {}): {what}", self.settings.place())
    }

    /// The failure of doing `what` on a connection of this pool.
    pub(super) fn failed(&self, what: &str, e: tokio_postgres::Error) -> Error {
        failed(&self.within(what), e)
    }

    /// The same where nothing is written.
    pub(super) fn failed_reading(&self, what: &str, e: tokio_postgres::Error) -> Error {
        failed_reading(&self.within(what), e)
    }

    /// A connection, when it is our turn.
    pub(super) async fn acquire(self: &Arc<Self>) -> Result<Lease, Error> {
        self.check_breaker()?;
        let turn = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => self.wait(1).await?,
        };
        self.lease(turn).await
    }

    /// Turns for `count` connections of one statement, or all there are: it gets them together, as
    /// statements that have some and wait for more would wait for each other.
    pub(super) async fn turns(&self, count: usize) -> Result<Turn, Error> {
        self.check_breaker()?;
        let most = self.settings.connections_max.saturating_sub(1).max(1);
        let count = count.clamp(1, most) as u32;
        match Arc::clone(&self.turns).try_acquire_many_owned(count) {
            Ok(turn) => Ok(turn),
            Err(_) => self.wait(count).await,
        }
    }

    /// A connection for a question that is short: names and columns.
    pub(super) async fn acquire_reserved(self: &Arc<Self>) -> Result<Lease, Error> {
        self.check_breaker()?;
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return self.lease(turn).await;
        }
        if self.settings.connections_max == 1 {
            return self.acquire().await;
        }
        match timeout(TURN_TIMEOUT, Arc::clone(&self.reserved).acquire_owned()).await {
            Ok(Ok(turn)) => self.lease(turn).await,
            _ => Err(self.error(ErrorKind::LimitExceeded, "too many names are looked up at once")),
        }
    }

    /// A turn if one may be had at once.
    pub(super) fn try_turn(&self) -> Option<Turn> {
        self.check_breaker().ok()?;
        Arc::clone(&self.turns).try_acquire_owned().ok()
    }

    async fn wait(&self, count: u32) -> Result<Turn, Error> {
        struct Place<'a>(&'a AtomicUsize);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let max = self.settings.connections_max;
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.waiting);
        if before >= self.settings.queue_max {
            let what = format!(
                "all {max} connections are in use and {before} statements wait for one; raise \
                 `connections_max` or `queue_max`"
            );
            return Err(self.error(ErrorKind::LimitExceeded, what));
        }
        match timeout(TURN_TIMEOUT, Arc::clone(&self.turns).acquire_many_owned(count)).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(self.error(ErrorKind::Unavailable, "the catalog was closed")),
            Err(_) => {
                let what = format!(
                    "none of {max} connections became free within {} s; raise `connections_max`",
                    TURN_TIMEOUT.as_secs()
                );
                Err(self.error(ErrorKind::LimitExceeded, what))
            }
        }
    }

    /// A connection for a turn.
    pub(super) async fn lease(self: &Arc<Self>, turn: Turn) -> Result<Lease, Error> {
        loop {
            let idle = {
                let mut state = self.state();
                if state.closed {
                    return Err(self.error(ErrorKind::Unavailable, "the catalog was closed"));
                }
                state.idle.pop()
            };
            let connection = match idle {
                Some(connection) if connection.client.is_closed() => continue,
                Some(connection) => connection,
                None => self.connect().await?,
            };
            return Ok(Lease {
                connection: Some(connection),
                turn: Some(turn),
                pool: Arc::clone(self),
            });
        }
    }

    fn check_breaker(&self) -> Result<(), Error> {
        let state = self.state();
        match &state.broken {
            Some((when, why)) if when.elapsed() < BREAKER => {
                Err(Error::new(ErrorKind::Unavailable, why.clone()))
            }
            _ => Ok(()),
        }
    }

    async fn connect(self: &Arc<Self>) -> Result<Connection, Error> {
        // Those who waited for a turn while somebody else found the database down.
        self.check_breaker()?;
        let connected = timeout(self.settings.connect_timeout, async {
            match self.connect_once().await {
                // Somebody ended it as it began: the next one is another.
                Err(Refused::Protocol(e)) if e.code().is_some_and(|c| c.code() == "57P01") => {
                    self.connect_once().await
                }
                connected => connected,
            }
        })
        .await;
        let error = match connected {
            Ok(Ok(connection)) => {
                self.state().broken = None;
                return Ok(connection);
            }
            Ok(Err(Refused::Protocol(e))) => self.failed_reading("cannot connect", e),
            Ok(Err(Refused::Address(e))) => {
                self.error(ErrorKind::Unavailable, format!("cannot connect: {e}{AGAIN}"))
            }
            Err(_) => {
                let seconds = self.settings.connect_timeout.as_secs();
                let what = format!("cannot connect: no answer within {seconds} s{AGAIN}");
                self.error(ErrorKind::Unavailable, what)
            }
        };
        self.state().broken = Some((Instant::now(), error.to_string()));
        Err(error)
    }

    async fn connect_once(&self) -> Result<Connection, Refused> {
        let (stream, linking) = self.link.open().await.map_err(Refused::Address)?;
        let tap = linking.tap();
        let connected = self.config.connect_raw(stream, linking).await;
        let (client, work) = connected.map_err(Refused::Protocol)?;
        let (tell, gone) = tokio::sync::oneshot::channel();
        let handle = Handle::current();
        let abort = {
            let mut state = self.state();
            while state.tasks.try_join_next().is_some() {}
            state.tasks.spawn_on(
                async move {
                    // What waits for an answer on the connection is told of the failure itself.
                    if let Err(e) = work.await {
                        tracing::debug!(error = %e, "a connection to PostgreSQL ended");
                    }
                    drop(tell);
                },
                &handle,
            )
        };
        let connection = Connection { client, tap, gone, abort, handle };
        session::prepare(&connection.client, self.settings.statement_timeout)
            .await
            .map_err(Refused::Protocol)?;
        Ok(connection)
    }

    async fn cancel(&self, token: CancelToken) {
        let asked = timeout(CANCEL_TIMEOUT, async {
            let (stream, linking) = self.link.open().await.map_err(Refused::Address)?;
            token.cancel_query_raw(stream, linking).await.map_err(Refused::Protocol)
        });
        if let Ok(Err(e)) = asked.await {
            tracing::debug!(error = ?e, "a request to cancel was not taken");
        }
    }

    /// Ends what runs on a connection, closes it, and gives the turn back.
    fn discard(self: &Arc<Self>, connection: Connection, turn: Turn) {
        let pool = Arc::clone(self);
        let handle = connection.handle.clone();
        let work = async move {
            let Connection { client, gone, abort, .. } = connection;
            if !client.is_closed() {
                pool.cancel(client.cancel_token()).await;
            }
            drop(client);
            if timeout(CANCEL_TIMEOUT, gone).await.is_err() {
                abort.abort();
            }
            drop(turn);
        };
        let mut state = self.state();
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn_on(work, &handle);
    }

    /// Closes what is idle, and waits for the rest to be given back, for a while.
    pub(super) async fn close(&self) {
        let idle = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        self.turns.close();
        self.reserved.close();
        for Connection { client, gone, .. } in idle {
            drop(client);
            if timeout(CANCEL_TIMEOUT, gone).await.is_err() {
                tracing::debug!("a connection to PostgreSQL does not end");
            }
        }
    }
}

/// A connection on loan. Dropped without [`Lease::finish`], whatever runs on it is cancelled.
pub(super) struct Lease {
    connection: Option<Connection>,
    turn: Option<Turn>,
    pool: Arc<Pool>,
}

impl Lease {
    /// The client.
    ///
    /// # Errors
    /// Never; a lease has one until it is given back.
    pub(super) fn client(&self) -> Result<&Client, Error> {
        match &self.connection {
            Some(connection) => Ok(&connection.client),
            None => Err(Self::given_back()),
        }
    }

    /// What the rows of the client's COPY come from.
    ///
    /// # Errors
    /// As [`Self::client`].
    pub(super) fn tap(&self) -> Result<&Tap, Error> {
        self.connection.as_ref().map(|c| &c.tap).ok_or_else(Self::given_back)
    }

    pub(super) fn given_back() -> Error {
        Error::new(ErrorKind::Unavailable, "a connection to PostgreSQL was given back")
    }

    /// Gives the connection back; nothing is open on it.
    pub(super) fn finish(mut self) {
        let Some(connection) = self.connection.take() else { return };
        if connection.client.is_closed() || connection.tap.other_encoding().is_some() {
            return;
        }
        let mut state = self.pool.state();
        if !state.closed {
            state.idle.push(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let (Some(connection), Some(turn)) = (self.connection.take(), self.turn.take()) {
            self.pool.discard(connection, turn);
        }
    }
}
