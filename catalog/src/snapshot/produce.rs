//! One snapshot from a change of files: written against any state of the table, and again against a
//! later one, with as little repeated as the format allows.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::io::FileIO;
use uuid::Uuid;

use super::count::counted;
use super::data_file::{check_new_file, spec_id_of};
use super::filter::{FilterCache, Filtered, MANIFESTS_IN_FLIGHT_MAX, filter_data, filter_deletes};
use super::merge::{MergePolicy, group};
use super::removal::Removal;
use super::summary::Tally;
use super::target::{MetadataFiles, check_format, spec_by_id};
use super::write::{Line, ManifestSink};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::manifest::{Entry, Manifests};
use crate::spec::{
    DataFile, FormatVersion, ManifestContentType, ManifestFile, ManifestStatus, Snapshot,
    SnapshotRef, TableMetadata,
};

/// A data file to be added.
#[derive(Clone, Debug)]
pub(crate) struct NewFile {
    /// The partition spec that it was written by.
    pub(crate) spec_id: i32,
    /// The file.
    pub(crate) file: DataFile,
}

/// Checks `files` against the table that they were written for.
///
/// # Errors
/// `InvalidArgument` for what is not a data file of this table, or is there twice.
pub(crate) fn new_files(metadata: &TableMetadata, files: Vec<DataFile>) -> Result<Vec<NewFile>> {
    let mut seen = std::collections::HashSet::new();
    let mut checked = Vec::with_capacity(files.len());
    for file in files {
        let spec_id = spec_id_of(&file, metadata)?;
        check_new_file(&file, spec_by_id(metadata, spec_id)?)?;
        if !seen.insert(file.file_path().to_owned()) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("file {:?} would be added twice", file.file_path()),
            ));
        }
        checked.push(NewFile { spec_id, file });
    }
    Ok(checked)
}

/// A snapshot that was written but not committed.
#[derive(Clone, Debug)]
pub(crate) struct Produced {
    /// The snapshot, its manifest list written.
    pub(crate) snapshot: Snapshot,
    /// What it changes.
    pub(crate) tally: Tally,
    /// The metadata files of this operation that it refers to.
    pub(crate) uses: Vec<String>,
}

/// Produces one operation's snapshot, once for each attempt to commit it.
///
/// ```text
/// new files ──────────────► new manifests ─┐
/// parent's data manifests ► filter ────────┴► merge ─┐
/// parent's delete manifests ► filter ────────────────┴► manifest list ► snapshot
/// ```
#[derive(Debug)]
pub(crate) struct SnapshotProducer {
    io: FileIO,
    manifests: Manifests,
    files: MetadataFiles,
    op_id: Uuid,
    snapshot_id: i64,
    added: Vec<NewFile>,
    removal: Option<Removal>,
    summary: BTreeMap<String, String>,
    written: Option<NewManifests>,
    filtered: FilterCache,
    merged: HashMap<Vec<String>, ManifestFile>,
    /// Whether a snapshot of nothing is one.
    is_wanted_empty: bool,
}

/// The manifests of the new files, good for every attempt on a table of the same shape.
#[derive(Clone, Debug)]
struct NewManifests {
    shape: (FormatVersion, i32, String),
    parts: Vec<NewManifest>,
}

#[derive(Clone, Debug)]
struct NewManifest {
    file: ManifestFile,
    /// Which of the added files, by index.
    members: Vec<usize>,
}

impl SnapshotProducer {
    /// A producer for one operation on the table of `base`.
    pub(crate) fn new(
        io: FileIO,
        manifests: Manifests,
        base: &TableMetadata,
        change: (Vec<NewFile>, Option<Removal>),
        summary: BTreeMap<String, String>,
    ) -> Self {
        let op_id = Uuid::now_v7();
        let (added, removal) = change;
        Self {
            io,
            manifests,
            files: MetadataFiles::new(op_id),
            op_id,
            snapshot_id: unused_snapshot_id(base),
            added,
            removal,
            summary,
            written: None,
            filtered: FilterCache::new(),
            merged: HashMap::new(),
            is_wanted_empty: false,
        }
    }

    /// The operation's id, which its snapshot's summary carries.
    pub(crate) fn op_id(&self) -> Uuid {
        self.op_id
    }

    /// The snapshot's id, the same in every attempt: no table can take it twice.
    pub(crate) fn snapshot_id(&self) -> i64 {
        self.snapshot_id
    }

    /// Every metadata file that was begun, in all attempts.
    pub(crate) fn written_files(&self) -> Vec<String> {
        self.files.written()
    }

    /// Makes a snapshot even of nothing.
    #[must_use]
    pub(crate) fn wanted_empty(mut self, is_wanted: bool) -> Self {
        self.is_wanted_empty = is_wanted;
        self
    }

    /// Writes the snapshot on top of `parent`. `None` if it would change nothing, unless that is
    /// wanted.
    pub(crate) async fn produce(
        &mut self,
        metadata: &TableMetadata,
        parent: Option<&SnapshotRef>,
    ) -> Result<Option<Produced>> {
        check_format(metadata.format_version())?;
        let list = self.parent_list(metadata, parent).await?;
        let (data, deletes): (Vec<_>, Vec<_>) =
            list.into_iter().partition(|m| m.content == ManifestContentType::Data);

        let sink = ManifestSink {
            io: &self.io,
            metadata,
            snapshot_id: self.snapshot_id,
            files: &self.files,
        };
        let removal = self.removal.as_ref();
        let data = filter_data(sink, &self.manifests, &data, removal, &self.filtered).await?;
        let deletes = filter_deletes(sink, &self.manifests, &deletes, &data).await?;

        let tally = self.tally(data.iter().chain(&deletes));
        if tally.is_empty() && !self.is_wanted_empty {
            return Ok(None);
        }
        self.remember_filtered(&data);
        let new = self.new_manifests(metadata).await?;
        let manifests = self.assemble(metadata, new, data, deletes).await?;
        failpoint::hit("K3").await;
        let snapshot = self.write_snapshot(metadata, parent, &tally, manifests.clone()).await?;
        failpoint::hit("K4").await;

        let mut uses: Vec<String> = manifests.into_iter().map(|m| m.manifest_path).collect();
        uses.push(snapshot.manifest_list().to_owned());
        Ok(Some(Produced { snapshot, tally, uses }))
    }

    async fn parent_list(
        &self,
        metadata: &TableMetadata,
        parent: Option<&SnapshotRef>,
    ) -> Result<Vec<ManifestFile>> {
        let Some(parent) = parent else { return Ok(Vec::new()) };
        let list = self.manifests.load_list(parent, metadata.format_version()).await?;
        let work: Vec<_> = list.iter().map(|manifest| counted(&self.manifests, manifest)).collect();
        let list: Vec<ManifestFile> =
            stream::iter(work).buffered(MANIFESTS_IN_FLIGHT_MAX).try_collect().await?;
        // Manifests without a live file were history of the snapshot that emptied them.
        Ok(list.into_iter().filter(|m| m.has_added_files() || m.has_existing_files()).collect())
    }

    fn tally<'a>(&self, filtered: impl Iterator<Item = &'a Filtered>) -> Tally {
        let mut tally = Tally::default();
        for new in &self.added {
            tally.add(new.spec_id, &new.file);
        }
        for part in filtered {
            tally.merge(&part.tally);
        }
        tally
    }

    fn remember_filtered(&mut self, data: &[Filtered]) {
        for filtered in data.iter().filter(|filtered| filtered.is_rewritten()) {
            self.filtered.insert(filtered.source().to_owned(), filtered.clone());
        }
    }

    async fn new_manifests(&mut self, metadata: &TableMetadata) -> Result<Vec<NewManifest>> {
        let shape = (
            metadata.format_version(),
            metadata.current_schema_id(),
            self.files.directory_of(metadata),
        );
        if let Some(written) = &self.written
            && written.shape == shape
        {
            return Ok(written.parts.clone());
        }
        let target = MergePolicy::of(metadata).target_bytes;
        let sink = ManifestSink {
            io: &self.io,
            metadata,
            snapshot_id: self.snapshot_id,
            files: &self.files,
        };
        let work: Vec<_> = split(&self.added, target)
            .into_iter()
            .map(|run| write_new(sink, &self.added, run))
            .collect();
        let parts: Vec<NewManifest> =
            stream::iter(work).buffered(MANIFESTS_IN_FLIGHT_MAX).try_collect().await?;
        self.written = Some(NewManifests { shape, parts: parts.clone() });
        Ok(parts)
    }

    /// The final manifests: new ones first, merged where the table's policy says so.
    async fn assemble(
        &mut self,
        metadata: &TableMetadata,
        new: Vec<NewManifest>,
        data: Vec<Filtered>,
        deletes: Vec<Filtered>,
    ) -> Result<Vec<ManifestFile>> {
        let candidates: Vec<ManifestFile> = new
            .iter()
            .map(|n| n.file.clone())
            .chain(data.into_iter().map(|f| f.manifest))
            .collect();
        let mut manifests = Vec::with_capacity(candidates.len() + deletes.len());
        for bin in group(candidates, MergePolicy::of(metadata)) {
            match <[ManifestFile; 1]>::try_from(bin) {
                Ok([alone]) => manifests.push(alone),
                Err(bin) => manifests.push(self.merge(metadata, &new, bin).await?),
            }
        }
        manifests.extend(deletes.into_iter().map(|filtered| filtered.manifest));
        Ok(manifests)
    }

    async fn merge(
        &mut self,
        metadata: &TableMetadata,
        new: &[NewManifest],
        bin: Vec<ManifestFile>,
    ) -> Result<ManifestFile> {
        let key: Vec<String> = bin.iter().map(|m| m.manifest_path.clone()).collect();
        if let Some(merged) = self.merged.get(&key) {
            return Ok(merged.clone());
        }
        let spec_id = bin.first().map_or(0, |m| m.partition_spec_id);
        let own: HashMap<&str, &NewManifest> =
            new.iter().map(|n| (n.file.manifest_path.as_str(), n)).collect();
        let work: Vec<_> = bin
            .iter()
            .filter(|m| !own.contains_key(m.manifest_path.as_str()))
            .map(|m| load_for_merge(&self.manifests, m, self.snapshot_id))
            .collect();
        let loaded: Vec<Vec<Entry>> =
            stream::iter(work).buffered(MANIFESTS_IN_FLIGHT_MAX).try_collect().await?;

        let mut lines = Vec::new();
        for part in bin.iter().filter_map(|m| own.get(m.manifest_path.as_str())) {
            for at in &part.members {
                lines.extend(self.added.get(*at).map(|new| Line::Added(&new.file)));
            }
        }
        for entries in &loaded {
            lines.extend(entries.iter().filter_map(|entry| self.merged_line(entry)));
        }
        let sink = ManifestSink {
            io: &self.io,
            metadata,
            snapshot_id: self.snapshot_id,
            files: &self.files,
        };
        let merged = sink.write(spec_id, ManifestContentType::Data, lines.into_iter()).await?;
        self.merged.insert(key, merged.clone());
        Ok(merged)
    }

    /// Live entries stay; of the deleted ones only ours are news.
    fn merged_line<'e>(&self, entry: &'e Entry) -> Option<Line<'e>> {
        match entry.status() {
            ManifestStatus::Deleted => {
                (entry.snapshot_id == Some(self.snapshot_id)).then_some(Line::Deleted(entry))
            }
            ManifestStatus::Added | ManifestStatus::Existing => Some(Line::Existing(entry)),
        }
    }

    async fn write_snapshot(
        &self,
        metadata: &TableMetadata,
        parent: Option<&SnapshotRef>,
        tally: &Tally,
        manifests: Vec<ManifestFile>,
    ) -> Result<Snapshot> {
        let sink = ManifestSink {
            io: &self.io,
            metadata,
            snapshot_id: self.snapshot_id,
            files: &self.files,
        };
        let previous = parent.map(|p| p.summary());
        let summary = tally.summary(self.op_id, &self.summary, previous, &manifests);
        let parent_id = parent.map(|p| p.snapshot_id());
        let list = sink.write_list(parent_id, manifests).await?;
        let builder = Snapshot::builder()
            .with_snapshot_id(self.snapshot_id)
            .with_parent_snapshot_id(parent_id)
            .with_sequence_number(metadata.next_sequence_number())
            // Another machine's clock may be ahead; history must not run backwards.
            .with_timestamp_ms(
                chrono::Utc::now().timestamp_millis().max(metadata.last_updated_ms()),
            )
            .with_manifest_list(list.uri)
            .with_summary(summary)
            .with_schema_id(metadata.current_schema_id());
        Ok(match list.row_range {
            Some((first, added)) => builder.with_row_range(first, added).build(),
            None => builder.build(),
        })
    }
}

async fn write_new(
    sink: ManifestSink<'_>,
    added: &[NewFile],
    (spec_id, members): (i32, Vec<usize>),
) -> Result<NewManifest> {
    let mut lines = Vec::with_capacity(members.len());
    for at in &members {
        lines.extend(added.get(*at).map(|new| Line::Added(&new.file)));
    }
    let file = sink.write(spec_id, ManifestContentType::Data, lines.into_iter()).await?;
    Ok(NewManifest { file, members })
}

async fn load_for_merge(
    manifests: &Manifests,
    manifest: &ManifestFile,
    snapshot_id: i64,
) -> Result<Vec<Entry>> {
    let entries = manifests.load(manifest).await?;
    Ok(if manifest.added_snapshot_id == snapshot_id {
        entries.iter().map(with_own_row_id).collect()
    } else {
        entries.to_vec()
    })
}

/// An entry of a manifest that this operation rewrote. No list has given that manifest a first row
/// id yet, without which a reader must ignore the explicit ids in it.
fn with_own_row_id(entry: &Entry) -> Entry {
    Entry { first_row_id: entry.data_file().first_row_id(), ..entry.clone() }
}

/// Files by partition spec, in runs whose manifests come out near `target_bytes`.
fn split(added: &[NewFile], target_bytes: u64) -> Vec<(i32, Vec<usize>)> {
    let mut by_spec: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (at, new) in added.iter().enumerate() {
        by_spec.entry(new.spec_id).or_default().push(at);
    }
    let mut runs = Vec::new();
    for (spec_id, members) in by_spec {
        let (mut run, mut bytes) = (Vec::new(), 0);
        for at in members {
            let size = added.get(at).map_or(0, |new| entry_bytes(&new.file));
            if bytes + size > target_bytes && !run.is_empty() {
                runs.push((spec_id, std::mem::take(&mut run)));
                bytes = 0;
            }
            bytes += size;
            run.push(at);
        }
        runs.push((spec_id, run));
    }
    runs
}

/// About what a file's entry takes in a manifest, which is not compressed.
fn entry_bytes(file: &DataFile) -> u64 {
    let counts = file.column_sizes().len()
        + file.value_counts().len()
        + file.null_value_counts().len()
        + file.nan_value_counts().len();
    let bounds = file.lower_bounds().len() + file.upper_bounds().len();
    (64 + file.file_path().len() + counts * 6 + bounds * 16) as u64
}

/// A positive id that no snapshot of the table has.
fn unused_snapshot_id(metadata: &TableMetadata) -> i64 {
    loop {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        let id = i64::try_from((high ^ low) >> 1).unwrap_or(0);
        if id > 0 && metadata.snapshot_by_id(id).is_none() {
            return id;
        }
    }
}
