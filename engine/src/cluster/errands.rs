//! What a worker has been sent for: each plan for as long as the coordinator's call lasts, and the
//! memory that the parts of one query share here.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use datafusion::execution::runtime_env::RuntimeEnv;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::queries::handle::Errand;
use crate::queries::runtime_within;

/// By which the session of a plan finds its errand; made here, and never taken from outside.
const ERRAND_HEADER: &str = "x-fjord-errand";

/// The errands of a worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Errands {
    live: Arc<Mutex<HashMap<Uuid, Arc<Errand>>>>,
    /// Told whenever one ends.
    ended: Arc<Notify>,
    /// By the attempt at a query that all its parts carry.
    memory: Arc<Mutex<HashMap<String, Weak<RuntimeEnv>>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Errands {
    /// Begins an errand for a call with `headers`, which lead to it from now on.
    pub(super) fn begin(&self, headers: &mut HeaderMap) -> RunningErrand {
        let errand = Errand::begin();
        if let Ok(id) = HeaderValue::from_str(&errand.id().to_string()) {
            drop(headers.insert(ERRAND_HEADER, id));
        }
        drop(locked(&self.live).insert(errand.id(), Arc::clone(&errand)));
        RunningErrand { errands: self.clone(), errand }
    }

    /// Takes away what only [`Errands::begin`] may say.
    pub(super) fn clear(headers: &mut HeaderMap) {
        drop(headers.remove(ERRAND_HEADER));
    }

    /// The errand of the call with `headers`.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<Arc<Errand>> {
        let id: Uuid = headers.get(ERRAND_HEADER)?.to_str().ok()?.parse().ok()?;
        locked(&self.live).get(&id).cloned()
    }

    /// Until an errand ends, or one has since this was asked last.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// The runtime that all parts of `attempt` share here, with memory of their own.
    pub(super) fn runtime(
        &self,
        attempt: &str,
        process: &RuntimeEnv,
        limit_bytes: usize,
        partitions: usize,
    ) -> Arc<RuntimeEnv> {
        let mut memory = locked(&self.memory);
        memory.retain(|_, runtime| runtime.strong_count() > 0);
        if let Some(known) = memory.get(attempt).and_then(Weak::upgrade) {
            return known;
        }
        let made = runtime_within(process, limit_bytes, partitions);
        drop(memory.insert(attempt.to_owned(), Arc::downgrade(&made)));
        made
    }
}

/// An errand until its call ends. Then work for it that does not yield is told to halt.
#[derive(Debug)]
pub(super) struct RunningErrand {
    errands: Errands,
    errand: Arc<Errand>,
}

impl RunningErrand {
    /// The answer to the call; the errand is over when nobody reads it any more.
    pub(super) fn until_end_of(self, answer: Body) -> Body {
        Body::new(Answer { answer, _errand: self })
    }
}

impl Drop for RunningErrand {
    fn drop(&mut self) {
        self.errand.end();
        drop(locked(&self.errands.live).remove(&self.errand.id()));
        self.errands.ended.notify_one();
    }
}

/// The answer to a call, and what it is about.
struct Answer {
    answer: Body,
    _errand: RunningErrand,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_is_over_when_its_answer_is_dropped_and_nobody_else_leads_to_it() {
        let errands = Errands::default();
        let mut headers = HeaderMap::new();
        let running = errands.begin(&mut headers);
        let switch = errands.find(&headers).unwrap().switch();
        let answer = running.until_end_of(Body::new("more".to_owned()));
        switch.go_on().unwrap();
        drop(answer);
        assert!(switch.go_on().unwrap_err().to_string().contains("coordinator"));
        assert!(errands.find(&headers).is_none());
        // Whoever calls cannot lead to the errand of another.
        Errands::clear(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn parts_of_one_attempt_share_their_memory() {
        let (errands, process) = (Errands::default(), RuntimeEnv::default());
        let first = errands.runtime("a", &process, 100, 2);
        assert!(Arc::ptr_eq(&first, &errands.runtime("a", &process, 100, 2)));
        assert!(!Arc::ptr_eq(&first, &errands.runtime("b", &process, 100, 2)));
        drop(first);
        drop(errands.runtime("c", &process, 100, 2));
        assert_eq!(locked(&errands.memory).len(), 1);
    }
}
