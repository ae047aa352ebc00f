//! One decoded manifest entry, with everything that it inherits filled in.

use std::mem::size_of;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{
    DataContentType, DataFile, Datum, ManifestContentType, ManifestEntry, ManifestFile,
    ManifestStatus, PrimitiveLiteral,
};

/// What a hash map entry costs beside its key and value, roughly.
const MAP_ENTRY_BYTES: usize = 16;

/// A file in a manifest. Numbers that the manifest leaves out are inherited from its entry in the
/// manifest list (specification: "sequence number inheritance", "first row id inheritance").
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Added, existing, or deleted by the snapshot that wrote the manifest.
    pub status: ManifestStatus,
    /// The snapshot that added the file, or deleted it when `status` says so.
    pub snapshot_id: Option<i64>,
    /// Data sequence number; always present in live entries.
    pub sequence_number: Option<i64>,
    /// Sequence number of the snapshot that added the file; always present in live entries.
    pub file_sequence_number: Option<i64>,
    /// Row id of the file's first row (format 3). **Read it here**: `data_file.first_row_id()` is
    /// only what the manifest itself stores.
    pub first_row_id: Option<i64>,
    /// Path, counts, bounds, partition.
    pub data_file: Arc<DataFile>,
}

impl Entry {
    /// Whether the file is part of the snapshot.
    pub fn is_alive(&self) -> bool {
        self.status != ManifestStatus::Deleted
    }

    /// Added, existing or deleted.
    pub fn status(&self) -> ManifestStatus {
        self.status
    }

    /// The file.
    pub fn data_file(&self) -> &Arc<DataFile> {
        &self.data_file
    }

    /// Data, position deletes (deletion vectors too) or equality deletes.
    pub fn content_type(&self) -> DataContentType {
        self.data_file.content_type()
    }

    /// Full URI of the file.
    pub fn file_path(&self) -> &str {
        self.data_file.file_path()
    }

    /// Rows in the file.
    pub fn record_count(&self) -> u64 {
        self.data_file.record_count()
    }
}

/// Fills in what the entries of `manifest` inherit from it.
///
/// # Errors
/// `Corrupt` when a live entry ends up without a sequence number or its row ids overflow.
pub(super) fn inherit(manifest: &ManifestFile, entries: Vec<ManifestEntry>) -> Result<Vec<Entry>> {
    let mut row_ids = RowIds::new(manifest);
    entries.into_iter().map(|entry| inherit_one(manifest, &mut row_ids, entry)).collect()
}

fn inherit_one(
    manifest: &ManifestFile,
    row_ids: &mut RowIds,
    entry: ManifestEntry,
) -> Result<Entry> {
    let inherits = entry.status == ManifestStatus::Added || manifest.sequence_number == 0;
    let inherited = inherits.then_some(manifest.sequence_number);
    let sequence_number = entry.sequence_number.or(inherited);
    let file_sequence_number = entry.file_sequence_number.or(inherited);
    let alive = entry.status != ManifestStatus::Deleted;
    if alive && sequence_number.is_none() {
        return Err(corrupt(manifest, &entry.data_file, "has no sequence number to inherit"));
    }
    let first_row_id = match row_ids.assign(&entry) {
        Ok(id) => id,
        Err(problem) => return Err(corrupt(manifest, &entry.data_file, problem)),
    };
    Ok(Entry {
        status: entry.status,
        snapshot_id: entry.snapshot_id.or(Some(manifest.added_snapshot_id)),
        sequence_number,
        file_sequence_number,
        first_row_id,
        data_file: Arc::new(entry.data_file),
    })
}

fn corrupt(manifest: &ManifestFile, file: &DataFile, problem: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "manifest {:?}: existing file {:?} {problem}",
            manifest.manifest_path,
            file.file_path()
        ),
    )
}

/// Hands out row ids in manifest order. The format library leaves this to us.
struct RowIds {
    next: Option<i64>,
}

impl RowIds {
    fn new(manifest: &ManifestFile) -> Self {
        let data = manifest.content == ManifestContentType::Data;
        let first = manifest.first_row_id.and_then(|id| i64::try_from(id).ok());
        Self { next: if data { first } else { None } }
    }

    /// The entry's own id, or the manifest's plus the rows of the live files before it that had
    /// none of their own. A manifest without a first row id has files without row ids.
    fn assign(&mut self, entry: &ManifestEntry) -> Result<Option<i64>, &'static str> {
        let Some(next) = self.next else { return Ok(None) };
        if let Some(own) = entry.data_file.first_row_id() {
            return Ok(Some(own));
        }
        if entry.status == ManifestStatus::Deleted {
            return Ok(None);
        }
        let after = i64::try_from(entry.data_file.record_count())
            .ok()
            .and_then(|rows| next.checked_add(rows))
            .ok_or("has row ids beyond the largest number")?;
        self.next = Some(after);
        Ok(Some(next))
    }
}

/// Memory of a decoded entry, roughly: what the cache is weighed by.
pub(super) fn weigh(entry: &Entry) -> usize {
    let file = &entry.data_file;
    let count = size_of::<(i32, u64)>() + MAP_ENTRY_BYTES;
    let counts = file.column_sizes().len()
        + file.value_counts().len()
        + file.null_value_counts().len()
        + file.nan_value_counts().len();
    let bounds: usize = file
        .lower_bounds()
        .values()
        .chain(file.upper_bounds().values())
        .map(|bound| size_of::<(i32, Datum)>() + MAP_ENTRY_BYTES + heap_bytes(bound))
        .sum();
    size_of::<Entry>()
        + size_of::<DataFile>()
        + file.file_path().len()
        + counts * count
        + bounds
        + file.partition().fields().len() * 64
        + file.split_offsets().map_or(0, |offsets| offsets.len() * 8)
}

fn heap_bytes(datum: &Datum) -> usize {
    match datum.literal() {
        PrimitiveLiteral::String(s) => s.len(),
        PrimitiveLiteral::Binary(b) => b.len(),
        _ => 0,
    }
}
