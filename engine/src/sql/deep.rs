//! A thread with a stack large enough for any statement within the depth limits.
//!
//! Parsing, planning and dropping a syntax tree recurse; on a runtime's 2 MiB threads a statement
//! well within the limits could end the process. Nothing here may abort: a panic becomes an error.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;

use crate::error::{Error, ErrorKind, Result};

/// Address space, not memory: pages are only committed when they are touched.
const STACK_BYTES: usize = 256 << 20;

/// Statements that are planned at the same time; others wait.
const PLANNERS_MAX: usize = 64;

const THREAD_NAME: &str = "fjord-planner";

static PLANNERS: Semaphore = Semaphore::const_new(PLANNERS_MAX);

fn start<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
    report: impl FnOnce(Result<T>) + Send + 'static,
) -> Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            report(catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|p| Err(panicked(&*p))));
        })
        .map_err(|e| {
            Error::new(ErrorKind::LimitExceeded, "no thread to plan the statement on")
                .with_source(e)
        })
}

/// What a caught panic says, as an error.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(ErrorKind::Bug, format!("the statement met a bug and was stopped: {text}"))
}

fn vanished() -> Error {
    Error::new(ErrorKind::Bug, "the planner's thread ended without an answer")
}

/// Runs `work` on a deep stack and waits for it.
pub(crate) fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let thread = start(work, move |answer| {
        if send.send(answer).is_err() {
            tracing::debug!("nobody waits for a parsed statement");
        }
    })?;
    let answer = receive.recv().unwrap_or_else(|_| Err(vanished()));
    thread.join().map_err(|p| panicked(&*p))?;
    answer
}

/// Runs a future on a deep stack; dropping the returned future stops it at its next await.
pub(crate) async fn run_async<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    // Work inside work is on a deep stack already; waiting for a second permit could wait for ever.
    if thread::current().name() == Some(THREAD_NAME) {
        return Box::pin(work).await;
    }
    let _permit = PLANNERS.acquire().await.map_err(|_| vanished())?;
    let runtime = Handle::current();
    let (send, receive) = oneshot::channel();
    let (still_wanted, cancelled) = oneshot::channel::<()>();
    // What is logged there belongs to the same query.
    let work = work.instrument(tracing::Span::current());
    start(
        move || {
            runtime.block_on(async move {
                tokio::select! {
                    answer = work => answer,
                    _ = cancelled => Err(Error::new(ErrorKind::Cancelled, "cancelled")),
                }
            })
        },
        move |answer| {
            if send.send(answer).is_err() {
                tracing::debug!("nobody waits for a planned statement");
            }
        },
    )?;
    let answer = receive.await.unwrap_or_else(|_| Err(vanished()));
    drop(still_wanted);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let e = run::<()>(|| panic!("boom {}", 1)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Bug);
        assert!(e.to_string().contains("boom 1"));
    }

    #[tokio::test]
    async fn dropping_the_future_stops_the_work() {
        struct Gone(Option<oneshot::Sender<()>>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.take().unwrap().send(()).unwrap();
            }
        }
        let (gone, stopped) = oneshot::channel();
        let guard = Gone(Some(gone));
        let work = run_async(async move {
            let _guard = guard;
            std::future::pending::<Result<()>>().await
        });
        tokio::time::timeout(std::time::Duration::from_millis(50), work).await.unwrap_err();
        stopped.await.unwrap();
    }
}
