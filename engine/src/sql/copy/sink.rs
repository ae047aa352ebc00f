//! Rows into one new file, which appears whole or not at all.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::datatypes::SchemaRef;
use arrow::json::LineDelimitedWriter;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use fjord_catalog::storage::Resolved;
use fjord_connectors::relation::StoreLocation;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::options::{CopyOptions, Format};
use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::write::upload::Upload;

/// Where the file goes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) location: StoreLocation,
    /// As the statement names it.
    pub(super) name: String,
}

impl Target {
    /// Writes every row; the number of them. A failure leaves no file, and dropping the future
    /// leaves none either.
    pub(super) async fn create(
        &self,
        rows: SendableRecordBatchStream,
        schema: &SchemaRef,
        options: &CopyOptions,
    ) -> Result<u64> {
        let StoreLocation { store, path, store_url } = self.location.clone();
        let place = Resolved { store, path, store_url };
        let mut upload = Upload::of_chosen_name(place, self.name.clone());
        let count = match options.format {
            Format::Parquet => write_parquet(&mut upload, rows, schema, options).await,
            Format::Csv | Format::Json => write_text(&mut upload, rows, schema, options).await,
        }?;
        match upload.complete().await {
            Ok(_bytes) => Ok(count),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(super::exists(&self.name)),
            Err(e) => Err(e),
        }
    }
}

async fn write_text(
    upload: &mut Upload,
    mut rows: SendableRecordBatchStream,
    schema: &SchemaRef,
    options: &CopyOptions,
) -> Result<u64> {
    let mut count = 0;
    if options.format == Format::Csv && options.header {
        let header = encode(&RecordBatch::new_empty(Arc::clone(schema)), options, true)?;
        upload.put(header.into()).await?;
    }
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        upload.put(encode(&batch, options, false)?.into()).await?;
    }
    Ok(count)
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
    upload: &mut Upload,
    mut rows: SendableRecordBatchStream,
    schema: &SchemaRef,
    options: &CopyOptions,
) -> Result<u64> {
    let properties =
        WriterProperties::builder().set_compression(codec(&options.compression)?).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties))
        .map_err(DataFusionError::from)?;
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        writer.write(&batch).map_err(DataFusionError::from)?;
        let encoded = std::mem::take(writer.inner_mut());
        if !encoded.is_empty() {
            upload.put(encoded.into()).await?;
        }
    }
    writer.finish().map_err(DataFusionError::from)?;
    upload.put(std::mem::take(writer.inner_mut()).into()).await?;
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
