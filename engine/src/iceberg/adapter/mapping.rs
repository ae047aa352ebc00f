//! Field ids for data files that were written without any (spec, "Column Projection").

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use fjord_catalog::evolve::NAME_MAPPING;
use fjord_catalog::spec::{NestedField, NestedFieldRef, SchemaRef, Type};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::types::{FIELD_ID, field_id};

/// Names of fields at one level and what they mean; lists have a field `element`, maps `key` and
/// `value`.
#[derive(Clone, Debug, Default)]
pub(super) struct NameMapping {
    by_name: HashMap<String, Arc<Mapped>>,
}

#[derive(Debug)]
struct Mapped {
    id: Option<i32>,
    /// Several columns have had the name, one after the other.
    ambiguous: bool,
    inner: NameMapping,
}

/// One entry of the table property, as the spec writes it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    field_id: Option<i32>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    fields: Vec<Entry>,
}

impl NameMapping {
    /// Reads the property's JSON.
    pub(super) fn parse(json: &str) -> Result<Self> {
        let entries: Vec<Entry> = serde_json::from_str(json).map_err(|e| {
            Error::new(
                ErrorKind::Corrupt,
                format!("property {NAME_MAPPING:?} is not a name mapping"),
            )
            .with_source(e)
        })?;
        Ok(Self::of_entries(entries))
    }

    fn of_entries(entries: Vec<Entry>) -> Self {
        let mut by_name = HashMap::new();
        for entry in entries {
            let inner = Self::of_entries(entry.fields);
            let mapped = Arc::new(Mapped { id: entry.field_id, ambiguous: false, inner });
            for name in entry.names {
                by_name.insert(name, Arc::clone(&mapped));
            }
        }
        Self { by_name }
    }

    /// All names that the table's columns have ever had. One that several columns have had, one after
    /// the other, says nothing: a file that has it is refused.
    pub(super) fn of_history(schemas: &[SchemaRef]) -> Self {
        let levels: Vec<&[NestedFieldRef]> =
            schemas.iter().map(|schema| schema.as_struct().fields()).collect();
        Self::of_levels(&levels)
    }

    fn of_levels(levels: &[&[NestedFieldRef]]) -> Self {
        let mut ids: HashMap<&str, BTreeSet<i32>> = HashMap::new();
        let mut versions: HashMap<i32, Vec<&NestedField>> = HashMap::new();
        for field in levels.iter().flat_map(|level| level.iter()) {
            ids.entry(&field.name).or_default().insert(field.id);
            versions.entry(field.id).or_default().push(field);
        }
        let by_name = ids
            .into_iter()
            .map(|(name, ids)| {
                let id = ids.first().copied().filter(|_| ids.len() == 1);
                let versions = id.and_then(|id| versions.get(&id));
                let inner = versions.map_or_else(Self::default, |fields| Self::of_versions(fields));
                let mapped = Mapped { id, ambiguous: id.is_none(), inner };
                (name.to_owned(), Arc::new(mapped))
            })
            .collect();
        Self { by_name }
    }

    /// What is inside a field, in all the versions that it has had.
    fn of_versions(fields: &[&NestedField]) -> Self {
        let insides: Vec<Vec<NestedFieldRef>> = fields
            .iter()
            .map(|field| match field.field_type.as_ref() {
                Type::Primitive(_) => Vec::new(),
                Type::Struct(inner) => inner.fields().to_vec(),
                Type::List(list) => vec![Arc::clone(&list.element_field)],
                Type::Map(map) => vec![Arc::clone(&map.key_field), Arc::clone(&map.value_field)],
            })
            .collect();
        let levels: Vec<&[NestedFieldRef]> = insides.iter().map(Vec::as_slice).collect();
        Self::of_levels(&levels)
    }

    /// The file's fields, with the ids that their names stand for.
    ///
    /// # Errors
    /// `Unsupported` for a name that has meant several columns.
    pub(super) fn apply(&self, fields: &Fields) -> Result<Fields> {
        fields.iter().map(|field| self.field(field, field.name())).collect()
    }

    fn field(&self, field: &FieldRef, name: &str) -> Result<FieldRef> {
        let Some(mapped) = self.by_name.get(name) else { return Ok(Arc::clone(field)) };
        if mapped.ambiguous {
            return Err(Error::unsupported(format!(
                "a data file has no field ids, and several columns have had the name {name:?} that \
                 is in it; say which one is meant with the table property {NAME_MAPPING:?}"
            )));
        }
        let data_type = mapped.inner.ty(field.data_type())?;
        let mut metadata = field.metadata().clone();
        if let Some(id) = mapped.id {
            metadata.insert(FIELD_ID.to_owned(), id.to_string());
        }
        let read = Field::new(field.name(), data_type, field.is_nullable());
        Ok(Arc::new(read.with_metadata(metadata)))
    }

    fn ty(&self, ty: &DataType) -> Result<DataType> {
        Ok(match ty {
            DataType::Struct(fields) => DataType::Struct(self.apply(fields)?),
            // Writers name the inside of lists and maps as they like; the mapping does not.
            DataType::List(element) => DataType::List(self.field(element, "element")?),
            DataType::LargeList(element) => DataType::LargeList(self.field(element, "element")?),
            DataType::Map(entries, sorted) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    let pair = vec![self.field(&pair[0], "key")?, self.field(&pair[1], "value")?];
                    let entries =
                        entries.as_ref().clone().with_data_type(DataType::Struct(pair.into()));
                    DataType::Map(Arc::new(entries), *sorted)
                }
                _ => ty.clone(),
            },
            _ => ty.clone(),
        })
    }
}

/// Where in a file without ids the column `id` is that the table has no more, by the names that it
/// had; `None` if the file lacks it.
///
/// Only equality deletes ask for such a column, and they reach only files that are older than they
/// are, which were there before the column was dropped: who took its name afterwards is not meant,
/// whatever the table's name mapping says by now.
///
/// # Errors
/// `Unsupported` where another column had the name too while this one was there.
pub(super) fn find_former(
    schemas: &[SchemaRef],
    id: i32,
    fields: &Fields,
) -> Result<Option<usize>> {
    let top = |schema: &SchemaRef| schema.as_struct().fields().to_vec();
    let last = schemas.iter().filter(|s| top(s).iter().any(|f| f.id == id));
    let Some(last) = last.map(|schema| schema.schema_id()).max() else { return Ok(None) };
    let until = schemas.iter().filter(|schema| schema.schema_id() <= last);
    let (own, others): (Vec<NestedFieldRef>, Vec<NestedFieldRef>) =
        until.flat_map(top).partition(|field| field.id == id);
    let has = |had: &[NestedFieldRef], name: &str| had.iter().any(|field| field.name == name);
    let mut found = (0..fields.len()).filter(|at| has(&own, fields[*at].name()));
    let first = found.next();
    match first {
        Some(at) if found.next().is_some() || has(&others, fields[at].name()) => {
            Err(Error::unsupported(format!(
                "rows were deleted by the values of a column that was dropped (field {id}), and it \
                 is not clear which column of a data file without field ids that was: several have \
                 had the name {:?}; compact the table with the engine that wrote the deletes",
                fields[at].name()
            )))
        }
        found => Ok(found),
    }
}

/// Whether any field, at any level, has an id.
pub(super) fn has_ids(fields: &Fields) -> bool {
    fields.iter().any(|field| field_id(field).is_some() || type_has_ids(field.data_type()))
}

fn type_has_ids(ty: &DataType) -> bool {
    match ty {
        DataType::Struct(fields) => has_ids(fields),
        DataType::List(field) | DataType::LargeList(field) | DataType::Map(field, _) => {
            field_id(field).is_some() || type_has_ids(field.data_type())
        }
        _ => false,
    }
}
