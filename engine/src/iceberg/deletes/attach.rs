//! From planned delete files to what a data file of a scan carries with it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use fjord_catalog::deletes::{DeleteFile, EqualityDeletes, VECTOR_BYTES_MAX};
use fjord_catalog::evolve::NAME_MAPPING;
use fjord_catalog::plan_files::PlannedFile;
use fjord_catalog::spec::{DataFile, DataFileFormat, Schema as IcebergSchema, TableMetadata};
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
    /// Columns which only deletes need and the file's partition fixes, by their place in the scan.
    pub(super) fixed: Vec<(usize, ScalarValue)>,
}

impl Attached {
    /// The statistics of the file for a scan that reads columns which only deletes need: what its
    /// partition fixes is taken from there, as the file may omit it.
    pub(super) fn with_fixed(&self, file: Option<Arc<Statistics>>) -> Option<Arc<Statistics>> {
        let file = file?;
        let Some(last) = self.fixed.iter().map(|(at, _)| *at).max() else { return Some(file) };
        let mut more = Arc::unwrap_or_clone(file);
        let rows = more.num_rows;
        more.column_statistics.resize_with(last + 1, ColumnStatistics::new_unknown);
        for (at, value) in &self.fixed {
            let column = &mut more.column_statistics[*at];
            if value.is_null() {
                column.null_count = rows;
            } else {
                column.null_count = Precision::Exact(0);
                column.min_value = Precision::Exact(value.clone());
                column.max_value = Precision::Exact(value.clone());
            }
        }
        Some(Arc::new(more))
    }

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
    lineage: String,
    any: bool,
}

impl<'a> Attachments<'a> {
    /// For a scan with `schema` of the table of `metadata`, whose files are in `storage`.
    pub(in crate::iceberg) fn new(
        storage: &'a Storage,
        metadata: &'a TableMetadata,
        schema: &'a IcebergSchema,
    ) -> Self {
        Self {
            storage,
            columns: KeyColumns::new(metadata, schema),
            stored: HashMap::new(),
            groups: HashMap::new(),
            lineage: lineage(metadata, schema),
            any: false,
        }
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
            deletes.equality.iter().map(|group| self.group(group)).collect::<Result<Vec<_>>>()?;
        let fixed = match equality.is_empty() {
            true => Vec::new(),
            false => self.columns.fixed(planned)?,
        };
        Ok(Some(Attached {
            uri: planned.file.file_path().to_owned(),
            rows: planned.file.record_count(),
            sequence_number: planned.sequence_number,
            vector,
            positions,
            equality,
            fixed,
        }))
    }

    /// The columns that deletes need and the scan's schema lacks; `None` without any deletes.
    pub(in crate::iceberg) fn finish(self) -> Option<Vec<FieldRef>> {
        self.any.then(|| self.columns.into_hidden())
    }

    fn stored(&mut self, delete: &DeleteFile) -> Result<Arc<StoredDeletes>> {
        let stored = stored(self.storage, &delete.file)?;
        let start = stored.range.as_ref().map_or(0, |range| range.start);
        let known = self.stored.entry((stored.uri.clone(), start));
        Ok(Arc::clone(known.or_insert_with(|| Arc::new(stored))))
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
        let key = self.group_key(&deletes.ids, &columns, &files);
        let group = Arc::new(KeyGroup { columns, files, key });
        self.groups.insert(Arc::as_ptr(deletes), Arc::clone(&group));
        Ok(group)
    }

    /// What the keys are made of, and what decides which values a data file has in their columns:
    /// how the table's columns are found in files is a matter of its schemas and its name mapping.
    fn group_key(
        &self,
        ids: &[i32],
        columns: &[KeyColumn],
        files: &[(Arc<StoredDeletes>, i64)],
    ) -> DeleteKey {
        let mut parts = vec!["keys".to_owned(), self.lineage.clone()];
        for (id, column) in ids.iter().zip(columns) {
            // The same files read for a promoted column are other keys.
            parts.push(format!("{id}:{}", column.data_type()));
        }
        for (file, sequence_number) in files {
            parts.push(format!("{sequence_number}:{}:{}", file.size_bytes, file.uri));
        }
        DeleteKey::of(parts.iter().map(String::as_bytes))
    }
}

/// Of which table a scan is, and by which of its schemas it reads files.
fn lineage(metadata: &TableMetadata, schema: &IcebergSchema) -> String {
    let latest = metadata.schemas_iter().map(|schema| schema.schema_id()).max();
    let mapping = metadata.properties().get(NAME_MAPPING);
    format!("{} {} {latest:?} {mapping:?}", metadata.uuid(), schema.schema_id())
}

/// Where a file of deletes is, and which part of it.
///
/// # Errors
/// `Unsupported` for formats that cannot be read; `Corrupt` for what contradicts itself.
pub(super) fn stored(storage: &Storage, file: &DataFile) -> Result<StoredDeletes> {
    let range = match file.file_format() {
        DataFileFormat::Parquet => None,
        DataFileFormat::Puffin => Some(vector_range(file)?),
        other => {
            return Err(Error::unsupported(format!(
                "delete file {:?}: {other} files cannot be read, only parquet ones and deletion \
                 vectors",
                file.file_path()
            )));
        }
    };
    let whole = 0..file.file_size_in_bytes();
    let Range { start, end } = range.as_ref().unwrap_or(&whole).clone();
    Ok(StoredDeletes {
        uri: file.file_path().to_owned(),
        at: storage.resolve(file.file_path())?,
        size_bytes: file.file_size_in_bytes(),
        key: DeleteKey::of([
            b"file".as_slice(),
            file.file_path().as_bytes(),
            // Another file of the same name is not the same deletes.
            &file.file_size_in_bytes().to_le_bytes(),
            &start.to_le_bytes(),
            &end.to_le_bytes(),
        ]),
        range,
        records: file.record_count(),
        names_one: file.referenced_data_file().is_some(),
    })
}

fn vector_range(file: &DataFile) -> Result<Range<u64>> {
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
