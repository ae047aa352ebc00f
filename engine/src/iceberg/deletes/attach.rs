//! From planned delete files to what a data file of a scan carries with it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use fjord_catalog::deletes::{DeleteFile, EqualityDeletes, VECTOR_BYTES_MAX};
use fjord_catalog::plan_files::PlannedFile;
use fjord_catalog::spec::{DataFileFormat, Schema as IcebergSchema, TableMetadata};
use fjord_catalog::storage::{Resolved, Storage};

use super::cache::DeleteKey;
use super::columns::{KeyColumn, KeyColumns};
use crate::error::{Error, ErrorKind, Result};

/// The deletes of one data file, as an extension of its `PartitionedFile`.
#[derive(Debug)]
pub(in crate::iceberg) struct Attached {
    /// The data file's URI, as position deletes name it.
    pub(super) uri: String,
    /// Its rows, by the manifest.
    pub(super) rows: u64,
    /// Its data sequence number.
    pub(super) sequence_number: i64,
    pub(super) vector: Option<Arc<StoredDeletes>>,
    pub(super) positions: Vec<Arc<StoredDeletes>>,
    pub(super) equality: Vec<Arc<KeyGroup>>,
}

impl Attached {
    /// The statistics of what is left of a file: nothing is exact any more.
    pub(in crate::iceberg) fn without_deleted(&self, file: &Statistics) -> Statistics {
        let by_position: u64 = match &self.vector {
            Some(vector) => vector.records,
            None => self.positions.iter().filter(|p| p.names_one).map(|p| p.records).sum(),
        };
        let by_position = usize::try_from(by_position).unwrap_or(usize::MAX);
        let mut left = file.clone().to_inexact();
        if let Precision::Inexact(rows) = left.num_rows {
            left.num_rows = Precision::Inexact(rows.saturating_sub(by_position));
        }
        left
    }
}

/// A delete file, or the part of a Puffin file that is one.
#[derive(Debug)]
pub(super) struct StoredDeletes {
    pub(super) uri: String,
    pub(super) at: Resolved,
    pub(super) size_bytes: u64,
    /// Where in the file, for deletion vectors.
    pub(super) range: Option<Range<u64>>,
    /// Rows that it deletes, by the manifest.
    pub(super) records: u64,
    /// Whether it deletes from one data file only.
    pub(super) names_one: bool,
    pub(super) key: DeleteKey,
}

/// Equality deletes of one scope by the same columns.
#[derive(Debug)]
pub(super) struct KeyGroup {
    pub(super) columns: Vec<KeyColumn>,
    /// Each with its sequence number.
    pub(super) files: Vec<(Arc<StoredDeletes>, i64)>,
    pub(super) key: DeleteKey,
}

/// Attaches deletes to the data files of one scan.
#[derive(Debug)]
pub(in crate::iceberg) struct Attachments<'a> {
    storage: &'a Storage,
    columns: KeyColumns<'a>,
    stored: HashMap<(String, u64), Arc<StoredDeletes>>,
    groups: HashMap<*const EqualityDeletes, Arc<KeyGroup>>,
    any: bool,
}

impl<'a> Attachments<'a> {
    /// For a scan with `schema` of the table of `metadata`, whose files are in `storage`.
    pub(in crate::iceberg) fn new(
        storage: &'a Storage,
        metadata: &'a TableMetadata,
        schema: &'a IcebergSchema,
    ) -> Self {
        let columns = KeyColumns::new(metadata, schema);
        Self { storage, columns, stored: HashMap::new(), groups: HashMap::new(), any: false }
    }

    /// What applies to a data file, if anything does.
    ///
    /// # Errors
    /// `Unsupported` for formats that cannot be read; `Corrupt` for what contradicts itself.
    pub(in crate::iceberg) fn of_file(
        &mut self,
        planned: &PlannedFile,
    ) -> Result<Option<Attached>> {
        let Some(deletes) = &planned.deletes else { return Ok(None) };
        self.any = true;
        let vector = deletes.vector.as_ref().map(|file| self.stored(file)).transpose()?;
        let positions =
            deletes.positions.iter().map(|file| self.stored(file)).collect::<Result<_>>()?;
        let equality =
            deletes.equality.iter().map(|group| self.group(group)).collect::<Result<_>>()?;
        Ok(Some(Attached {
            uri: planned.file.file_path().to_owned(),
            rows: planned.file.record_count(),
            sequence_number: planned.sequence_number,
            vector,
            positions,
            equality,
        }))
    }

    /// The columns that deletes need and the scan's schema lacks; `None` without any deletes.
    pub(in crate::iceberg) fn finish(self) -> Option<Vec<FieldRef>> {
        self.any.then(|| self.columns.into_hidden())
    }

    fn stored(&mut self, delete: &DeleteFile) -> Result<Arc<StoredDeletes>> {
        let file = &delete.file;
        let range = match file.file_format() {
            DataFileFormat::Parquet => None,
            DataFileFormat::Puffin => Some(vector_range(delete)?),
            other => {
                return Err(Error::unsupported(format!(
                    "delete file {:?}: {other} files cannot be read, only parquet ones and \
                     deletion vectors",
                    file.file_path()
                )));
            }
        };
        let start = range.as_ref().map_or(0, |range| range.start);
        let id = (file.file_path().to_owned(), start);
        if let Some(stored) = self.stored.get(&id) {
            return Ok(Arc::clone(stored));
        }
        let stored = Arc::new(StoredDeletes {
            uri: id.0.clone(),
            at: self.storage.resolve(file.file_path())?,
            size_bytes: file.file_size_in_bytes(),
            key: DeleteKey::new(format!("{}@{start}", file.file_path())),
            range,
            records: file.record_count(),
            names_one: file.referenced_data_file().is_some(),
        });
        self.stored.insert(id, Arc::clone(&stored));
        Ok(stored)
    }

    fn group(&mut self, deletes: &Arc<EqualityDeletes>) -> Result<Arc<KeyGroup>> {
        if let Some(group) = self.groups.get(&Arc::as_ptr(deletes)) {
            return Ok(Arc::clone(group));
        }
        let mut files = Vec::with_capacity(deletes.files.len());
        for delete in &deletes.files {
            files.push((self.stored(delete)?, delete.sequence_number));
        }
        let columns: Vec<KeyColumn> =
            deletes.ids.iter().map(|id| self.columns.find(*id)).collect::<Result<_>>()?;
        let mut text = String::new();
        for (id, column) in deletes.ids.iter().zip(&columns) {
            // The same files read for a promoted column are other keys.
            text.push_str(&format!("{id}:{};", column.data_type()));
        }
        for (file, sequence_number) in &files {
            text.push_str(&format!("{sequence_number}:{}\n", file.uri));
        }
        let group = Arc::new(KeyGroup { columns, files, key: DeleteKey::new(text) });
        self.groups.insert(Arc::as_ptr(deletes), Arc::clone(&group));
        Ok(group)
    }
}

fn vector_range(delete: &DeleteFile) -> Result<Range<u64>> {
    let file = &delete.file;
    let corrupt = |what: &str| {
        Error::new(ErrorKind::Corrupt, format!("delete file {:?}: {what}", file.file_path()))
    };
    let whole = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
    let (Some(offset), Some(bytes)) =
        (whole(file.content_offset()), whole(file.content_size_in_bytes()))
    else {
        return Err(corrupt("the manifest does not say where in it the deletion vector is"));
    };
    let end = offset.saturating_add(bytes);
    if bytes > VECTOR_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "delete file {:?}: a deletion vector of {bytes} bytes is more than the limit of \
                 {VECTOR_BYTES_MAX}",
                file.file_path()
            ),
        ));
    }
    // Not every writer counts the whole Puffin file; where it is shorter, reading says so.
    Ok(offset..end)
}
