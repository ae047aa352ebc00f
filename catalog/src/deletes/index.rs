//! From the delete files of a snapshot to those of one data file, by the format's scope rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Entry;
use crate::partition::partition_key;
use crate::spec::{
    DataContentType, DataFile, DataFileFormat, ManifestFile, PrimitiveLiteral, Struct,
    TableMetadata,
};

/// Reserved field id of the column `file_path` of position delete files.
const FILE_PATH_ID: i32 = 2_147_483_546;

/// A delete file of a snapshot.
#[derive(Clone, Debug)]
pub struct DeleteFile {
    /// Path, format, counts, and where in a Puffin file a deletion vector is.
    pub file: Arc<DataFile>,
    /// Data sequence number.
    pub sequence_number: i64,
}

/// Equality deletes of one scope (a partition, or the whole table) by the same columns.
#[derive(Clone, Debug)]
pub struct EqualityDeletes {
    /// Field ids of the columns, ascending.
    pub ids: Vec<i32>,
    /// The files, oldest first. Each deletes from data files of a lower sequence number only.
    pub files: Vec<DeleteFile>,
}

/// The delete files that apply to one data file; at least one.
#[derive(Clone, Debug, Default)]
pub struct FileDeletes {
    /// The deletion vector (format 3). Where there is one, position deletes are part of it.
    pub vector: Option<DeleteFile>,
    /// Files of position deletes that may name the data file.
    pub positions: Vec<DeleteFile>,
    /// Equality deletes, of which some file is newer than the data file.
    pub equality: Vec<Arc<EqualityDeletes>>,
}

impl FileDeletes {
    /// Whether nothing applies.
    pub fn is_empty(&self) -> bool {
        self.vector.is_none() && self.positions.is_empty() && self.equality.is_empty()
    }
}

type Partition = (i32, Struct);

/// Every delete file of a snapshot, by what it may apply to.
///
/// | kind | applies to data files |
/// |---|---|
/// | deletion vector | of its path, not newer than it |
/// | position deletes that name one file | of this path, not newer |
/// | other position deletes | of its spec and partition, not newer |
/// | equality deletes | older ones, of its spec and partition, or of the table if its spec has none |
#[derive(Debug, Default)]
pub(crate) struct DeleteIndex {
    vectors: HashMap<String, DeleteFile>,
    by_path: HashMap<String, Vec<DeleteFile>>,
    by_partition: HashMap<Partition, Vec<DeleteFile>>,
    global_equality: BTreeMap<Vec<i32>, Vec<DeleteFile>>,
    equality: HashMap<Partition, BTreeMap<Vec<i32>, Vec<DeleteFile>>>,
}

impl DeleteIndex {
    /// Adds a live delete file.
    ///
    /// # Errors
    /// `Corrupt` for one that does not say what it applies to.
    pub(crate) fn add(
        &mut self,
        metadata: &TableMetadata,
        manifest: &ManifestFile,
        entry: &Entry,
    ) -> Result<()> {
        let file = &entry.data_file;
        let corrupt = |what: &str| {
            Error::new(ErrorKind::Corrupt, format!("delete file {:?} {what}", file.file_path()))
                .with_context("manifest", manifest.manifest_path.as_str())
        };
        let sequence_number =
            entry.sequence_number.ok_or_else(|| corrupt("has no sequence number"))?;
        let delete = DeleteFile { file: Arc::clone(file), sequence_number };
        let spec_id = manifest.partition_spec_id;
        let partition = || (spec_id, partition_key(file.partition()));
        if file.content_type() == DataContentType::EqualityDeletes {
            let mut ids = file.equality_ids().unwrap_or_default();
            ids.sort_unstable();
            ids.dedup();
            if ids.is_empty() {
                return Err(corrupt("does not say by which columns it deletes"));
            }
            let spec = metadata
                .partition_spec_by_id(spec_id)
                .ok_or_else(|| corrupt("has a partition spec that the table lacks"))?;
            let scope = if spec.is_unpartitioned() {
                &mut self.global_equality
            } else {
                self.equality.entry(partition()).or_default()
            };
            scope.entry(ids).or_default().push(delete);
        } else if file.file_format() == DataFileFormat::Puffin {
            let path = file
                .referenced_data_file()
                .ok_or_else(|| corrupt("is a deletion vector that names no data file"))?;
            if self.vectors.insert(path.clone(), delete).is_some() {
                return Err(corrupt(&format!("is the second deletion vector of {path:?}")));
            }
        } else if let Some(path) = file.referenced_data_file() {
            self.by_path.entry(path).or_default().push(delete);
        } else {
            self.by_partition.entry(partition()).or_default().push(delete);
        }
        Ok(())
    }

    /// Makes it ready for questions.
    pub(crate) fn finish(self) -> FinishedIndex {
        let finish = |groups: BTreeMap<Vec<i32>, Vec<DeleteFile>>| {
            groups
                .into_iter()
                .map(|(ids, mut files)| {
                    files.sort_by(|a, b| order(a).cmp(&order(b)));
                    Arc::new(EqualityDeletes { ids, files })
                })
                .collect::<Vec<_>>()
        };
        FinishedIndex {
            vectors: self.vectors,
            by_path: self.by_path,
            by_partition: self.by_partition,
            global_equality: finish(self.global_equality),
            equality: self.equality.into_iter().map(|(at, groups)| (at, finish(groups))).collect(),
        }
    }
}

/// The order in which files of one group are kept, whatever order manifests have.
fn order(delete: &DeleteFile) -> (i64, &str) {
    (delete.sequence_number, delete.file.file_path())
}

/// A [`DeleteIndex`] that is complete.
#[derive(Debug)]
pub(crate) struct FinishedIndex {
    vectors: HashMap<String, DeleteFile>,
    by_path: HashMap<String, Vec<DeleteFile>>,
    by_partition: HashMap<Partition, Vec<DeleteFile>>,
    global_equality: Vec<Arc<EqualityDeletes>>,
    equality: HashMap<Partition, Vec<Arc<EqualityDeletes>>>,
}

impl FinishedIndex {
    /// What applies to a data file; `None` if nothing does.
    pub(crate) fn of_file(
        &self,
        file: &DataFile,
        spec_id: i32,
        sequence_number: i64,
    ) -> Option<Arc<FileDeletes>> {
        let path = file.file_path();
        let partition = (spec_id, partition_key(file.partition()));
        let not_older = |delete: &&DeleteFile| delete.sequence_number >= sequence_number;
        let mut deletes = FileDeletes {
            vector: self.vectors.get(path).filter(not_older).cloned(),
            ..FileDeletes::default()
        };
        if deletes.vector.is_none() {
            let named = self.by_path.get(path).into_iter().flatten();
            let near = self.by_partition.get(&partition).into_iter().flatten();
            deletes.positions = named
                .chain(near.filter(|delete| may_name(&delete.file, path)))
                .filter(not_older)
                .cloned()
                .collect();
            deletes.positions.sort_by(|a, b| order(a).cmp(&order(b)));
        }
        let local = self.equality.get(&partition).into_iter().flatten();
        deletes.equality = self
            .global_equality
            .iter()
            .chain(local)
            .filter(|group| group.files.iter().any(|d| d.sequence_number > sequence_number))
            .cloned()
            .collect();
        (!deletes.is_empty()).then(|| Arc::new(deletes))
    }
}

/// Whether position deletes may name `path`, by the bounds of the paths in them.
fn may_name(delete: &DataFile, path: &str) -> bool {
    let bound = |bounds: &HashMap<i32, crate::spec::Datum>| match bounds.get(&FILE_PATH_ID) {
        Some(bound) => match bound.literal() {
            PrimitiveLiteral::String(text) => Some(text.clone()),
            _ => None,
        },
        None => None,
    };
    if bound(delete.lower_bounds()).is_some_and(|low| path < low.as_str()) {
        return false;
    }
    // A bound may have been cut, and not every writer raises what it cuts.
    !bound(delete.upper_bounds())
        .is_some_and(|high| path > high.as_str() && !path.starts_with(high.as_str()))
}
