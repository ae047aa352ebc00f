//! Who answers for closed data files: the task that wrote them, then the commit, then the table.
//!
//! ```text
//! task ──hand_over──▶ ledger ──release──▶ commit (nobody deletes any more)
//!   └─ fails: deletes    └─ discard: the statement failed before its commit was sent
//! ```

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use fjord_catalog::storage::Resolved;
use object_store::ObjectStoreExt;

/// Runs `work` even when the query that caused it is being dropped.
pub(crate) fn clean_up(work: impl Future<Output = ()> + Send + 'static) {
    // The one place where a task outlives its query on purpose: its stream is gone, and what it
    // leaves in the store would stay there for ever. Without a runtime the process is ending.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(work));
    }
}

/// Deletes files that no commit can refer to, as far as the store lets us.
pub(crate) async fn delete_files(files: Vec<Resolved>) {
    for file in files {
        match file.store.delete(&file.path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => {
                tracing::warn!(file = %file.path, error = %e, "data file of a failed statement not deleted");
            }
        }
    }
}

#[derive(Debug)]
enum Phase {
    /// The statement writes; these files are closed and handed over.
    Writing(Vec<Resolved>),
    /// The commit answers for the files.
    Released,
    /// The statement failed; whoever closes a file now deletes it himself.
    Discarded,
}

/// The closed files of one statement in this process.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    phase: Arc<Mutex<Phase>>,
    /// Partitions of the write whose tasks have begun.
    begun: Arc<Mutex<BTreeSet<usize>>>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { phase: Arc::new(Mutex::new(Phase::Writing(Vec::new()))), begun: Arc::default() }
    }

    /// Whether the task of `partition` may begin: once. Its input may yield nothing the second
    /// time (an exchange is used up), which would pass for a write of no rows.
    pub(crate) fn begin(&self, partition: usize) -> bool {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(partition)
    }

    fn phase(&self) -> std::sync::MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a task's files. Gives them back when nobody waits for them any more.
    pub(crate) fn hand_over(&self, files: Vec<Resolved>) -> Result<(), Vec<Resolved>> {
        match &mut *self.phase() {
            Phase::Writing(all) => {
                all.extend(files);
                Ok(())
            }
            Phase::Released | Phase::Discarded => Err(files),
        }
    }

    /// From here on nobody but the commit may delete.
    pub(crate) fn release(&self) {
        *self.phase() = Phase::Released;
    }

    /// The statement failed before its commit: the files to delete.
    pub(crate) fn discard(&self) -> Vec<Resolved> {
        let mut phase = self.phase();
        match std::mem::replace(&mut *phase, Phase::Discarded) {
            Phase::Writing(files) => files,
            Phase::Released => {
                *phase = Phase::Released;
                Vec::new()
            }
            Phase::Discarded => Vec::new(),
        }
    }
}

/// A task's closed files until they are handed over; deletes them when dropped before.
#[derive(Debug, Default)]
pub(crate) struct ClosedFiles {
    files: Vec<Resolved>,
}

impl ClosedFiles {
    pub(crate) fn push(&mut self, file: Resolved) {
        self.files.push(file);
    }

    pub(crate) fn hand_over(mut self, ledger: &Ledger) {
        // A refusal leaves them here, and the drop deletes them.
        if let Err(files) = ledger.hand_over(std::mem::take(&mut self.files)) {
            self.files = files;
        }
    }
}

impl Drop for ClosedFiles {
    fn drop(&mut self) {
        let files = std::mem::take(&mut self.files);
        if !files.is_empty() {
            clean_up(delete_files(files));
        }
    }
}
