//! Log lines on standard error, as text or JSON, and spans to the exporter of traces.

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::export;
use crate::cli::LogFormat;
use crate::config::ConfigError;

/// What was started, and has to be ended.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// Starts logging, and the export of traces where there is an endpoint. Must be called in a runtime.
///
/// # Errors
/// For a filter that is none.
pub(crate) fn start(
    filter: &str,
    format: LogFormat,
    otlp_endpoint: Option<&str>,
) -> Result<Telemetry, ConfigError> {
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        let problem = format!("found {filter:?}: {e}; accepted: warn, info,fjord_engine=debug, …");
        ConfigError::new("--log (or FJORD_LOG)", "", problem)
    })?;
    let traces = otlp_endpoint.map(export::provider).transpose()?;
    let lines = Lines { filter, format, is_colored: std::io::stderr().is_terminal() };
    let subscriber = subscriber(lines, std::io::stderr, traces.as_ref());
    // A second start in one process (a test) keeps the first one's logging.
    drop(subscriber.try_init());
    Ok(Telemetry { traces })
}

/// What log lines are like.
struct Lines {
    filter: EnvFilter,
    format: LogFormat,
    is_colored: bool,
}

fn subscriber<W>(
    of: Lines,
    writer: W,
    traces: Option<&SdkTracerProvider>,
) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(of.is_colored);
    let lines: Box<dyn Layer<_> + Send + Sync> = match of.format {
        LogFormat::Text => lines.boxed(),
        // The current span is the query: its id is a field of the object.
        LogFormat::Json => lines.json().with_span_list(false).boxed(),
    };
    let traces = traces.map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(export::tracer(provider));
        // The exporter's own work would be exported in turn; what its libraries log is not ours.
        layer.with_filter(filter_fn(|of| {
            of.target().starts_with("fjord") && (of.is_span() || *of.level() <= Level::WARN)
        }))
    });
    Registry::default().with(traces).with(lines.with_filter(of.filter))
}

impl Telemetry {
    /// Sends what is left, for at most `patience`. Blocks: not for a thread of the runtime.
    pub(crate) fn shutdown(self, patience: Duration) {
        let Some(traces) = self.traces else { return };
        if let Err(e) = traces.shutdown_with_timeout(patience) {
            tracing::warn!(error = %e, "the last traces were not exported");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let filter = EnvFilter::new("warn");
        let lines = Lines { filter, format, is_colored: false };
        let subscriber = subscriber(lines, move || writer.clone(), None);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::error_span!("query", id = "0198-id", user = "ann");
            span.in_scope(|| tracing::warn!(rows = 3, "slow"));
            tracing::info!("quiet");
        });
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_log_line_carries_the_id_of_its_query() {
        let json = logged(LogFormat::Json);
        let line: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
        assert_eq!(line["span"]["id"], "0198-id");
        assert_eq!(line["fields"]["rows"], 3);
        let text = logged(LogFormat::Text);
        assert!(
            text.contains("query{id=\"0198-id\" user=\"ann\"}") && text.contains("slow"),
            "{text}"
        );
        assert!(!text.contains("quiet"));
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let e = start("fjord=loud", LogFormat::Text, None).unwrap_err().to_string();
        assert!(e.contains("fjord=loud") && e.contains("accepted"), "{e}");
    }

    fn export_one_span(endpoint: &str) -> Telemetry {
        let provider = export::provider(endpoint).unwrap();
        let filter = EnvFilter::new("off");
        let lines = Lines { filter, format: LogFormat::Text, is_colored: false };
        let subscriber = subscriber(lines, io::sink, Some(&provider));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error_span!(target: "fjord_engine", "query", id = "x").in_scope(|| ());
        });
        Telemetry { traces: Some(provider) }
    }

    /// The receiver sees an HTTP/2 client that sends to the trace service.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn spans_are_exported_by_otlp_and_flushed_at_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let telemetry = export_one_span(&endpoint);
        let shutdown =
            tokio::task::spawn_blocking(|| telemetry.shutdown(Duration::from_millis(500)));
        let (mut stream, _) =
            tokio::time::timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        drop(stream);
        shutdown.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_receiver_that_is_not_there_costs_the_shutdown_its_time_limit_at_most() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let telemetry = export_one_span(&format!("http://{gone}"));
        let started = Instant::now();
        tokio::task::spawn_blocking(|| telemetry.shutdown(Duration::from_secs(1))).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
}
