//! SHOW CREATE: statements that, when run, make the same table, view or schema again.

use std::collections::BTreeMap;
use std::fmt::Write;

use fjord_catalog::catalog::Catalog;
use fjord_catalog::metastore::View;
use fjord_catalog::name::Namespace;
use fjord_catalog::spec::FormatVersion;
use fjord_catalog::table::Table;

use crate::error::{Error, Result};
use crate::sql::ddl::settings::COMMENT;
use crate::sql::ddl::terms::{partition_to_sql, sort_to_sql, terms_of};
use crate::sql::ddl::view::COLUMN_COMMENT;
use crate::sql::literal::literal_to_sql;
use crate::sql::quote::{quote_name, quote_path, quote_text};
use crate::sql::types::{TypeDetail, type_to_sql};

/// `CREATE TABLE` of a table.
///
/// # Errors
/// `Unsupported` for a nested default, which our SQL cannot say.
pub(crate) fn create_table_sql(catalog: &Catalog, table: &Table) -> Result<String> {
    let metadata = table.metadata();
    let mut columns = Vec::new();
    for field in metadata.current_schema().as_struct().fields() {
        let mut column = format!(
            "   {} {}",
            quote_name(&field.name),
            type_to_sql(&field.field_type, TypeDetail::Full)
        );
        if field.required {
            column.push_str(" NOT NULL");
        }
        if let Some(default) = &field.write_default {
            let shown = literal_to_sql(default, &field.field_type).ok_or_else(|| {
                Error::unsupported(format!(
                    "table \"{}\": column \"{}\" has a nested default, which SQL cannot say",
                    table.name(),
                    field.name
                ))
            })?;
            column.push_str(" DEFAULT ");
            column.push_str(&shown);
        }
        if let Some(doc) = &field.doc {
            column.push_str(" COMMENT ");
            column.push_str(&quote_text(doc));
        }
        columns.push(column);
    }
    let namespace = table.name().namespace.to_string();
    let name = quote_path([catalog.name(), &namespace, &table.name().name]);
    let mut sql = format!("CREATE TABLE {name} (\n{}\n)", columns.join(",\n"));
    if let Some(comment) = metadata.properties().get(COMMENT) {
        // Writing into a string does not fail.
        let _written = write!(sql, "\nCOMMENT {}", quote_text(comment));
    }
    let _written = write!(sql, "\nWITH (\n{}\n)", with_list(catalog, table)?.join(",\n"));
    Ok(sql)
}

fn with_list(catalog: &Catalog, table: &Table) -> Result<Vec<String>> {
    let metadata = table.metadata();
    // Tables of format 1 are read; what is made is at least format 2.
    let version = if metadata.format_version() >= FormatVersion::V3 { 3 } else { 2 };
    let mut with =
        vec!["   format = 'PARQUET'".to_owned(), format!("   format_version = {version}")];
    if !is_own_location(catalog, table) {
        with.push(format!("   location = {}", quote_text(metadata.location())));
    }
    let terms = terms_of(metadata)?;
    if !terms.partitioning.is_empty() {
        let texts: Vec<String> =
            terms.partitioning.iter().map(|t| quote_text(&partition_to_sql(t))).collect();
        with.push(format!("   partitioning = ARRAY[{}]", texts.join(", ")));
    }
    if !terms.sorted_by.is_empty() {
        let texts: Vec<String> =
            terms.sorted_by.iter().map(|t| quote_text(&sort_to_sql(t))).collect();
        with.push(format!("   sorted_by = ARRAY[{}]", texts.join(", ")));
    }
    let own: BTreeMap<&String, &String> =
        metadata.properties().iter().filter(|(key, _)| key.as_str() != COMMENT).collect();
    if !own.is_empty() {
        let keys: Vec<String> = own.keys().map(|key| quote_text(key)).collect();
        let values: Vec<String> = own.values().map(|value| quote_text(value)).collect();
        with.push(format!(
            "   extra_properties = MAP(ARRAY[{}], ARRAY[{}])",
            keys.join(", "),
            values.join(", ")
        ));
    }
    Ok(with)
}

/// Whether the engine chose the location: a table made again gets a new directory of its own, for
/// two must never share one.
fn is_own_location(catalog: &Catalog, table: &Table) -> bool {
    let name = table.name();
    let directory = table.metadata().location().rsplit_once('/').map(|(_, last)| last);
    let generated = directory
        .and_then(|last| last.rsplit_once('-'))
        .is_some_and(|(_, hex)| hex.len() == 8 && hex.chars().all(|c| c.is_ascii_hexdigit()));
    let below = format!("{}/", catalog.warehouse().trim_end_matches('/'));
    generated && table.metadata().location().starts_with(&below) && !name.name.is_empty()
}

/// `CREATE VIEW` of a view.
pub(crate) fn create_view_sql(catalog: &Catalog, view: &View) -> String {
    let namespace = view.name.namespace.to_string();
    let mut sql =
        format!("CREATE VIEW {}", quote_path([catalog.name(), &namespace, &view.name.name]));
    if !view.columns.is_empty() {
        let columns: Vec<String> = view
            .columns
            .iter()
            .map(|column| match view.properties.get(&format!("{COLUMN_COMMENT}{column}")) {
                Some(comment) => format!("{} COMMENT {}", quote_name(column), quote_text(comment)),
                None => quote_name(column),
            })
            .collect();
        let _written = write!(sql, " ({})", columns.join(", "));
    }
    if let Some(comment) = view.properties.get(COMMENT) {
        let _written = write!(sql, "\nCOMMENT {}", quote_text(comment));
    }
    let own: Vec<String> = view
        .properties
        .iter()
        .filter(|(key, _)| key.as_str() != COMMENT && !key.starts_with(COLUMN_COMMENT))
        .map(|(key, value)| format!("{} = {}", quote_text(key), quote_text(value)))
        .collect();
    if !own.is_empty() {
        let _written = write!(sql, "\nTBLPROPERTIES ({})", own.join(", "));
    }
    let _written = write!(sql, "\nAS\n{}", view.sql);
    sql
}

/// `CREATE SCHEMA` of a schema.
pub(crate) fn create_schema_sql(
    catalog: &Catalog,
    namespace: &Namespace,
    properties: &BTreeMap<String, String>,
) -> String {
    let name = quote_path([catalog.name(), &namespace.to_string()]);
    let own: Vec<String> = properties
        .iter()
        .map(|(key, value)| format!("   {} = {}", quote_text(key), quote_text(value)))
        .collect();
    if own.is_empty() {
        return format!("CREATE SCHEMA {name}");
    }
    format!("CREATE SCHEMA {name}\nWITH (\n{}\n)", own.join(",\n"))
}
