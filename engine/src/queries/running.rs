//! A query in the registry, from its arrival until it is noted as ended.

use std::sync::{Arc, Mutex, PoisonError};

use super::admission::Slot;
use super::limits::QueryLimits;
use super::record::{Outcome, Record, Stop};
use super::shared::Shared;
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Running {
    pub(super) record: Arc<Record>,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: Mutex<QueryLimits>,
    pub(super) span: tracing::Span,
    slot: Mutex<Option<Slot>>,
}

impl Running {
    pub(super) fn new(record: Arc<Record>, shared: Arc<Shared>) -> Self {
        let limits = Mutex::new(shared.options.limits);
        // An error's span: whatever is logged, its lines carry the query's id.
        let span = tracing::error_span!(
            "query",
            id = %record.id,
            user = %record.request.user,
            kind = record.request.kind.name(),
            state = tracing::field::Empty,
            rows = tracing::field::Empty,
        );
        Self { record, shared, limits, span, slot: Mutex::default() }
    }

    pub(super) fn limits(&self) -> QueryLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has left the queue.
    pub(super) fn begin(&self, slot: Slot) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
        self.record.begin(self.limits().time);
        self.shared.history.started(|| self.record.info());
    }

    /// Notes the end, once; its slot goes to the next.
    pub(super) fn end(&self, outcome: &Outcome<'_>) {
        if !self.record.end(outcome) {
            return;
        }
        let info = Arc::new(self.record.info());
        self.span.record("state", info.state.name());
        self.span.record("rows", info.rows);
        self.shared.history.ended(&info);
        if let Some(observer) = &self.shared.options.observer {
            observer.ended(&info);
        }
        self.forget();
    }

    /// Notes that it was never let in, which leaves no trace in the history.
    pub(super) fn refuse(&self, error: &Error) {
        if self.record.end(&Outcome::Failed(error)) {
            self.forget();
        }
    }

    fn forget(&self) {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.remove(self.record.id);
        drop(slot);
    }
}

impl Drop for Running {
    /// Nobody waits for it any more.
    fn drop(&mut self) {
        self.end(&Outcome::Failed(&Stop::Unwanted.error()));
    }
}
