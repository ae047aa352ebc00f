//! How far a statement is: rows that its leaves have yielded, of those that they are thought to hold.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// The plan that a statement runs, once it runs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge {
    plan: Arc<Mutex<Option<Arc<dyn ExecutionPlan>>>>,
}

impl Gauge {
    /// From now on this plan runs.
    pub(crate) fn watch(&self, plan: Option<&Arc<dyn ExecutionPlan>>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan.map(Arc::clone);
    }

    /// From 0 to 1; `None` while nothing is known.
    pub(crate) fn progress(&self) -> Option<f64> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (done, total) = leaves(plan.as_ref());
        if total == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
        let share = done as f64 / total as f64;
        Some(share.clamp(0.0, 1.0))
    }
}

/// Rows that the leaves below `plan` have yielded, and rows that they hold; a leaf that does not
/// know counts as what it has yielded.
fn leaves(plan: &dyn ExecutionPlan) -> (u64, u64) {
    let children = plan.children();
    if !children.is_empty() {
        let parts = children.into_iter().map(|child| leaves(child.as_ref()));
        return parts.fold((0, 0), |a, b| (a.0.saturating_add(b.0), a.1.saturating_add(b.1)));
    }
    let rows = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let done = plan.metrics().and_then(|m| m.output_rows()).map_or(0, rows);
    let total = StatisticsContext::new()
        .compute(plan, &StatisticsArgs::new())
        .ok()
        .and_then(|statistics| statistics.num_rows.get_value().copied())
        .map_or(done, rows);
    (done.min(total), total)
}
