//! The commit operator: gathers the data files of a write and commits them once.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use fjord_catalog::catalog::{Committed, StagedTable};
use fjord_catalog::change::CommitOptions;
use fjord_catalog::predicate::Predicate;

use super::write::WriteTarget;
use crate::error::{Error, ErrorKind, Result};

/// What the commit does with the files.
#[derive(Clone, Debug)]
pub enum CommitAction {
    /// INSERT INTO.
    Append,
    /// INSERT OVERWRITE of whatever partitions the rows fall in.
    OverwritePartitions,
    /// INSERT OVERWRITE … PARTITION (static), or of the whole table.
    OverwriteWhere(Predicate),
    /// CREATE [OR REPLACE] TABLE AS.
    Create(Box<StagedTable>),
}

/// What became of the commit, readable after and beside the stream: an error that the stream
/// reports after the commit happened must not be taken for a failed commit.
#[derive(Clone, Debug, Default)]
pub struct CommitOutcome {
    committed: Arc<std::sync::OnceLock<Committed>>,
}

impl CommitOutcome {
    /// The commit, once it has happened.
    pub fn committed(&self) -> Option<&Committed> {
        self.committed.get()
    }
}

/// Plans the commit above `write` (from [`super::write::plan_write`]): one partition, one row
/// `(count: UInt64)` with the number of rows written.
pub fn plan_commit(
    _write: Arc<dyn ExecutionPlan>,
    _target: &WriteTarget,
    _action: CommitAction,
    _options: CommitOptions,
    _outcome: CommitOutcome,
) -> Result<Arc<dyn ExecutionPlan>> {
    Err(Error::new(ErrorKind::Bug, "not built yet"))
}
