//! `$position_deletes`: each row that a snapshot's files of position deletes and deletion vectors name,
//! streamed file by file.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, new_empty_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::streaming::PartitionStream;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::predicate::Predicate;
use fjord_catalog::spec::{
    DataContentType, DataFile, FormatVersion, ManifestContentType, SnapshotRef,
};
use fjord_catalog::table::Table;
use futures::{StreamExt, TryStreamExt, stream};

use super::column::{batch, longs, strings};
use super::lazy::LazyRows;
use super::manifests::load_list;
use super::partition::PartitionColumn;
use crate::error::{Error, Result};
use crate::iceberg::adapter::FieldIdAdapterFactory;
use crate::iceberg::deletes::{Listed, PositionLister};
use crate::iceberg::footer::FooterCache;
use crate::iceberg::types::{FIELD_ID, to_arrow_fields};

/// Reserved field id of the column in which a writer may keep the deleted row.
const ROW_ID: i32 = 2_147_483_544;

/// A deletion vector whose data file is not in the snapshot may name rows up to here.
const DANGLING_ROWS_MAX: u64 = 1 << 28;

/// A file of deletes, the spec and the data rows that it is about.
#[derive(Clone)]
struct Source {
    file: Arc<DataFile>,
    spec_id: i32,
    data_rows: u64,
}

/// The rows of `$position_deletes` of a snapshot, with the columns that Iceberg's own library gives
/// them; where in its file a deletion vector is, too, in format 3.
pub(super) fn position_deletes(
    catalog: &Catalog,
    table: &Table,
    snapshot: Option<&SnapshotRef>,
) -> Result<Arc<dyn PartitionStream>> {
    let metadata = table.metadata();
    let shape = Arc::new(Shape {
        partitions: PartitionColumn::try_new(metadata)?,
        row: row_field(table)?,
        has_places: metadata.format_version() >= FormatVersion::V3,
    });
    let schema = shape.rows(None, None)?.schema();
    let adapters =
        FieldIdAdapterFactory::try_new(metadata.current_schema(), metadata.properties())?
            .with_history(metadata.schemas_iter());
    let storage = catalog.storage().clone();
    let lister =
        PositionLister::new(storage, adapters, FooterCache::of_process(), Arc::clone(&shape.row));
    let lister = Arc::new(lister);
    let (catalog, table, snapshot) = (catalog.clone(), table.clone(), snapshot.cloned());
    let batches = move || {
        let (catalog, table, snapshot) = (catalog.clone(), table.clone(), snapshot.clone());
        let (shape, lister) = (Arc::clone(&shape), Arc::clone(&lister));
        let opened = async move {
            let sources = sources(&catalog, &table, snapshot.as_ref()).await?;
            let each = stream::iter(sources).then(move |source| {
                let (shape, lister) = (Arc::clone(&shape), Arc::clone(&lister));
                async move {
                    let listed = lister.list(Arc::clone(&source.file), source.data_rows).await?;
                    Ok::<_, DataFusionError>(
                        listed.map(move |rows| Ok(shape.rows(Some(&source), Some(rows?))?)),
                    )
                }
            });
            Ok::<_, DataFusionError>(each.try_flatten())
        };
        stream::once(opened).try_flatten().boxed()
    };
    Ok(Arc::new(LazyRows::new("position_deletes", schema, batches)))
}

/// Every live file that deletes by position.
async fn sources(
    catalog: &Catalog,
    table: &Table,
    snapshot: Option<&SnapshotRef>,
) -> Result<Vec<Source>> {
    let Some(snapshot) = snapshot else { return Ok(Vec::new()) };
    let mut sources = Vec::new();
    let mut has_vectors = false;
    for manifest in load_list(catalog, table, Some(snapshot)).await?.iter() {
        if manifest.content != ManifestContentType::Deletes {
            continue;
        }
        for entry in catalog.load_manifest(table, manifest).await?.iter() {
            let is_by_position = entry.content_type() == DataContentType::PositionDeletes;
            if entry.is_alive() && is_by_position {
                has_vectors |= entry.data_file.content_offset().is_some();
                sources.push(Source {
                    file: Arc::clone(&entry.data_file),
                    spec_id: manifest.partition_spec_id,
                    data_rows: DANGLING_ROWS_MAX,
                });
            }
        }
    }
    if has_vectors {
        let plan = catalog.plan_files(table, snapshot, &Predicate::True).await?;
        let rows: HashMap<&str, u64> = plan
            .files
            .iter()
            .map(|planned| (planned.file.file_path(), planned.file.record_count()))
            .collect();
        for source in &mut sources {
            let of = source.file.referenced_data_file();
            if let Some(known) = of.and_then(|path| rows.get(path.as_str())) {
                source.data_rows = *known;
            }
        }
    }
    Ok(sources)
}

/// The column `row`: a struct of the table's columns.
fn row_field(table: &Table) -> Result<FieldRef> {
    let columns = to_arrow_fields(table.metadata().current_schema().as_struct())?;
    let metadata = HashMap::from([(FIELD_ID.to_owned(), ROW_ID.to_string())]);
    Ok(Arc::new(Field::new("row", DataType::Struct(columns), true).with_metadata(metadata)))
}

struct Shape {
    partitions: PartitionColumn,
    row: FieldRef,
    has_places: bool,
}

impl Shape {
    /// The batch of `listed` rows of `source`; without any, the columns alone.
    fn rows(&self, source: Option<&Source>, listed: Option<Listed>) -> Result<RecordBatch> {
        let listed = listed.unwrap_or_else(|| Listed {
            paths: new_empty_array(&DataType::Utf8),
            positions: new_empty_array(&DataType::Int64),
            rows: new_empty_array(self.row.data_type()),
        });
        let count = listed.positions.len();
        let each = || (0..count).filter_map(|_| source);
        let paths = cast(&listed.paths, &DataType::Utf8).map_err(DataFusionError::from)?;
        let spec: Int32Array = each().map(|s| Some(s.spec_id)).collect();
        let mut columns: Vec<(&'static str, ArrayRef)> =
            vec![("file_path", paths), ("pos", listed.positions), ("row", listed.rows)];
        let tuples: Vec<_> = each().map(|s| (s.spec_id, s.file.partition())).collect();
        if let Some(partition) = self.partitions.build(&tuples)? {
            columns.push(("partition", partition));
        }
        columns.extend([
            ("spec_id", Arc::new(spec) as ArrayRef),
            ("delete_file_path", strings(each().map(|s| Some(s.file.file_path())))),
        ]);
        if self.has_places {
            columns.push(("content_offset", longs(each().map(|s| s.file.content_offset()))));
            let sizes = each().map(|s| s.file.content_size_in_bytes());
            columns.push(("content_size_in_bytes", longs(sizes)));
        }
        batch(columns).map_err(|e| Error::new(e.kind(), format!("$position_deletes: {e}")))
    }
}
