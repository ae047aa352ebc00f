//! `fjord serve`: opens the lake, listens, serves, and drains when it is told to end.
//!
//! ```text
//! settings ─ check exposure ─ bind ─ open the lake ─ serve (Flight, HTTP) ─ SIGTERM ─ drain ─ close
//! ```

mod listen;
pub(crate) mod signals;

use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arrow_flight::flight_service_server::FlightServiceServer;
use datafusion::common::runtime::SpawnedTask;
use futures::TryStreamExt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Server;

pub(crate) use self::listen::bind;
use crate::auth::{Authenticator, check_exposure};
use crate::cli::{ServeArgs, Settings};
use crate::compose::Lakehouse;
use crate::flight::{Core, INCOMING_MESSAGE_BYTES_MAX, Sealer, Service};
use crate::http::{self, Health, HttpLimits, HttpState, Phase};
use crate::report::note;
use crate::telemetry::{self, Metrics};
use crate::tls::{OpenConnections, Tls, incoming};

/// A connection without traffic is asked whether it lives (clients.md P15).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(45);
/// How long it may take to answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Calls of one connection at the same time.
const STREAMS_MAX: u32 = 1_024;
/// Bytes that a client may have on their way to us, by stream and by connection.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Bytes of the headers of one call.
const HEADERS_BYTES_MAX: u32 = 64 << 10;
/// Threads of the network: apart from the engine's, so that a query that keeps those busy keeps
/// nobody from connecting, asking or cancelling.
const NETWORK_THREADS: usize = 2;
/// After the drain, open connections have so long to take their last messages.
const FAREWELL_TIME: Duration = Duration::from_secs(2);

/// Threads of the engine: more than cores, so that a small query finds one while operators of a large
/// one work through batches that take long.
pub(crate) fn engine_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (cores * 2).max(4)
}

/// Serves until a signal says otherwise; 0 when all that ran was seen to its end.
///
/// # Errors
/// For configuration that does not hold together, an address that is taken, a lake that cannot be
/// opened.
pub(crate) async fn run(settings: &Settings, arguments: &ServeArgs) -> Result<ExitCode> {
    let config = &settings.file;
    check_exposure(arguments.flight, &config.auth, config.tls.is_some(), arguments.insecure)?;
    let tls = config.tls.as_ref().map(|tls| Tls::open(tls, config.auth.mtls)).transpose()?;
    let authenticator = Authenticator::open(config.auth.clone())?;
    let (flight, http) = (bind(arguments.flight).await?, bind(arguments.http).await?);

    let metrics = Metrics::shared();
    let observer = Arc::clone(&metrics);
    let lakehouse = Lakehouse::open_server(settings, observer).await?;
    let files = lakehouse.file_policy(settings)?;
    let sealer = Sealer::open_or_make(lakehouse.data_dir())?;
    let engine = lakehouse.engine().clone();
    let health = Arc::new(Health::default());
    let registry = Arc::new(telemetry::registry(&engine, &metrics));
    let state =
        HttpState { engine: engine.clone(), health: Arc::clone(&health), metrics: registry };

    let scheme = if tls.is_some() { "grpc+tls" } else { "grpc" };
    note(&format!("flight: {scheme}://{}", flight.local_addr()?));
    note(&format!("http: http://{}", http.local_addr()?));

    let (stop, stopped) = watch::channel(false);
    let watched = told(stopped.clone());
    let pages = SpawnedTask::spawn(http::serve(http, state, HttpLimits::default(), watched));
    let observed = Arc::clone(&metrics);
    let desk = lakehouse.open_desk(settings)?;
    let core =
        Core::new(engine.clone(), Arc::new(files), authenticator, sealer, metrics).with_desk(desk);
    let service = Service::new(Arc::new(core), Handle::current());
    let network = network()?;
    let flight = flight.into_std()?;
    let mut wire = JoinSet::new();
    let metrics = Arc::clone(&observed);
    wire.spawn_on(serve_flight(flight, tls, service, metrics, told(stopped)), network.handle());
    health.enter(Phase::Serving);

    signals::told_to_end().await?;
    tracing::info!("draining");
    health.enter(Phase::Draining);
    let drained = engine.queries().drain(config.server.drain_time).await;
    if drained.ended > 0 {
        note(&format!("{} statements did not end in time and were stopped", drained.ended));
    }
    stop.send_replace(true);
    // Streams that clients do not read to their end must not keep the process.
    if tokio::time::timeout(FAREWELL_TIME, wire.join_next()).await.is_err() {
        tracing::debug!("connections were still open");
    }
    if tokio::time::timeout(FAREWELL_TIME, pages.join()).await.is_err() {
        tracing::debug!("requests were still open");
    }
    network.shutdown_background();
    lakehouse.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Ends when the channel says so.
pub(crate) async fn told(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone says so too.
    let _told = stopped.wait_for(|stopped| *stopped).await;
}

/// The runtime that listens and writes to the wire.
pub(crate) fn network() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(NETWORK_THREADS)
        .thread_name("fjord-network")
        .enable_all()
        .build()
}

/// Serves connections until `shutdown` says otherwise.
pub(crate) async fn serve_flight(
    listener: std::net::TcpListener,
    tls: Option<Tls>,
    service: Service,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let connections = incoming(listener, tls, OpenConnections::default())
        .map_ok(move |connection| connection.counted(metrics.connection()));
    let service = FlightServiceServer::new(service)
        .max_decoding_message_size(INCOMING_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(usize::MAX);
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .add_service(service)
        .serve_with_incoming_shutdown(connections, shutdown)
        .await
        .context("the Flight listener ended")
}
