//! CREATE TABLE and CREATE VIEW in a database: a clause that a database's table does not have is
//! refused.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema as ArrowSchema};
use fjord_connectors::connector::RemoteTable;

use super::name::{ForeignName, is_view};
use super::object;
use super::write::require_writes;
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::types::to_arrow_type;
use crate::sql::context::StatementContext;
use crate::sql::ddl::ast::{CreateTableStatement, CreateViewStatement, IfTaken, TableElement};

/// What CREATE TABLE comes to.
#[derive(Debug)]
pub(crate) enum Making {
    /// `IF NOT EXISTS`, and it is there: what to tell the user.
    Skipped(String),
    /// A table to be made.
    Make(RemoteTable),
}

/// The table that `statement` makes; a CTAS gives the columns of its query.
pub(crate) async fn plan(
    statement: &CreateTableStatement,
    target: &ForeignName,
    query: Option<&ArrowSchema>,
) -> Result<Making> {
    refuse_clauses(statement, target)?;
    let name = target.for_new().await?;
    let fields = match query {
        Some(query) => query_fields(statement, query)?,
        None => declared_fields(statement, target)?,
    };
    if let Some(found) = target.find().await? {
        let what = if is_view(found.kind) { "view" } else { "table" };
        if statement.if_taken == IfTaken::Skip && what == "table" {
            return Ok(Making::Skipped(format!("table {target} already exists, skipped")));
        }
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("{what} \"{}.{}\" already exists", target.catalog.name(), found.name),
        ));
    }
    let if_not_exists = statement.if_taken == IfTaken::Skip;
    let schema = Arc::new(ArrowSchema::new(fields));
    Ok(Making::Make(RemoteTable { name, schema, if_not_exists }))
}

/// Makes an empty table.
pub(crate) async fn run(
    ctx: &StatementContext,
    statement: &CreateTableStatement,
    target: &ForeignName,
) -> Result<String> {
    target.permit(ctx, Privilege::Write)?;
    require_writes(target)?;
    match plan(statement, target, None).await? {
        Making::Skipped(message) => Ok(message),
        Making::Make(table) => {
            target.catalog.create_table(&table).await?;
            Ok(format!("created table {}.{}", target.catalog.name(), table.name))
        }
    }
}

fn refuse_clauses(statement: &CreateTableStatement, target: &ForeignName) -> Result<()> {
    let replaces = matches!(statement.if_taken, IfTaken::Replace | IfTaken::MustReplace);
    let refused = [
        (replaces, "OR REPLACE"),
        (!statement.partitioning.is_empty(), "PARTITIONED BY"),
        (!statement.sorted_by.is_empty(), "WRITE ORDERED BY"),
        (statement.location.is_some(), "LOCATION"),
        (statement.comment.is_some(), "COMMENT"),
        (statement.format_version.is_some(), "format_version"),
        (!statement.properties.is_empty(), "table properties"),
    ];
    match refused.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, clause)) => Err(Error::unsupported(format!(
            "table \"{target}\": {clause} is for Iceberg tables, and this is one of a live {} \
             database",
            target.catalog.kind()
        ))),
    }
}

fn query_fields(statement: &CreateTableStatement, query: &ArrowSchema) -> Result<Vec<Field>> {
    let mut fields: Vec<Field> = query
        .fields()
        .iter()
        // What a query yields of a column that is never NULL may yet become so in the table.
        .map(|f| Field::new(f.name(), f.data_type().clone(), true).with_metadata(kept(f)))
        .collect();
    let count = fields.len();
    for (field, name) in fields.iter_mut().zip(statement.names_of(count)?) {
        field.set_name(name);
    }
    Ok(fields)
}

/// Of a column's metadata, what belongs to its type.
fn kept(field: &Field) -> std::collections::HashMap<String, String> {
    let is_of_type = |key: &&String| key.starts_with("ARROW:extension:");
    let kept = field.metadata().iter().filter(|(key, _)| is_of_type(key));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn declared_fields(statement: &CreateTableStatement, target: &ForeignName) -> Result<Vec<Field>> {
    let refused = |what: &str| {
        Error::unsupported(format!(
            "table \"{target}\": {what} is not supported in a live {} database",
            target.catalog.kind()
        ))
    };
    let mut fields: Vec<Field> = Vec::with_capacity(statement.elements.len());
    for element in &statement.elements {
        let TableElement::Column(column) = element else { return Err(refused("LIKE")) };
        if column.default.is_some() {
            return Err(refused("DEFAULT"));
        }
        if column.comment.is_some() {
            return Err(refused("COMMENT"));
        }
        let name = column.path.last().map_or("", String::as_str);
        if fields.iter().any(|before| before.name() == name) {
            return Err(Error::invalid(format!("column \"{name}\" occurs twice")));
        }
        fields.push(Field::new(name, to_arrow_type(&column.ty)?, !column.required));
    }
    if fields.is_empty() {
        return Err(Error::invalid("a table needs at least one column"));
    }
    Ok(fields)
}

/// Makes a view of the database, in its own SQL: the text after AS is sent as it was written.
///
/// # Errors
/// `PermissionDenied` for all but admins: what the text names, the database checks against the
/// rights of the catalog's own user, which are not those of whoever asks.
pub(crate) async fn run_view(
    ctx: &StatementContext,
    statement: &CreateViewStatement,
    target: &ForeignName,
) -> Result<String> {
    object::permit_catalog(ctx, Privilege::Admin, target.catalog.name())?;
    if !target.catalog.connector()?.capabilities().views {
        return Err(Error::unsupported(format!(
            "catalog \"{}\" is a {} database in which no views are made",
            target.catalog.name(),
            target.catalog.kind()
        )));
    }
    let refused = [
        (!statement.columns.is_empty(), "a list of columns"),
        (statement.comment.is_some(), "COMMENT"),
        (!statement.properties.is_empty(), "TBLPROPERTIES"),
    ];
    if let Some((_, clause)) = refused.iter().find(|(given, _)| *given) {
        return Err(Error::unsupported(format!(
            "view \"{target}\": {clause} is not supported in a live {} database; name columns in \
             its query",
            target.catalog.kind()
        )));
    }
    let name = target.for_new().await?;
    let replace = statement.if_taken == IfTaken::Replace;
    if let Some(found) = target.find().await? {
        let what = if is_view(found.kind) { "view" } else { "table" };
        if what == "view" && statement.if_taken == IfTaken::Skip {
            return Ok(format!("view {target} already exists, skipped"));
        }
        if what == "table" || !replace {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{what} \"{}.{}\" already exists", target.catalog.name(), found.name),
            ));
        }
        target.catalog.create_view(&found.name, &statement.query.text, true).await?;
        return Ok(format!("replaced view {}.{}", target.catalog.name(), found.name));
    }
    target.catalog.create_view(&name, &statement.query.text, replace).await?;
    Ok(format!("created view {}.{name}", target.catalog.name()))
}
