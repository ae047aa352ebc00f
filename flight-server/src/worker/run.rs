//! `fjord worker`: listens, registers, works, and drains when it is told to end.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use datafusion::common::runtime::SpawnedTask;
use fjord_engine::cluster::{WorkerNode, WorkerOptions, spelt};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Server;
use url::Url;

use super::exposure;
use super::member::Member;
use crate::cli::{Settings, WorkerArgs};
use crate::cluster::{Membership, http_url, listening};
use crate::compose::{limit_bytes, worker_engine};
use crate::http::{self, Health, HttpLimits, HttpState, Phase};
use crate::report::note;
use crate::serve::{bind, network, signals, told};
use crate::telemetry::{self, Metrics};
use crate::tls::{OpenConnections, incoming};

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
    let config = &settings.file;
    let is_encrypted = config.cluster.ca.is_some();
    exposure::check(arguments.listen, is_encrypted, arguments.insecure)?;
    let tls = listening(config)?;
    let (listener, pages) = (bind(arguments.listen).await?, bind(arguments.http).await?);
    let (engine, data_dir) = worker_engine(settings)?;
    let auth = Membership::open(config, &data_dir)?;
    let node = WorkerNode::try_new(
        &engine,
        WorkerOptions {
            auth: Arc::clone(&auth),
            query_memory_bytes: config.limits.query_memory.map(limit_bytes),
        },
    )?;
    let address = listener.local_addr()?;
    let Addresses { own, coordinator } = addresses(arguments, address, is_encrypted)?;
    let metrics = Metrics::shared();
    let health = Arc::new(Health::default());
    let registry = Arc::new(telemetry::registry(&engine, &metrics));
    let lent = engine.clone();
    let state = HttpState { engine, health: Arc::clone(&health), metrics: registry };
    note(&format!("worker: {}", spelt(&own)));
    note(&format!("http: http://{}", pages.local_addr()?));

    let (stop, stopped) = watch::channel(false);
    let watched = told(stopped.clone());
    let pages = SpawnedTask::spawn(http::serve(pages, state, HttpLimits::default(), watched));
    let network = network()?;
    let service = node.service(Handle::current());
    let join_filters = node.join_filters();
    let listener = listener.into_std()?;
    let mut wire = JoinSet::new();
    let serving = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let connections = incoming(listener, tls, OpenConnections::default());
        Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * 2)
            .add_service(service)
            .add_service(join_filters)
            .serve_with_incoming_shutdown(connections, told(stopped))
            .await
            .context("the listener of a worker ended")
    };
    wire.spawn_on(serving, network.handle());
    health.enter(Phase::Serving);

    let is_draining = Arc::new(AtomicBool::new(false));
    let tidying = SpawnedTask::spawn(node.clone().keep_tidy());
    let mut speaking = JoinSet::new();
    if !arguments.unregistered {
        let member = Member {
            node: node.clone(),
            auth,
            coordinator,
            address: spelt(&own),
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
    finish_tasks(&node, config.server.drain_time).await;
    drop(tidying);
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
    lent.close_databases().await;
    Ok(ExitCode::SUCCESS)
}

/// Where a worker and its coordinator are found.
struct Addresses {
    own: Url,
    coordinator: Url,
}

fn addresses(
    arguments: &WorkerArgs,
    listening: SocketAddr,
    is_encrypted: bool,
) -> Result<Addresses> {
    let scheme = if is_encrypted { "grpc+tls" } else { "grpc" };
    let own = match &arguments.advertise {
        Some(address) => http_url(address)?,
        None if listening.ip().is_unspecified() => {
            bail!(
                "--advertise is missing: {listening} is every address of this machine, and none that others could use"
            )
        }
        None => http_url(&format!("{scheme}://{listening}"))?,
    };
    let coordinator = http_url(&arguments.coordinator)?;
    let asked = (!arguments.unregistered).then_some(("--coordinator", &coordinator));
    for (flag, url) in [("--advertise", &own)].into_iter().chain(asked) {
        if (url.scheme() == "https") != is_encrypted {
            bail!(
                "{flag}: found {}; accepted {} cluster.ca: {scheme}://HOST:PORT",
                spelt(url),
                if is_encrypted { "with" } else { "without" }
            );
        }
    }
    Ok(Addresses { own, coordinator })
}

/// Waits for the tasks that a worker has, as long as it may.
async fn finish_tasks(node: &WorkerNode, time: Duration) {
    let begun = Instant::now();
    node.tidy();
    while node.tasks() > 0 && begun.elapsed() < time {
        tokio::time::sleep(DRAIN_STEP).await;
        node.tidy();
    }
}
