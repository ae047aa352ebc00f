//! Field ids for data files that were written without any (spec, "Column Projection").

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::types::{FIELD_ID, field_id};

/// Names of fields at one level and what they mean; lists have a field `element`, maps `key` and
/// `value`.
#[derive(Debug, Default)]
pub(super) struct NameMapping {
    by_name: HashMap<String, Arc<Mapped>>,
}

#[derive(Debug)]
struct Mapped {
    id: Option<i32>,
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
                format!("property {:?} is not a name mapping", super::NAME_MAPPING),
            )
            .with_source(e)
        })?;
        Ok(Self::of_entries(entries))
    }

    fn of_entries(entries: Vec<Entry>) -> Self {
        let mut by_name = HashMap::new();
        for entry in entries {
            let inner = Self::of_entries(entry.fields);
            let mapped = Arc::new(Mapped { id: entry.field_id, inner });
            for name in entry.names {
                by_name.insert(name, Arc::clone(&mapped));
            }
        }
        Self { by_name }
    }

    /// The table's present names.
    pub(super) fn of_fields(fields: &Fields) -> Self {
        let by_name = fields
            .iter()
            .map(|field| {
                let mapped =
                    Mapped { id: field_id(field), inner: Self::of_type(field.data_type()) };
                (field.name().clone(), Arc::new(mapped))
            })
            .collect();
        Self { by_name }
    }

    fn of_type(ty: &DataType) -> Self {
        match ty {
            DataType::Struct(fields) => Self::of_fields(fields),
            DataType::List(element) => Self::of_fields(&Fields::from(vec![Arc::clone(element)])),
            DataType::Map(entries, _) => Self::of_type(entries.data_type()),
            _ => Self::default(),
        }
    }

    /// The file's fields, with the ids that their names stand for.
    pub(super) fn apply(&self, fields: &Fields) -> Fields {
        fields.iter().map(|field| self.field(field, field.name())).collect()
    }

    fn field(&self, field: &FieldRef, name: &str) -> FieldRef {
        let Some(mapped) = self.by_name.get(name) else { return Arc::clone(field) };
        let data_type = mapped.inner.ty(field.data_type());
        let mut metadata = field.metadata().clone();
        if let Some(id) = mapped.id {
            metadata.insert(FIELD_ID.to_owned(), id.to_string());
        }
        Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata))
    }

    fn ty(&self, ty: &DataType) -> DataType {
        match ty {
            DataType::Struct(fields) => DataType::Struct(self.apply(fields)),
            // Writers name the inside of lists and maps as they like; the mapping does not.
            DataType::List(element) => DataType::List(self.field(element, "element")),
            DataType::LargeList(element) => DataType::LargeList(self.field(element, "element")),
            DataType::Map(entries, sorted) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    let pair = vec![self.field(&pair[0], "key"), self.field(&pair[1], "value")];
                    let entries =
                        entries.as_ref().clone().with_data_type(DataType::Struct(pair.into()));
                    DataType::Map(Arc::new(entries), *sorted)
                }
                _ => ty.clone(),
            },
            _ => ty.clone(),
        }
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
