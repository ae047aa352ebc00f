//! From a snapshot and a predicate to the data files that may hold matching rows.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use crate::deletes::{DeleteIndex, FileDeletes};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Entry, Manifests};
use crate::predicate::{FileFilter, Predicate, TableFilter};
use crate::spec::{
    DataContentType, DataFile, DataFileFormat, ManifestContentType, ManifestFile, SnapshotRef,
    TableMetadata,
};

/// Manifests that one plan reads at the same time.
const MANIFEST_LOADS_MAX: usize = 16;

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
    /// The delete files that apply to it, if any does.
    pub deletes: Option<Arc<FileDeletes>>,
}

/// What planning found, and how much it skipped.
#[derive(Clone, Debug, Default)]
pub struct FilePlan {
    /// Files that may match, in manifest order.
    pub files: Vec<PlannedFile>,
    /// Delete files of any kind in the snapshot.
    pub delete_files: u64,
    /// Of these, position deletes in Parquet and the like.
    pub position_delete_files: u64,
    /// Of these, equality deletes.
    pub equality_delete_files: u64,
    /// Of these, deletion vectors (format 3).
    pub deletion_vectors: u64,
    /// Manifests in the snapshot.
    pub manifests_total: u64,
    /// Manifests that their partition summary ruled out.
    pub manifests_skipped: u64,
    /// Data files ruled out by partition or column metrics; those in skipped manifests are not
    /// counted.
    pub files_skipped: u64,
    /// Data files in the snapshot, by the counts of its manifests where those were skipped.
    pub files_total: u64,
}

/// Plans `snapshot` of the table of `metadata`. The order of files is that of the manifest list and
/// its manifests, however fast each of them loads.
///
/// # Errors
/// Those of [`Manifests`]; `Corrupt` for a manifest of a partition spec that the table lacks.
pub async fn plan_files(
    manifests: &Manifests,
    metadata: &TableMetadata,
    snapshot: &SnapshotRef,
    filter: &Predicate,
) -> Result<FilePlan> {
    let list = manifests.load_list(snapshot, metadata.format_version()).await?;
    let mut plan = FilePlan { manifests_total: list.len() as u64, ..FilePlan::default() };
    let filters = TableFilter::new(filter, metadata);
    let mut wanted = Vec::with_capacity(list.len());
    for manifest in list.iter() {
        let filter = filters
            .for_spec(manifest.partition_spec_id)
            .map_err(|e| e.with_context("manifest", manifest.manifest_path.as_str()))?;
        if !manifest.has_added_files() && !manifest.has_existing_files() {
            continue;
        }
        // Every delete file is read: a filter on data proves nothing about deletes of rows.
        if manifest.content == ManifestContentType::Data && !filter.may_match_manifest(manifest) {
            plan.manifests_skipped += 1;
            let live = [manifest.added_files_count, manifest.existing_files_count];
            plan.files_total += live.iter().flatten().map(|n| u64::from(*n)).sum::<u64>();
            continue;
        }
        // Futures, not a closure that makes them: through an `async_trait` method the compiler
        // cannot prove such a closure to hold for every lifetime.
        wanted.push(load_entries(manifests, manifest, filter));
    }
    let mut deletes = DeleteIndex::default();
    let mut loaded = stream::iter(wanted).buffered(MANIFEST_LOADS_MAX);
    while let Some((manifest, filter, entries)) = loaded.try_next().await? {
        for entry in entries.iter().filter(|entry| entry.is_alive()) {
            plan.add(manifest, filter, entry)?;
            if entry.content_type() != DataContentType::Data {
                deletes.add(metadata, manifest, entry)?;
            }
        }
        // Warm manifests never wait: let others have the thread in between.
        tokio::task::consume_budget().await;
    }
    drop(loaded);
    if plan.delete_files > 0 {
        let deletes = deletes.finish();
        for planned in &mut plan.files {
            planned.deletes =
                deletes.of_file(&planned.file, planned.spec_id, planned.sequence_number);
        }
    }
    Ok(plan)
}

async fn load_entries<'a>(
    manifests: &Manifests,
    manifest: &'a ManifestFile,
    filter: &'a FileFilter,
) -> Result<(&'a ManifestFile, &'a FileFilter, Arc<Vec<Entry>>)> {
    Ok((manifest, filter, manifests.load(manifest).await?))
}

impl FilePlan {
    fn add(&mut self, manifest: &ManifestFile, filter: &FileFilter, entry: &Entry) -> Result<()> {
        match entry.content_type() {
            DataContentType::Data => self.files_total += 1,
            DataContentType::EqualityDeletes => {
                self.delete_files += 1;
                self.equality_delete_files += 1;
                return Ok(());
            }
            DataContentType::PositionDeletes => {
                self.delete_files += 1;
                match entry.data_file.file_format() {
                    DataFileFormat::Puffin => self.deletion_vectors += 1,
                    _ => self.position_delete_files += 1,
                }
                return Ok(());
            }
        }
        let verdict = filter.judge_file(&entry.data_file);
        if !verdict.may_match {
            self.files_skipped += 1;
            return Ok(());
        }
        let sequence_number = entry.sequence_number.ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                format!(
                    "manifest {:?}: file {:?} has no sequence number",
                    manifest.manifest_path,
                    entry.file_path()
                ),
            )
        })?;
        self.files.push(PlannedFile {
            file: Arc::clone(&entry.data_file),
            spec_id: manifest.partition_spec_id,
            sequence_number,
            first_row_id: entry.first_row_id,
            all_rows_match: verdict.all_match,
            deletes: None,
        });
        Ok(())
    }
}
