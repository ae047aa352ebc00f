//! One line of the journal: a query as JSON.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::info::{QueryInfo, QueryKind, QueryState};

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    id: IdText,
    user: Cow<'a, str>,
    client: Cow<'a, str>,
    session: Cow<'a, str>,
    kind: Cow<'a, str>,
    state: Cow<'a, str>,
    text: Cow<'a, str>,
    error: Option<Cow<'a, str>>,
    error_kind: Option<Cow<'a, str>>,
    queued_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    queue_us: u64,
    plan_us: u64,
    run_us: u64,
    rows: u64,
    bytes: u64,
    memory_peak_bytes: u64,
}

/// An id in its usual spelling.
struct IdText(Uuid);

impl Serialize for IdText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for IdText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// The line of a query, its newline included.
pub(super) fn write(info: &QueryInfo) -> Option<Vec<u8>> {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let line = Line {
        id: IdText(info.id),
        user: Cow::Borrowed(&info.user),
        client: Cow::Borrowed(&info.client),
        session: Cow::Borrowed(&info.session),
        kind: Cow::Borrowed(info.kind.name()),
        state: Cow::Borrowed(info.state.name()),
        text: Cow::Borrowed(&info.text),
        error: info.error.as_deref().map(Cow::Borrowed),
        error_kind: info.error_kind.as_deref().map(Cow::Borrowed),
        queued_at: info.queued_at.timestamp_micros(),
        started_at: info.started_at.map(|at| at.timestamp_micros()),
        finished_at: info.finished_at.map(|at| at.timestamp_micros()),
        queue_us: micros(info.queue_time),
        plan_us: micros(info.plan_time),
        run_us: micros(info.run_time),
        rows: info.rows,
        bytes: info.bytes,
        memory_peak_bytes: info.memory_peak_bytes,
    };
    let mut bytes = serde_json::to_vec(&line).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

/// The query of a line; `None` for a line that was torn or damaged.
pub(super) fn read(line: &[u8]) -> Option<QueryInfo> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let at = DateTime::<Utc>::from_timestamp_micros;
    Some(QueryInfo {
        id: line.id.0,
        user: line.user.into_owned(),
        client: line.client.into_owned(),
        session: line.session.into_owned(),
        kind: QueryKind::by_name(&line.kind)?,
        state: QueryState::by_name(&line.state)?,
        text: line.text.into_owned(),
        error: line.error.map(Cow::into_owned),
        error_kind: line.error_kind.map(|kind| Cow::Owned(kind.into_owned())),
        queued_at: at(line.queued_at)?,
        started_at: line.started_at.and_then(at),
        finished_at: line.finished_at.and_then(at),
        queue_time: Duration::from_micros(line.queue_us),
        plan_time: Duration::from_micros(line.plan_us),
        run_time: Duration::from_micros(line.run_us),
        rows: line.rows,
        bytes: line.bytes,
        memory_peak_bytes: line.memory_peak_bytes,
    })
}
