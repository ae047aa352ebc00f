//! COMMENT ON.

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::alter::run_alter_table;
use crate::sql::ddl::ast::{AlterAction, AlterViewAction, CommentTarget, ObjectPath};
use crate::sql::ddl::schema::run_alter_schema;
use crate::sql::ddl::settings::COMMENT;
use crate::sql::ddl::view::{COLUMN_COMMENT, run_alter_view};
use crate::sql::scope::{Found, SqlScope, find};

/// Sets or clears a comment.
pub(crate) async fn run_comment(
    target: &CommentTarget,
    comment: Option<&str>,
    scope: &SqlScope,
) -> Result<String> {
    let comment = comment.map(str::to_owned);
    let changes = vec![(COMMENT.to_owned(), comment.clone())];
    match target {
        CommentTarget::Table(name) => {
            let action = AlterAction::Properties { changes, must_exist: false };
            run_alter_table(name, false, &[action], scope).await?;
            Ok(format!("commented on table {name}"))
        }
        CommentTarget::View(name) => {
            let action = AlterViewAction::Properties { changes, must_exist: false };
            run_alter_view(name, false, &action, scope).await?;
            Ok(format!("commented on view {name}"))
        }
        CommentTarget::Schema(name) => {
            run_alter_schema(name, &changes, scope).await?;
            Ok(format!("commented on schema {name}"))
        }
        CommentTarget::Column(path) => {
            // How many leading parts are the table's name is not in the syntax (`a.b.c` may be a
            // nested field): the plain reading, one part for the column, comes first.
            let mut missing = None;
            for table_parts in (1..path.0.len()).rev().filter(|n| *n <= 3) {
                let (table, column) = path.0.split_at(table_parts);
                let action = AlterAction::CommentColumn(column.to_vec(), comment.clone());
                let table = ObjectPath(table.to_vec());
                // What the user may not change is no candidate; another cut may be the right one.
                if let Err(denied) = scope.permit_change(&table) {
                    missing = missing.or(Some(denied));
                    continue;
                }
                if let [column] = column
                    && comment_on_view(&table, column, comment.as_deref(), scope).await?
                {
                    return Ok(format!("commented on column {path}"));
                }
                match run_alter_table(&table, false, &[action], scope).await {
                    Ok(_) => return Ok(format!("commented on column {path}")),
                    Err(e) if e.kind() == ErrorKind::NotFound => missing = missing.or(Some(e)),
                    Err(e) => return Err(e),
                }
            }
            Err(missing.unwrap_or_else(|| {
                Error::invalid(format!("COMMENT ON COLUMN {path}: write table.column"))
            }))
        }
    }
}

/// Comments on a view's column; `false` when `name` is no view.
async fn comment_on_view(
    name: &ObjectPath,
    column: &str,
    comment: Option<&str>,
    scope: &SqlScope,
) -> Result<bool> {
    let resolved = scope.resolve(name)?;
    let found = match find(&resolved).await {
        // A name cut in the wrong place leads nowhere; the next cut may be right.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    let Found::View(view) = found else { return Ok(false) };
    let schema = scope.queries().view_schema(resolved.catalog.name(), &view).await?;
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let names: Vec<&str> = if view.columns.is_empty() {
        names.collect()
    } else {
        view.columns.iter().map(String::as_str).collect()
    };
    let Some(stored) = names.iter().find(|stored| stored.to_lowercase() == column.to_lowercase())
    else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("view \"{resolved}\" has no column \"{column}\"; it has {}", names.join(", ")),
        ));
    };
    let changes = vec![(format!("{COLUMN_COMMENT}{stored}"), comment.map(str::to_owned))];
    let action = AlterViewAction::Properties { changes, must_exist: false };
    run_alter_view(name, false, &action, scope).await?;
    Ok(true)
}
