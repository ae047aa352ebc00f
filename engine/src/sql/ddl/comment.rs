//! COMMENT ON.

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::alter::run_alter_table;
use crate::sql::ddl::ast::{AlterAction, AlterViewAction, CommentTarget, ObjectPath};
use crate::sql::ddl::schema::run_alter_schema;
use crate::sql::ddl::settings::COMMENT;
use crate::sql::ddl::view::run_alter_view;
use crate::sql::scope::SqlScope;

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
