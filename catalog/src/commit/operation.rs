//! What the commit loop needs to know of an operation.

use async_trait::async_trait;
use uuid::Uuid;

use crate::error::Result;
use crate::metastore::TableCommit;
use crate::spec::TableMetadata;
use crate::table::Table;

/// One attempt.
#[derive(Debug)]
pub(crate) enum Proposal {
    /// The table is as it should be; no commit is needed.
    Nothing,
    /// To be applied atomically.
    Commit(Box<TableCommit>),
}

/// A change of one table that can be put to any later state of it.
#[async_trait]
pub(crate) trait Operation: Send + Sync {
    /// Names the operation in messages and, where it makes a snapshot, in its summary.
    fn op_id(&self) -> Uuid;

    /// The attempt against `head`; `None` when there is no such table.
    ///
    /// # Errors
    /// Whatever ends the operation: `Conflict`, `NotFound`, `AlreadyExists`, storage.
    async fn propose(&mut self, head: Option<&Table>) -> Result<Proposal>;

    /// Whether [`Operation::is_applied`] recognises this very operation (by a snapshot id, say), so
    /// that a rival's equal change is never taken for it.
    fn has_identity(&self) -> bool {
        true
    }

    /// Whether `metadata` came out of one of this operation's attempts, or of a commit after it.
    fn is_applied(&self, metadata: &TableMetadata) -> bool;
}
