//! Table properties whose keys name a column, after a change of columns.

use std::collections::HashMap;

use crate::spec::{Schema, TableUpdate};

/// What stands before the column's dotted name.
const PREFIXES: [&str; 4] = [
    "write.metadata.metrics.column.",
    "write.parquet.bloom-filter-enabled.column.",
    "write.parquet.bloom-filter-fpp.column.",
    "write.parquet.bloom-filter-ndv.column.",
];

/// Properties follow a column to its new name and go with a column that is dropped: left behind they
/// would fall to the next column of that name.
pub(super) fn follow_columns(
    properties: &HashMap<String, String>,
    before: &Schema,
    after: &Schema,
) -> Vec<TableUpdate> {
    let (mut updates, mut removals) = (HashMap::new(), Vec::new());
    for (key, value) in properties {
        let Some((prefix, id)) = PREFIXES.iter().find_map(|prefix| {
            Some((*prefix, before.field_id_by_name(key.strip_prefix(prefix)?)?))
        }) else {
            continue;
        };
        let now = after.name_by_field_id(id).map(|name| format!("{prefix}{name}"));
        if now.as_ref() == Some(key) {
            continue;
        }
        removals.push(key.clone());
        updates.extend(now.map(|key| (key, value.clone())));
    }
    removals.retain(|key| !updates.contains_key(key));
    removals.sort();
    let mut out = Vec::new();
    if !updates.is_empty() {
        out.push(TableUpdate::SetProperties { updates });
    }
    if !removals.is_empty() {
        out.push(TableUpdate::RemoveProperties { removals });
    }
    out
}
