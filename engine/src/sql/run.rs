//! Runs what [`crate::sql::ddl`] parsed: one match from statement to the function of its family.

use arrow::record_batch::RecordBatch;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::ast::DdlStatement;
use crate::sql::ddl::{alter, comment, create, drop, schema, view};
use crate::sql::scope::SqlScope;
use crate::sql::show;

/// What a statement came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Something was done; the text says what.
    Done(String),
    /// Rows of SHOW or DESCRIBE.
    Rows(RecordBatch),
}

/// Runs a statement. Three are not for this function: a CTAS, whose rows are planned by the caller
/// (with [`create::plan_create`]), USE, which changes the session, and KILL, which no catalog knows.
pub async fn run_ddl(statement: &DdlStatement, scope: &SqlScope) -> Result<Outcome> {
    let done = match statement {
        DdlStatement::CreateTable(table) if table.query.is_some() => {
            return Err(Error::new(ErrorKind::Bug, "a CTAS reached the runner of plain DDL"));
        }
        DdlStatement::CreateTable(table) => create::run_create(table, scope).await,
        DdlStatement::CreateView(view) => view::run_create_view(view, scope).await,
        DdlStatement::CreateSchema { name, if_not_exists, properties } => {
            schema::run_create_schema(name, *if_not_exists, properties, scope).await
        }
        DdlStatement::DropTable { name, if_exists, purge } => {
            drop::run_drop_table(name, *if_exists, *purge, scope).await
        }
        DdlStatement::DropView { name, if_exists } => {
            drop::run_drop_view(name, *if_exists, scope).await
        }
        DdlStatement::DropSchema { name, if_exists, cascade } => {
            drop::run_drop_schema(name, *if_exists, *cascade, scope).await
        }
        DdlStatement::AlterTable { name, if_exists, actions } => {
            alter::run_alter_table(name, *if_exists, actions, scope).await
        }
        DdlStatement::AlterView { name, if_exists, action } => {
            view::run_alter_view(name, *if_exists, action, scope).await
        }
        DdlStatement::AlterSchema { name, changes } => {
            schema::run_alter_schema(name, changes, scope).await
        }
        DdlStatement::Comment { target, comment } => {
            comment::run_comment(target, comment.as_deref(), scope).await
        }
        DdlStatement::Show(what) => return show::run_show(what, scope).await.map(Outcome::Rows),
        DdlStatement::Describe(what) => {
            return show::describe::run_describe(what, scope).await.map(Outcome::Rows);
        }
        DdlStatement::Catalog(_)
        | DdlStatement::Use(_)
        | DdlStatement::Kill(_)
        | DdlStatement::Analyze { .. }
        | DdlStatement::RegisterTable { .. }
        | DdlStatement::AddFiles { .. }
        | DdlStatement::SnapshotFiles { .. } => {
            return Err(Error::new(ErrorKind::Bug, "USE or CALL reached the runner of DDL"));
        }
    };
    done.map(Outcome::Done)
}
