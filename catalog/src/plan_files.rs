//! From a snapshot and a predicate to the data files that may hold matching rows.

use std::sync::Arc;

use crate::spec::DataFile;

/// One live data file of a snapshot.
#[derive(Clone, Debug)]
pub struct PlannedFile {
    /// Path, counts, bounds, partition.
    pub file: Arc<DataFile>,
    /// Its partition spec (`DataFile` does not expose it).
    pub spec_id: i32,
    /// Data sequence number.
    pub sequence_number: i64,
    /// First row id (v3), inherited if need be.
    pub first_row_id: Option<i64>,
    /// Every row of the file is proven to match the predicate.
    pub all_rows_match: bool,
}

/// What planning found, and how much it skipped.
#[derive(Clone, Debug, Default)]
pub struct FilePlan {
    /// Files that may match, in manifest order.
    pub files: Vec<PlannedFile>,
    /// Delete files of any kind in the snapshot (not yet readable; scans refuse them).
    pub delete_files: u64,
    /// Manifests in the snapshot.
    pub manifests_total: u64,
    /// Manifests that their partition summary ruled out.
    pub manifests_skipped: u64,
    /// Data files ruled out by partition or column metrics.
    pub files_skipped: u64,
}
