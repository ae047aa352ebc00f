//! TPC-H: the tables as Parquet files, and the 22 queries.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

/// The eight tables.
pub const TABLES: [&str; 8] =
    ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];

/// The text of query `number` (1 to 22) with the specification's validation parameters.
pub fn query(number: usize) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tpch/q{number:02}.sql"));
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Writes every table that is not there yet as `<folder>/<table>.parquet` (zstd) at `scale`.
pub fn generate(folder: &Path, scale: f64) -> Result<()> {
    TABLES.iter().try_for_each(|table| generate_table(folder, table, scale))
}

/// Writes one table, unless it is there.
pub fn generate_table(folder: &Path, table: &str, scale: f64) -> Result<()> {
    let path = raw_file(folder, table);
    if path.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let partial = path.with_extension("partial");
    write(&partial, batches(table, scale)?)?;
    std::fs::rename(&partial, &path)?;
    Ok(())
}

/// Where [`generate`] puts a table.
pub fn raw_file(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.parquet"))
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

fn batches(table: &str, scale: f64) -> Result<Batches> {
    Ok(match table {
        "region" => Box::new(RegionArrow::new(RegionGenerator::new(scale, 1, 1))),
        "nation" => Box::new(NationArrow::new(NationGenerator::new(scale, 1, 1))),
        "supplier" => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1))),
        "customer" => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1))),
        "part" => Box::new(PartArrow::new(PartGenerator::new(scale, 1, 1))),
        "partsupp" => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1))),
        "orders" => Box::new(OrderArrow::new(OrderGenerator::new(scale, 1, 1))),
        "lineitem" => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1))),
        other => anyhow::bail!("no TPC-H table is called {other:?}"),
    })
}

fn write(path: &Path, mut batches: Batches) -> Result<()> {
    let first = batches.next().context("the generator made no rows")??;
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?));
    let mut writer =
        ArrowWriter::try_new(File::create(path)?, first.schema(), Some(properties.build()))?;
    writer.write(&first)?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(())
}
