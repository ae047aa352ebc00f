//! `$files`: a snapshot's live files, streamed manifest by manifest.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::spec::{DataContentType, DataFile, Datum, ManifestFile, SnapshotRef};
use fjord_catalog::table::Table;
use futures::{StreamExt, TryStreamExt, stream};

use super::bound::readable;
use super::column::{batch, bound_maps, count_maps, longs, strings};
use super::manifests::load_list;
use super::partition::PartitionColumn;
use crate::error::Result;

/// The rows of `$files`. Holds one manifest at a time.
pub(super) struct FilesStream {
    catalog: Catalog,
    table: Table,
    snapshot: Option<SnapshotRef>,
    partitions: Arc<PartitionColumn>,
    schema: SchemaRef,
}

impl fmt::Debug for FilesStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilesStream({})", self.table.name())
    }
}

impl FilesStream {
    pub(super) fn try_new(
        catalog: &Catalog,
        table: &Table,
        snapshot: Option<&SnapshotRef>,
    ) -> Result<Self> {
        let partitions = Arc::new(PartitionColumn::try_new(table.metadata())?);
        let schema = rows(&[], 0, &partitions)?.schema();
        Ok(Self {
            catalog: catalog.clone(),
            table: table.clone(),
            snapshot: snapshot.cloned(),
            partitions,
            schema,
        })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl PartitionStream for FilesStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (catalog, table) = (self.catalog.clone(), self.table.clone());
        let (snapshot, partitions) = (self.snapshot.clone(), Arc::clone(&self.partitions));
        let batches = stream::once(async move {
            let list = load_list(&catalog, &table, snapshot.as_ref()).await?;
            let manifests = list.as_slice().to_vec();
            Ok::<_, datafusion::error::DataFusionError>(stream::iter(manifests).then(
                move |manifest| {
                    let (catalog, table) = (catalog.clone(), table.clone());
                    let partitions = Arc::clone(&partitions);
                    async move { Ok(of_manifest(&catalog, &table, &manifest, &partitions).await?) }
                },
            ))
        })
        .try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

async fn of_manifest(
    catalog: &Catalog,
    table: &Table,
    manifest: &ManifestFile,
    partitions: &PartitionColumn,
) -> Result<RecordBatch> {
    let entries = catalog.load_manifest(table, manifest).await?;
    let files: Vec<&DataFile> =
        entries.iter().filter(|e| e.is_alive()).map(|e| e.data_file.as_ref()).collect();
    rows(&files, manifest.partition_spec_id, partitions)
}

fn rows(files: &[&DataFile], spec_id: i32, partitions: &PartitionColumn) -> Result<RecordBatch> {
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
        ("sort_order_id", Arc::new(sort_order)),
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
