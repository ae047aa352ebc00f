//! Rewriting the manifests that hold removed files; all others are carried over untouched.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::removal::{BoundRemoval, Removal};
use super::summary::Tally;
use super::write::{Line, ManifestSink};
use crate::error::Result;
use crate::manifest::{Entry, Manifests};
use crate::spec::{DataFile, ManifestContentType, ManifestFile};

/// Manifests that one commit reads or rewrites at the same time.
pub(crate) const MANIFESTS_IN_FLIGHT_MAX: usize = 8;

/// What filtering made of one manifest.
#[derive(Clone, Debug)]
pub(crate) struct Filtered {
    /// What takes its place; the manifest itself when nothing went.
    pub(crate) manifest: ManifestFile,
    /// What went.
    pub(crate) tally: Tally,
    /// Paths of data files that went, for finding deletes that refer to them.
    removed: Vec<String>,
    /// The manifest that was filtered.
    source: String,
}

/// Results by the path of the filtered manifest. A manifest never changes and the rule neither, so
/// a retry uses them again.
pub(crate) type FilterCache = HashMap<String, Filtered>;

/// Data manifests without what `removal` takes.
pub(crate) async fn filter_data(
    sink: ManifestSink<'_>,
    manifests: &Manifests,
    list: &[ManifestFile],
    removal: Option<&Removal>,
    cache: &FilterCache,
) -> Result<Vec<Filtered>> {
    let Some(removal) = removal else {
        return Ok(list.iter().map(Filtered::untouched).collect());
    };
    let removal = removal.bind(sink.metadata);
    let (mut out, mut work) = (Vec::with_capacity(list.len()), Vec::new());
    for (at, manifest) in list.iter().enumerate() {
        match cache.get(&manifest.manifest_path) {
            Some(done) => out.push(done.clone()),
            None => {
                out.push(Filtered::untouched(manifest));
                if removal.may_touch(manifest)? {
                    work.push(filter_one(sink, manifests, (at, manifest), &removal));
                }
            }
        }
    }
    let mut done = stream::iter(work).buffer_unordered(MANIFESTS_IN_FLIGHT_MAX);
    while let Some((at, filtered)) = done.try_next().await? {
        if let Some(place) = out.get_mut(at) {
            *place = filtered;
        }
    }
    drop(done);
    Ok(out)
}

async fn filter_one(
    sink: ManifestSink<'_>,
    manifests: &Manifests,
    (at, manifest): (usize, &ManifestFile),
    removal: &BoundRemoval<'_>,
) -> Result<(usize, Filtered)> {
    let entries = manifests.load(manifest).await?;
    let mut goes = HashSet::new();
    for (line, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.is_alive()) {
        if removal.takes(manifest.partition_spec_id, entry)? {
            goes.insert(line);
        }
    }
    Ok((at, rewrite(sink, manifest, &entries, &goes).await?))
}

/// Delete manifests without the deletes that the removal left with nothing to apply to: those that
/// refer to a removed file, and those older than every data file that stays.
pub(crate) async fn filter_deletes(
    sink: ManifestSink<'_>,
    manifests: &Manifests,
    list: &[ManifestFile],
    kept_data: &[Filtered],
) -> Result<Vec<Filtered>> {
    let removed: HashSet<&str> =
        kept_data.iter().flat_map(|f| f.removed.iter().map(String::as_str)).collect();
    if removed.is_empty() {
        return Ok(list.iter().map(Filtered::untouched).collect());
    }
    let oldest = oldest_live_sequence(sink, kept_data);
    let work: Vec<_> = list
        .iter()
        .map(|manifest| drop_dangling(sink, manifests, manifest, oldest, &removed))
        .collect();
    stream::iter(work).buffered(MANIFESTS_IN_FLIGHT_MAX).try_collect().await
}

async fn drop_dangling(
    sink: ManifestSink<'_>,
    manifests: &Manifests,
    manifest: &ManifestFile,
    oldest: i64,
    removed: &HashSet<&str>,
) -> Result<Filtered> {
    let entries = manifests.load(manifest).await?;
    let goes = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.is_alive())
        .filter(|(_, entry)| {
            let outlived = entry.sequence_number.is_some_and(|number| number < oldest);
            outlived || refers_to(entry.data_file(), removed)
        })
        .map(|(at, _)| at)
        .collect();
    rewrite(sink, manifest, &entries, &goes).await
}

/// The smallest data sequence number among the files that stay; that of the new snapshot when none do.
fn oldest_live_sequence(sink: ManifestSink<'_>, kept_data: &[Filtered]) -> i64 {
    kept_data
        .iter()
        .map(|filtered| &filtered.manifest)
        .filter(|manifest| manifest.has_added_files() || manifest.has_existing_files())
        // A manifest of this snapshot that has no live file says -1.
        .map(|manifest| manifest.min_sequence_number.max(0))
        .min()
        .unwrap_or_else(|| sink.metadata.next_sequence_number())
}

/// Whether the delete file applies to one removed file alone.
fn refers_to(file: &DataFile, removed: &HashSet<&str>) -> bool {
    /// Reserved field id of the column `file_path` of position delete files.
    const FILE_PATH_ID: i32 = 2_147_483_546;
    if let Some(path) = file.referenced_data_file() {
        return removed.contains(path.as_str());
    }
    let path = |bounds: &HashMap<i32, crate::spec::Datum>| {
        bounds.get(&FILE_PATH_ID).map(|bound| bound.literal().clone())
    };
    match (path(file.lower_bounds()), path(file.upper_bounds())) {
        (
            Some(crate::spec::PrimitiveLiteral::String(low)),
            Some(crate::spec::PrimitiveLiteral::String(high)),
        ) => low == high && removed.contains(low.as_str()),
        _ => false,
    }
}

async fn rewrite(
    sink: ManifestSink<'_>,
    manifest: &ManifestFile,
    entries: &[Entry],
    goes: &HashSet<usize>,
) -> Result<Filtered> {
    if goes.is_empty() {
        return Ok(Filtered::untouched(manifest));
    }
    let spec_id = manifest.partition_spec_id;
    let mut tally = Tally::default();
    let mut removed = Vec::new();
    for entry in goes.iter().filter_map(|at| entries.get(*at)) {
        tally.remove(spec_id, entry.data_file());
        if manifest.content == ManifestContentType::Data {
            removed.push(entry.file_path().to_owned());
        }
    }
    // Entries that an earlier snapshot deleted are its history, not ours.
    let lines =
        entries.iter().enumerate().filter(|(_, entry)| entry.is_alive()).map(|(at, entry)| {
            if goes.contains(&at) { Line::Deleted(entry) } else { Line::Existing(entry) }
        });
    let rewritten = sink.write(spec_id, manifest.content, lines).await?;
    let source = manifest.manifest_path.clone();
    Ok(Filtered { manifest: rewritten, tally, removed, source })
}

impl Filtered {
    fn untouched(manifest: &ManifestFile) -> Self {
        Self {
            manifest: manifest.clone(),
            tally: Tally::default(),
            removed: Vec::new(),
            source: manifest.manifest_path.clone(),
        }
    }

    /// The path of the manifest that was filtered.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether anything went.
    pub(crate) fn is_rewritten(&self) -> bool {
        !self.tally.is_empty()
    }
}
