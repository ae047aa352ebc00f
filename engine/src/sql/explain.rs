//! EXPLAIN of queries, and of statements that change rows, which it never runs.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::format::ExplainFormat;
use datafusion::logical_expr::{ExplainOption, LogicalPlanBuilder};
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use futures::TryStreamExt;
use sqlparser::ast::{Insert, Query, Statement};

use super::context::StatementContext;
use super::ddl::ast::DdlStatement;
use super::statement::{Explain, Parsed};
use super::{ctas, delete, insert, plan, select};
use crate::cluster::{self, ClusterExec};
use crate::error::{Error, Result};
use crate::query::{QueryResult, ResultKind};

/// The format that shows which stages run on workers.
const DISTRIBUTED: &str = "distributed";

/// Explains a statement.
pub(crate) async fn run(ctx: &StatementContext, explain: &Explain) -> Result<QueryResult> {
    match &explain.statement {
        Parsed::Sql(statement) => match statement.as_ref() {
            Statement::Query(query) => explain_query(ctx, explain, query).await,
            Statement::Insert(statement) => {
                check_change(explain, "INSERT")?;
                shown(explain_insert(ctx, explain, statement).await?)
            }
            Statement::Delete(statement) => {
                check_change(explain, "DELETE")?;
                shown(delete::explain(ctx, statement).await?)
            }
            other => Err(not_explained(&other.to_string())),
        },
        Parsed::Ddl(statement) => match statement.as_ref() {
            DdlStatement::CreateTable(statement) => {
                check_change(explain, "CREATE TABLE AS")?;
                shown(ctas::explain(ctx, statement).await?)
            }
            _ => Err(not_explained("this statement")),
        },
        _ => Err(not_explained("this statement")),
    }
}

async fn explain_query(
    ctx: &StatementContext,
    explain: &Explain,
    query: &Query,
) -> Result<QueryResult> {
    if explain.format.as_deref() == Some(DISTRIBUTED) {
        return explain_spread(ctx, explain, query).await;
    }
    if explain.analyze && explain.format.is_none() && ctx.services.cluster().is_some() {
        let planned = plan::plan_query(ctx, query.clone()).await?;
        let physical = plan::physical(ctx, &planned).await?;
        if let Some(exec) = select::spread(ctx, physical)? {
            return analyze_spread(ctx, exec).await;
        }
    }
    let option = ExplainOption::default()
        .with_verbose(explain.verbose)
        .with_analyze(explain.analyze)
        .with_format(format(explain)?);
    let planned = plan::plan_query(ctx, query.clone()).await?;
    let planned = LogicalPlanBuilder::from(planned).explain_option_format(option)?.build()?;
    let physical = plan::physical(ctx, &planned).await?;
    select::execute(ctx, physical, ResultKind::Rows, None)
}

/// Where the operators run, stage by stage; with ANALYZE after they did, with their figures.
async fn explain_spread(
    ctx: &StatementContext,
    explain: &Explain,
    query: &Query,
) -> Result<QueryResult> {
    let planned = plan::plan_query(ctx, query.clone()).await?;
    let physical = plan::physical(ctx, &planned).await?;
    if explain.analyze
        && let Some(exec) = select::spread(ctx, Arc::clone(&physical))?
    {
        return analyze_spread(ctx, exec).await;
    }
    let text = cluster::explain(ctx.services.cluster(), &physical, &ctx.state)?;
    one("distributed_plan", text)
}

/// Runs a plan on workers, for its figures alone.
async fn analyze_spread(ctx: &StatementContext, exec: Arc<ClusterExec>) -> Result<QueryResult> {
    let plan: Arc<dyn ExecutionPlan> = Arc::<ClusterExec>::clone(&exec);
    let mut rows = execute_stream(plan, ctx.task())?;
    let mut count = 0_usize;
    while let Some(batch) = rows.try_next().await? {
        count += batch.num_rows();
    }
    let figures = cluster::figures(&exec).await;
    let figures = figures.unwrap_or_else(|| "the workers handed in no figures".to_owned());
    one("Plan with Metrics", format!("rows={count}\n{figures}"))
}

fn one(kind: &str, text: String) -> Result<QueryResult> {
    let schema = columns();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec![kind])), Arc::new(StringArray::from(vec![text]))];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)
        .map_err(datafusion::error::DataFusionError::from)?;
    Ok(QueryResult::rows(schema, vec![batch]))
}

fn check_change(explain: &Explain, statement: &str) -> Result<()> {
    if explain.analyze {
        return Err(Error::unsupported(
            "EXPLAIN ANALYZE of a statement that changes rows would change them; use EXPLAIN",
        ));
    }
    if !matches!(format(explain)?, ExplainFormat::Indent) {
        return Err(Error::unsupported(format!(
            "EXPLAIN of {statement} has the format text alone"
        )));
    }
    Ok(())
}

/// The plan of a write, as text: it is never executed, and its commit never happens.
async fn explain_insert(
    ctx: &StatementContext,
    explain: &Explain,
    statement: &Insert,
) -> Result<[String; 2]> {
    let (rows, physical) = insert::plan_insert(ctx, statement).await?;
    let rows = ctx.state.optimize(&rows)?;
    Ok([
        rows.display_indent().to_string(),
        displayable(physical.as_ref()).indent(explain.verbose).to_string(),
    ])
}

/// The columns of every EXPLAIN.
pub(crate) fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("plan_type", DataType::Utf8, false),
        Field::new("plan", DataType::Utf8, false),
    ]))
}

/// The logical and the physical plan as the rows that EXPLAIN of a query yields.
fn shown(plans: [String; 2]) -> Result<QueryResult> {
    let schema = columns();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["logical_plan", "physical_plan"])),
        Arc::new(StringArray::from(plans.to_vec())),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)
        .map_err(datafusion::error::DataFusionError::from)?;
    Ok(QueryResult::rows(schema, vec![batch]))
}

fn format(explain: &Explain) -> Result<ExplainFormat> {
    match explain.format.as_deref() {
        None | Some("text" | "indent") => Ok(ExplainFormat::Indent),
        Some("tree") => Ok(ExplainFormat::Tree),
        Some("json" | "pgjson") => Ok(ExplainFormat::PostgresJSON),
        Some("graphviz") => Ok(ExplainFormat::Graphviz),
        Some(other) => Err(Error::invalid(format!(
            "EXPLAIN format \"{other}\" is not one of text, tree, json, graphviz, distributed"
        ))),
    }
}

fn not_explained(statement: &str) -> Error {
    Error::unsupported(format!("EXPLAIN is not supported for {statement}"))
}
