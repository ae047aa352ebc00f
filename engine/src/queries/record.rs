//! One query while it lives: counters that its operators move, and the switch that ends it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::info::{QueryInfo, QueryKind, QueryRequest, QueryState};
use super::redact;
use super::wanted::Wanted;
use crate::error::{Error, ErrorKind};
use crate::pool::MemoryUse;

/// Bytes of a statement's text that are kept.
pub(super) const TEXT_BYTES_MAX: usize = 8 << 10;

/// Bytes of an error's text that are kept.
const ERROR_BYTES_MAX: usize = 2 << 10;

/// Bytes of the names of users, clients and sessions that are kept.
const NAME_BYTES_MAX: usize = 256;

/// Why a query is to end before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// `CALL system.kill`, by this user.
    Killed(String),
    /// The process shuts down.
    Shutdown,
    /// Its time is over.
    TimeOver(Duration),
    /// Nobody waits for it.
    Unwanted,
}

impl Stop {
    pub(super) fn error(&self) -> Error {
        match self {
            Self::Killed(by) => {
                Error::new(ErrorKind::Cancelled, format!("the query was killed by \"{by}\""))
            }
            Self::Shutdown => Error::new(
                ErrorKind::Cancelled,
                "the query was ended because the server shuts down; run it again",
            ),
            Self::Unwanted => {
                Error::new(ErrorKind::Cancelled, "its client went away before it ended")
            }
            Self::TimeOver(limit) => Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "the query ran for longer than {} s, which is what query_time allows",
                    limit.as_secs_f64()
                ),
            ),
        }
    }
}

/// How a query ended.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    Finished,
    Failed(&'a Error),
}

/// What the rest of the query's life hangs on.
#[derive(Clone, Debug, Default)]
struct Control {
    stop: Option<Stop>,
    deadline: Option<(Instant, Duration)>,
}

#[derive(Clone, Debug)]
struct Times {
    state: QueryState,
    started: Option<(Instant, DateTime<Utc>)>,
    running: Option<Instant>,
    finished: Option<(Instant, DateTime<Utc>)>,
    error: Option<(ErrorKind, String)>,
}

/// A live query.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: Uuid,
    pub(super) request: QueryRequest,
    pub(super) memory: Arc<MemoryUse>,
    queued: (Instant, DateTime<Utc>),
    times: Mutex<Times>,
    rows: AtomicU64,
    bytes: AtomicU64,
    control: watch::Sender<Control>,
    /// Ends with who reads the rows.
    pub(super) read: Wanted,
}

impl Record {
    pub(super) fn new(mut request: QueryRequest) -> Self {
        request.text = redact::kept(&request.text, TEXT_BYTES_MAX);
        for name in [&mut request.user, &mut request.client, &mut request.session] {
            if name.len() > NAME_BYTES_MAX {
                *name = redact::cut(name, NAME_BYTES_MAX).to_owned();
            }
        }
        let times = Times {
            state: QueryState::Queued,
            started: None,
            running: None,
            finished: None,
            error: None,
        };
        Self {
            id: request.id.unwrap_or_else(Uuid::now_v7),
            request,
            memory: Arc::default(),
            queued: (Instant::now(), Utc::now()),
            times: Mutex::new(times),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            control: watch::Sender::new(Control::default()),
            read: Wanted::default(),
        }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has left the queue; from here its time runs.
    pub(super) fn begin(&self, time: Duration) {
        let now = Instant::now();
        let mut times = self.times();
        times.started = Some((now, Utc::now()));
        // DDL is not planned first: it runs.
        let runs = self.request.kind == QueryKind::Command;
        times.state = if runs { QueryState::Running } else { QueryState::Planning };
        times.running = runs.then_some(now);
        drop(times);
        self.set_time(time);
    }

    /// Its rows may come from now on.
    pub(super) fn run(&self) {
        let mut times = self.times();
        if !times.state.is_over() {
            times.state = QueryState::Running;
            times.running.get_or_insert_with(Instant::now);
        }
    }

    /// Notes the end; `false` when it was noted before.
    pub(super) fn end(&self, outcome: &Outcome<'_>) -> bool {
        let mut times = self.times();
        if times.state.is_over() {
            return false;
        }
        times.finished = Some((Instant::now(), Utc::now()));
        times.state = match outcome {
            Outcome::Finished => QueryState::Finished,
            Outcome::Failed(e) => {
                let text = redact::kept(&e.to_string(), ERROR_BYTES_MAX);
                times.error = Some((e.kind(), text));
                match e.kind() {
                    ErrorKind::Cancelled => QueryState::Cancelled,
                    _ => QueryState::Failed,
                }
            }
        };
        true
    }

    /// Counts what goes out; returns the rows so far.
    pub(super) fn count(&self, rows: u64, bytes: u64) -> u64 {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed).saturating_add(rows)
    }

    /// Changes how long it may run, counted from its start.
    pub(super) fn set_time(&self, time: Duration) {
        let started = self.times().started.map_or_else(Instant::now, |(at, _)| at);
        let deadline = started.checked_add(time).map(|at| (at, time));
        self.control.send_modify(|control| control.deadline = deadline);
    }

    /// Ends it; the first reason stays.
    pub(super) fn stop(&self, stop: Stop) {
        self.control.send_modify(|control| {
            control.stop.get_or_insert(stop);
        });
    }

    /// Why it is to end before its time, if it is.
    pub(super) fn halted(&self) -> Option<Stop> {
        if self.request.wanted.is_withdrawn() || self.read.is_withdrawn() {
            return Some(Stop::Unwanted);
        }
        let control = self.control.borrow();
        let over = || control.deadline.filter(|(at, _)| *at <= Instant::now());
        control.stop.clone().or_else(|| over().map(|(_, time)| Stop::TimeOver(time)))
    }

    /// Waits until it is to end before its time.
    pub(super) async fn stopped(&self) -> Stop {
        let mut control = self.control.subscribe();
        loop {
            let Control { stop, deadline } = control.borrow_and_update().clone();
            if let Some(stop) = stop {
                return stop;
            }
            let over = async {
                match deadline {
                    Some((at, time)) => {
                        tokio::time::sleep_until(at).await;
                        time
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                time = over => return Stop::TimeOver(time),
                // The sender lives as long as `self`.
                changed = control.changed() => drop(changed),
            }
        }
    }

    pub(super) fn info(&self) -> QueryInfo {
        let times = self.times().clone();
        let now = times.finished.map_or_else(Instant::now, |(at, _)| at);
        let (queued, queued_at) = self.queued;
        let started = times.started.map(|(at, _)| at);
        let between = |from: Option<Instant>, to: Option<Instant>| {
            from.map_or(Duration::ZERO, |from| to.unwrap_or(now).saturating_duration_since(from))
        };
        QueryInfo {
            id: self.id,
            user: self.request.user.clone(),
            client: self.request.client.clone(),
            session: self.request.session.clone(),
            kind: self.request.kind,
            state: times.state,
            text: self.request.text.clone(),
            error_kind: times.error.as_ref().map(|(kind, _)| Cow::Borrowed(kind.name())),
            error: times.error.map(|(_, text)| text),
            queued_at,
            started_at: times.started.map(|(_, at)| at),
            finished_at: times.finished.map(|(_, at)| at),
            queue_time: between(Some(queued), started),
            plan_time: between(started, times.running),
            run_time: between(times.running, None),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            memory_peak_bytes: self.memory.peak_bytes(),
        }
    }
}
