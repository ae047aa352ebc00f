//! DESCRIBE of tables, views, schemas and queries.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use fjord_catalog::table::Table;

use crate::error::Result;
use crate::sql::ddl::ast::{Describe, ObjectPath};
use crate::sql::ddl::terms::{partition_to_sql, sort_to_sql, terms_of};
use crate::sql::scope::{Found, SqlScope, find, not_found};
use crate::sql::show::batch::text_batch;
use crate::sql::show::columns::{ColumnRow, query_columns, table_columns, view_columns};

/// Runs DESCRIBE.
pub(crate) async fn run_describe(what: &Describe, scope: &SqlScope) -> Result<RecordBatch> {
    match what {
        Describe::Query(query) => {
            let schema = scope.queries().query_schema(&query.query).await?;
            column_batch(&query_columns(&schema))
        }
        Describe::Schema(path) => {
            let (catalog, namespace) = scope.resolve_schema(Some(path))?;
            let (stored, properties) = catalog.metastore().load_namespace(&namespace).await?;
            let mut rows = vec![
                ["catalog".to_owned(), catalog.name().to_owned()],
                ["schema".to_owned(), stored.to_string()],
            ];
            rows.extend(properties.into_iter().map(|(key, value)| [key, value]));
            text_batch(["Property", "Value"], rows)
        }
        Describe::Relation { name, extended: false } => {
            column_batch(&relation_columns(name, scope).await?)
        }
        Describe::Relation { name, extended: true } => describe_extended(name, scope).await,
    }
}

/// The columns of a table or view, by name.
pub(crate) async fn relation_columns(
    name: &ObjectPath,
    scope: &SqlScope,
) -> Result<Vec<ColumnRow>> {
    let resolved = scope.resolve(name)?;
    if let Some(columns) = crate::sql::information::columns_of(&resolved.name) {
        return Ok(query_columns(columns?.as_ref()));
    }
    match find(&resolved).await? {
        Found::Table(table) => Ok(table_columns(table.metadata())),
        Found::View(view) => {
            let schema = scope.queries().view_schema(resolved.catalog.name(), &view).await?;
            Ok(view_columns(&view, &schema))
        }
        Found::Nothing => Err(not_found("table or view", &resolved)),
    }
}

/// Columns as SHOW COLUMNS and DESCRIBE list them.
pub(crate) fn column_batch(columns: &[ColumnRow]) -> Result<RecordBatch> {
    text_batch(
        ["Column", "Type", "Extra", "Comment"],
        columns.iter().map(|c| {
            [c.name.clone(), c.ty.clone(), c.extra(), c.comment.clone().unwrap_or_default()]
        }),
    )
}

async fn describe_extended(name: &ObjectPath, scope: &SqlScope) -> Result<RecordBatch> {
    let resolved = scope.resolve(name)?;
    let mut rows: Vec<[String; 3]> = relation_columns(name, scope)
        .await?
        .into_iter()
        .map(|c| [c.name, c.ty, c.comment.unwrap_or_default()])
        .collect();
    let mut section = |title: &str, details: Vec<(String, String)>| {
        if !details.is_empty() {
            rows.push([String::new(), String::new(), String::new()]);
            rows.push([format!("# {title}"), String::new(), String::new()]);
            rows.extend(details.into_iter().map(|(key, value)| [key, value, String::new()]));
        }
    };
    match find(&resolved).await? {
        Found::Table(table) => {
            let terms = terms_of(table.metadata())?;
            let numbered = |texts: Vec<String>| {
                let numbered = texts.into_iter().enumerate();
                numbered.map(|(i, text)| (format!("Part {i}"), text)).collect::<Vec<_>>()
            };
            section(
                "Partitioning",
                numbered(terms.partitioning.iter().map(partition_to_sql).collect()),
            );
            section("Sort order", numbered(terms.sorted_by.iter().map(sort_to_sql).collect()));
            section("Detailed Table Information", details(&resolved.to_string(), &table));
            let properties: BTreeMap<String, String> =
                table.metadata().properties().clone().into_iter().collect();
            section("Table Properties", properties.into_iter().collect());
        }
        Found::View(view) => {
            let details = vec![
                ("Name".to_owned(), resolved.to_string()),
                ("Type".to_owned(), "VIEW".to_owned()),
                ("View Text".to_owned(), view.sql.clone()),
                (
                    "View Catalog and Namespace".to_owned(),
                    format!("{}.{}", view.default_catalog, view.default_namespace),
                ),
            ];
            section("Detailed View Information", details);
            section("View Properties", view.properties.into_iter().collect());
        }
        Found::Nothing => {}
    }
    text_batch(["Column", "Type", "Comment"], rows)
}

fn details(name: &str, table: &Table) -> Vec<(String, String)> {
    let metadata = table.metadata();
    let mut details = vec![
        ("Name".to_owned(), name.to_owned()),
        ("Type".to_owned(), "TABLE".to_owned()),
        ("UUID".to_owned(), metadata.uuid().to_string()),
        ("Location".to_owned(), metadata.location().to_owned()),
        ("Format".to_owned(), format!("iceberg {}/parquet", metadata.format_version())),
    ];
    if let Some(location) = table.metadata_location() {
        details.push(("Metadata Location".to_owned(), location.to_owned()));
    }
    if let Some(snapshot) = metadata.current_snapshot() {
        details.push(("Current Snapshot".to_owned(), snapshot.snapshot_id().to_string()));
        let summary = &snapshot.summary().additional_properties;
        for (shown, key) in [
            ("Total Records", "total-records"),
            ("Total Data Files", "total-data-files"),
            ("Total Size in Bytes", "total-files-size"),
        ] {
            if let Some(value) = summary.get(key) {
                details.push((shown.to_owned(), value.clone()));
            }
        }
    }
    details
}
