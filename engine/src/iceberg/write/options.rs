//! The table properties that shape data files, parsed and checked once per statement.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use fjord_catalog::spec::{Schema, TableMetadata};
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::SchemaDescriptor;

use crate::error::{Error, Result};
use crate::iceberg::metrics::MetricsModes;

const MIB: usize = 1024 * 1024;
/// Open partitions per task, unless the table says otherwise.
const OPEN_PARTITIONS_MAX: usize = 1_000;

/// How rows are spread over tasks (`write.distribution-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// As they come; each task writes every partition value that it meets.
    None,
    /// All rows of one partition value to one task: few files. The default of partitioned tables.
    Hash,
    /// As `Hash`, and sorted by partition value within the task, so that one file is open at a
    /// time. Rows are not range-partitioned across tasks.
    Range,
}

/// What a table's properties say about writing.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) target_file_bytes: usize,
    pub(crate) distribution: Distribution,
    pub(crate) open_partitions_max: usize,
    pub(crate) modes: MetricsModes,
    /// Without trailing slash.
    pub(crate) data_location: String,
    pub(crate) parquet: WriterProperties,
}

impl WriteOptions {
    /// Reads the properties of `table`.
    ///
    /// # Errors
    /// `Invalid`, naming the property, for a value that cannot be honoured.
    pub(crate) fn try_new(table: &TableMetadata, parquet: &SchemaDescriptor) -> Result<Self> {
        let properties = Properties(table.properties());
        if let Some(format) = properties.text("write.format.default")
            && !format.eq_ignore_ascii_case("parquet")
        {
            return Err(Error::unsupported(format!(
                "table property \"write.format.default\" is \"{format}\": only parquet is written"
            )));
        }
        let distribution = match properties.text("write.distribution-mode") {
            None | Some("hash") => Distribution::Hash,
            Some("none") => Distribution::None,
            Some("range") => Distribution::Range,
            Some(other) => {
                return Err(invalid("write.distribution-mode", other, "none, hash or range"));
            }
        };
        let data_location = match properties.text("write.data.path") {
            Some(path) => path.trim_end_matches('/').to_owned(),
            None => format!("{}/data", table.location().trim_end_matches('/')),
        };
        let modes = MetricsModes::try_new(table.current_schema(), table.properties())?;
        Ok(Self {
            target_file_bytes: properties.positive("write.target-file-size-bytes", 512 * MIB)?,
            distribution,
            open_partitions_max: properties
                .positive("write.fjord.open-partitions-max", OPEN_PARTITIONS_MAX)?,
            parquet: parquet_properties(&properties, table.current_schema(), parquet, &modes)?,
            modes,
            data_location,
        })
    }
}

struct Properties<'a>(&'a HashMap<String, String>);

fn invalid(key: &str, value: &str, wanted: &str) -> Error {
    Error::invalid(format!("table property \"{key}\" is \"{value}\": it must be {wanted}"))
}

impl Properties<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn parse<T: FromStr>(&self, key: &str, wanted: &str) -> Result<Option<T>> {
        self.text(key)
            .map(|value| value.trim().parse().map_err(|_| invalid(key, value, wanted)))
            .transpose()
    }

    fn positive(&self, key: &str, default: usize) -> Result<usize> {
        match self.parse(key, "a number above 0")? {
            Some(0) => Err(invalid(key, "0", "a number above 0")),
            Some(value) => Ok(value),
            None => Ok(default),
        }
    }
}

fn parquet_properties(
    properties: &Properties<'_>,
    schema: &Schema,
    parquet: &SchemaDescriptor,
    modes: &MetricsModes,
) -> Result<WriterProperties> {
    let row_group_rows = properties.positive("write.parquet.row-group-limit", 1024 * 1024)?;
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("fjord version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(compression(properties)?)
        .set_max_row_group_bytes(Some(
            properties.positive("write.parquet.row-group-size-bytes", 128 * MIB)?,
        ))
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_data_page_size_limit(properties.positive("write.parquet.page-size-bytes", MIB)?)
        .set_data_page_row_count_limit(properties.positive("write.parquet.page-row-limit", 20_000)?)
        .set_dictionary_page_size_limit(
            properties.positive("write.parquet.dict-size-bytes", 2 * MIB)?,
        )
        // The footer must hold what the bounds of the metrics are cut from.
        .set_statistics_truncate_length(modes.footer_bytes_max());
    // Java's readers find the schema here; it costs little and helps people who look into files.
    if let Ok(json) = serde_json::to_string(schema) {
        builder = builder
            .set_key_value_metadata(Some(vec![KeyValue::new("iceberg.schema".to_owned(), json)]));
    }

    const BLOOM: &str = "write.parquet.bloom-filter-";
    for leaf in parquet.columns() {
        let id = leaf.self_type().get_basic_info().id();
        let Some(name) = schema.name_by_field_id(id) else { continue };
        let key = format!("{BLOOM}enabled.column.{name}");
        if properties.parse::<bool>(&key, "true or false")? != Some(true) {
            continue;
        }
        let key = format!("{BLOOM}fpp.column.{name}");
        let fpp = properties.parse::<f64>(&key, "between 0 and 1")?.unwrap_or(0.01);
        if !(fpp > 0.0 && fpp < 1.0) {
            return Err(invalid(&key, &fpp.to_string(), "between 0 and 1"));
        }
        let bytes_max = properties.positive(&format!("{BLOOM}max-bytes"), MIB)?;
        builder = builder
            .set_column_bloom_filter_enabled(leaf.path().clone(), true)
            .set_column_bloom_filter_fpp(leaf.path().clone(), fpp)
            .set_column_bloom_filter_max_ndv(
                leaf.path().clone(),
                distinct_max(bytes_max, fpp).min(row_group_rows as u64).max(1),
            );
    }
    // A filter for a column that does not exist is a typing error, not a wish to do nothing.
    for key in properties.0.keys() {
        if let Some(name) = key.strip_prefix(&format!("{BLOOM}enabled.column."))
            && schema.field_by_name(name).is_none()
        {
            tracing::warn!(property = %key, "bloom filter asked for a column that the table has not");
        }
    }
    Ok(builder.build())
}

/// How many distinct values a filter of `bytes` holds at the false positive rate `fpp`
/// (split-block filter, 8 bits set per value).
fn distinct_max(bytes: usize, fpp: f64) -> u64 {
    let bits = bytes as f64 * 8.0;
    let values = -bits * (1.0 - fpp.powf(1.0 / 8.0)).ln() / 8.0;
    // A filter is far smaller than 2^52 bits.
    values.max(1.0) as u64
}

fn compression(properties: &Properties<'_>) -> Result<Compression> {
    const CODEC: &str = "write.parquet.compression-codec";
    const LEVEL: &str = "write.parquet.compression-level";
    let codec = properties.text(CODEC).unwrap_or("zstd").to_ascii_lowercase();
    let level = properties.parse::<i32>(LEVEL, "a number")?;
    fn level_error(level: impl Display, codec: &str) -> Error {
        invalid(LEVEL, &level.to_string(), &format!("a level of {codec}"))
    }
    let unsigned = |default: u32| match level {
        None => Ok(default),
        Some(level) => u32::try_from(level).map_err(|_| level_error(level, &codec)),
    };
    match codec.as_str() {
        "zstd" => {
            let level = level.unwrap_or(3);
            Ok(Compression::ZSTD(
                ZstdLevel::try_new(level).map_err(|_| level_error(level, &codec))?,
            ))
        }
        "gzip" => {
            let level = unsigned(6)?;
            Ok(Compression::GZIP(
                GzipLevel::try_new(level).map_err(|_| level_error(level, &codec))?,
            ))
        }
        "brotli" => {
            let level = unsigned(1)?;
            let checked = BrotliLevel::try_new(level).map_err(|_| level_error(level, &codec))?;
            Ok(Compression::BROTLI(checked))
        }
        "snappy" => Ok(Compression::SNAPPY),
        "lz4" | "lz4_raw" => Ok(Compression::LZ4_RAW),
        "uncompressed" | "none" => Ok(Compression::UNCOMPRESSED),
        other => Err(invalid(CODEC, other, "zstd, snappy, gzip, lz4, brotli or uncompressed")),
    }
}
