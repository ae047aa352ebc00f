//! CREATE VIEW and ALTER VIEW: the text is kept as written, and planned once before it is stored.

use std::collections::{BTreeMap, HashSet};

use fjord_catalog::metastore::{EntryKind, View};
use fjord_catalog::name::{Namespace, TableName};

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::alter::rename;
use crate::sql::ddl::ast::{AlterViewAction, CreateViewStatement, IfTaken, ObjectPath};
use crate::sql::ddl::settings::COMMENT;
use crate::sql::scope::{Found, Resolved, SqlScope, find, not_found, wrong_kind};
use crate::sql::titles;

/// Where comments of a view's columns are kept, followed by the column's name.
pub(crate) const COLUMN_COMMENT: &str = "comment.column.";

/// Makes or replaces a view.
pub(crate) async fn run_create_view(
    statement: &CreateViewStatement,
    scope: &SqlScope,
) -> Result<String> {
    let mut target = scope.resolve_new(&statement.name).await?;
    require_views(&target)?;
    let (namespace, _) = target.catalog.metastore().load_namespace(&target.name.namespace).await?;
    target.name = TableName::new(namespace, target.name.name)?;
    let replaces = match find(&target).await? {
        Found::View(view) if statement.if_taken == IfTaken::Replace => {
            target.name = view.name;
            true
        }
        Found::View(_) if statement.if_taken == IfTaken::Skip => {
            return Ok(format!("view {target} already exists, skipped"));
        }
        Found::View(_) => {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("view \"{target}\" already exists; CREATE OR REPLACE VIEW replaces it"),
            ));
        }
        Found::Table(_) => {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("\"{target}\" is a table: drop it first, or choose another name"),
            ));
        }
        Found::Nothing => false,
    };
    let mut properties: BTreeMap<String, String> = statement.properties.iter().cloned().collect();
    if let Some(comment) = &statement.comment {
        properties.insert(COMMENT.to_owned(), comment.clone());
    }
    for (column, comment) in &statement.columns {
        if let Some(comment) = comment {
            properties.insert(format!("{COLUMN_COMMENT}{column}"), comment.clone());
        }
    }
    let view = View {
        name: target.name.clone(),
        sql: statement.query.text.clone(),
        columns: statement.columns.iter().map(|(name, _)| name.clone()).collect(),
        default_catalog: scope.current_catalog().to_owned(),
        default_namespace: Namespace::parse(scope.current_schema())?,
        properties,
    };
    if view.columns.is_empty() {
        titles::check_stored(&statement.query.query)?;
    }
    check_view(&view, &target, scope).await?;
    match target.catalog.metastore().put_view(view, replaces).await {
        Ok(()) if replaces => Ok(format!("replaced view {target}")),
        Ok(()) => Ok(format!("created view {target}")),
        Err(e)
            if e.kind() == fjord_catalog::ErrorKind::AlreadyExists
                && statement.if_taken == IfTaken::Skip =>
        {
            Ok(format!("view {target} already exists, skipped"))
        }
        Err(e) => Err(e.into()),
    }
}

fn require_views(target: &Resolved) -> Result<()> {
    if target.catalog.metastore().capabilities().views {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "catalog \"{}\" stores no views: use CREATE TABLE … AS",
        target.catalog.name()
    )))
}

/// Plans the view, so that one that cannot be read is never stored.
async fn check_view(view: &View, target: &Resolved, scope: &SqlScope) -> Result<()> {
    let naming = |e: Error| Error::new(e.kind(), format!("view \"{target}\": {e}")).with_source(e);
    // A view's columns are named by the query here, whatever names the view gives them.
    let bare = View { columns: Vec::new(), ..view.clone() };
    let schema = scope.queries().view_schema(target.catalog.name(), &bare).await.map_err(naming)?;
    let from_query: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let names: Vec<&str> = if view.columns.is_empty() {
        from_query
    } else if view.columns.len() == from_query.len() {
        view.columns.iter().map(String::as_str).collect()
    } else {
        return Err(Error::invalid(format!(
            "view \"{target}\" names {} columns and its query yields {}",
            view.columns.len(),
            from_query.len()
        )));
    };
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.to_lowercase()) {
            return Err(Error::invalid(format!(
                "view \"{target}\": column \"{name}\" occurs twice; give one another name with AS"
            )));
        }
    }
    Ok(())
}

/// Changes a view.
pub(crate) async fn run_alter_view(
    name: &ObjectPath,
    if_exists: bool,
    action: &AlterViewAction,
    scope: &SqlScope,
) -> Result<String> {
    let target = scope.resolve_for_change(name)?;
    let mut view = match find(&target).await? {
        Found::View(view) => view,
        Found::Table(_) => return Err(wrong_kind(&target, "table", "ALTER TABLE")),
        Found::Nothing if if_exists => {
            return Ok(format!("view {target} does not exist, skipped"));
        }
        Found::Nothing => return Err(not_found("view", &target)),
    };
    let target = Resolved { name: view.name.clone(), ..target };
    match action {
        AlterViewAction::RenameTo(to) => {
            return rename(EntryKind::View, &target, to, scope).await;
        }
        AlterViewAction::SetQuery(query) => {
            titles::check_stored(&query.query)?;
            view.sql.clone_from(&query.text);
            // The old names may not fit the new query.
            view.columns.clear();
            scope.current_catalog().clone_into(&mut view.default_catalog);
            view.default_namespace = Namespace::parse(scope.current_schema())?;
            view.properties.retain(|key, _| !key.starts_with(COLUMN_COMMENT));
            check_view(&view, &target, scope).await?;
        }
        AlterViewAction::Properties { changes, must_exist } => {
            for (key, value) in changes {
                let before = match value {
                    Some(value) => view.properties.insert(key.clone(), value.clone()),
                    None => view.properties.remove(key),
                };
                if value.is_none() && before.is_none() && *must_exist {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        format!("view \"{target}\": property \"{key}\" is not set"),
                    ));
                }
            }
        }
    }
    target.catalog.metastore().put_view(view, true).await?;
    Ok(format!("altered view {target}"))
}
