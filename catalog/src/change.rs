//! What a commit does to a table's rows, as a value that survives a rebase.

use std::collections::BTreeMap;

use crate::predicate::Predicate;
use crate::spec::DataFile;

/// A change of rows. Data files are already written; the commit only makes them visible.
#[derive(Clone, Debug)]
pub enum RowsChange {
    /// Adds files. Never conflicts.
    Append {
        /// Each with its partition spec id set.
        files: Vec<DataFile>,
    },
    /// Adds files that were there before, written by somebody else. Never conflicts.
    Register {
        /// Each with its partition spec id set.
        files: Vec<DataFile>,
        /// Properties that the table gets with them, unless it has such by then.
        properties: BTreeMap<String, String>,
        /// Whether a file that the branch has already is refused, by its path.
        is_unique: bool,
    },
    /// Removes every file whose rows all match `filter`, and adds `files`.
    ///
    /// `filter: Predicate::True` empties the table. A file that matches in part is an error
    /// (`Unsupported`): rewriting rows belongs to row-level changes.
    OverwriteWhere {
        /// Which rows go.
        filter: Predicate,
        /// What replaces them; empty for a pure delete.
        files: Vec<DataFile>,
    },
    /// Removes every file of the partitions that `files` lie in, and adds `files`.
    OverwritePartitions {
        /// Each with its partition spec id set.
        files: Vec<DataFile>,
    },
}

/// What concurrent commits an overwrite tolerates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// As if the statements had run one after the other.
    #[default]
    Serializable,
    /// Rows added meanwhile survive.
    Snapshot,
}

/// How to commit.
#[derive(Clone, Debug)]
pub struct CommitOptions {
    /// The branch; `main` by default.
    pub branch: String,
    /// See [`Isolation`].
    pub isolation: Isolation,
    /// Extra summary entries. The commit adds `engine.op-id` and `engine-name`.
    pub summary: BTreeMap<String, String>,
}

impl Default for CommitOptions {
    fn default() -> Self {
        Self {
            branch: crate::spec::MAIN_BRANCH.to_owned(),
            isolation: Isolation::default(),
            summary: BTreeMap::new(),
        }
    }
}
