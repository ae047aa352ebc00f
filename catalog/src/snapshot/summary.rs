//! Snapshot summaries: what a commit added and removed, and the totals after it.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::partition::partition_key;
use crate::spec::{
    DataContentType, DataFile, DataFileFormat, ManifestContentType, ManifestFile, Operation,
    Struct, Summary,
};

/// The summary entry by which a commit is recognised after its answer was lost.
pub(crate) const OP_ID: &str = "engine.op-id";

/// Counts of files and rows of one direction (added or removed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    data_files: u64,
    records: u64,
    bytes: u64,
    position_delete_files: u64,
    deletion_vectors: u64,
    position_deletes: u64,
    equality_delete_files: u64,
    equality_deletes: u64,
}

impl Counts {
    fn add(&mut self, file: &DataFile) {
        self.bytes += file.file_size_in_bytes();
        match file.content_type() {
            DataContentType::Data => {
                self.data_files += 1;
                self.records += file.record_count();
            }
            DataContentType::PositionDeletes => {
                match file.file_format() {
                    DataFileFormat::Puffin => self.deletion_vectors += 1,
                    _ => self.position_delete_files += 1,
                }
                self.position_deletes += file.record_count();
            }
            DataContentType::EqualityDeletes => {
                self.equality_delete_files += 1;
                self.equality_deletes += file.record_count();
            }
        }
    }

    fn merge(&mut self, other: &Counts) {
        self.data_files += other.data_files;
        self.records += other.records;
        self.bytes += other.bytes;
        self.position_delete_files += other.position_delete_files;
        self.deletion_vectors += other.deletion_vectors;
        self.position_deletes += other.position_deletes;
        self.equality_delete_files += other.equality_delete_files;
        self.equality_deletes += other.equality_deletes;
    }

    fn delete_files(&self) -> u64 {
        self.position_delete_files + self.deletion_vectors + self.equality_delete_files
    }
}

/// What one snapshot changes, gathered file by file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    added: Counts,
    removed: Counts,
    partitions: HashSet<(i32, Struct)>,
}

impl Tally {
    /// Counts a new file.
    pub(crate) fn add(&mut self, spec_id: i32, file: &DataFile) {
        self.added.add(file);
        self.partitions.insert((spec_id, partition_key(file.partition())));
    }

    /// Counts a file that goes.
    pub(crate) fn remove(&mut self, spec_id: i32, file: &DataFile) {
        self.removed.add(file);
        self.partitions.insert((spec_id, partition_key(file.partition())));
    }

    /// Adds what another part of the same snapshot counted.
    pub(crate) fn merge(&mut self, other: &Tally) {
        self.added.merge(&other.added);
        self.removed.merge(&other.removed);
        self.partitions.extend(other.partitions.iter().cloned());
    }

    /// Rows in added data files.
    pub(crate) fn added_rows(&self) -> u64 {
        self.added.records
    }

    /// Rows in removed data files.
    pub(crate) fn removed_rows(&self) -> u64 {
        self.removed.records
    }

    /// Whether the snapshot would change nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.added == Counts::default() && self.removed == Counts::default()
    }

    /// The operation by what happened, as readers of incremental changes rely on it.
    pub(crate) fn operation(&self) -> Operation {
        match (self.added.data_files > 0, self.removed != Counts::default()) {
            (_, false) => Operation::Append,
            (false, true) => Operation::Delete,
            (true, true) => Operation::Overwrite,
        }
    }

    /// The whole summary. `extra` is the caller's; `previous` is the parent's summary (`None`
    /// without a parent); `manifests` is what the snapshot consists of.
    pub(crate) fn summary(
        &self,
        op_id: Uuid,
        extra: &BTreeMap<String, String>,
        previous: Option<&Summary>,
        manifests: &[ManifestFile],
    ) -> Summary {
        let mut out: HashMap<String, String> =
            extra.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        self.write_changes(&mut out);
        self.write_totals(previous, manifests, &mut out);
        out.insert("engine-name".to_owned(), "fjord".to_owned());
        out.insert("engine-version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        out.insert(OP_ID.to_owned(), op_id.to_string());
        Summary { operation: self.operation(), additional_properties: out }
    }

    fn write_changes(&self, out: &mut HashMap<String, String>) {
        let (a, r) = (&self.added, &self.removed);
        let changes = [
            ("added-data-files", a.data_files),
            ("added-records", a.records),
            ("added-files-size", a.bytes),
            ("deleted-data-files", r.data_files),
            ("deleted-records", r.records),
            ("removed-files-size", r.bytes),
            ("removed-delete-files", r.delete_files()),
            ("removed-position-delete-files", r.position_delete_files),
            ("removed-dvs", r.deletion_vectors),
            ("removed-position-deletes", r.position_deletes),
            ("removed-equality-delete-files", r.equality_delete_files),
            ("removed-equality-deletes", r.equality_deletes),
        ];
        for (key, value) in changes.into_iter().filter(|(_, value)| *value > 0) {
            out.insert(key.to_owned(), value.to_string());
        }
        out.insert("changed-partition-count".to_owned(), self.partitions.len().to_string());
    }

    /// File and row totals are recounted from the manifest list; those that it does not hold
    /// follow from the parent's, and are left out when the parent did not give them.
    fn write_totals(
        &self,
        previous: Option<&Summary>,
        manifests: &[ManifestFile],
        out: &mut HashMap<String, String>,
    ) {
        let (a, r) = (&self.added, &self.removed);
        let before = |key: &str| match previous {
            None => Some(0),
            Some(summary) => {
                summary.additional_properties.get(key).and_then(|v| v.parse::<u64>().ok())
            }
        };
        let after = |key: &str, added: u64, removed: u64| {
            before(key).and_then(|n| (n + added).checked_sub(removed))
        };
        let recounted = live_totals(manifests);
        let totals = [
            (
                "total-data-files",
                recounted
                    .map(|t| t.data_files)
                    .or_else(|| after("total-data-files", a.data_files, r.data_files)),
            ),
            (
                "total-records",
                recounted
                    .map(|t| t.records)
                    .or_else(|| after("total-records", a.records, r.records)),
            ),
            (
                "total-delete-files",
                recounted
                    .map(|t| t.delete_files)
                    .or_else(|| after("total-delete-files", a.delete_files(), r.delete_files())),
            ),
            ("total-files-size", after("total-files-size", a.bytes, r.bytes)),
            (
                "total-position-deletes",
                after("total-position-deletes", a.position_deletes, r.position_deletes),
            ),
            (
                "total-equality-deletes",
                after("total-equality-deletes", a.equality_deletes, r.equality_deletes),
            ),
        ];
        for (key, total) in totals {
            if let Some(total) = total {
                out.insert(key.to_owned(), total.to_string());
            }
        }
    }
}

#[derive(Clone, Copy)]
struct LiveTotals {
    data_files: u64,
    records: u64,
    delete_files: u64,
}

/// What the manifest list says of live files; `None` when a writer left counts out.
fn live_totals(manifests: &[ManifestFile]) -> Option<LiveTotals> {
    let mut totals = LiveTotals { data_files: 0, records: 0, delete_files: 0 };
    for manifest in manifests {
        let files =
            u64::from(manifest.added_files_count?) + u64::from(manifest.existing_files_count?);
        match manifest.content {
            ManifestContentType::Data => {
                totals.data_files += files;
                totals.records += manifest.added_rows_count? + manifest.existing_rows_count?;
            }
            ManifestContentType::Deletes => totals.delete_files += files,
        }
    }
    Some(totals)
}
