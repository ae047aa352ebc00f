//! Progress of a long statement, on standard error.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::meter::Meter;

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

    /// Waits for `work`, showing how far it is.
    pub(super) async fn during<F: Future>(&mut self, work: F, meter: &Meter) -> F::Output {
        if !self.is_enabled {
            return work.await;
        }
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return output,
                _ = ticks.tick() => self.tick(meter),
            }
        }
    }

    fn tick(&mut self, meter: &Meter) {
        if self.elapsed() < QUIET {
            return;
        }
        let bar = self.bar.get_or_insert_with(ProgressBar::new_spinner);
        let seconds = self.started.elapsed().as_secs_f64();
        bar.set_message(format!("{seconds:.1} s{}", meter.text()));
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
