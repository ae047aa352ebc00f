//! One state of a database for all that one statement reads from it.
//!
//! ```text
//! first scan  ─ BEGIN, export ─ reads ─┐ waits while others have not begun ─ COMMIT
//! second scan ─ BEGIN, import ─ reads ─┘ or takes over the first one's transaction
//! ```
//!
//! Statements are told apart by their [`TaskContext`], which all operators of one run share. A scan
//! joins when its streams are made and begins when it is first read. The connection of the first
//! one keeps the state alive only as long as somebody who has joined has not begun: whoever begins
//! when the first one has read everything goes on with that one. The turns of all who have joined
//! are taken together: of two statements whose scans wait for each other's rows, none may have the
//! turn that the other one needs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use datafusion::execution::TaskContext;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::database::Database;
use super::pool::{Lease, Turn};
use crate::error::Error;

/// The statements that read from one database now.
#[derive(Default)]
pub(super) struct Statements {
    open: Mutex<Vec<Weak<Statement>>>,
}

/// One run of one statement.
struct Statement {
    context: Weak<TaskContext>,
    /// Who begins, one at a time.
    beginning: AsyncMutex<()>,
    state: Mutex<State>,
    parked: Notify,
}

#[derive(Default)]
struct State {
    /// Scans that have joined and not begun.
    pending: usize,
    /// The name of the state, while the transaction that exported it is open.
    exported: Option<String>,
    /// That transaction, while nobody reads in it.
    idle: Option<Lease>,
    /// Turns for those who have not begun.
    spare: Option<Turn>,
}

/// A scan that has joined a statement, for as long as it may read.
pub(super) struct Member {
    statement: Arc<Statement>,
    has_begun: AtomicBool,
}

/// A transaction in the statement's state.
pub(super) struct Reading {
    statement: Arc<Statement>,
    lease: Option<Lease>,
    /// The name of the state, if this is the transaction that exported it.
    exported: Option<String>,
}

/// What a scan has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// Queries of ours.
    Ours,
    /// A user's text, which may have left something in its transaction.
    Text,
}

impl Statements {
    /// Joins the statement that runs in `context`.
    pub(super) fn join(&self, context: &Arc<TaskContext>) -> Member {
        let context = Arc::downgrade(context);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|statement| statement.strong_count() > 0);
        let known = open.iter().filter_map(Weak::upgrade).find(|s| s.context.ptr_eq(&context));
        let statement = known.unwrap_or_else(|| {
            let statement = Arc::new(Statement {
                context,
                beginning: AsyncMutex::default(),
                state: Mutex::default(),
                parked: Notify::new(),
            });
            open.push(Arc::downgrade(&statement));
            statement
        });
        drop(open);
        statement.state().pending += 1;
        Member { statement, has_begun: AtomicBool::new(false) }
    }
}

impl Statement {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One fewer is waited for; what was kept open for the last of them.
    fn begun(&self) -> Option<Lease> {
        let mut state = self.state();
        state.pending = state.pending.saturating_sub(1);
        if state.pending > 0 {
            return None;
        }
        state.spare = None;
        let idle = state.idle.take();
        if idle.is_some() {
            state.exported = None;
        }
        idle
    }
}

impl Member {
    /// Begins to read: a connection in the statement's state.
    pub(super) async fn begin(&self, database: &Database) -> Result<Reading, Error> {
        let turn = self.statement.beginning.lock().await;
        let reading = self.reading(database).await?;
        drop(turn);
        if !self.has_begun.swap(true, Ordering::SeqCst)
            && let Some(idle) = self.statement.begun()
        {
            database.end_read(idle).await?;
        }
        Ok(reading)
    }

    async fn reading(&self, database: &Database) -> Result<Reading, Error> {
        let statement = &self.statement;
        let reading = |lease, exported| Reading {
            statement: Arc::clone(statement),
            lease: Some(lease),
            exported,
        };
        loop {
            let (idle, exported, joined) = {
                let mut state = statement.state();
                (state.idle.take(), state.exported.clone(), state.pending)
            };
            match (idle, exported) {
                (Some(lease), exported) => return Ok(reading(lease, exported)),
                (None, Some(name)) => {
                    let turn = statement.state().spare.as_mut().and_then(|spare| spare.split(1));
                    let imported = tokio::select! {
                        biased;
                        imported = database.begin_in(turn, &name) => imported?,
                        () = statement.parked.notified() => continue,
                    };
                    if let Some(lease) = imported {
                        return Ok(reading(lease, None));
                    }
                    // Whoever exported it was given up before its end: there is no such state.
                    let mut state = statement.state();
                    if state.exported.as_ref() == Some(&name) {
                        state.exported = None;
                    }
                }
                (None, None) => {
                    let mut turns = database.pool.turns(joined).await?;
                    let spare = turns.split(turns.num_permits().saturating_sub(1));
                    let (lease, name) = database.begin_exported(turns).await?;
                    let mut state = statement.state();
                    state.exported = Some(name.clone());
                    // Those who had joined may be gone by now.
                    state.spare = spare.filter(|_| state.pending > 1);
                    drop(state);
                    return Ok(reading(lease, Some(name)));
                }
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if !*self.has_begun.get_mut() {
            drop(self.statement.begun());
        }
    }
}

impl Reading {
    pub(super) fn lease(&self) -> Result<&Lease, Error> {
        self.lease.as_ref().ok_or_else(Lease::given_back)
    }

    /// The name of the state, if others can import it from this transaction as it is.
    pub(super) fn exported(&self) -> Option<&str> {
        self.exported.as_deref()
    }

    /// Ends the transaction, or leaves it to those who have not begun.
    pub(super) async fn end(mut self, database: &Database, ran: Ran) -> Result<(), Error> {
        let Some(lease) = self.lease.take() else { return Ok(()) };
        if self.exported.is_some() {
            let is_wanted = self.statement.state().pending > 0 && ran == Ran::Ours;
            if is_wanted && let Err(e) = database.set_back(&lease).await {
                self.statement.state().exported = None;
                return Err(e);
            }
            let mut state = self.statement.state();
            if is_wanted && state.pending > 0 {
                state.idle = Some(lease);
                drop(state);
                self.statement.parked.notify_one();
                return Ok(());
            }
            state.exported = None;
        }
        database.end_read(lease).await
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Given up in the middle, and its transaction with it.
        if self.lease.is_some() && self.exported.is_some() {
            let mut state = self.statement.state();
            if state.exported == self.exported {
                state.exported = None;
            }
        }
    }
}
