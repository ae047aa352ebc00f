//! What is answered: `/healthz`, `/readyz`, `/metrics`.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fjord_engine::engine::Engine;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::health::Health;
use super::listener::{HttpLimits, LimitedListener};

/// The format that the encoder writes.
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What the answers are made of.
#[derive(Clone, Debug)]
pub(crate) struct HttpState {
    pub(crate) engine: Engine,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Registry>,
}

/// Serves until `shutdown`, and then until the open requests are answered.
///
/// # Errors
/// When the listener is of no use any more.
pub(crate) async fn serve(
    listener: TcpListener,
    state: HttpState,
    limits: HttpLimits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = LimitedListener::new(listener, limits);
    axum::serve(listener, router(state)).with_graceful_shutdown(shutdown).await
}

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// The process lives, whatever it can or cannot do.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<HttpState>) -> Response {
    match state.health.check(&state.engine).await {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(state): State<HttpState>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &state.metrics) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(e) => {
            tracing::warn!(error = %e, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Duration, Instant};

    use datafusion::common::runtime::SpawnedTask;
    use fjord_catalog::catalog::Catalog;
    use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
    use fjord_catalog::storage::Storage;
    use fjord_engine::engine::EngineOptions;
    use fjord_engine::queries::QueriesOptions;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::super::health::Phase;
    use super::*;
    use crate::telemetry::{Metrics, registry};

    struct Server {
        address: SocketAddr,
        health: Arc<Health>,
        catalog: Embedded,
        _task: SpawnedTask<io::Result<()>>,
        _directory: tempfile::TempDir,
    }

    async fn server(limits: HttpLimits) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let warehouse = format!("file://{}/w", directory.path().display());
        let options = EmbeddedOptions::new(directory.path().join("catalog.db"), &warehouse);
        let catalog = Embedded::open(options).await.unwrap();
        let engine = Engine::try_new(EngineOptions {
            memory_limit_bytes: Some(1 << 28),
            spill_dir: directory.path().join("spill"),
            target_partitions: Some(2),
            storage: Storage::local(),
            file_relations: Vec::new(),
            databases: Default::default(),
            queries: QueriesOptions::default(),
        })
        .unwrap();
        let mounted = Arc::new(catalog.clone());
        engine.mount(Catalog::new("iceberg", mounted, Storage::local(), warehouse)).unwrap();
        let metrics = Metrics::shared();
        let state = HttpState {
            metrics: Arc::new(registry(&engine, &metrics)),
            engine,
            health: Arc::default(),
        };
        let health = Arc::clone(&state.health);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = SpawnedTask::spawn(serve(listener, state, limits, std::future::pending()));
        Server { address, health, catalog, _task: task, _directory: directory }
    }

    async fn get(server: &Server, path: &str) -> String {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_follows_the_life_of_the_server_and_its_catalogs() {
        let server = server(HttpLimits::default()).await;
        assert!(get(&server, "/healthz").await.starts_with("HTTP/1.1 200"));
        let answer = get(&server, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("starting\n"), "{answer}");
        server.health.enter(Phase::Serving);
        let answer = get(&server, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ready\n"), "{answer}");
        server.catalog.close().await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let answer = get(&server, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with("catalog \"iceberg\" does not answer\n"), "{answer}");
        server.health.enter(Phase::Draining);
        assert!(get(&server, "/readyz").await.ends_with("draining\n"));
        assert!(get(&server, "/healthz").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn metrics_are_text_and_unknown_paths_are_not_found() {
        let server = server(HttpLimits::default()).await;
        let answer = get(&server, "/metrics").await;
        assert!(answer.contains("application/openmetrics-text"), "{answer}");
        assert!(answer.contains("\n# EOF") && answer.contains("fjord_build_info"), "{answer}");
        assert!(get(&server, "/").await.starts_with("HTTP/1.1 404"));
    }

    async fn is_closed(stream: &mut TcpStream) -> bool {
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest);
        tokio::time::timeout(Duration::from_secs(5), read).await.is_ok()
    }

    #[tokio::test]
    async fn a_client_that_dribbles_or_floods_is_cut_off() {
        let limits = HttpLimits {
            connections_max: 2,
            request_time: Duration::from_millis(300),
            request_bytes_max: 4 << 10,
            ..HttpLimits::default()
        };
        let server = server(limits).await;
        // One byte now and then keeps no connection.
        let mut slow = TcpStream::connect(server.address).await.unwrap();
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        let started = Instant::now();
        let dribble = async {
            while slow.write_all(b"G").await.is_ok() && started.elapsed() < Duration::from_secs(5) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // Both places are taken: the next waits until they are cut off, and is served.
        let (answer, ()) = tokio::join!(get(&server, "/healthz"), dribble);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert!(is_closed(&mut silent).await);

        let mut flood = TcpStream::connect(server.address).await.unwrap();
        let header = format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(64 << 10));
        drop(flood.write_all(header.as_bytes()).await);
        assert!(is_closed(&mut flood).await);
    }
}
