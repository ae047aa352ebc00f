//! The name mapping of a table (`schema.name-mapping.default`) after a change of its columns.
//!
//! Files without field ids are read by it. A name in it speaks of files that exist: it stays with the
//! field that it means, even when another column takes the name later. Other engines move it to the
//! new column, whose values are then those of the old one in such files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{NestedFieldRef, Schema, TableMetadata, Type};

/// The table property that holds it.
pub const NAME_MAPPING: &str = "schema.name-mapping.default";

/// One field of the mapping, as the specification writes it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Mapped {
    #[serde(skip_serializing_if = "Option::is_none")]
    field_id: Option<i32>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Mapped>,
}

/// The mapping `json` of a table whose schema goes from `before` to `after`; `None` when it stays.
///
/// # Errors
/// `Corrupt` for a property that is no name mapping.
pub(super) fn mapping_after(json: &str, before: &Schema, after: &Schema) -> Result<Option<String>> {
    let unreadable = |e: serde_json::Error| {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "table property {NAME_MAPPING:?} is not a name mapping; set or remove it first"
            ),
        )
        .with_source(e)
    };
    let mapping: Vec<Mapped> = serde_json::from_str(json).map_err(unreadable)?;
    let old_names: HashMap<i32, &str> =
        before.field_id_to_fields().iter().map(|(id, field)| (*id, field.name.as_str())).collect();
    let mut changed = mapping.clone();
    update(&mut changed, after.as_struct().fields(), &old_names);
    if changed == mapping {
        return Ok(None);
    }
    serde_json::to_string(&changed).map(Some).map_err(unreadable)
}

/// Brings one level up to date: what was renamed gets its new name beside the old ones, what is new
/// gets an entry; a name that is another's already is left to it.
fn update(level: &mut Vec<Mapped>, fields: &[NestedFieldRef], old_names: &HashMap<i32, &str>) {
    for field in fields {
        let renamed = old_names.get(&field.id) != Some(&field.name.as_str());
        let taken = level.iter().any(|m| m.names.contains(&field.name));
        match level.iter_mut().find(|m| m.field_id == Some(field.id)) {
            Some(mapped) => {
                if renamed && !taken {
                    mapped.names.push(field.name.clone());
                }
                update(&mut mapped.fields, &children(&field.field_type), old_names);
            }
            None if !taken && !old_names.contains_key(&field.id) => level.push(entry(field)),
            None => {}
        }
    }
}

/// A mapping for a table that has none: every name that a column has or had. One that several columns
/// have had, one after the other, is left out, as nobody can say which of them a file means.
///
/// # Errors
/// None that a table's schemas cause.
pub fn name_mapping_of(metadata: &TableMetadata) -> Result<String> {
    let levels: Vec<Vec<NestedFieldRef>> =
        metadata.schemas_iter().map(|schema| schema.as_struct().fields().to_vec()).collect();
    serde_json::to_string(&of_levels(&levels))
        .map_err(|e| Error::new(ErrorKind::Bug, "a name mapping cannot be written").with_source(e))
}

/// One level of the mapping, from the fields at that level in all the schemas.
fn of_levels(levels: &[Vec<NestedFieldRef>]) -> Vec<Mapped> {
    let mut versions: BTreeMap<i32, Vec<&NestedFieldRef>> = BTreeMap::new();
    let mut ids: HashMap<&str, BTreeSet<i32>> = HashMap::new();
    for field in levels.iter().flatten() {
        versions.entry(field.id).or_default().push(field);
        ids.entry(&field.name).or_default().insert(field.id);
    }
    versions
        .into_iter()
        .map(|(id, fields)| {
            let mut names: Vec<String> = Vec::new();
            for field in &fields {
                let is_its_own = ids.get(field.name.as_str()).is_some_and(|ids| ids.len() == 1);
                if is_its_own && !names.contains(&field.name) {
                    names.push(field.name.clone());
                }
            }
            let insides: Vec<_> = fields.iter().map(|field| children(&field.field_type)).collect();
            Mapped { field_id: Some(id), names, fields: of_levels(&insides) }
        })
        .collect()
}

fn entry(field: &NestedFieldRef) -> Mapped {
    Mapped {
        field_id: Some(field.id),
        names: vec![field.name.clone()],
        fields: children(&field.field_type).iter().map(entry).collect(),
    }
}

/// The fields right below a type; those of lists and maps have fixed names.
fn children(ty: &Type) -> Vec<NestedFieldRef> {
    match ty {
        Type::Primitive(_) => Vec::new(),
        Type::Struct(inner) => inner.fields().to_vec(),
        Type::List(list) => vec![NestedFieldRef::clone(&list.element_field)],
        Type::Map(map) => {
            vec![NestedFieldRef::clone(&map.key_field), NestedFieldRef::clone(&map.value_field)]
        }
    }
}
