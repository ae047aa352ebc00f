//! The ended queries: in memory, and in a journal where there is one.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::info::QueryInfo;
use super::journal::Journal;
use super::ring::Ring;

#[derive(Debug)]
pub(super) struct History {
    ring: Arc<Mutex<Ring>>,
    journal: Option<Journal>,
}

impl History {
    /// A history that goes on where the one in `directory` ended. One that cannot be used is
    /// reported and done without: queries matter more than their history.
    pub(super) fn open(entries_max: usize, directory: Option<&Path>) -> Self {
        let ring = Arc::new(Mutex::new(Ring::new(entries_max)));
        let journal = directory.and_then(|directory| match Journal::open(directory, &ring) {
            Ok(journal) => Some(journal),
            Err(e) => {
                tracing::warn!(
                    error = %e,
                    directory = %directory.display(),
                    "the query history is kept in memory alone"
                );
                None
            }
        });
        Self { ring, journal }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn started(&self, info: impl FnOnce() -> QueryInfo) {
        if let Some(journal) = &self.journal {
            journal.started(Arc::new(info()));
        }
    }

    pub(super) fn ended(&self, info: &Arc<QueryInfo>) {
        self.ring().push(Arc::clone(info));
        if let Some(journal) = &self.journal {
            journal.ended(Arc::clone(info));
        }
    }

    /// Oldest first.
    pub(super) fn entries(&self) -> Vec<Arc<QueryInfo>> {
        self.ring().entries()
    }

    pub(super) fn find(&self, id: Uuid) -> Option<Arc<QueryInfo>> {
        self.ring().find(id)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::super::info::{Lane, QueryKind, QueryRequest, QueryState};
    use super::super::record::{Outcome, Record};
    use super::super::wanted::Wanted;
    use super::*;

    fn record(text: &str) -> Record {
        Record::new(QueryRequest {
            id: None,
            user: "u".to_owned(),
            client: "c".to_owned(),
            session: "s".to_owned(),
            text: text.to_owned(),
            kind: QueryKind::Query,
            lane: Lane::Heavy,
            wanted: Wanted::default(),
        })
    }

    fn states(history: &History) -> Vec<(String, QueryState)> {
        history.entries().iter().map(|info| (info.text.clone(), info.state)).collect()
    }

    #[test]
    fn history_survives_a_restart_and_shows_what_was_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("queries");
        let open = || History::open(100, Some(&directory));
        let history = open();
        let (done, alive) = (record("SELECT 1"), record("SELECT 2"));
        for query in [&done, &alive] {
            history.started(|| query.info());
        }
        assert!(done.end(&Outcome::Finished));
        let info = Arc::new(done.info());
        history.ended(&info);
        drop(history);
        let file = directory.join("history.jsonl");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let mut torn = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
        torn.write_all(b"{\"id\":\"0").unwrap();

        let history = open();
        let expected = vec![
            ("SELECT 1".to_owned(), QueryState::Finished),
            ("SELECT 2".to_owned(), QueryState::Aborted),
        ];
        assert_eq!(states(&history), expected);
        let found = history.find(done.id).unwrap();
        // Times are kept in microseconds.
        assert_eq!((found.rows, &found.text, &found.user), (info.rows, &info.text, &info.user));
        history.ended(&Arc::new(record("SELECT 3").info()));
        drop(history);
        assert_eq!(states(&open()).len(), 3);
    }

    #[test]
    fn a_second_process_keeps_its_history_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let first = History::open(10, Some(directory.path()));
        let second = History::open(10, Some(directory.path()));
        assert!(first.journal.is_some() && second.journal.is_none());
    }

    #[test]
    fn the_oldest_leave_first() {
        let history = History::open(2, None);
        for text in ["a", "b", "c"] {
            history.ended(&Arc::new(record(text).info()));
        }
        let texts: Vec<String> = states(&history).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["b", "c"]);
    }
}
