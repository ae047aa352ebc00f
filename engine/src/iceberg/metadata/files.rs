//! `$files`, `$data_files`, `$delete_files` and `$entries`, of a snapshot or (`$all_…`) of all,
//! streamed manifest by manifest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StructArray};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::streaming::PartitionStream;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::manifest::Entry;
use fjord_catalog::spec::{DataContentType, DataFile, Datum, ManifestFile, SnapshotRef};
use fjord_catalog::table::Table;
use futures::{StreamExt, TryStreamExt, stream};

use super::bound::readable;
use super::column::{batch, bound_maps, count_maps, int_lists, long_lists, longs, strings};
use super::lazy::LazyRows;
use super::manifests::load_list;
use super::partition::PartitionColumn;
use crate::error::{Error, Result};

/// Which files, and how they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `$files`: every live file.
    Files,
    /// `$data_files`: live data files.
    DataFiles,
    /// `$delete_files`: live files of deletes, of any kind.
    DeleteFiles,
    /// `$entries`: files with what the manifest says of them, deleted ones too.
    Entries,
}

impl Shape {
    fn takes(self, entry: &Entry) -> bool {
        let is_data = entry.content_type() == DataContentType::Data;
        match self {
            Self::Files => entry.is_alive(),
            Self::DataFiles => entry.is_alive() && is_data,
            Self::DeleteFiles => entry.is_alive() && !is_data,
            Self::Entries => true,
        }
    }
}

/// The manifests that a snapshot or all of them consist of.
pub(super) enum Of {
    /// One snapshot; none of a table never written.
    Snapshot(Option<SnapshotRef>),
    /// Every snapshot that is known, each manifest once.
    All,
}

/// The rows of `$files` and its kind, made while they are read. Holds one manifest at a time.
pub(super) fn files(
    catalog: &Catalog,
    table: &Table,
    shape: Shape,
    of: Of,
) -> Result<Arc<dyn PartitionStream>> {
    let partitions = Arc::new(PartitionColumn::try_new(table.metadata())?);
    let schema = rows_of(&[], 0, &partitions, shape)?.schema();
    let (catalog, table, of) = (catalog.clone(), table.clone(), Arc::new(of));
    let batches = move || {
        let (catalog, table) = (catalog.clone(), table.clone());
        let (partitions, of) = (Arc::clone(&partitions), Arc::clone(&of));
        let opened = async move {
            let manifests = manifests_of(&catalog, &table, &of).await?;
            let each = stream::iter(manifests).then(move |manifest| {
                let (catalog, table) = (catalog.clone(), table.clone());
                let partitions = Arc::clone(&partitions);
                async move {
                    let entries =
                        catalog.load_manifest(&table, &manifest).await.map_err(Error::from)?;
                    let taken: Vec<&Entry> = entries.iter().filter(|e| shape.takes(e)).collect();
                    Ok(rows_of(&taken, manifest.partition_spec_id, &partitions, shape)?)
                }
            });
            Ok::<_, DataFusionError>(each)
        };
        stream::once(opened).try_flatten().boxed()
    };
    Ok(Arc::new(LazyRows::new("files", schema, batches)))
}

async fn manifests_of(catalog: &Catalog, table: &Table, of: &Of) -> Result<Vec<ManifestFile>> {
    match of {
        Of::Snapshot(snapshot) => {
            Ok(load_list(catalog, table, snapshot.as_ref()).await?.as_slice().to_vec())
        }
        Of::All => {
            let mut seen = HashSet::new();
            let mut manifests = Vec::new();
            for snapshot in table.metadata().snapshots() {
                let list = load_list(catalog, table, Some(snapshot)).await?;
                let new = list.iter().filter(|m| seen.insert(m.manifest_path.clone()));
                manifests.extend(new.cloned());
            }
            Ok(manifests)
        }
    }
}

fn rows_of(
    entries: &[&Entry],
    spec_id: i32,
    partitions: &PartitionColumn,
    shape: Shape,
) -> Result<RecordBatch> {
    let files = rows(entries, spec_id, partitions)?;
    if shape != Shape::Entries {
        return Ok(files);
    }
    let status: Int32Array = entries.iter().map(|e| Some(e.status() as i32)).collect();
    batch(vec![
        ("status", Arc::new(status)),
        ("snapshot_id", longs(entries.iter().map(|e| e.snapshot_id))),
        ("sequence_number", longs(entries.iter().map(|e| e.sequence_number))),
        ("file_sequence_number", longs(entries.iter().map(|e| e.file_sequence_number))),
        ("data_file", Arc::new(StructArray::from(files))),
    ])
}

fn rows(entries: &[&Entry], spec_id: i32, partitions: &PartitionColumn) -> Result<RecordBatch> {
    let files: Vec<&DataFile> = entries.iter().map(|e| e.data_file.as_ref()).collect();
    let content: Int32Array = files.iter().map(|f| Some(content_code(f.content_type()))).collect();
    let spec: Int32Array = files.iter().map(|_| Some(spec_id)).collect();
    let sort_order: Int32Array = files.iter().map(|f| f.sort_order_id()).collect();
    let mut columns: Vec<(&'static str, ArrayRef)> = vec![
        ("content", Arc::new(content)),
        ("file_path", strings(files.iter().map(|f| Some(f.file_path())))),
        (
            "file_format",
            strings(files.iter().map(|f| Some(f.file_format().to_string().to_uppercase()))),
        ),
        ("spec_id", Arc::new(spec)),
    ];
    let tuples: Vec<_> = files.iter().map(|f| (spec_id, f.partition())).collect();
    if let Some(partition) = partitions.build(&tuples)? {
        columns.push(("partition", partition));
    }
    let counts = |of: fn(&DataFile) -> &HashMap<i32, u64>| {
        count_maps(files.iter().map(|f| of(f).iter().map(|(id, n)| (*id, *n)).collect()))
    };
    let bounds = |of: fn(&DataFile) -> &HashMap<i32, Datum>| {
        bound_maps(
            files.iter().map(|f| of(f).iter().map(|(id, bound)| (*id, readable(bound))).collect()),
        )
    };
    columns.extend([
        ("record_count", longs(files.iter().map(|f| Some(f.record_count())))),
        ("file_size_in_bytes", longs(files.iter().map(|f| Some(f.file_size_in_bytes())))),
        ("column_sizes", counts(DataFile::column_sizes)?),
        ("value_counts", counts(DataFile::value_counts)?),
        ("null_value_counts", counts(DataFile::null_value_counts)?),
        ("nan_value_counts", counts(DataFile::nan_value_counts)?),
        ("lower_bounds", bounds(DataFile::lower_bounds)?),
        ("upper_bounds", bounds(DataFile::upper_bounds)?),
        ("key_metadata", Arc::new(files.iter().map(|f| f.key_metadata()).collect::<BinaryArray>())),
        ("split_offsets", long_lists(files.iter().map(|f| f.split_offsets().map(<[i64]>::to_vec)))),
        ("equality_ids", int_lists(files.iter().map(|f| f.equality_ids()))),
        ("sort_order_id", Arc::new(sort_order)),
        // Inherited where the manifest itself gives none.
        ("first_row_id", longs(entries.iter().map(|e| e.first_row_id))),
        ("referenced_data_file", strings(files.iter().map(|f| f.referenced_data_file()))),
        ("content_offset", longs(files.iter().map(|f| f.content_offset()))),
        ("content_size_in_bytes", longs(files.iter().map(|f| f.content_size_in_bytes()))),
    ]);
    batch(columns)
}

/// As the format numbers them.
fn content_code(content: DataContentType) -> i32 {
    match content {
        DataContentType::Data => 0,
        DataContentType::PositionDeletes => 1,
        DataContentType::EqualityDeletes => 2,
    }
}
