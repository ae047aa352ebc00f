//! SHOW and DESCRIBE: each loads no more than it shows.

pub(crate) mod batch;
pub(crate) mod like;
pub(crate) mod columns;
pub(crate) mod create;
pub(crate) mod describe;

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use fjord_catalog::metastore::EntryKind;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::ast::{LikePattern, ObjectPath, Show};
use crate::sql::information::InformationTable;
use crate::sql::names;
use crate::sql::scope::{Found, INFORMATION_SCHEMA, SqlScope, find, not_found, wrong_kind};
use batch::text_batch;
use describe::{column_batch, relation_columns};
use like::Matcher;

/// Runs a SHOW.
pub(crate) async fn run_show(show: &Show, scope: &SqlScope) -> Result<RecordBatch> {
    match show {
        Show::Catalogs(like) => {
            let mut names = scope.mounted();
            names.retain(|name| scope.is_visible(name, None, None));
            names.sort();
            names_batch("Catalog", names, like.as_ref())
        }
        Show::Schemas(from, like) => schemas(from.as_ref(), like.as_ref(), scope).await,
        Show::Tables(from, like) => tables(from.as_ref(), None, like.as_ref(), scope).await,
        Show::Views(from, like) => {
            tables(from.as_ref(), Some(EntryKind::View), like.as_ref(), scope).await
        }
        Show::Columns(name, like) => {
            let matcher = Matcher::new(like.as_ref());
            let mut columns = relation_columns(name, scope).await?;
            columns.retain(|column| matcher.matches(&column.name));
            column_batch(&columns)
        }
        Show::Functions(like) => functions(like.as_ref(), scope),
        Show::CreateTable(name) => {
            let resolved = scope.resolve(name)?;
            match find(&resolved).await? {
                Found::Table(table) => {
                    let sql = create::create_table_sql(&resolved.catalog, &table)?;
                    text_batch(["Create Table"], [[sql]])
                }
                Found::View(_) => Err(wrong_kind(&resolved, "view", "SHOW CREATE VIEW")),
                Found::Nothing => Err(not_found("table", &resolved)),
            }
        }
        Show::CreateView(name) => {
            let resolved = scope.resolve(name)?;
            match find(&resolved).await? {
                Found::View(view) => {
                    let sql = create::create_view_sql(&resolved.catalog, &view);
                    text_batch(["Create View"], [[sql]])
                }
                Found::Table(_) => Err(wrong_kind(&resolved, "table", "SHOW CREATE TABLE")),
                Found::Nothing => Err(not_found("view", &resolved)),
            }
        }
        Show::CreateSchema(name) => {
            let (catalog, namespace) = scope.resolve_schema(Some(name))?;
            let (stored, properties) = catalog.metastore().load_namespace(&namespace).await?;
            let sql = create::create_schema_sql(&catalog, &stored, &properties);
            text_batch(["Create Schema"], [[sql]])
        }
        Show::CreateCatalog(_) => {
            Err(Error::new(ErrorKind::Bug, "SHOW CREATE CATALOG reached the runner of SHOW"))
        }
        Show::Properties(name, key) => properties(name, key.as_deref(), scope).await,
    }
}

fn names_batch(
    header: &str,
    names: Vec<String>,
    like: Option<&LikePattern>,
) -> Result<RecordBatch> {
    let matcher = Matcher::new(like);
    text_batch([header], names.into_iter().filter(|n| matcher.matches(n)).map(|n| [n]))
}

async fn schemas(
    from: Option<&ObjectPath>,
    like: Option<&LikePattern>,
    scope: &SqlScope,
) -> Result<RecordBatch> {
    let catalog = match from.map(|path| path.0.as_slice()) {
        None => scope.catalog(scope.current_catalog())?,
        Some([name]) => scope.catalog(name)?,
        Some(parts) => {
            return Err(Error::invalid(format!(
                "SHOW SCHEMAS FROM \"{}\": it takes the name of a catalog",
                parts.join(".")
            )));
        }
    };
    let mut names = names::schemas(&names::Mounted::Lake(catalog.clone())).await?;
    names.retain(|name| {
        name == INFORMATION_SCHEMA || scope.is_visible(catalog.name(), Some(name), None)
    });
    names_batch("Schema", names, like)
}

async fn tables(
    from: Option<&ObjectPath>,
    kind: Option<EntryKind>,
    like: Option<&LikePattern>,
    scope: &SqlScope,
) -> Result<RecordBatch> {
    let header = if kind == Some(EntryKind::View) { "View" } else { "Table" };
    let (catalog, namespace) = scope.resolve_schema(from)?;
    if namespace.to_string().eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        let names = InformationTable::ALL.map(|t| t.name().to_owned()).to_vec();
        return names_batch(header, if kind.is_none() { names } else { Vec::new() }, like);
    }
    let entries = catalog.metastore().list(&namespace).await?;
    let wanted = entries.into_iter().filter(|entry| kind.is_none_or(|kind| entry.kind == kind));
    let schema = namespace.to_string();
    let wanted = wanted
        .filter(|entry| scope.is_visible(catalog.name(), Some(&schema), Some(&entry.name.name)));
    names_batch(header, wanted.map(|entry| entry.name.name).collect(), like)
}

fn functions(like: Option<&LikePattern>, scope: &SqlScope) -> Result<RecordBatch> {
    let matcher = Matcher::new(like);
    let mut functions = scope.queries().functions();
    functions.sort();
    functions.dedup();
    text_batch(
        ["Function", "Function Type", "Deterministic", "Description"],
        functions
            .into_iter()
            .filter(|f| matcher.matches(&f.name))
            .map(|f| [f.name, f.kind.to_owned(), f.deterministic.to_string(), f.description]),
    )
}

async fn properties(name: &ObjectPath, key: Option<&str>, scope: &SqlScope) -> Result<RecordBatch> {
    let resolved = scope.resolve(name)?;
    let all: BTreeMap<String, String> = match find(&resolved).await? {
        Found::Table(table) => {
            let mut all: BTreeMap<String, String> =
                table.metadata().properties().clone().into_iter().collect();
            let version = table.metadata().format_version().to_string();
            all.insert("format-version".to_owned(), version.trim_start_matches('v').to_owned());
            all
        }
        Found::View(view) => view.properties,
        Found::Nothing => return Err(not_found("table or view", &resolved)),
    };
    let Some(key) = key else {
        return text_batch(["key", "value"], all.into_iter().map(|(key, value)| [key, value]));
    };
    match all.get(key) {
        Some(value) => text_batch(["key", "value"], [[key.to_owned(), value.clone()]]),
        None => Err(Error::new(
            ErrorKind::NotFound,
            format!("\"{resolved}\" has no property \"{key}\""),
        )),
    }
}
