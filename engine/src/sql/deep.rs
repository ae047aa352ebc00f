//! Threads with a stack large enough for any statement within the depth limits.
//!
//! Parsing, planning and dropping a syntax tree recurse; on a runtime's 2 MiB threads a statement
//! well within the limits could end the process. Nothing here may abort: a panic becomes an error.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

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

/// Threads that wait for work: to start one, and to have its stack given memory anew, takes longer than
/// to parse most statements.
const IDLE_MAX: usize = 4;
/// A thread ends after so long without work,
const IDLE_TIME: Duration = Duration::from_secs(10);
/// or after so many pieces of it: what a large one left of its stack is given back then.
const WORKS_MAX: usize = 1_000;

static IDLE: Mutex<Vec<Idle>> = Mutex::new(Vec::new());

type Work = Box<dyn FnOnce() + Send>;

struct Idle {
    thread: ThreadId,
    give: SyncSender<Work>,
}

fn idle() -> MutexGuard<'static, Vec<Idle>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
    report: impl FnOnce(Result<T>) + Send + 'static,
) -> Result<()> {
    let mut work: Work = Box::new(move || {
        report(catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|p| Err(panicked(&*p))));
    });
    let waiting = idle().pop();
    if let Some(waiting) = waiting {
        match waiting.give.send(work) {
            Ok(()) => return Ok(()),
            Err(refused) => work = refused.0,
        }
    }
    let thread = thread::Builder::new().name(THREAD_NAME.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(move || serve(work)).map(drop).map_err(|e| {
        Error::new(ErrorKind::LimitExceeded, "no thread to plan the statement on").with_source(e)
    })
}

/// Does work until there is none for a while.
fn serve(first: Work) {
    let (mut work, mut works) = (first, 0);
    let thread = thread::current().id();
    loop {
        work();
        works += 1;
        if works == WORKS_MAX {
            return;
        }
        let (give, take) = sync_channel(1);
        {
            let mut idle = idle();
            if idle.len() >= IDLE_MAX {
                return;
            }
            idle.push(Idle { thread, give });
        }
        let given = take.recv_timeout(IDLE_TIME).or_else(|_| {
            idle().retain(|idle| idle.thread != thread);
            // Who took this thread off the list before has work for it, and nobody does otherwise.
            take.recv()
        });
        match given {
            Ok(next) => work = next,
            Err(_) => return,
        }
    }
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

fn is_deep() -> bool {
    thread::current().name() == Some(THREAD_NAME)
}

fn vanished() -> Error {
    Error::new(ErrorKind::Bug, "the planner's thread ended without an answer")
}

/// Runs `work` on a deep stack and waits for it.
pub(crate) fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    // Work inside work is on a deep stack already.
    if is_deep() {
        return work();
    }
    let (send, receive) = sync_channel(1);
    start(work, move |answer| {
        if send.send(answer).is_err() {
            tracing::debug!("nobody waits for a parsed statement");
        }
    })?;
    receive.recv().unwrap_or_else(|_| Err(vanished()))
}

/// Runs a future on a deep stack; dropping the returned future stops it at its next await.
pub(crate) async fn run_async<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    // Work inside work is on a deep stack already; waiting for a second permit could wait for ever.
    if is_deep() {
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

    #[test]
    fn threads_are_used_again_and_none_is_lost_to_a_panic() {
        let on = || run(|| Ok(thread::current().id())).unwrap();
        let mut seen = std::collections::HashSet::new();
        for round in 0..3 * WORKS_MAX {
            if round.is_multiple_of(1_000) {
                run::<()>(|| panic!("boom")).unwrap_err();
            }
            seen.insert(on());
        }
        // Others test beside this one.
        assert!(seen.len() < WORKS_MAX / 2, "{} threads", seen.len());
        let at_once: Vec<_> = (0..50).map(|_| thread::spawn(on)).collect();
        assert!(at_once.into_iter().all(|waiting| waiting.join().is_ok()));
        assert!(idle().len() <= IDLE_MAX);
        // Work inside work does not wait for another thread.
        assert!(run(|| run(|| Ok(is_deep()))).unwrap());
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
        tokio::time::timeout(Duration::from_millis(50), work).await.unwrap_err();
        stopped.await.unwrap();
    }
}
