//! Reading and writing `metadata.json`: bounded, checked, and never a panic, whatever the file holds.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use moka::future::Cache;
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{TableMetadata, TableMetadataRef};
use crate::storage::Storage;

/// JSON nested deeper than this is refused before the parser recurses into it.
const DEPTH_MAX: usize = 100;
/// Metadata beyond this size is parsed off the asynchronous threads.
const INLINE_PARSE_BYTES_MAX: usize = 1 << 20;
/// Parsed metadata takes a few times the size of its JSON.
const MEMORY_PER_JSON_BYTE: u64 = 3;
/// Memory for parsed metadata, by estimate.
const CACHE_BYTES_MAX: u64 = 128 << 20;
/// Numbers this close to their type's end would overflow in the format library's arithmetic.
const NUMBER_MARGIN: i64 = 1 << 20;

/// Loads table metadata and remembers it by location: a metadata file never changes.
#[derive(Clone, Debug)]
pub struct MetadataReader {
    storage: Storage,
    cache: Cache<Arc<str>, (TableMetadataRef, u64)>,
}

impl MetadataReader {
    /// A reader with an empty cache of the default size.
    pub fn new(storage: Storage) -> Self {
        let cache = Cache::builder()
            .max_capacity(CACHE_BYTES_MAX)
            .weigher(|_: &Arc<str>, (_, bytes): &(TableMetadataRef, u64)| {
                u32::try_from(bytes.saturating_mul(MEMORY_PER_JSON_BYTE)).unwrap_or(u32::MAX)
            })
            .build();
        Self { storage, cache }
    }

    /// The metadata at `location`.
    ///
    /// # Errors
    /// `NotFound`, `LimitExceeded`, `Unsupported` (a newer format) or `Corrupt`, each naming the
    /// file.
    pub async fn load(&self, location: &str) -> Result<TableMetadataRef> {
        if let Some((metadata, _)) = self.cache.get(location).await {
            return Ok(metadata);
        }
        let bytes_max = self.storage.limits().metadata_bytes_max;
        let bytes = self.storage.read_all(location, bytes_max).await?;
        let json_bytes = bytes.len() as u64;
        let metadata = Arc::new(parse_off_thread(location, bytes, bytes_max).await?);
        self.remember(location, &metadata, json_bytes).await;
        Ok(metadata)
    }

    /// Writes new metadata to `location`, where nothing may be.
    ///
    /// # Errors
    /// `LimitExceeded` if it could not be read back, or what the store met.
    pub async fn write(&self, location: &str, metadata: &TableMetadataRef) -> Result<()> {
        let bytes_max = self.storage.limits().metadata_bytes_max;
        let (bytes, json_bytes) = encode_table_metadata(location, metadata, bytes_max)?;
        self.storage.put_new(location, bytes).await?;
        self.remember(location, metadata, json_bytes).await;
        Ok(())
    }

    async fn remember(&self, location: &str, metadata: &TableMetadataRef, bytes: u64) {
        self.cache.insert(Arc::from(location), (Arc::clone(metadata), bytes)).await;
    }
}

async fn parse_off_thread(location: &str, bytes: Bytes, bytes_max: u64) -> Result<TableMetadata> {
    if bytes.len() <= INLINE_PARSE_BYTES_MAX && !is_gzip(&bytes) {
        return parse_table_metadata(location, &bytes, bytes_max);
    }
    let location = location.to_owned();
    tokio::task::spawn_blocking(move || parse_table_metadata(&location, &bytes, bytes_max))
        .await
        .map_err(|e| {
            Error::new(ErrorKind::Bug, "parsing table metadata was cut short").with_source(e)
        })?
}

/// Parses the bytes of a `metadata.json`, gzip or not, holding at most `bytes_max` of JSON.
///
/// # Errors
/// `Corrupt`, `Unsupported` or `LimitExceeded`; the message names `location` and what is wrong.
pub fn parse_table_metadata(location: &str, bytes: &[u8], bytes_max: u64) -> Result<TableMetadata> {
    let inflated;
    let json = if is_gzip(bytes) {
        inflated = inflate(location, bytes, bytes_max)?;
        inflated.as_slice()
    } else {
        bytes
    };
    check_depth(location, json)?;
    // The library indexes and unwraps on its way; what a damaged file makes of that ends here.
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        let metadata: TableMetadata = serde_json::from_slice(json)?;
        // Lookups that would panic later, at a place that does not know the file.
        let _resolved =
            (metadata.current_schema().schema_id(), metadata.default_sort_order().order_id);
        Ok::<_, serde_json::Error>(metadata)
    }));
    match parsed {
        Ok(Ok(metadata)) => check_numbers(location, metadata),
        Ok(Err(e)) => Err(diagnose(location, json).with_source(e)),
        Err(_panic) => Err(diagnose(location, json)),
    }
}

/// The bytes to write at `location` (compressed if its name says so) and the size of the JSON.
pub(crate) fn encode_table_metadata(
    location: &str,
    metadata: &TableMetadata,
    bytes_max: u64,
) -> Result<(Bytes, u64)> {
    let failed = |what| Error::new(ErrorKind::Bug, format!("table metadata {location:?}: {what}"));
    let json =
        serde_json::to_vec(metadata).map_err(|e| failed("cannot be serialised").with_source(e))?;
    let json_bytes = json.len() as u64;
    if json_bytes > bytes_max {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "table metadata {location:?} would be {json_bytes} bytes, over {bytes_max}: expire snapshots"
            ),
        ));
    }
    if !names_gzip(location) {
        return Ok((json.into(), json_bytes));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(&json).and_then(|()| encoder.finish());
    Ok((compressed.map_err(|e| failed("cannot be compressed").with_source(e))?.into(), json_bytes))
}

/// Where the next version of a table's metadata goes: one number up, a new uuid, below
/// `write.metadata.path` or the table's location. `previous` is `None` for a new table.
///
/// # Errors
/// `Unsupported` for a `write.metadata.compression-codec` other than `gzip` and `none`.
pub(crate) fn next_metadata_location(
    metadata: &TableMetadata,
    previous: Option<&str>,
) -> Result<String> {
    let properties = metadata.properties();
    let codec = properties.get("write.metadata.compression-codec").map_or("none", String::as_str);
    let suffix = match codec.to_ascii_lowercase().as_str() {
        "none" | "" => "",
        "gzip" => ".gz",
        other => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "property \"write.metadata.compression-codec\" is {other:?}: gzip and none are supported"
                ),
            ));
        }
    };
    let version = previous.map_or(0, |p| metadata_version(p).map_or(1, |v| v.saturating_add(1)));
    let directory = match properties.get("write.metadata.path") {
        Some(path) => path.trim_end_matches('/').to_owned(),
        None => format!("{}/metadata", metadata.location().trim_end_matches('/')),
    };
    Ok(format!("{directory}/{version:05}-{}{suffix}.metadata.json", Uuid::new_v4()))
}

/// The version in `…/00012-<uuid>.metadata.json`, or in Hadoop's `…/v12.metadata.json`.
fn metadata_version(location: &str) -> Option<u32> {
    let name = location.rsplit('/').next()?;
    let digits = name.strip_prefix('v').unwrap_or(name);
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits.get(..end)?.parse().ok()
}

fn names_gzip(location: &str) -> bool {
    location.ends_with(".gz.metadata.json") || location.ends_with(".metadata.json.gz")
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Inflates with a bound: a megabyte of gzip may hold a gigabyte of zeros.
fn inflate(location: &str, bytes: &[u8], bytes_max: u64) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes).take(bytes_max.saturating_add(1));
    decoder
        .read_to_end(&mut json)
        .map_err(|e| corrupt(location, "is damaged gzip").with_source(e))?;
    if json.len() as u64 > bytes_max {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("table metadata {location:?} inflates to more than {bytes_max} bytes"),
        ));
    }
    Ok(json)
}

/// Counts brackets outside strings; the parser's own recursion then stays within any stack.
fn check_depth(location: &str, json: &[u8]) -> Result<()> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            let what = format!("nests deeper than {DEPTH_MAX} levels");
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("table metadata {location:?} {what}"),
            ));
        }
    }
    Ok(())
}

fn check_numbers(location: &str, metadata: TableMetadata) -> Result<TableMetadata> {
    let sequence = metadata.last_sequence_number();
    if !(0..=i64::MAX - NUMBER_MARGIN).contains(&sequence) {
        return Err(corrupt(location, &format!("has last-sequence-number {sequence}")));
    }
    let column = i64::from(metadata.last_column_id());
    if !(0..=i64::from(i32::MAX) - NUMBER_MARGIN).contains(&column) {
        return Err(corrupt(location, &format!("has last-column-id {column}")));
    }
    if i64::try_from(metadata.next_row_id()).is_err() {
        return Err(corrupt(location, &format!("has next-row-id {}", metadata.next_row_id())));
    }
    if metadata.location().is_empty() {
        return Err(corrupt(location, "has an empty location"));
    }
    Ok(metadata)
}

/// Why the library refused a file: its own message says only that no variant matched.
fn diagnose(location: &str, json: &[u8]) -> Error {
    let value: Value = match serde_json::from_slice(json) {
        Ok(value) => value,
        Err(e) if e.is_eof() => return corrupt(location, "is cut short").with_source(e),
        Err(e) => return corrupt(location, &format!("is not JSON: {e}")),
    };
    let Value::Object(fields) = &value else {
        return corrupt(location, "is not a JSON object");
    };
    let version = match fields.get("format-version").map(|v| (v, v.as_i64())) {
        None => return corrupt(location, "has no format-version: is it a table's metadata?"),
        Some((_, Some(version @ 1..=3))) => version,
        Some((_, Some(version))) if version > 3 => {
            return Error::new(
                ErrorKind::Unsupported,
                format!(
                    "table metadata {location:?} has format-version {version}: 1 to 3 are supported"
                ),
            );
        }
        Some((other, _)) => return corrupt(location, &format!("has format-version {other}")),
    };
    let mut required = vec!["location", "last-updated-ms", "last-column-id"];
    if version >= 2 {
        required.extend([
            "table-uuid",
            "last-sequence-number",
            "schemas",
            "current-schema-id",
            "partition-specs",
            "default-spec-id",
            "last-partition-id",
            "sort-orders",
            "default-sort-order-id",
        ]);
    }
    if let Some(missing) = required.iter().find(|key| !fields.contains_key(**key)) {
        return corrupt(location, &format!("has no {missing}"));
    }
    if let Some((column, ty)) = fields.get("schemas").and_then(unsupported_type) {
        return Error::new(
            ErrorKind::Unsupported,
            format!(
                "table metadata {location:?}: column {column:?} has type {ty}, which is not supported"
            ),
        );
    }
    let current = fields.get("current-schema-id");
    let schemas = fields.get("schemas").and_then(Value::as_array);
    if let (Some(current), Some(schemas)) = (current, schemas)
        && !schemas.iter().any(|s| s.get("schema-id") == Some(current))
    {
        return corrupt(location, &format!("has no schema {current}, its current one"));
    }
    corrupt(location, "contradicts the table specification")
}

/// The first column of a type that the format library cannot represent.
fn unsupported_type(value: &Value) -> Option<(String, String)> {
    const UNSUPPORTED: [&str; 4] = ["variant", "geometry", "geography", "unknown"];
    match value {
        Value::Array(items) => items.iter().find_map(unsupported_type),
        Value::Object(fields) => {
            let found = ["type", "element", "key", "value"].iter().find_map(|slot| {
                let ty = fields.get(*slot)?.as_str()?;
                let name = fields.get("name").and_then(Value::as_str).unwrap_or(slot);
                let known = UNSUPPORTED.iter().any(|u| ty.starts_with(u));
                known.then(|| (name.to_owned(), ty.to_owned()))
            });
            found.or_else(|| fields.values().find_map(unsupported_type))
        }
        _ => None,
    }
}

fn corrupt(location: &str, problem: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("table metadata {location:?} {problem}"))
}
