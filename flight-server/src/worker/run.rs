//! `fjord worker`: listens, registers, works, and drains when it is told to end.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use datafusion::common::runtime::SpawnedTask;
use fjord_engine::cluster::{NodeAuth, WorkerNode, WorkerOptions};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use super::exposure;
use super::member::Member;
use crate::cli::{Settings, WorkerArgs};
use crate::cluster::{ClusterSecret, http_url};
use crate::compose::worker_engine;
use crate::http::{self, Health, HttpLimits, HttpState, Phase};
use crate::report::note;
use crate::serve::{bind, network, signals, told};
use crate::telemetry::{self, Metrics};

/// A connection is asked so often whether somebody is there, and given up after so long.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls of one connection at the same time: stages times tasks of many queries.
const STREAMS_MAX: u32 = 10_000;
/// Bytes on their way in a connection.
const WINDOW_BYTES: u32 = 8 << 20;
/// How often a draining worker looks whether it has ended its tasks.
const DRAIN_STEP: Duration = Duration::from_millis(50);
/// A draining worker says so before it looks: its coordinator hears it within a second.
const DRAIN_NOTICE: Duration = Duration::from_millis(1_500);
const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// Works until a signal says otherwise.
///
/// # Errors
/// For addresses that are taken, and a coordinator that refuses this worker.
pub(crate) async fn run(settings: &Settings, arguments: &WorkerArgs) -> Result<ExitCode> {
    exposure::check(arguments.listen, arguments.insecure)?;
    let (listener, pages) = (bind(arguments.listen).await?, bind(arguments.http).await?);
    let (engine, data_dir) = worker_engine(settings)?;
    let auth: Arc<dyn NodeAuth> = match &settings.file.cluster.secret {
        Some(secret) => Arc::new(ClusterSecret::configured(secret)?),
        None => Arc::new(ClusterSecret::open_or_make(&data_dir)?),
    };
    let node = WorkerNode::try_new(&engine, WorkerOptions { auth: Arc::clone(&auth) })?;
    let address = listener.local_addr()?;
    let url = match &arguments.advertise {
        Some(address) => http_url(address)?,
        None if address.ip().is_unspecified() => {
            bail!(
                "--advertise is missing: {address} is every address of this machine, and none that others could use"
            )
        }
        None => http_url(&format!("grpc://{address}"))?,
    };
    let coordinator = http_url(&arguments.coordinator)?.to_string();
    let metrics = Metrics::shared();
    let health = Arc::new(Health::default());
    let registry = Arc::new(telemetry::registry(&engine, &metrics));
    let state = HttpState { engine, health: Arc::clone(&health), metrics: registry };
    note(&format!("worker: grpc://{}", url.authority()));
    note(&format!("http: http://{}", pages.local_addr()?));

    let (stop, stopped) = watch::channel(false);
    let watched = told(stopped.clone());
    let pages = SpawnedTask::spawn(http::serve(pages, state, HttpLimits::default(), watched));
    let network = network()?;
    let service = node.service(Handle::current());
    let listener = listener.into_std()?;
    let mut wire = JoinSet::new();
    let serving = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * 2)
            .tcp_nodelay(true)
            .add_service(service)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), told(stopped))
            .await
            .context("the listener of a worker ended")
    };
    wire.spawn_on(serving, network.handle());
    health.enter(Phase::Serving);

    let is_draining = Arc::new(AtomicBool::new(false));
    let mut speaking = JoinSet::new();
    if !arguments.unregistered {
        let member = Member {
            node: node.clone(),
            auth,
            coordinator,
            address: format!("grpc://{}", url.authority()),
            data_dir,
            is_draining: Arc::clone(&is_draining),
        };
        // On the network's threads: a worker that is busy still lives.
        speaking.spawn_on(member.speak(), network.handle());
    }
    let told = tokio::select! {
        told = signals::told_to_end() => told.context("signals cannot be waited for"),
        Some(refused) = speaking.join_next() => {
            refused.context("registering failed").and_then(|refused| refused)
        }
    };
    if let Err(e) = told {
        // A runtime may not be waited for from within another one.
        network.shutdown_background();
        return Err(e);
    }
    tracing::info!("draining");
    is_draining.store(true, Ordering::Relaxed);
    health.enter(Phase::Draining);
    if !arguments.unregistered {
        tokio::time::sleep(DRAIN_NOTICE).await;
    }
    let begun = Instant::now();
    node.tidy().await;
    while node.tasks() > 0 && begun.elapsed() < settings.file.server.drain_time {
        tokio::time::sleep(DRAIN_STEP).await;
        node.tidy().await;
    }
    if node.tasks() > 0 {
        note(&format!("{} tasks did not end in time and were stopped", node.tasks()));
    }
    stop.send_replace(true);
    for farewell in [
        tokio::time::timeout(FAREWELL_TIME, async { drop(wire.join_next().await) }).await,
        tokio::time::timeout(FAREWELL_TIME, async { drop(pages.join().await) }).await,
    ] {
        if farewell.is_err() {
            tracing::debug!("connections were still open");
        }
    }
    network.shutdown_background();
    Ok(ExitCode::SUCCESS)
}
