//! From a parsed statement to the function of its family: one match, nothing else.

use std::pin::Pin;

use sqlparser::ast::Statement as Sql;

use super::context::StatementContext;
use super::ddl::ast::DdlStatement;
use super::run::{self, Outcome};
use super::statement::Parsed;
use super::{copy, ctas, delete, explain, insert, prepare, select, session_queries, settings};
use crate::error::{Error, Result};
use crate::query::QueryResult;

/// The future of a statement; boxed because EXECUTE and EXPLAIN hold statements.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<QueryResult>> + Send + 'a>>;

/// Runs one statement.
pub(crate) fn run<'a>(ctx: &'a StatementContext, statement: &'a Parsed) -> Running<'a> {
    match statement {
        Parsed::Sql(sql) => run_sql(ctx, sql),
        Parsed::Ddl(statement) => match statement.as_ref() {
            DdlStatement::CreateTable(create) if create.query.is_some() => {
                Box::pin(ctas::run(ctx, create))
            }
            DdlStatement::Use(name) => Box::pin(settings::run_use(ctx, name)),
            other => Box::pin(run_other_ddl(ctx, other)),
        },
        Parsed::Copy(copy) => Box::pin(copy::run(ctx, copy)),
        Parsed::Explain(explain) => Box::pin(explain::run(ctx, explain)),
        Parsed::Prepare(name, prepared) => {
            Box::pin(std::future::ready(prepare::prepare(ctx, name, prepared)))
        }
    }
}

async fn run_other_ddl(ctx: &StatementContext, statement: &DdlStatement) -> Result<QueryResult> {
    match run::run_ddl(statement, &session_queries::sql_scope(ctx)).await? {
        Outcome::Done(text) => Ok(QueryResult::done(text)),
        Outcome::Rows(batch) => Ok(QueryResult::rows(batch.schema(), vec![batch])),
    }
}

fn run_sql<'a>(ctx: &'a StatementContext, sql: &'a Sql) -> Running<'a> {
    match sql {
        Sql::Query(query) => Box::pin(select::run(ctx, query)),
        Sql::Insert(statement) => Box::pin(insert::run(ctx, statement)),
        Sql::Delete(statement) => Box::pin(delete::run(ctx, statement)),
        Sql::Truncate(statement) => Box::pin(delete::truncate(ctx, statement)),
        Sql::Set(_) | Sql::Reset(_) | Sql::ShowVariable { .. } => {
            Box::pin(std::future::ready(settings::run(ctx, sql)))
        }
        Sql::Execute { .. } | Sql::Deallocate { .. } => Box::pin(prepare::run(ctx, sql)),
        other => Box::pin(std::future::ready(Err(refusal(other)))),
    }
}

fn refusal(statement: &Sql) -> Error {
    let what = match statement {
        Sql::Update(_) => "UPDATE is not supported yet: row-level changes come later",
        Sql::Merge(_) => "MERGE is not supported yet: row-level changes come later",
        Sql::StartTransaction { .. } | Sql::Commit { .. } | Sql::Rollback { .. } => {
            "transactions are not supported: every statement commits by itself"
        }
        other => {
            let text = other.to_string();
            let verb: Vec<&str> = text.split_whitespace().take(2).collect();
            return Error::unsupported(format!("{} is not supported", verb.join(" ")));
        }
    };
    Error::unsupported(what)
}
