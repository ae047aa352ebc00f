//! One data file being written: rows in, a closed object and its `DataFile` out.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use fjord_catalog::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Struct};
use fjord_catalog::storage::{Resolved, Storage};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::schema::types::SchemaDescriptor;

use super::options::WriteOptions;
use super::upload::{PART_BYTES, Upload};
use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::metrics::NanCounter;

/// What all files of a statement share.
#[derive(Debug)]
pub(crate) struct FileShape {
    pub(crate) storage: Storage,
    pub(crate) arrow: SchemaRef,
    pub(crate) parquet: SchemaDescriptor,
    pub(crate) options: WriteOptions,
    pub(crate) spec_id: i32,
    /// Set when the rows of each file are sorted by the table's order.
    pub(crate) sort_order_id: Option<i32>,
}

/// Encoded bytes in pieces, so that a large row group is never copied to grow one buffer.
#[derive(Debug, Default)]
struct Pieces {
    full: Vec<Bytes>,
    current: Vec<u8>,
}

impl Pieces {
    fn bytes(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.current.capacity()
    }

    fn take(&mut self) -> Vec<Bytes> {
        let mut pieces = std::mem::take(&mut self.full);
        if !self.current.is_empty() {
            pieces.push(std::mem::take(&mut self.current).into());
        }
        pieces
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.current.extend_from_slice(bytes);
        if self.current.len() >= PART_BYTES {
            self.full.push(std::mem::take(&mut self.current).into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A data file that is not visible yet. Dropping it leaves nothing in the store.
pub(crate) struct OpenFile {
    shape: Arc<FileShape>,
    uri: String,
    target: Resolved,
    partition: Struct,
    writer: ArrowWriter<Pieces>,
    upload: Upload,
    nans: NanCounter,
    rows: u64,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile")
            .field("uri", &self.uri)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// A data file that exists in the store.
#[derive(Debug)]
pub(crate) struct ClosedFile {
    pub(crate) data_file: DataFile,
    pub(crate) target: Resolved,
}

impl OpenFile {
    /// Opens `<data location>/<directory>/<name>`. Nothing reaches the store yet.
    pub(crate) fn open(
        shape: &Arc<FileShape>,
        directory: &str,
        name: &str,
        partition: Struct,
    ) -> Result<Self> {
        let location = &shape.options.data_location;
        let uri = match directory {
            "" => format!("{location}/{name}"),
            directory => format!("{location}/{directory}/{name}"),
        };
        let target = shape.storage.resolve(&uri)?;
        let options = ArrowWriterOptions::new()
            .with_properties(shape.options.parquet.clone())
            .with_parquet_schema(shape.parquet.clone())
            // Field ids and the Parquet types say all; Arrow's own schema would ask other readers
            // for our in-memory layouts (string views).
            .with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(Pieces::default(), Arc::clone(&shape.arrow), options)
                .map_err(|e| encoding_failed(&uri, e))?;
        Ok(Self {
            upload: Upload::new(target.clone(), uri.clone()),
            nans: shape.options.modes.nan_counter(),
            shape: Arc::clone(shape),
            uri,
            target,
            partition,
            writer,
            rows: 0,
        })
    }

    /// Encodes rows, and sends on what a finished row group yields.
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.nans.add(&self.shape.options.modes, batch);
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|e| encoding_failed(&self.uri, e))?;
        self.send().await
    }

    async fn send(&mut self) -> Result<()> {
        for piece in self.writer.inner_mut().take() {
            self.upload.put(piece).await?;
        }
        Ok(())
    }

    /// Ends the row group, which frees most of the memory that the file holds.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|e| encoding_failed(&self.uri, e))?;
        self.send().await
    }

    /// Bytes of memory that this file holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.writer.memory_size() + self.writer.inner().bytes() + self.upload.held_bytes()
    }

    /// How large the file would be if it were closed now, roughly.
    pub(crate) fn file_bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// Writes the footer and makes the file visible.
    pub(crate) async fn close(mut self) -> Result<ClosedFile> {
        let footer = self.writer.finish().map_err(|e| encoding_failed(&self.uri, e))?;
        self.send().await?;
        let file_bytes = self.upload.complete().await?;

        let mut builder = DataFileBuilder::default();
        builder
            .content(DataContentType::Data)
            .file_path(self.uri.clone())
            .file_format(DataFileFormat::Parquet)
            .partition(self.partition)
            .partition_spec_id(self.shape.spec_id)
            .record_count(self.rows)
            .file_size_in_bytes(file_bytes)
            .split_offsets(Some(
                footer
                    .row_groups()
                    .iter()
                    .filter_map(|group| group.file_offset().or_else(|| first_page(group)))
                    .collect(),
            ));
        if let Some(id) = self.shape.sort_order_id {
            builder.sort_order_id(id);
        }
        self.shape.options.modes.fill(&mut builder, &footer, &self.nans)?;
        let data_file = builder.build().map_err(|e| {
            Error::new(ErrorKind::Bug, format!("data file \"{}\" is incomplete: {e}", self.uri))
                .with_source(e)
        })?;
        Ok(ClosedFile { data_file, target: self.target })
    }
}

fn first_page(group: &parquet::file::metadata::RowGroupMetaData) -> Option<i64> {
    group.columns().first().map(|c| c.dictionary_page_offset().unwrap_or(c.data_page_offset()))
}

fn encoding_failed(uri: &str, e: parquet::errors::ParquetError) -> Error {
    Error::new(ErrorKind::Execution, format!("data file \"{uri}\" cannot be encoded: {e}"))
        .with_source(e)
}
