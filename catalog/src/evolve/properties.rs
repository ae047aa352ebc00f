//! Table properties, of which some are not properties but fields of the metadata.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{TableMetadata, TableUpdate};

/// Keys that catalogs answer from the metadata itself (specification: "table properties").
const RESERVED: [&str; 9] = [
    "format-version",
    "uuid",
    "snapshot-count",
    "current-snapshot-summary",
    "current-snapshot-id",
    "current-snapshot-timestamp-ms",
    "current-schema",
    "default-partition-spec",
    "default-sort-order",
];

/// The updates that set `properties`; none when all of them are so already.
///
/// # Errors
/// `InvalidArgument` for an empty or reserved key.
pub fn set_properties(
    metadata: &TableMetadata,
    properties: &HashMap<String, String>,
) -> Result<Vec<TableUpdate>> {
    let mut keys: Vec<&String> = properties.keys().collect();
    keys.sort();
    for key in keys {
        check_key(key)?;
    }
    let is_new = |key: &String, value: &String| metadata.properties().get(key) != Some(value);
    if !properties.iter().any(|(key, value)| is_new(key, value)) {
        return Ok(Vec::new());
    }
    Ok(vec![TableUpdate::SetProperties { updates: properties.clone() }])
}

/// The updates that remove `keys`; those not set are passed over.
///
/// # Errors
/// `InvalidArgument` for an empty or reserved key.
pub fn unset_properties(metadata: &TableMetadata, keys: &[String]) -> Result<Vec<TableUpdate>> {
    for key in keys {
        check_key(key)?;
    }
    let mut removals: Vec<String> =
        keys.iter().filter(|key| metadata.properties().contains_key(*key)).cloned().collect();
    removals.sort();
    removals.dedup();
    if removals.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![TableUpdate::RemoveProperties { removals }])
}

fn check_key(key: &str) -> Result<()> {
    let problem = if key.is_empty() {
        "a table property needs a name".to_owned()
    } else if RESERVED.contains(&key) {
        format!("table property {key:?} is reserved: it follows from the table's metadata")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidArgument, problem))
}
