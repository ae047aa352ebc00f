//! The figures that grow where things happen: cheap counters, handed to whoever makes them grow.

use std::sync::Arc;

use fjord_engine::ErrorKind;
use fjord_engine::queries::{QueryInfo, QueryKind, QueryObserver, QueryState};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// From a millisecond to more than an hour.
const SECONDS_FIRST: f64 = 0.001;
const SECONDS_FACTOR: f64 = 4.0;
const SECONDS_BUCKETS: u16 = 12;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The counters of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    queries: Family<Labels<2>, Counter>,
    errors: Family<Labels<1>, Counter>,
    rows: Counter,
    bytes: Counter,
    run_seconds: Histogram,
    queue_seconds: Histogram,
    connections_open: Gauge,
    connections: Counter,
    streams_open: Gauge,
    streams: Counter,
    logins: Family<Labels<1>, Counter>,
    sent_bytes: Counter,
    received_bytes: Counter,
}

/// Something that is open, such as a connection, until this is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    gauge: Gauge,
}

impl Open {
    fn new(gauge: &Gauge, total: &Counter) -> Self {
        gauge.inc();
        total.inc();
        Self { gauge: gauge.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(SECONDS_FIRST, SECONDS_FACTOR, SECONDS_BUCKETS))
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            queries: Family::default(),
            errors: Family::default(),
            rows: Counter::default(),
            bytes: Counter::default(),
            run_seconds: seconds(),
            queue_seconds: seconds(),
            connections_open: Gauge::default(),
            connections: Counter::default(),
            streams_open: Gauge::default(),
            streams: Counter::default(),
            logins: Family::default(),
            sent_bytes: Counter::default(),
            received_bytes: Counter::default(),
        };
        // What has not happened yet is zero, not absent: an alert can be written on it.
        for kind in QueryKind::ALL {
            for state in [QueryState::Finished, QueryState::Failed, QueryState::Cancelled] {
                drop(metrics.queries.get_or_create(&query_labels(state, kind)));
            }
        }
        for kind in ErrorKind::ALL {
            drop(metrics.errors.get_or_create(&[("kind", kind.name())]));
        }
        for outcome in [ACCEPTED, REFUSED] {
            drop(metrics.logins.get_or_create(&[("outcome", outcome)]));
        }
        metrics
    }
}

const ACCEPTED: &str = "accepted";
const REFUSED: &str = "refused";

fn query_labels(state: QueryState, kind: QueryKind) -> Labels<2> {
    [("state", state.name()), ("kind", kind.name())]
}

impl Metrics {
    /// The counters, ready to be handed around.
    pub(crate) fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// A connection was opened; it is open until the value is dropped.
    pub(crate) fn connection(&self) -> Open {
        Open::new(&self.connections_open, &self.connections)
    }

    /// A stream of rows was opened; it is open until the value is dropped.
    pub(crate) fn stream(&self) -> Open {
        Open::new(&self.streams_open, &self.streams)
    }

    /// Bytes of messages went out.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent_bytes.inc_by(bytes);
    }

    /// Bytes of messages came in.
    pub(crate) fn received(&self, bytes: u64) {
        self.received_bytes.inc_by(bytes);
    }

    /// Somebody proved who he is.
    pub(crate) fn login_accepted(&self) {
        self.logins.get_or_create(&[("outcome", ACCEPTED)]).inc();
    }

    /// Somebody did not.
    pub(crate) fn login_refused(&self) {
        self.logins.get_or_create(&[("outcome", REFUSED)]).inc();
    }

    /// Names the counters; what is registered shares its values with `self`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("fjord_query_rows", "Rows of results, and rows changed", &self.rows);
        counter("fjord_query_bytes", "Bytes of these rows in memory", &self.bytes);
        counter("fjord_connections", "Connections accepted", &self.connections);
        counter("fjord_streams", "Streams of rows opened", &self.streams);
        counter("fjord_sent_bytes", "Bytes of messages sent", &self.sent_bytes);
        counter("fjord_received_bytes", "Bytes of messages received", &self.received_bytes);
        registry.register(
            "fjord_connections_open",
            "Connections open now",
            self.connections_open.clone(),
        );
        registry.register(
            "fjord_streams_open",
            "Streams of rows open now",
            self.streams_open.clone(),
        );
        registry.register(
            "fjord_queries",
            "Statements that have ended, by how and by what they do",
            self.queries.clone(),
        );
        registry.register(
            "fjord_query_errors",
            "Statements that ended with an error, by its kind",
            self.errors.clone(),
        );
        registry.register("fjord_logins", "Attempts to log in", self.logins.clone());
        registry.register(
            "fjord_query_seconds",
            "Time from leaving the queue to the end",
            self.run_seconds.clone(),
        );
        registry.register(
            "fjord_query_queue_seconds",
            "Time in the queue",
            self.queue_seconds.clone(),
        );
    }
}

impl QueryObserver for Metrics {
    fn ended(&self, query: &QueryInfo) {
        self.queries.get_or_create(&query_labels(query.state, query.kind)).inc();
        let kind = query.error_kind.as_deref();
        if let Some(kind) = ErrorKind::ALL.into_iter().find(|known| Some(known.name()) == kind) {
            self.errors.get_or_create(&[("kind", kind.name())]).inc();
        }
        self.rows.inc_by(query.rows);
        self.bytes.inc_by(query.bytes);
        self.run_seconds.observe((query.plan_time + query.run_time).as_secs_f64());
        self.queue_seconds.observe(query.queue_time.as_secs_f64());
    }
}
