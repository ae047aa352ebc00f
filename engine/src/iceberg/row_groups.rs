//! Where the row groups of a data file begin.

use std::sync::Arc;

/// Offsets in a data file, as an extension of its `PartitionedFile`: a part of a file reads the row
/// groups that begin in it, so that it is cut there and nowhere else.
///
/// Source: `split_offsets` of a data file (Iceberg specification, manifests).
#[derive(Clone, Debug)]
pub(crate) struct RowGroups(Arc<[i64]>);

impl RowGroups {
    /// What a manifest says; `None` for what cannot be.
    pub(crate) fn of(offsets: &[i64]) -> Option<Self> {
        let is_sound = offsets.first().is_some_and(|first| *first >= 0)
            && offsets.windows(2).all(|pair| pair[0] < pair[1]);
        is_sound.then(|| Self(offsets.into()))
    }

    /// Where they begin, ascending.
    pub(crate) fn starts(&self) -> &[i64] {
        &self.0
    }
}
