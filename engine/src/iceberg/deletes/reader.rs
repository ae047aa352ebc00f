//! Reading a delete file: Parquet by field id, or a range of bytes; errors name the file.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, Schema};
use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStoreExt};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use super::attach::StoredDeletes;
use crate::error::{Error, ErrorKind};
use crate::iceberg::adapter::FieldIdAdapterFactory;
use crate::iceberg::footer::{FooterCache, FooterReaderFactory};
use crate::iceberg::guard::stored_error;

/// Rows of a delete file that are decoded at a time.
const BATCH_ROWS: usize = 8192;

/// Where a column is in the file, if it is there, and how it is read.
type Placed = (Option<usize>, Arc<dyn PhysicalExpr>);

/// Reads delete files of one table.
#[derive(Debug)]
pub(super) struct DeleteReader {
    pub(super) adapters: FieldIdAdapterFactory,
    pub(super) footers: FooterCache,
}

impl DeleteReader {
    /// The bytes of a deletion vector.
    pub(super) async fn blob(&self, file: &StoredDeletes) -> Result<Bytes> {
        let range = file.range.clone().unwrap_or(0..file.size_bytes);
        let expected = range.end.saturating_sub(range.start);
        let bytes = file.at.store.get_range(&file.at.path, range).await;
        let bytes = bytes.map_err(|e| named(file, e.into()))?;
        if bytes.len() as u64 != expected {
            let e = Error::new(ErrorKind::Corrupt, "it ends within the deletion vector");
            return Err(named(file, e.into()));
        }
        Ok(bytes)
    }

    /// Calls `each` with the columns `fields` of the file, batch by batch.
    pub(super) async fn batches(
        &self,
        file: &StoredDeletes,
        fields: &[FieldRef],
        each: impl FnMut(&[ArrayRef]) -> Result<()> + Send,
    ) -> Result<()> {
        self.read(file, fields, each).await.map_err(|e| named(file, e))
    }

    async fn read(
        &self,
        file: &StoredDeletes,
        fields: &[FieldRef],
        mut each: impl FnMut(&[ArrayRef]) -> Result<()> + Send,
    ) -> Result<()> {
        let mut batches = self.open(file, fields, &[]).await?;
        while let Some(arrays) = batches.try_next().await? {
            each(&arrays)?;
            // Decoding never waits when the bytes are there: let others have the thread.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// The columns `fields` of the file and then `optional` ones, which are NULL where it lacks
    /// them, batch by batch.
    pub(super) async fn open(
        &self,
        file: &StoredDeletes,
        fields: &[FieldRef],
        optional: &[FieldRef],
    ) -> Result<BoxStream<'static, Result<Vec<ArrayRef>>>> {
        let at = &file.at;
        let readers =
            FooterReaderFactory::new(Arc::clone(&at.store), &at.store_url, self.footers.clone());
        let object = PartitionedFile::new_from_meta(ObjectMeta {
            location: at.path.clone(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: file.size_bytes,
            e_tag: None,
            version: None,
        });
        let metrics = ExecutionPlanMetricsSet::new();
        let reader: Box<dyn AsyncFileReader> = readers.create_reader(0, object, None, &metrics)?;
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
        let columns = self.columns(&Arc::clone(builder.schema()), fields, optional)?;
        let roots: Vec<usize> = columns.iter().filter_map(|(at, _)| *at).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let stream = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
        Ok(stream
            .map(move |batch| {
                let batch = batch?;
                columns.iter().map(|(_, expr)| evaluate(expr, &batch)).collect()
            })
            .boxed())
    }

    /// Where each of `fields` is in the file, and how it is read as the table has it.
    fn columns(
        &self,
        physical: &Arc<Schema>,
        fields: &[FieldRef],
        optional: &[FieldRef],
    ) -> Result<Vec<Placed>> {
        let all: Vec<FieldRef> = fields.iter().chain(optional).map(Arc::clone).collect();
        let logical = Arc::new(Schema::new(all.clone()));
        let adapter = self.adapters.create(Arc::clone(&logical), Arc::clone(physical))?;
        all.iter()
            .enumerate()
            .map(|(at, field)| {
                let expr = adapter.rewrite(Arc::new(Column::new(field.name(), at)))?;
                let root = datafusion::physical_expr::utils::collect_columns(&expr);
                match root.iter().next() {
                    Some(column) if !expr.is::<Literal>() => Ok((Some(column.index()), expr)),
                    _ if at >= fields.len() => Ok((None, expr)),
                    _ => Err(Error::new(
                        ErrorKind::Corrupt,
                        format!("it has no column {:?}", field.name()),
                    )
                    .into()),
                }
            })
            .collect()
    }
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    let schema = batch.schema();
    let expr = datafusion::physical_expr::utils::reassign_expr_columns(Arc::clone(expr), &schema)?;
    expr.evaluate(batch)?.into_array(batch.num_rows())
}

/// An error that names the delete file. It keeps no source: what reads the data file would take a
/// missing delete file for a missing data file.
pub(super) fn named(file: &StoredDeletes, e: DataFusionError) -> DataFusionError {
    let (kind, text) = match stored_error(&e) {
        Some(object_store::Error::NotFound { .. }) => {
            (ErrorKind::NotFound, "it is in the table, but not in the store".to_owned())
        }
        Some(cause) => (ErrorKind::Unavailable, format!("it cannot be read: {cause}")),
        None => {
            let is_parquet = matches!(e.find_root(), DataFusionError::ParquetError(_));
            let error = Error::from(e);
            (if is_parquet { ErrorKind::Corrupt } else { error.kind() }, error.to_string())
        }
    };
    Error::new(kind, format!("delete file {:?}: {text}", file.uri)).into()
}
