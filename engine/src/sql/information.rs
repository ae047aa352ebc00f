//! The relations of the information schema and their columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fjord_catalog::name::TableName;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::scope::INFORMATION_SCHEMA;

/// One relation of the information schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InformationTable {
    /// Schemas.
    Schemata,
    /// Tables and views.
    Tables,
    /// Views with their text.
    Views,
    /// Columns of tables and views.
    Columns,
    /// Properties of tables.
    TableProperties,
}

impl InformationTable {
    /// Every relation.
    pub const ALL: [Self; 5] =
        [Self::Columns, Self::Schemata, Self::TableProperties, Self::Tables, Self::Views];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schemata => "schemata",
            Self::Tables => "tables",
            Self::Views => "views",
            Self::Columns => "columns",
            Self::TableProperties => "table_properties",
        }
    }

    /// The relation of this name, regardless of case.
    ///
    /// # Errors
    /// `NotFound`, listing what there is.
    pub fn by_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|t| t.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::new(
                ErrorKind::NotFound,
                format!("table \"{INFORMATION_SCHEMA}.{name}\" not found; there are {known}"),
            )
        })
    }

    /// How many leading columns are names that a listing knows: catalog, schema, table.
    pub(crate) fn name_columns(self) -> usize {
        if self == Self::Schemata { 2 } else { 3 }
    }

    /// Its columns, the names first.
    pub fn schema(self) -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let optional = |name: &str| Field::new(name, DataType::Utf8, true);
        let names = ["table_catalog", "table_schema", "table_name"].map(text).to_vec();
        let fields = match self {
            Self::Schemata => vec![text("catalog_name"), text("schema_name")],
            Self::Tables => [names, vec![text("table_type")]].concat(),
            Self::Views => [names, vec![text("view_definition")]].concat(),
            Self::Columns => [
                names,
                vec![
                    text("column_name"),
                    Field::new("ordinal_position", DataType::Int64, false),
                    optional("column_default"),
                    text("is_nullable"),
                    text("data_type"),
                    optional("comment"),
                ],
            ]
            .concat(),
            Self::TableProperties => {
                [names, vec![text("property_name"), text("property_value")]].concat()
            }
        };
        Arc::new(Schema::new(fields))
    }
}

/// The columns of a name that lies in the information schema; `None` for names elsewhere.
pub(crate) fn columns_of(name: &TableName) -> Option<Result<SchemaRef>> {
    let [schema] = name.namespace.levels() else { return None };
    if !schema.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        return None;
    }
    Some(InformationTable::by_name(&name.name).map(InformationTable::schema))
}
