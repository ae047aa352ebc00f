//! Conflict rules: which concurrent changes an operation does not survive. Pure: the commit walks
//! the snapshots, this judges one file at a time.

use crate::change::Isolation;
use crate::error::Result;
use crate::snapshot::partitions::Overlap;
use crate::snapshot::scope::{BoundScope, Scope};
use crate::spec::{DataContentType, DataFile, TableMetadata};

/// What a concurrent snapshot did to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

/// The rule of an overwrite; appends have none, they never conflict.
#[derive(Clone, Debug)]
pub(crate) struct ConflictRule {
    /// What the overwrite covers.
    pub(crate) scope: Scope,
    /// What it tolerates.
    pub(crate) isolation: Isolation,
}

impl ConflictRule {
    /// The rule on one state of the table.
    pub(crate) fn bind<'a>(&'a self, metadata: &'a TableMetadata) -> BoundRule<'a> {
        BoundRule { scope: self.scope.bind(metadata), isolation: self.isolation }
    }
}

/// See [`ConflictRule::bind`].
#[derive(Debug)]
pub(crate) struct BoundRule<'a> {
    scope: BoundScope<'a>,
    isolation: Isolation,
}

impl BoundRule<'_> {
    /// Why the operation cannot go on, or `None` if it can.
    ///
    /// | overwrite | aborts on |
    /// |---|---|
    /// | by filter | a data or delete file added that may match, or a matching file removed |
    /// | dynamic | a data or delete file added in a replaced partition, or a replaced file removed |
    ///
    /// *Snapshot* isolation lets additions be: the overwrite spares files that came meanwhile.
    pub(crate) fn verdict(
        &self,
        happened: Happened,
        spec_id: i32,
        file: &DataFile,
    ) -> Result<Option<&'static str>> {
        if happened == Happened::Added && self.isolation == Isolation::Snapshot {
            return Ok(None);
        }
        if self.scope.overlap(spec_id, file)? == Overlap::Outside {
            return Ok(None);
        }
        Ok(Some(match (happened, file.content_type()) {
            (Happened::Added, DataContentType::Data) => "rows were added to what is overwritten",
            (Happened::Added, _) => "rows of what is overwritten were deleted",
            (Happened::Removed, _) => "a file of what is overwritten was removed",
        }))
    }
}
