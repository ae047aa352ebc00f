//! Rows into one new file: written beside the target, then renamed to it if nobody took the name.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::datatypes::SchemaRef;
use arrow::json::LineDelimitedWriter;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::AsyncArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tokio::io::AsyncWriteExt;

use super::options::{CopyOptions, Format};
use crate::error::{Error, ErrorKind, Result};

/// Where the file goes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    /// As the statement names it.
    pub(super) name: String,
}

impl Target {
    /// Writes every row; the number of them. A failure leaves no file.
    pub(super) async fn create(
        &self,
        rows: SendableRecordBatchStream,
        schema: &SchemaRef,
        options: &CopyOptions,
    ) -> Result<u64> {
        let partial = Path::from(format!("{}.{}.partial", self.path, uuid::Uuid::new_v4()));
        let mut file = BufWriter::new(Arc::clone(&self.store), partial.clone());
        let written = match options.format {
            Format::Parquet => write_parquet(file, rows, schema, options).await,
            Format::Csv | Format::Json => {
                let count = self.write_text(&mut file, rows, schema, options).await;
                match count {
                    Ok(count) => file.shutdown().await.map(|()| count).map_err(|e| self.failed(e)),
                    Err(e) => {
                        // What was uploaded so far is of no use; the first error is the one to tell.
                        let _aborted = file.abort().await;
                        Err(e)
                    }
                }
            }
        };
        let renamed = match written {
            Ok(count) => match self.store.rename_if_not_exists(&partial, &self.path).await {
                Ok(()) => return Ok(count),
                Err(object_store::Error::AlreadyExists { .. }) => Err(super::exists(&self.name)),
                Err(e) => Err(self.failed(e)),
            },
            Err(e) => Err(e),
        };
        // The partial file may not exist; the first error is the one to tell.
        let _deleted = self.store.delete(&partial).await;
        renamed
    }

    async fn write_text(
        &self,
        file: &mut BufWriter,
        mut rows: SendableRecordBatchStream,
        schema: &SchemaRef,
        options: &CopyOptions,
    ) -> Result<u64> {
        let mut count = 0;
        if options.format == Format::Csv && options.header {
            let header = encode(&RecordBatch::new_empty(Arc::clone(schema)), options, true)?;
            file.write_all(&header).await.map_err(|e| self.failed(e))?;
        }
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            count += batch.num_rows() as u64;
            let bytes = encode(&batch, options, false)?;
            file.write_all(&bytes).await.map_err(|e| self.failed(e))?;
        }
        Ok(count)
    }

    fn failed(&self, e: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::new(ErrorKind::Unavailable, format!("file {:?}: {e}", self.name)).with_source(e)
    }
}

fn encode(batch: &RecordBatch, options: &CopyOptions, header: bool) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match options.format {
        Format::Json => {
            LineDelimitedWriter::new(&mut bytes).write(batch).map_err(DataFusionError::from)?;
        }
        _ => {
            let mut writer = CsvWriterBuilder::new()
                .with_header(header)
                .with_delimiter(options.delimiter)
                .with_null(options.null.clone())
                .build(&mut bytes);
            writer.write(batch).map_err(DataFusionError::from)?;
        }
    }
    Ok(bytes)
}

async fn write_parquet(
    file: BufWriter,
    mut rows: SendableRecordBatchStream,
    schema: &SchemaRef,
    options: &CopyOptions,
) -> Result<u64> {
    let properties =
        WriterProperties::builder().set_compression(codec(&options.compression)?).build();
    let mut writer = AsyncArrowWriter::try_new(file, Arc::clone(schema), Some(properties))
        .map_err(DataFusionError::from)?;
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        writer.write(&batch).await.map_err(DataFusionError::from)?;
    }
    writer.close().await.map_err(DataFusionError::from)?;
    Ok(count)
}

fn codec(name: &str) -> Result<Compression> {
    Ok(match name {
        "zstd" => Compression::ZSTD(ZstdLevel::default()),
        "snappy" => Compression::SNAPPY,
        "gzip" => Compression::GZIP(GzipLevel::default()),
        "lz4" => Compression::LZ4_RAW,
        "brotli" => Compression::BROTLI(BrotliLevel::default()),
        "none" | "uncompressed" => Compression::UNCOMPRESSED,
        other => {
            return Err(Error::invalid(format!(
                "COPY option compression is {other:?}; it may be zstd, snappy, gzip, lz4, brotli \
                 or none"
            )));
        }
    })
}
