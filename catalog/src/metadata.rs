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

use crate::depth::{DEPTH_MAX, nests_deeper};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{TableMetadata, TableMetadataRef};
use crate::storage::Storage;

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

fn check_depth(location: &str, json: &[u8]) -> Result<()> {
    if !nests_deeper(json, DEPTH_MAX) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::LimitExceeded,
        format!("table metadata {location:?} nests deeper than {DEPTH_MAX} levels"),
    ))
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::spec::TableMetadataBuilder;
    use serde_json::json;

    use super::*;
    use crate::spec::{
        FormatVersion, NestedField, PrimitiveType, Schema, SortOrder, Type, UnboundPartitionSpec,
    };

    const BYTES_MAX: u64 = 16 << 20;
    const AT: &str = "file:///w/t/metadata/00003-x.metadata.json";

    fn metadata(version: FormatVersion) -> TableMetadata {
        let fields = [
            NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long)).into(),
            NestedField::optional(2, "name", Type::Primitive(PrimitiveType::String)).into(),
        ];
        let schema = Schema::builder().with_fields(fields).build().unwrap();
        let spec = UnboundPartitionSpec::default();
        let properties = HashMap::from([("a".to_owned(), "b".to_owned())]);
        let order = SortOrder::unsorted_order();
        TableMetadataBuilder::new(
            schema,
            spec,
            order,
            "file:///w/t".to_owned(),
            version,
            properties,
        )
        .unwrap()
        .build()
        .unwrap()
        .metadata
    }

    fn value() -> Value {
        serde_json::to_value(metadata(FormatVersion::V2)).unwrap()
    }

    fn refused(value: &Value, kind: ErrorKind, part: &str) {
        let bytes = serde_json::to_vec(value).unwrap();
        let error = parse_table_metadata(AT, &bytes, BYTES_MAX).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(text.contains(AT) && text.contains(part), "{text}");
    }

    #[test]
    fn what_is_written_is_read_back_plain_and_compressed() {
        let metadata = metadata(FormatVersion::V3);
        for at in [AT, "s3://b/00001-x.gz.metadata.json", "s3://b/00001-x.metadata.json.gz"] {
            let (bytes, _) = encode_table_metadata(at, &metadata, BYTES_MAX).unwrap();
            assert_eq!(is_gzip(&bytes), at != AT);
            assert_eq!(parse_table_metadata(at, &bytes, BYTES_MAX).unwrap(), metadata);
        }
    }

    #[test]
    fn each_kind_of_damage_is_named() {
        let mut v = value();
        v["format-version"] = json!(4);
        refused(&v, ErrorKind::Unsupported, "format-version 4");
        v["format-version"] = json!("two");
        refused(&v, ErrorKind::Corrupt, "format-version \"two\"");
        v.as_object_mut().unwrap().remove("format-version");
        refused(&v, ErrorKind::Corrupt, "no format-version");
        for key in ["table-uuid", "location", "schemas", "last-column-id", "partition-specs"] {
            let mut v = value();
            v.as_object_mut().unwrap().remove(key);
            refused(&v, ErrorKind::Corrupt, &format!("no {key}"));
        }
        let mut v = value();
        v["current-schema-id"] = json!(9);
        refused(&v, ErrorKind::Corrupt, "no schema 9");
        let mut v = value();
        v["schemas"][0]["fields"][1]["id"] = json!(1);
        refused(&v, ErrorKind::Corrupt, "");
        let mut v = value();
        v["schemas"][0]["fields"][1]["type"] = json!("variant");
        refused(&v, ErrorKind::Unsupported, "column \"name\" has type variant");
        let mut v = value();
        v["last-sequence-number"] = json!(i64::MAX);
        refused(&v, ErrorKind::Corrupt, "last-sequence-number");
        refused(&json!([1, 2]), ErrorKind::Corrupt, "not a JSON object");
    }

    #[test]
    fn truncated_empty_and_foreign_files_are_corrupt() {
        let bytes = serde_json::to_vec(&value()).unwrap();
        for cut in [0, 1, 10, bytes.len() / 2, bytes.len() - 1] {
            let error = parse_table_metadata(AT, &bytes[..cut], BYTES_MAX).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains("cut short"), "{error}");
        }
        let error = parse_table_metadata(AT, b"PAR1....PAR1", BYTES_MAX).unwrap_err();
        assert!(error.to_string().contains("is not JSON"), "{error}");
        let (gzip, _) =
            encode_table_metadata("a.gz.metadata.json", &metadata(FormatVersion::V2), BYTES_MAX)
                .unwrap();
        let error = parse_table_metadata(AT, &gzip[..gzip.len() - 9], BYTES_MAX).unwrap_err();
        assert!(error.to_string().contains("damaged gzip"), "{error}");
    }

    #[test]
    fn a_zip_bomb_is_refused_before_it_is_inflated() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b' '; 64 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 100_000);
        let error = parse_table_metadata(AT, &bomb, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn deep_nesting_is_refused_and_what_is_allowed_fits_the_stack() {
        let deep = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let error = parse_table_metadata(AT, deep.as_bytes(), BYTES_MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        // Structs as deep as the bound lets through, on a stack like a runtime thread's.
        let mut ty = json!("long");
        for id in 0..((DEPTH_MAX - 8) / 3) {
            ty = json!({"type": "struct", "fields": [{"id": 100 + id, "name": "f", "required": false, "type": ty}]});
        }
        let mut v = value();
        v["schemas"][0]["fields"][1]["type"] = ty;
        v["last-column-id"] = json!(1000);
        let bytes = serde_json::to_vec(&v).unwrap();
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let parsed = thread
            .spawn(move || parse_table_metadata(AT, &bytes, BYTES_MAX))
            .unwrap()
            .join()
            .unwrap();
        parsed.unwrap();
    }

    #[test]
    fn two_thousand_mutations_never_panic_and_always_name_the_file() {
        let originals = [FormatVersion::V1, FormatVersion::V2, FormatVersion::V3]
            .map(|v| serde_json::to_vec(&metadata(v)).unwrap());
        for seed in 0..2_400_u64 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = originals[rng.usize(..3)].clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                match rng.u8(..5) {
                    0 => bytes[at] = rng.u8(..),
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes[at] = b"0123456789-{}[]\",:"[rng.usize(..18)],
                    3 => drop(bytes.remove(at)),
                    _ => {
                        let end = (at + rng.usize(1..40)).min(bytes.len());
                        let piece = bytes[at..end].to_vec();
                        let to = rng.usize(..bytes.len());
                        bytes.splice(to..to, piece);
                    }
                }
                if bytes.is_empty() {
                    bytes.push(b'{');
                }
            }
            if let Err(e) = parse_table_metadata(AT, &bytes, BYTES_MAX) {
                assert!(e.to_string().contains(AT), "seed {seed}: {e}");
                assert_ne!(e.kind(), ErrorKind::Bug, "seed {seed}");
            }
        }
    }

    #[test]
    fn the_next_location_counts_up_whoever_wrote_the_last_one() {
        let metadata = metadata(FormatVersion::V2);
        for (previous, version) in [
            (None, "00000-"),
            (
                Some(
                    "file:///w/t/metadata/00001-0d8b4b3e-0000-4000-8000-000000000000.metadata.json",
                ),
                "00002-",
            ),
            (Some("file:///w/t/metadata/v41.metadata.json"), "00042-"),
            (Some("file:///w/t/metadata/strange.json"), "00001-"),
        ] {
            let next = next_metadata_location(&metadata, previous).unwrap();
            assert!(next.starts_with(&format!("file:///w/t/metadata/{version}")), "{next}");
            assert!(next.parse::<crate::spec::MetadataLocation>().is_ok(), "{next}");
        }
    }
}
