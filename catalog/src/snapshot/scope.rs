//! What an overwrite covers: the rows of a filter, or whole partitions.

use super::partitions::{Overlap, PartitionSet};
use crate::error::Result;
use crate::predicate::{Predicate, TableFilter};
use crate::spec::{DataFile, ManifestFile, TableMetadata};

/// A rule that can be applied to any later state of the table.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    /// Rows that match.
    Where(Predicate),
    /// Rows of these partitions.
    Partitions(PartitionSet),
}

impl Scope {
    /// The scope on one state of the table.
    pub(crate) fn bind<'a>(&'a self, metadata: &'a TableMetadata) -> BoundScope<'a> {
        BoundScope {
            metadata,
            kind: match self {
                Scope::Where(Predicate::True) => BoundKind::Everything,
                Scope::Where(filter) => BoundKind::Where(TableFilter::new(filter, metadata)),
                Scope::Partitions(set) => BoundKind::Partitions(set),
            },
        }
    }
}

/// See [`Scope::bind`].
#[derive(Debug)]
pub(crate) struct BoundScope<'a> {
    metadata: &'a TableMetadata,
    kind: BoundKind<'a>,
}

#[derive(Debug)]
enum BoundKind<'a> {
    Everything,
    Where(TableFilter),
    Partitions(&'a PartitionSet),
}

impl BoundScope<'_> {
    /// How the rows of `file` lie to the scope.
    pub(crate) fn overlap(&self, spec_id: i32, file: &DataFile) -> Result<Overlap> {
        match &self.kind {
            BoundKind::Everything => Ok(Overlap::Inside),
            BoundKind::Where(filter) => {
                let verdict = filter.for_spec(spec_id)?.judge_file(file);
                Ok(match (verdict.may_match, verdict.all_match) {
                    (false, _) => Overlap::Outside,
                    (true, true) => Overlap::Inside,
                    (true, false) => Overlap::Unclear,
                })
            }
            BoundKind::Partitions(set) => set.overlap(self.metadata, spec_id, file),
        }
    }

    /// Whether `manifest` may hold a file that is not outside. Cheap: it reads no entry.
    pub(crate) fn may_touch(&self, manifest: &ManifestFile) -> Result<bool> {
        match &self.kind {
            BoundKind::Everything => Ok(true),
            BoundKind::Where(filter) => {
                Ok(filter.for_spec(manifest.partition_spec_id)?.may_match_manifest(manifest))
            }
            BoundKind::Partitions(set) => set.may_overlap(self.metadata, manifest),
        }
    }

    /// What makes a file unclear, for the error that refuses it.
    pub(crate) fn why_unclear(&self) -> &'static str {
        match self.kind {
            BoundKind::Everything | BoundKind::Where(_) => {
                "some but perhaps not all of its rows match the filter"
            }
            BoundKind::Partitions(_) => {
                "it was written by another partition spec and may hold rows of other partitions too"
            }
        }
    }
}
