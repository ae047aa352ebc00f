//! Progress of a long statement, on standard error, from its plan's metrics.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::physical_plan::ExecutionPlan;
use indicatif::{HumanBytes, HumanCount, ProgressBar};

/// Shorter statements show nothing.
const QUIET: Duration = Duration::from_millis(500);
/// How often the figures are read.
const INTERVAL: Duration = Duration::from_millis(100);

/// The line at the bottom of the terminal while a statement runs.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    is_enabled: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `is_enabled` is overruled where standard error is no terminal.
    pub(super) fn begin(is_enabled: bool) -> Self {
        let is_enabled = is_enabled && io::stderr().is_terminal();
        Self { started: Instant::now(), is_enabled, bar: None }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for `work`, showing how far `plan` is.
    pub(super) async fn during<F: Future>(
        &mut self,
        work: F,
        plan: Option<&Arc<dyn ExecutionPlan>>,
    ) -> F::Output {
        if !self.is_enabled {
            return work.await;
        }
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return output,
                _ = ticks.tick() => self.tick(plan),
            }
        }
    }

    fn tick(&mut self, plan: Option<&Arc<dyn ExecutionPlan>>) {
        if self.elapsed() < QUIET {
            return;
        }
        let bar = self.bar.get_or_insert_with(ProgressBar::new_spinner);
        let seconds = self.started.elapsed().as_secs_f64();
        let message = match plan.map(|plan| Figures::of(plan.as_ref())) {
            Some(f) if f.rows > 0 || f.bytes > 0 => {
                format!("{seconds:.1} s, {} rows read, {}", HumanCount(f.rows), HumanBytes(f.bytes))
            }
            _ => format!("{seconds:.1} s"),
        };
        bar.set_message(message);
        bar.tick();
    }

    /// Takes the line away, so that results begin on a clean one.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What the leaves of a plan have read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    rows: u64,
    bytes: u64,
}

impl Figures {
    fn of(plan: &dyn ExecutionPlan) -> Self {
        let children = plan.children();
        if !children.is_empty() {
            let parts = children.into_iter().map(|child| Self::of(child.as_ref()));
            return parts.fold(Self::default(), |a, b| Self {
                rows: a.rows.saturating_add(b.rows),
                bytes: a.bytes.saturating_add(b.bytes),
            });
        }
        let Some(metrics) = plan.metrics() else { return Self::default() };
        let metric = |name| metrics.sum_by_name(name).map_or(0, |m| m.as_usize());
        Self {
            rows: u64::try_from(metrics.output_rows().unwrap_or(0)).unwrap_or(u64::MAX),
            bytes: u64::try_from(metric("bytes_scanned")).unwrap_or(u64::MAX),
        }
    }
}
