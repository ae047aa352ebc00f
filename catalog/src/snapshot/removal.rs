//! Which files an overwrite removes.

use super::partitions::Overlap;
use super::scope::{BoundScope, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Entry;
use crate::spec::{ManifestFile, TableMetadata};

/// What goes.
#[derive(Clone, Debug)]
pub(crate) struct Removal {
    /// Which files; they must lie in it as a whole.
    pub(crate) scope: Scope,
    /// *Snapshot* isolation: files that arrived after this sequence number survive.
    pub(crate) spares_after: Option<i64>,
}

impl Removal {
    /// The removal on one state of the table.
    pub(crate) fn bind<'a>(&'a self, metadata: &'a TableMetadata) -> BoundRemoval<'a> {
        BoundRemoval { scope: self.scope.bind(metadata), spares_after: self.spares_after }
    }
}

/// See [`Removal::bind`].
#[derive(Debug)]
pub(crate) struct BoundRemoval<'a> {
    scope: BoundScope<'a>,
    spares_after: Option<i64>,
}

impl BoundRemoval<'_> {
    /// Whether the manifest can hold a file that goes.
    pub(crate) fn may_touch(&self, manifest: &ManifestFile) -> Result<bool> {
        self.scope.may_touch(manifest)
    }

    /// Whether the live data file of `entry` goes.
    ///
    /// # Errors
    /// `Unsupported` when only some of its rows would have to go.
    pub(crate) fn takes(&self, spec_id: i32, entry: &Entry) -> Result<bool> {
        if let Some(after) = self.spares_after
            && entry.file_sequence_number.is_some_and(|number| number > after)
        {
            return Ok(false);
        }
        match self.scope.overlap(spec_id, entry.data_file())? {
            Overlap::Outside => Ok(false),
            Overlap::Inside => Ok(true),
            Overlap::Unclear => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "file {:?} cannot be removed as a whole: {}; overwrite whole partitions or the whole table instead",
                    entry.file_path(),
                    self.scope.why_unclear()
                ),
            )),
        }
    }
}
