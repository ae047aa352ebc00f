//! EXPLAIN of queries, and of statements that change rows, which it never runs.

use datafusion::common::format::ExplainFormat;
use datafusion::logical_expr::{ExplainOption, LogicalPlanBuilder};
use sqlparser::ast::Statement;

use super::context::StatementContext;
use super::statement::{Explain, Parsed};
use super::{plan, select};
use crate::error::{Error, Result};
use crate::query::{QueryResult, ResultKind};

/// Explains a statement.
pub(crate) async fn run(ctx: &StatementContext, explain: &Explain) -> Result<QueryResult> {
    let query = match &explain.statement {
        Parsed::Sql(statement) => match statement.as_ref() {
            Statement::Query(query) => query,
            other => return Err(not_explained(&other.to_string())),
        },
        _ => return Err(not_explained("this statement")),
    };
    let mut option =
        ExplainOption::default().with_verbose(explain.verbose).with_analyze(explain.analyze);
    option = option.with_format(format(explain)?);
    let planned = plan::plan_query(ctx, query.as_ref().clone()).await?;
    let planned = LogicalPlanBuilder::from(planned).explain_option_format(option)?.build()?;
    let physical = plan::physical(ctx, &planned).await?;
    select::execute(ctx, physical, ResultKind::Rows, None)
}

fn format(explain: &Explain) -> Result<ExplainFormat> {
    match explain.format.as_deref() {
        None | Some("text" | "indent") => Ok(ExplainFormat::Indent),
        Some("tree") => Ok(ExplainFormat::Tree),
        Some("json" | "pgjson") => Ok(ExplainFormat::PostgresJSON),
        Some("graphviz") => Ok(ExplainFormat::Graphviz),
        Some(other) => Err(Error::invalid(format!(
            "EXPLAIN format \"{other}\" is not one of text, tree, json, graphviz"
        ))),
    }
}

fn not_explained(statement: &str) -> Error {
    Error::unsupported(format!("EXPLAIN is not supported for {statement}"))
}
