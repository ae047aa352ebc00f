//! SHOW and DESCRIBE of a database's schemas, tables and columns.

use std::sync::Arc;

use arrow::array::RecordBatch;
use fjord_catalog::metastore::EntryKind;
use fjord_connectors::connector::RemoteKind;

use super::name::ForeignName;
use super::object;
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::catalog::ForeignCatalog;
use crate::foreign::name::Part;
use crate::sql::context::StatementContext;
use crate::sql::ddl::ast::{LikePattern, ObjectPath};
use crate::sql::names::{self, Mounted};
use crate::sql::scope::{INFORMATION_SCHEMA, is_visible};
use crate::sql::show::batch::text_batch;
use crate::sql::show::columns::{ColumnRow, query_columns};
use crate::sql::show::describe::column_batch;
use crate::sql::show::like::Matcher;

/// The names of a listing that match.
fn listed(header: &str, names: Vec<String>, like: Option<&LikePattern>) -> Result<RecordBatch> {
    let matcher = Matcher::new(like);
    text_batch([header], names.into_iter().filter(|n| matcher.matches(n)).map(|n| [n]))
}

/// SHOW SCHEMAS.
pub(crate) async fn schemas(
    ctx: &StatementContext,
    catalog: &Arc<ForeignCatalog>,
    like: Option<&LikePattern>,
) -> Result<RecordBatch> {
    let mut names = names::schemas(&Mounted::Foreign(Arc::clone(catalog))).await?;
    names.retain(|name| {
        name == INFORMATION_SCHEMA
            || is_visible(ctx.access.as_deref(), catalog.name(), Some(name), None)
    });
    listed("Schema", names, like)
}

/// SHOW TABLES, SHOW VIEWS.
pub(crate) async fn tables(
    ctx: &StatementContext,
    catalog: &Arc<ForeignCatalog>,
    schema: &Part,
    kind: Option<EntryKind>,
    like: Option<&LikePattern>,
) -> Result<RecordBatch> {
    let (schema, entries) = names::foreign_entries(catalog, schema).await?;
    let is_shown = |name: &str| {
        schema == INFORMATION_SCHEMA
            || is_visible(ctx.access.as_deref(), catalog.name(), Some(&schema), Some(name))
    };
    let wanted = entries
        .into_iter()
        .filter(|entry| kind.is_none_or(|kind| entry.kind == kind) && is_shown(&entry.name));
    let header = if kind == Some(EntryKind::View) { "View" } else { "Table" };
    listed(header, wanted.map(|entry| entry.name).collect(), like)
}

/// SHOW COLUMNS, DESCRIBE.
pub(crate) async fn columns(
    ctx: &StatementContext,
    name: &ForeignName,
    like: Option<&LikePattern>,
) -> Result<RecordBatch> {
    let matcher = Matcher::new(like);
    let (_, mut columns) = columns_of(ctx, name).await?;
    columns.retain(|column| matcher.matches(&column.name));
    column_batch(&columns)
}

/// DESCRIBE EXTENDED.
pub(crate) async fn extended(ctx: &StatementContext, name: &ForeignName) -> Result<RecordBatch> {
    let (kind, columns) = columns_of(ctx, name).await?;
    let kind = match kind {
        Some(RemoteKind::View) => "VIEW",
        Some(RemoteKind::Foreign) => "FOREIGN TABLE",
        _ => "TABLE",
    };
    let column = |c: ColumnRow| [c.name, c.ty, c.comment.unwrap_or_default()];
    let mut rows: Vec<[String; 3]> = columns.into_iter().map(column).collect();
    rows.push([String::new(), String::new(), String::new()]);
    rows.push(["# Detailed Table Information".to_owned(), String::new(), String::new()]);
    let details = [
        ("Name", name.to_string()),
        ("Type", kind.to_owned()),
        ("Database", name.catalog.kind().to_owned()),
    ];
    rows.extend(details.map(|(key, value)| [key.to_owned(), value, String::new()]));
    text_batch(["Column", "Type", "Comment"], rows)
}

async fn columns_of(
    ctx: &StatementContext,
    name: &ForeignName,
) -> Result<(Option<RemoteKind>, Vec<ColumnRow>)> {
    if name.schema.text.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        let table = crate::sql::information::InformationTable::by_name(&name.table.text)?;
        return Ok((Some(RemoteKind::View), query_columns(&table.schema())));
    }
    name.permit(ctx, Privilege::Read)?;
    let found = name.found().await?;
    match ctx.foreign_table(&name.catalog, &found.name).await? {
        Some(table) => Ok((found.kind, query_columns(&table.schema()))),
        None => Err(name.missing("table or view").await),
    }
}

/// DESCRIBE SCHEMA.
pub(crate) async fn schema(catalog: &ForeignCatalog, schema: &Part) -> Result<RecordBatch> {
    let stored = catalog.schema(schema).await?;
    text_batch(
        ["Property", "Value"],
        [
            ["catalog".to_owned(), catalog.name().to_owned()],
            ["schema".to_owned(), stored],
            ["database".to_owned(), catalog.kind().to_owned()],
        ],
    )
}

/// SHOW CREATE CATALOG.
pub(crate) fn create_catalog(ctx: &StatementContext, path: &ObjectPath) -> Result<RecordBatch> {
    let name = super::catalogs::only_part(path)?;
    object::permit_catalog(ctx, Privilege::Admin, name)?;
    let Some(catalog) = ctx.services.foreign(name) else {
        // What is there, and what is none.
        let iceberg = ctx.services.catalog(name)?;
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "catalog \"{}\" holds Iceberg tables and is described in the configuration; SHOW \
                 CREATE CATALOG is for live databases",
                iceberg.name()
            ),
        ));
    };
    text_batch(["Create Catalog"], [[catalog.to_sql()]])
}

/// The columns that [`create_catalog`] and the like are refused with.
pub(crate) fn refuse(catalog: &ForeignCatalog, what: &str) -> Error {
    Error::unsupported(format!(
        "{what} is for Iceberg tables, and \"{}\" is a live {} database: DESCRIBE shows columns, the \
         database itself the rest",
        catalog.name(),
        catalog.kind()
    ))
}
