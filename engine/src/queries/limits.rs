//! What one query may take: time, rows, memory.

use std::time::Duration;

/// How long a query runs when nobody said otherwise.
pub const QUERY_TIME_MAX: Duration = Duration::from_hours(24);

/// The limits of a query. Those of the process are the outer ones: a session may only ask for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// From leaving the queue to its last row.
    pub time: Duration,
    /// Rows of a result; `None`: as many as there are.
    pub rows: Option<u64>,
    /// Bytes that its operators may hold together; `None`: what the process has.
    pub memory_bytes: Option<usize>,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { time: QUERY_TIME_MAX, rows: None, memory_bytes: None }
    }
}

/// What a session asked for; `None`: nothing of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// As in [`QueryLimits`].
    pub time: Option<Duration>,
    /// As in [`QueryLimits`].
    pub rows: Option<u64>,
    /// As in [`QueryLimits`].
    pub memory_bytes: Option<usize>,
}

impl QueryLimits {
    /// The tighter of both, each by itself.
    #[must_use]
    pub fn tightened(self, session: SessionLimits) -> Self {
        fn tighter<T: Ord>(outer: Option<T>, inner: Option<T>) -> Option<T> {
            match (outer, inner) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        Self {
            time: session.time.map_or(self.time, |time| time.min(self.time)),
            rows: tighter(self.rows, session.rows),
            memory_bytes: tighter(self.memory_bytes, session.memory_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_asks_for_less_and_never_gets_more() {
        let outer =
            QueryLimits { time: Duration::from_secs(60), rows: Some(10), ..QueryLimits::default() };
        let more = SessionLimits {
            time: Some(Duration::from_secs(600)),
            rows: Some(100),
            memory_bytes: Some(5),
        };
        let limits = outer.tightened(more);
        assert_eq!((limits.time, limits.rows), (outer.time, outer.rows));
        assert_eq!(limits.memory_bytes, Some(5));
        let less = SessionLimits { time: Some(Duration::from_secs(1)), ..SessionLimits::default() };
        assert_eq!(outer.tightened(less).time, Duration::from_secs(1));
    }
}
