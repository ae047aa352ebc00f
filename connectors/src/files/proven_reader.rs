//! A reader of Parquet files in whose footers text is marked as such, so that it is proven.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::Result as ParquetResult;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::parquet_text::marked;

/// Makes readers as `inner` does.
pub(super) struct ProvenReaders {
    inner: Arc<dyn ParquetFileReaderFactory>,
    /// Columns that are read as text, whatever a file says they are.
    text: Arc<HashSet<String>>,
}

impl ProvenReaders {
    /// For scans of a relation with `schema`.
    pub(super) fn new(inner: Arc<dyn ParquetFileReaderFactory>, schema: &Schema) -> Self {
        let is_text =
            |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let fields = schema.fields().iter().filter(|field| is_text(field.data_type()));
        Self { inner, text: Arc::new(fields.map(|field| field.name().clone()).collect()) }
    }
}

impl fmt::Debug for ProvenReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProvenReaders").field(&self.inner).finish()
    }
}

impl ParquetFileReaderFactory for ProvenReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let inner = self.inner.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(ProvenReader { inner, text: Arc::clone(&self.text) }))
    }
}

struct ProvenReader {
    inner: Box<dyn AsyncFileReader + Send>,
    text: Arc<HashSet<String>>,
}

impl AsyncFileReader for ProvenReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let footer = self.inner.get_metadata(options).await?;
            let safe = marked(&footer, &self.text)?;
            Ok(safe.map_or(footer, Arc::new))
        }
        .boxed()
    }
}
