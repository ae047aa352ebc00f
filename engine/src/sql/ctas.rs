//! CREATE TABLE AS: a staged table, its files, and one commit.

use datafusion::physical_plan::displayable;
use fjord_catalog::change::CommitOptions;

use super::context::StatementContext;
use super::ddl::ast::CreateTableStatement;
use super::ddl::create::{Creation, plan_create};
use super::foreign::name::ForeignName;
use super::session_queries::sql_scope;
use super::{foreign, plan, select, titles};
use crate::error::{Error, Result};
use crate::iceberg::commit::{CommitAction, CommitOutcome, plan_commit};
use crate::iceberg::write::{Fit, WriteTarget, plan_write};
use crate::query::{QueryResult, ResultKind};

/// What a CTAS would do, as text: nothing is created, and nothing written.
pub(crate) async fn explain(
    ctx: &StatementContext,
    statement: &CreateTableStatement,
) -> Result<[String; 2]> {
    let Some(query) = &statement.query else {
        return Err(Error::unsupported("EXPLAIN of CREATE TABLE is supported for CREATE TABLE AS"));
    };
    if let Some(target) = ForeignName::of_path(ctx, &statement.name)? {
        return foreign::write::explain_ctas(ctx, statement, &target).await;
    }
    if statement.column_names.is_empty() {
        titles::check_stored(&query.query)?;
    }
    let rows = plan::plan_query(ctx, query.query.as_ref().clone()).await?;
    let created = plan_create(statement, &sql_scope(ctx), Some(rows.schema().as_arrow())).await?;
    let (target, create) = match created {
        Creation::Skipped(message) => return Ok([message.clone(), message]),
        Creation::Make(target, create) => (target, create),
    };
    let logical = ctx.state.optimize(&rows)?.display_indent().to_string();
    let staged = target.catalog.stage_table(*create).await?;
    let input = plan::physical(ctx, &rows).await?;
    let write_to = WriteTarget { catalog: target.catalog.clone(), table: staged.table.clone() };
    let write = plan_write(input, &write_to, Fit::Floor, ctx.state.as_ref())?;
    let action = CommitAction::Create(Box::new(staged));
    let options = CommitOptions::default();
    let commit = plan_commit(write, &write_to, action, options, CommitOutcome::default())?;
    let physical = displayable(commit.as_ref()).indent(false).to_string();
    Ok([format!("CreateTable: {target}\n{logical}"), physical])
}

/// Runs a CTAS: nobody sees the table before all of its rows.
pub(crate) async fn run(
    ctx: &StatementContext,
    statement: &CreateTableStatement,
) -> Result<QueryResult> {
    let Some(query) = &statement.query else {
        return Err(Error::invalid("CREATE TABLE AS needs a query"));
    };
    if statement.column_names.is_empty() {
        titles::check_stored(&query.query)?;
    }
    let rows = plan::plan_query(ctx, query.query.as_ref().clone()).await?;
    let created = plan_create(statement, &sql_scope(ctx), Some(rows.schema().as_arrow())).await?;
    let (target, create) = match created {
        Creation::Skipped(message) => return Ok(QueryResult::done(message)),
        Creation::Make(target, create) => (target, create),
    };
    let staged = target.catalog.stage_table(*create).await?;
    if let Some(replaced) = &staged.replaces {
        ctx.check_as_read(&target.catalog, replaced)?;
    }
    if !statement.with_data {
        target.catalog.commit_staged(staged, Vec::new(), CommitOptions::default()).await?;
        return Ok(QueryResult::done(format!("created table {target}")));
    }
    let input = plan::physical(ctx, &rows).await?;
    let write_to = WriteTarget { catalog: target.catalog.clone(), table: staged.table.clone() };
    let write = plan_write(input, &write_to, Fit::Floor, ctx.state.as_ref())?;
    let action = CommitAction::Create(Box::new(staged));
    let options = CommitOptions::default();
    let commit = plan_commit(write, &write_to, action, options, CommitOutcome::default())?;
    select::execute(ctx, commit, ResultKind::Affected, None)
}
