//! What is known of a query: what was asked, how far it came, what it took.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::wanted::Wanted;

/// Where a query is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryState {
    /// It waits for its turn.
    Queued,
    /// It is being planned.
    Planning,
    /// It runs.
    Running,
    /// Its last row was read.
    Finished,
    /// It ended with an error of its own.
    Failed,
    /// Somebody ended it: its client went away, it was killed, or the server shut down.
    Cancelled,
    /// The process ended while it ran.
    Aborted,
}

impl QueryState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Planning,
        Self::Running,
        Self::Finished,
        Self::Failed,
        Self::Cancelled,
        Self::Aborted,
    ];

    /// Its name in `system.queries` and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Aborted => "aborted",
        }
    }

    /// The state of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Planning | Self::Running)
    }
}

/// What a statement does to the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryKind {
    /// It reads.
    Query,
    /// It changes rows.
    Change,
    /// DDL, SET and the like.
    Command,
}

impl QueryKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Query, Self::Change, Self::Command];

    /// Its name in `system.queries` and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Change => "change",
            Self::Command => "command",
        }
    }

    /// The kind of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which queue a query stands in. Each has its own slots, so that a `SELECT 1` never waits behind
/// joins of billions of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Statements that read no relation: SET, SHOW, `SELECT 1`.
    Light,
    /// All others.
    Heavy,
}

/// A query that asks for admission.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    /// Its id, if it has one already that no query had before; else it gets a new one.
    pub id: Option<Uuid>,
    /// Who asks; queues are fair between users.
    pub user: String,
    /// The client's name for itself, such as its user agent.
    pub client: String,
    /// The session.
    pub session: String,
    /// The statement. Secrets in it are taken out before it is kept, and it is cut.
    pub text: String,
    /// What it does.
    pub kind: QueryKind,
    /// Where it queues.
    pub lane: Lane,
    /// Whether somebody still waits for it.
    pub wanted: Wanted,
}

/// A query as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryInfo {
    /// Its id; later queries have greater ones.
    pub id: Uuid,
    /// Who asked.
    pub user: String,
    /// The client's name for itself.
    pub client: String,
    /// The session.
    pub session: String,
    /// What it does.
    pub kind: QueryKind,
    /// Where it is.
    pub state: QueryState,
    /// The statement without secrets, cut.
    pub text: String,
    /// Why it failed or was ended.
    pub error: Option<String>,
    /// The kind of that error.
    pub error_kind: Option<Cow<'static, str>>,
    /// When it arrived.
    pub queued_at: DateTime<Utc>,
    /// When it left the queue.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; `None` also for one that the end of the process ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// In the queue.
    pub queue_time: Duration,
    /// From the queue to the first chance of a row.
    pub plan_time: Duration,
    /// From there to the end.
    pub run_time: Duration,
    /// Rows out; for a change the rows that it changed.
    pub rows: u64,
    /// Bytes of these rows in memory.
    pub bytes: u64,
    /// The most memory that its operators held together.
    pub memory_peak_bytes: u64,
}

impl QueryInfo {
    /// Roughly what it occupies.
    pub(super) fn size_bytes(&self) -> usize {
        let texts = [&self.user, &self.client, &self.session, &self.text];
        let texts: usize = texts.into_iter().map(String::len).sum();
        size_of::<Self>() + texts + self.error.as_ref().map_or(0, String::len)
    }
}
