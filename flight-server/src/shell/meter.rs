//! How far a statement is: whoever runs it tells, whoever waits for it reads.

use std::sync::{Arc, OnceLock};

use datafusion::physical_plan::ExecutionPlan;
use indicatif::{HumanBytes, HumanCount};

use crate::client::Received;
use crate::progress::Figures;

/// The figures of one statement.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    plan: OnceLock<Arc<dyn ExecutionPlan>>,
    received: Arc<Received>,
}

impl Meter {
    /// From now on the figures are this plan's.
    pub(super) fn follow(&self, plan: &Arc<dyn ExecutionPlan>) {
        // A statement has one plan: a second one has nothing to add.
        let _first = self.plan.get_or_init(|| Arc::clone(plan));
    }

    /// Where a client counts.
    pub(super) fn received(&self) -> &Arc<Received> {
        &self.received
    }

    /// What there is to tell, each part with a comma before it.
    pub(super) fn text(&self) -> String {
        let part = |rows: u64, verb: &str, bytes: u64| match (rows, bytes) {
            (0, _) => String::new(),
            // Rows that were made up rather than read from files have no bytes.
            (_, 0) => format!(", {} rows {verb}", HumanCount(rows)),
            _ => format!(", {} rows {verb}, {}", HumanCount(rows), HumanBytes(bytes)),
        };
        let plan = self.plan.get().map(|plan| Figures::of(plan.as_ref()));
        let Figures { rows_read, bytes_read } = plan.unwrap_or_else(|| self.received.server());
        let arrived = part(self.received.rows(), "received", self.received.bytes());
        part(rows_read, "read", bytes_read) + &arrived
    }
}
