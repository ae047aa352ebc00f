//! Deleting what a dropped table leaves behind.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use futures::{StreamExt, stream};

use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::manifest::Manifests;
use crate::spec::{ManifestFile, SnapshotRef, TableMetadata};
use crate::storage::Storage;
use crate::table::Table;

/// Manifest lists and manifests that are read at the same time.
const LOADS_MAX: usize = 8;
/// Files that are gathered before they are deleted.
const BATCH_FILES_MAX: usize = 1000;

/// Refuses to purge a table that shares its files.
///
/// # Errors
/// `InvalidArgument` when the table's property `gc.enabled` is false.
pub(crate) fn check_purgeable(table: &Table) -> Result<()> {
    match table.metadata().properties().get("gc.enabled") {
        Some(value) if value.trim().eq_ignore_ascii_case("false") => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "table \"{}\" has the property gc.enabled = false: its files may belong to others; drop it without PURGE",
                table.name()
            ),
        )),
        _ => Ok(()),
    }
}

/// Deletes every file that `table`, which no catalog knows any more, refers to: data and delete
/// files first, then what leads to them, so that an interrupted purge can be told from a whole
/// table. Returns how many were there.
///
/// What cannot be read or deleted is left behind and logged: the drop has happened.
pub(crate) async fn purge(storage: &Storage, manifests: &Manifests, table: &Table) -> Result<u64> {
    failpoint::hit("K9").await;
    let metadata = table.metadata();
    let mut sweep = Sweep { storage, batch: Vec::new(), seen: Seen::default(), deleted: 0 };
    let mut lists = Vec::new();
    let mut manifest_paths = Vec::new();

    let snapshots: Vec<SnapshotRef> = metadata.snapshots().cloned().collect();
    let mut known: HashSet<String> = HashSet::new();
    for snapshot in snapshots {
        lists.push(snapshot.manifest_list().to_owned());
        let list = match manifests.load_list(&snapshot, metadata.format_version()).await {
            Ok(list) => list,
            Err(e) => {
                left_behind(table, &e);
                continue;
            }
        };
        let new: Vec<ManifestFile> =
            list.iter().filter(|m| known.insert(m.manifest_path.clone())).cloned().collect();
        manifest_paths.extend(new.iter().map(|m| m.manifest_path.clone()));
        sweep.files_of(table, manifests, new).await;
    }
    sweep.flush().await;
    failpoint::hit("K10").await;

    sweep.take_all(manifest_paths).await;
    sweep.take_all(lists).await;
    sweep.take_all(table_files(metadata, table)).await;
    sweep.flush().await;
    if let Err(e) = storage.prune_directory(metadata.location()).await {
        left_behind(table, &e);
    }
    Ok(sweep.deleted)
}

/// Statistics and metadata files; the current metadata last.
fn table_files(metadata: &TableMetadata, table: &Table) -> Vec<String> {
    let statistics = metadata.statistics_iter().map(|s| s.statistics_path.clone());
    let partition = metadata.partition_statistics_iter().map(|s| s.statistics_path.clone());
    let log = metadata.metadata_log().iter().map(|entry| entry.metadata_file.clone());
    let current = table.metadata_location().map(str::to_owned);
    statistics.chain(partition).chain(log).chain(current).collect()
}

fn left_behind(table: &Table, error: &Error) {
    tracing::warn!(table = %table.name(), error = %error, "files of a dropped table were left behind");
}

/// Deletes in batches, each path once.
struct Sweep<'a> {
    storage: &'a Storage,
    batch: Vec<String>,
    seen: Seen,
    deleted: u64,
}

impl Sweep<'_> {
    async fn files_of(&mut self, table: &Table, manifests: &Manifests, list: Vec<ManifestFile>) {
        let work: Vec<_> = list.iter().map(|manifest| manifests.load(manifest)).collect();
        let mut loaded = stream::iter(work).buffer_unordered(LOADS_MAX);
        while let Some(entries) = loaded.next().await {
            match entries {
                Ok(entries) => {
                    for entry in entries.iter().filter(|entry| entry.is_alive()) {
                        self.take(entry.file_path().to_owned()).await;
                    }
                }
                Err(e) => left_behind(table, &e),
            }
        }
    }

    async fn take_all(&mut self, uris: Vec<String>) {
        for uri in uris {
            self.take(uri).await;
        }
    }

    async fn take(&mut self, uri: String) {
        if !self.seen.insert(&uri) {
            return;
        }
        self.batch.push(uri);
        if self.batch.len() >= BATCH_FILES_MAX {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        match self.storage.delete_files(stream::iter(batch)).await {
            Ok(deleted) => self.deleted += deleted,
            Err(e) => tracing::warn!(error = %e, "files of a dropped table were left behind"),
        }
    }
}

/// Paths by hash: a table may have millions. Two paths of one hash would leave a file behind.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl Seen {
    fn insert(&mut self, uri: &str) -> bool {
        self.hashes.insert(self.hasher.hash_one(uri))
    }
}
