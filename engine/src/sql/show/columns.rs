//! The columns of a table, view or query, as SHOW, DESCRIBE and the information schema list them.

use arrow::datatypes::Schema as ArrowSchema;
use fjord_catalog::metastore::View;
use fjord_catalog::spec::TableMetadata;

use crate::sql::ddl::view::COLUMN_COMMENT;
use crate::sql::literal::literal_to_sql;
use crate::sql::types::{TypeDetail, arrow_field_to_sql, type_to_sql};

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnRow {
    pub(crate) name: String,
    pub(crate) ty: String,
    pub(crate) nullable: bool,
    pub(crate) default: Option<String>,
    pub(crate) comment: Option<String>,
}

impl ColumnRow {
    /// What is to be said of the column besides its type.
    pub(crate) fn extra(&self) -> String {
        let mut parts = Vec::new();
        if !self.nullable {
            parts.push("not null".to_owned());
        }
        if let Some(default) = &self.default {
            parts.push(format!("default {default}"));
        }
        parts.join(", ")
    }
}

/// The columns of a table's current schema.
pub(crate) fn table_columns(metadata: &TableMetadata) -> Vec<ColumnRow> {
    let fields = metadata.current_schema().as_struct().fields();
    fields
        .iter()
        .map(|field| ColumnRow {
            name: field.name.clone(),
            ty: type_to_sql(&field.field_type, TypeDetail::Brief),
            nullable: !field.required,
            default: field
                .write_default
                .as_ref()
                .and_then(|default| literal_to_sql(default, &field.field_type)),
            comment: field.doc.clone(),
        })
        .collect()
}

/// The columns of a query.
pub(crate) fn query_columns(schema: &ArrowSchema) -> Vec<ColumnRow> {
    schema
        .fields()
        .iter()
        .map(|field| ColumnRow {
            name: field.name().clone(),
            ty: arrow_field_to_sql(field),
            nullable: field.is_nullable(),
            default: None,
            comment: None,
        })
        .collect()
}

/// The columns of a view whose query yields `schema`, under the view's names.
pub(crate) fn view_columns(view: &View, schema: &ArrowSchema) -> Vec<ColumnRow> {
    let mut rows = query_columns(schema);
    for (i, row) in rows.iter_mut().enumerate() {
        if let Some(name) = view.columns.get(i) {
            row.name.clone_from(name);
        }
        row.comment = view.properties.get(&format!("{COLUMN_COMMENT}{}", row.name)).cloned();
        // What a view yields may become NULL with its tables.
        row.nullable = true;
    }
    rows
}
