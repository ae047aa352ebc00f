//! From a parsed statement to the function of its family: one match, nothing else.

use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use sqlparser::ast::Statement as Sql;

use super::context::StatementContext;
use super::ddl::ast::DdlStatement;
use super::kind;
use super::planned::PlannedQuery;
use super::run::{self, Outcome};
use super::select::Planned;
use super::statement::Parsed;
use super::{
    access, add_files, analyze, copy, ctas, delete, explain, foreign, insert, prepare, register,
    select, session_queries, settings, system,
};
use crate::error::{Error, ErrorKind, Result};
use crate::queries::QueryKind;
use crate::query::QueryResult;

/// The future of a statement; boxed because EXECUTE and EXPLAIN hold statements.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<QueryResult>> + Send + 'a>>;

/// Runs one statement, if the user may.
pub(crate) fn run<'a>(ctx: &'a StatementContext, statement: &'a Parsed) -> Running<'a> {
    if let Err(denied) = access::check(ctx, statement) {
        return Box::pin(std::future::ready(Err(denied)));
    }
    if let Parsed::Ddl(statement) = statement {
        match foreign::ddl::claim(ctx, statement) {
            Ok(None) => {}
            Ok(Some(work)) => return work,
            Err(refused) => return Box::pin(std::future::ready(Err(refused))),
        }
    }
    match statement {
        Parsed::Sql(sql) => run_sql(ctx, sql),
        Parsed::Ddl(statement) => match statement.as_ref() {
            DdlStatement::CreateTable(create) if create.query.is_some() => {
                Box::pin(ctas::run(ctx, create))
            }
            DdlStatement::Use(name) => Box::pin(settings::run_use(ctx, name)),
            DdlStatement::Kill(id) => Box::pin(std::future::ready(system::kill(ctx, id))),
            DdlStatement::Analyze { name, columns } => Box::pin(analyze::run(ctx, name, columns)),
            DdlStatement::RegisterTable { name, metadata_file } => {
                Box::pin(register::run(ctx, name, metadata_file))
            }
            DdlStatement::AddFiles { name, source, is_unique } => {
                Box::pin(add_files::add(ctx, name, source, *is_unique))
            }
            DdlStatement::SnapshotFiles { name, source } => {
                Box::pin(add_files::snapshot(ctx, name, source))
            }
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

/// A query that will be planned; boxed as [`Running`] is.
type Planning<'a> = Pin<Box<dyn Future<Output = Result<PlannedQuery>> + Send + 'a>>;

/// Plans a statement that yields rows and has no effect; any other is a bug of the caller.
pub(crate) fn plan(ctx: StatementContext, statement: &Parsed) -> Planning<'_> {
    Box::pin(async move {
        if kind::of(&ctx.variables, statement)? != QueryKind::Query {
            return Err(Error::new(ErrorKind::Bug, "a statement that is no query was planned"));
        }
        match statement {
            Parsed::Sql(sql) => match sql.as_ref() {
                Sql::Query(query) => {
                    let Planned { logical, physical, schema } = select::plan(&ctx, query).await?;
                    return Ok(PlannedQuery::of_plan(ctx, logical, physical, schema));
                }
                Sql::Execute { .. } => {
                    let (inner, prepared) = prepare::bind(&ctx, sql)?;
                    return plan(inner, &prepared.statement).await;
                }
                _ => {}
            },
            Parsed::Explain(_) | Parsed::Ddl(_) | Parsed::Copy(_) | Parsed::Prepare(..) => {}
        }
        // SHOW, DESCRIBE and EXPLAIN: a few rows, gathered now.
        let result = run(&ctx, statement).await?;
        let schema = Arc::clone(&result.schema);
        let rows = result.stream.try_collect().await?;
        Ok(PlannedQuery::of_rows(ctx, schema, rows))
    })
}

/// The columns of a query's rows. EXPLAIN ANALYZE is not run for that.
pub(crate) async fn columns(ctx: StatementContext, statement: &Parsed) -> Result<SchemaRef> {
    if let Parsed::Explain(_) = statement {
        return Ok(explain::columns());
    }
    Ok(Arc::clone(plan(ctx, statement).await?.schema()))
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
