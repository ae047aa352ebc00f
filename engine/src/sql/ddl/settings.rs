//! What table properties mean: which are statements about the table, which are stored as they are,
//! and which values we accept, so that none is kept that nobody honours.

use std::collections::HashMap;

use fjord_catalog::spec::Schema;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::ast::{PartitionDef, Property, PropertyStyle, PropertyValue, SortDef};
use crate::sql::ddl::parse_terms::{partition_defs_from_texts, sort_defs_from_texts};

/// Where a table's comment is kept.
pub const COMMENT: &str = "comment";

/// What the keys of a `WITH` list may be, besides Iceberg's own (which have a dot).
const WITH_KEYS: &str = "format, format_version, partitioning, sorted_by, location, \
                         compression_codec, parquet_bloom_filter_columns, max_commit_retry, \
                         extra_properties, and Iceberg's own in double quotes";

/// What one property asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Setting {
    Partitioning(Vec<PartitionDef>),
    SortedBy(Vec<SortDef>),
    Location(String),
    FormatVersion(u8),
    /// An Iceberg property; `None` removes it.
    Stored(String, Option<String>),
    /// Nothing to store: it says what is true anyway (`format = 'PARQUET'`).
    AlreadySo,
}

/// What a property asks for.
///
/// # Errors
/// `Unsupported` for what we do not honour, `Invalid` for a value of the wrong kind.
pub(crate) fn settings(property: &Property) -> Result<Vec<Setting>> {
    let key = property.key.as_str();
    match (property.style, key) {
        (_, "format_version" | "format-version") => Ok(vec![format_version(property)?]),
        (PropertyStyle::With, "format") => Ok(vec![file_format(property)?]),
        (PropertyStyle::With, "partitioning") => {
            let texts = text_list(property)?;
            Ok(vec![Setting::Partitioning(partition_defs_from_texts(&texts)?)])
        }
        (PropertyStyle::With, "sorted_by") => {
            let texts = text_list(property)?;
            Ok(vec![Setting::SortedBy(sort_defs_from_texts(&texts)?)])
        }
        (_, "location") => Ok(vec![Setting::Location(text(property)?)]),
        (PropertyStyle::With, "compression_codec") => {
            renamed(property, "write.parquet.compression-codec")
        }
        (PropertyStyle::With, "max_commit_retry") => renamed(property, "commit.retry.num-retries"),
        (PropertyStyle::With, "parquet_bloom_filter_columns") => text_list(property)?
            .iter()
            .map(|column| {
                let key = format!("write.parquet.bloom-filter-enabled.column.{column}");
                stored(&key, Some("true"))
            })
            .collect(),
        (PropertyStyle::With, "extra_properties") => extra(property),
        (_, "provider") => Err(Error::unsupported(
            "property \"provider\": every table is an Iceberg table; leave it out",
        )),
        (PropertyStyle::With, _) if key != COMMENT && !key.contains('.') => {
            Err(Error::unsupported(format!(
                "table property {key:?} is not supported: known are {WITH_KEYS}"
            )))
        }
        _ => match &property.value {
            PropertyValue::Default => Ok(vec![stored(key, None)?]),
            _ => Ok(vec![stored(key, Some(&text(property)?))?]),
        },
    }
}

fn renamed(property: &Property, key: &str) -> Result<Vec<Setting>> {
    match &property.value {
        PropertyValue::Default => Ok(vec![stored(key, None)?]),
        _ => Ok(vec![stored(key, Some(&text(property)?))?]),
    }
}

fn extra(property: &Property) -> Result<Vec<Setting>> {
    let PropertyValue::Map(pairs) = &property.value else {
        return wrong_value(property, "MAP(ARRAY['key'], ARRAY['value'])");
    };
    pairs.iter().map(|(key, value)| stored(key, Some(value))).collect()
}

fn format_version(property: &Property) -> Result<Setting> {
    match text(property)?.as_str() {
        "2" => Ok(Setting::FormatVersion(2)),
        "3" => Ok(Setting::FormatVersion(3)),
        "1" => Err(Error::unsupported(
            "format version 1 is not written: tables are made in format 2 or 3",
        )),
        _ => wrong_value(property, "2 or 3"),
    }
}

fn file_format(property: &Property) -> Result<Setting> {
    if text(property)?.eq_ignore_ascii_case("parquet") {
        return Ok(Setting::AlreadySo);
    }
    wrong_value(property, "'PARQUET', the only file format that is written")
}

fn text(property: &Property) -> Result<String> {
    match &property.value {
        PropertyValue::Text(text) => Ok(text.clone()),
        _ => wrong_value(property, "one value"),
    }
}

fn text_list(property: &Property) -> Result<Vec<String>> {
    match &property.value {
        PropertyValue::List(texts) => Ok(texts.clone()),
        PropertyValue::Default => Ok(Vec::new()),
        _ => wrong_value(property, "ARRAY['…', …]"),
    }
}

fn wrong_value<T>(property: &Property, accepted: &str) -> Result<T> {
    let shown = match &property.value {
        PropertyValue::Text(text) => format!("{text:?}"),
        PropertyValue::List(_) => "an array".to_owned(),
        PropertyValue::Map(_) => "a map".to_owned(),
        PropertyValue::Default => "DEFAULT".to_owned(),
    };
    Err(Error::invalid(format!(
        "table property {:?} is {shown}; accepted: {accepted}",
        property.key
    )))
}

/// An Iceberg property to be stored, checked by key.
pub(crate) fn stored(key: &str, value: Option<&str>) -> Result<Setting> {
    if key.is_empty() {
        return Err(Error::invalid("a table property needs a name"));
    }
    if is_reserved(key) {
        return Err(Error::invalid(format!(
            "table property {key:?} is reserved: Iceberg derives it from the metadata"
        )));
    }
    let Some(value) = value else { return Ok(Setting::Stored(key.to_owned(), None)) };
    let value = check_known(key, value)?;
    Ok(Setting::Stored(key.to_owned(), Some(value)))
}

fn is_reserved(key: &str) -> bool {
    [
        "uuid",
        "snapshot-count",
        "current-snapshot-summary",
        "current-snapshot-id",
        "current-snapshot-timestamp-ms",
        "current-schema",
        "default-partition-spec",
        "default-sort-order",
    ]
    .contains(&key)
}

/// The value to store for a key that engines interpret; unknown keys are the user's own.
fn check_known(key: &str, value: &str) -> Result<String> {
    let lower = value.to_lowercase();
    let one_of = |accepted: &[&str]| {
        if accepted.contains(&lower.as_str()) {
            return Ok(lower.clone());
        }
        let shown = accepted.join(", ");
        Err(Error::invalid(format!("table property {key:?} is {value:?}; accepted: {shown}")))
    };
    match key {
        "write.format.default" | "write.delete.format.default" => one_of(&["parquet"]),
        "write.parquet.compression-codec" | "write.delete.parquet.compression-codec" => {
            if lower == "none" {
                return Ok("uncompressed".to_owned());
            }
            one_of(&["zstd", "snappy", "gzip", "lz4", "brotli", "uncompressed"])
        }
        "write.metadata.compression-codec" => one_of(&["none", "gzip"]),
        "write.distribution-mode" => one_of(&["none", "hash", "range"]),
        "write.delete.mode" | "write.update.mode" | "write.merge.mode" => {
            one_of(&["copy-on-write", "merge-on-read"])
        }
        "write.object-storage.enabled" => refuse_true(key, &lower),
        "write.location-provider.impl"
        | "write.data.path"
        | "write.folder-storage.path"
        | "write.object-storage.path"
        | "write.metadata.path" => Err(Error::unsupported(format!(
            "table property {key:?} is not honoured by this engine: files lie below the table's location"
        ))),
        _ if is_count(key) => count(key, value),
        _ if is_switch(key) => one_of(&["true", "false"]),
        _ if key.starts_with("write.metadata.metrics.")
            && !key.ends_with("max-inferred-column-defaults") =>
        {
            metrics_mode(key, &lower)
        }
        _ => Ok(value.to_owned()),
    }
}

fn refuse_true(key: &str, value: &str) -> Result<String> {
    if value == "false" {
        return Ok(value.to_owned());
    }
    Err(Error::unsupported(format!(
        "table property {key:?} is not honoured by this engine: leave it false"
    )))
}

/// Keys that name a column, with the column as `schema` spells it.
///
/// # Errors
/// `NotFound` when the table has no such column: the filter would never be written.
pub(crate) fn name_columns(
    properties: HashMap<String, String>,
    schema: &Schema,
) -> Result<HashMap<String, String>> {
    const PREFIXES: [&str; 2] =
        ["write.parquet.bloom-filter-enabled.column.", "write.parquet.bloom-filter-fpp.column."];
    let spelt = |(key, value): (String, String)| {
        let Some((prefix, column)) =
            PREFIXES.iter().find_map(|prefix| Some((*prefix, key.strip_prefix(prefix)?)))
        else {
            return Ok((key, value));
        };
        let field = schema
            .field_by_name(column)
            .or_else(|| schema.field_by_name_case_insensitive(column))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("table property {key:?}: there is no column \"{column}\""),
                )
            })?;
        let name = schema.name_by_field_id(field.id).unwrap_or(column);
        Ok((format!("{prefix}{name}"), value))
    };
    properties.into_iter().map(spelt).collect()
}

fn is_count(key: &str) -> bool {
    const KEYS: [&str; 14] = [
        "write.target-file-size-bytes",
        "write.delete.target-file-size-bytes",
        "write.parquet.row-group-size-bytes",
        "write.parquet.page-size-bytes",
        "write.parquet.page-row-limit",
        "write.parquet.dict-size-bytes",
        "write.parquet.compression-level",
        "write.parquet.bloom-filter-max-bytes",
        "write.metadata.previous-versions-max",
        "write.metadata.metrics.max-inferred-column-defaults",
        "commit.manifest.target-size-bytes",
        "commit.manifest.min-count-to-merge",
        "history.expire.max-snapshot-age-ms",
        "history.expire.min-snapshots-to-keep",
    ];
    KEYS.contains(&key) || (key.starts_with("commit.retry.") && key != "commit.retry.")
}

fn is_switch(key: &str) -> bool {
    const KEYS: [&str; 5] = [
        "commit.manifest-merge.enabled",
        "write.metadata.delete-after-commit.enabled",
        "write.spark.fanout.enabled",
        "write.summary.partition-limit.enabled",
        "gc.enabled",
    ];
    KEYS.contains(&key) || key.starts_with("write.parquet.bloom-filter-enabled.column.")
}

fn count(key: &str, value: &str) -> Result<String> {
    match value.parse::<u64>() {
        Ok(_) => Ok(value.to_owned()),
        Err(e) => Err(Error::invalid(format!(
            "table property {key:?} is {value:?}; accepted: a number that is not negative"
        ))
        .with_source(e)),
    }
}

fn metrics_mode(key: &str, value: &str) -> Result<String> {
    let truncates = value
        .strip_prefix("truncate(")
        .and_then(|rest| rest.strip_suffix(')'))
        .is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 0));
    if truncates || ["none", "counts", "full"].contains(&value) {
        return Ok(value.to_owned());
    }
    Err(Error::invalid(format!(
        "table property {key:?} is {value:?}; accepted: none, counts, truncate(n), full"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(style: PropertyStyle, key: &str, value: &str) -> Result<Vec<Setting>> {
        settings(&Property {
            key: key.to_owned(),
            value: PropertyValue::Text(value.to_owned()),
            style,
        })
    }

    #[test]
    fn known_properties_are_checked_and_own_ones_pass() {
        use PropertyStyle::{Spark, With};
        let one =
            |key: &str, value: &str| vec![Setting::Stored(key.to_owned(), Some(value.to_owned()))];
        assert_eq!(check(With, "format", "parquet").unwrap(), [Setting::AlreadySo]);
        assert_eq!(check(With, "format_version", "3").unwrap(), [Setting::FormatVersion(3)]);
        assert_eq!(check(Spark, "format-version", "2").unwrap(), [Setting::FormatVersion(2)]);
        assert_eq!(
            check(With, "compression_codec", "ZSTD").unwrap(),
            one("write.parquet.compression-codec", "zstd")
        );
        assert_eq!(check(Spark, "owner", "Ann").unwrap(), one("owner", "Ann"));
        assert_eq!(
            check(Spark, "write.metadata.metrics.default", "truncate(16)").unwrap(),
            one("write.metadata.metrics.default", "truncate(16)")
        );
    }

    #[test]
    fn properties_that_nobody_would_honour_are_refused() {
        use PropertyStyle::{Spark, With};
        for (style, key, value, part) in [
            (With, "format", "ORC", "PARQUET"),
            (With, "format", "AVRO", "PARQUET"),
            (Spark, "write.format.default", "orc", "parquet"),
            (Spark, "format-version", "1", "format 2 or 3"),
            (With, "format_version", "4", "2 or 3"),
            (With, "orc_bloom_filter_columns", "a", "known are"),
            (With, "partitioning", "day(ts)", "ARRAY"),
            (Spark, "write.parquet.compression-codec", "rar", "zstd"),
            (Spark, "write.target-file-size-bytes", "big", "number"),
            (Spark, "write.object-storage.enabled", "true", "not honoured"),
            (Spark, "write.data.path", "s3://x", "not honoured"),
            (Spark, "current-snapshot-id", "1", "reserved"),
            (Spark, "write.metadata.metrics.default", "some", "truncate(n)"),
            (Spark, "gc.enabled", "maybe", "true, false"),
        ] {
            let message = check(style, key, value).unwrap_err().to_string();
            assert!(message.contains(part), "{key}: {message}");
        }
    }
}
