//! The figures that are read when somebody asks: of the engine, its catalogs and the process.

use std::fmt;
use std::sync::Arc;

use fjord_catalog::catalog::Catalog;
use fjord_catalog::statistics::{CacheStatistics, CommitStatistics};
use fjord_engine::cluster::WorkerState;
use fjord_engine::engine::Engine;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::metrics::Metrics;
use super::process::{self, Process};

/// Everything that `/metrics` shows.
pub(crate) fn registry(engine: &Engine, metrics: &Arc<Metrics>) -> Registry {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    registry.register(
        "fjord_build",
        "The program",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    let process = Process::begin();
    registry.register_collector(Box::new(EngineCollector { engine: engine.clone(), process }));
    registry
}

#[derive(Debug)]
struct EngineCollector {
    engine: Engine,
    process: Process,
}

/// Writes one metric after the other.
struct Writer<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Writer<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(clamped(value)).encode(encoder)
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let encoder = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// One counter or gauge for each value of a label.
    fn family(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        label: &'static str,
        values: &[(&'static str, u64)],
    ) -> fmt::Result {
        let is_counter = matches!(kind, MetricType::Counter);
        let mut encoder = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (of, value) in values {
            let labels = [(label, *of)];
            let one = encoder.encode_family(&labels)?;
            if is_counter {
                ConstCounter::new(*value).encode(one)?;
            } else {
                ConstGauge::new(clamped(*value)).encode(one)?;
            }
        }
        Ok(())
    }
}

/// The encoder refuses what is more than an `i64`, and with it the whole page.
fn clamped(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Collector for EngineCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer { encoder };
        self.queries(&mut writer)?;
        self.memory(&mut writer)?;
        self.workers(&mut writer)?;
        self.catalogs(&mut writer)?;
        self.process(&mut writer)
    }
}

impl EngineCollector {
    fn queries(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let queries = self.engine.queries().statistics();
        writer.gauge("fjord_queries_running", "Statements that run now", queries.running as u64)?;
        writer.gauge("fjord_queries_queued", "Statements that wait now", queries.queued as u64)?;
        writer.counter(
            "fjord_queries_refused",
            "Statements refused with QUEUE_FULL",
            queries.refused,
        )
    }

    /// Those of a coordinator; a worker has none.
    fn workers(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let cluster = self.engine.cluster();
        let workers = cluster.map(|cluster| cluster.workers()).unwrap_or_default();
        let of_state = |state: WorkerState| {
            let count = workers.iter().filter(|worker| worker.state == state).count();
            (state.name(), count as u64)
        };
        let states = [
            WorkerState::Serving,
            WorkerState::Draining,
            WorkerState::Suspended,
            WorkerState::Lost,
        ];
        writer.family(
            ("fjord_cluster_workers", "Workers, by what they are up to", MetricType::Gauge),
            "state",
            &states.map(of_state),
        )?;
        writer.gauge(
            "fjord_cluster_tasks",
            "Tasks that workers run now, as they last said",
            workers.iter().map(|worker| worker.tasks).sum(),
        )
    }

    fn memory(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let memory = self.engine.memory();
        writer.gauge(
            "fjord_memory_reserved_bytes",
            "Memory that operators hold now",
            memory.reserved_bytes as u64,
        )?;
        writer.gauge(
            "fjord_memory_limit_bytes",
            "Memory that operators may hold together",
            memory.limit_bytes as u64,
        )?;
        writer.gauge(
            "fjord_memory_peak_bytes",
            "Memory that operators held at most",
            memory.peak_bytes,
        )?;
        writer.gauge(
            "fjord_spill_bytes",
            "Bytes on disk now that were too much for memory",
            memory.spilled_bytes,
        )
    }

    fn catalogs(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let catalogs = self.engine.catalogs();
        let commits: CommitStatistics = catalogs
            .iter()
            .map(Catalog::commit_statistics)
            .fold(CommitStatistics::default(), |a, b| a + b);
        writer.family(
            ("fjord_commits", "Commits to tables, by their outcome", MetricType::Counter),
            "outcome",
            &[
                ("applied", commits.applied),
                ("conflict", commits.conflicts),
                ("unknown", commits.unknown),
                ("failed", commits.failed),
            ],
        )?;
        let manifests: CacheStatistics = catalogs
            .iter()
            .map(Catalog::manifest_cache)
            .fold(CacheStatistics::default(), |a, b| a + b);
        let footers = self.engine.footer_cache();
        let of = |value: fn(&CacheStatistics) -> u64| {
            [("footer", value(&footers)), ("manifest", value(&manifests))]
        };
        writer.family(
            ("fjord_cache_hits", "Lookups that a cache answered", MetricType::Counter),
            "cache",
            &of(|c| c.hits),
        )?;
        writer.family(
            ("fjord_cache_misses", "Lookups that had to read", MetricType::Counter),
            "cache",
            &of(|c| c.misses),
        )?;
        writer.family(
            ("fjord_cache_bytes", "Bytes in a cache now", MetricType::Gauge),
            "cache",
            &of(|c| c.bytes),
        )
    }

    fn process(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.gauge(
            "process_resident_memory_bytes",
            "Physical memory of the process",
            process::resident_bytes(),
        )?;
        if let Some(files) = process::open_files() {
            writer.gauge("process_open_fds", "Open file descriptors", files)?;
        }
        writer.seconds(
            "process_start_time_seconds",
            "When the process began, since 1970",
            self.process.start_time_seconds(),
        )?;
        writer.seconds(
            "fjord_uptime_seconds",
            "For how long the process has run",
            self.process.uptime_seconds(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fjord_engine::engine::EngineOptions;
    use fjord_engine::queries::QueriesOptions;
    use fjord_engine::session::SessionOptions;
    use futures::StreamExt;

    use super::*;

    fn engine(metrics: &Arc<Metrics>) -> Engine {
        let observer = Arc::<Metrics>::clone(metrics);
        Engine::try_new(EngineOptions {
            memory_limit_bytes: Some(1 << 28),
            spill_dir: std::env::temp_dir().join("fjord-metrics-tests"),
            target_partitions: Some(2),
            storage: fjord_catalog::storage::Storage::local(),
            file_relations: Vec::new(),
            databases: Default::default(),
            queries: QueriesOptions { observer: Some(observer), ..QueriesOptions::default() },
        })
        .unwrap()
    }

    fn exposed(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    async fn run(engine: &Engine, sql: &str) {
        let session = engine.session(SessionOptions::default());
        for statement in session.parse(sql).unwrap() {
            let Ok(mut result) = session.submit(&statement, "test").await else { continue };
            while result.stream.next().await.is_some() {}
        }
    }

    #[tokio::test]
    async fn what_happens_is_counted() {
        let metrics = Metrics::shared();
        let engine = engine(&metrics);
        let registry = registry(&engine, &metrics);
        run(&engine, "SELECT * FROM (VALUES (1), (2)) t").await;
        run(&engine, "SELECT nope").await;
        let open = (metrics.connection(), metrics.stream());
        metrics.sent(7);
        let text = exposed(&registry);
        for line in [
            "fjord_queries_total{state=\"finished\",kind=\"query\"} 1",
            "fjord_queries_total{state=\"failed\",kind=\"query\"} 1",
            "fjord_query_rows_total 2",
            "fjord_query_seconds_count 2",
            "fjord_connections_open 1",
            "fjord_streams_total 1",
            "fjord_sent_bytes_total 7",
            "fjord_memory_limit_bytes 268435456",
            "fjord_queries_running 0",
            "fjord_commits_total{outcome=\"applied\"} 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let figure = |name: &str| -> f64 {
            let line = text.lines().find(|l| l.starts_with(name)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!(figure("process_resident_memory_bytes ") > 1_000_000.0);
        assert!(figure("process_open_fds ") >= 3.0);
        drop(open);
        assert!(exposed(&registry).contains("fjord_connections_open 0"));
    }

    /// The operator's guide lists every metric, and no other.
    #[tokio::test]
    async fn every_metric_is_documented() {
        let metrics = Metrics::shared();
        let engine = engine(&metrics);
        let text = exposed(&registry(&engine, &metrics));
        let exported: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            })
            .collect();
        let guide = include_str!("../../../docs/operations.md");
        let documented: BTreeSet<String> = guide
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split_once('`'))
            .map(|(name, _)| name.split('{').next().unwrap_or(name).to_owned())
            .filter(|name| name.starts_with("fjord_") || name.starts_with("process_"))
            .collect();
        assert_eq!(exported, documented);
    }
}
