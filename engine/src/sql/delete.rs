//! DELETE and TRUNCATE where whole files are proven to go; rows within files come later.

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, utils::split_conjunction_owned};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use fjord_catalog::change::{CommitOptions, RowsChange};
use fjord_catalog::predicate::Predicate;
use fjord_catalog::table::Table;
use sqlparser::ast::{self, Visit, Visitor};

use std::ops::ControlFlow;
use std::sync::Arc;

use super::context::{QualifiedName, StatementContext};
use super::provider::PlanningContext;
use super::spelling::Spellings;
use super::{branch, guard};
use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::filter::to_predicate;
use crate::iceberg::table::IcebergTable;
use crate::iceberg::types::to_arrow_schema;
use crate::numbers::{exact, floats};
use crate::query::{QueryResult, ResultKind};

/// Runs a DELETE.
pub(crate) async fn run(ctx: &StatementContext, delete: &ast::Delete) -> Result<QueryResult> {
    let ((name, branch), _, filter) = plan(ctx, delete).await?;
    remove(ctx, &name, branch, filter).await
}

/// What a DELETE would do, as text, and nothing done.
pub(crate) async fn explain(ctx: &StatementContext, delete: &ast::Delete) -> Result<[String; 2]> {
    let ((name, branch), condition, filter) = plan(ctx, delete).await?;
    let table = ctx.load_table(&name).await?;
    let (mut whole, mut undecided, mut total) = (0, 0, 0);
    if let Some(snapshot) = branch::head(&table, &branch) {
        let plan = name.catalog.plan_files(&table, snapshot, &filter).await?;
        whole = plan.files.iter().filter(|file| file.all_rows_match).count();
        undecided = plan.files.len() - whole;
        total = plan.files_total;
    }
    let condition = condition.map_or_else(|| "all rows".to_owned(), ToString::to_string);
    Ok([
        format!("Delete: {name}, condition: {condition}"),
        format!(
            "IcebergDelete: files_total={total}, files_removed_whole={whole}, \
             files_undecided={undecided}{}",
            if undecided == 0 { "" } else { " (refused: row-level deletes come later)" }
        ),
    ])
}

/// The table and its branch, the condition as written, and as a predicate.
type Planned<'a> = ((QualifiedName, String), Option<&'a ast::Expr>, Predicate);

async fn plan<'a>(ctx: &StatementContext, delete: &'a ast::Delete) -> Result<Planned<'a>> {
    let (name, alias, condition) = parts(delete)?;
    let (name, branch) = branch::target(ctx, name).await?;
    let table = ctx.load_table(&name).await?;
    let filter = match condition {
        None => Predicate::True,
        Some(condition) => {
            refuse_subquery(&name, condition)?;
            let schema = to_arrow_schema(table.metadata().current_schema())?;
            let known_as = alias.map_or(table.name().name.as_str(), |a| a.value.as_str());
            let condition = bind(ctx, condition.clone(), &schema, known_as)?;
            to_predicate(&split_conjunction_owned(condition), table.metadata().current_schema())
        }
    };
    Ok(((name, branch), condition, filter))
}

/// Runs a TRUNCATE.
pub(crate) async fn truncate(
    ctx: &StatementContext,
    truncate: &ast::Truncate,
) -> Result<QueryResult> {
    let ast::Truncate {
        table_names,
        partitions,
        table: _,
        if_exists,
        identity,
        cascade,
        on_cluster,
    } = truncate;
    let refused = [
        (partitions.is_some(), "PARTITION"),
        (identity.is_some(), "RESTART or CONTINUE IDENTITY"),
        (cascade.is_some(), "CASCADE or RESTRICT"),
        (on_cluster.is_some(), "ON CLUSTER"),
    ];
    if let Some((_, what)) = refused.iter().find(|(present, _)| *present) {
        return Err(Error::unsupported(format!("TRUNCATE with {what} is not supported")));
    }
    let [target] = table_names.as_slice() else {
        return Err(Error::unsupported("TRUNCATE takes one table"));
    };
    if target.only || target.has_asterisk {
        return Err(Error::unsupported("TRUNCATE ONLY is not supported"));
    }
    let removed = match branch::target(ctx, &target.name).await {
        Ok((name, branch)) => remove(ctx, &name, branch, Predicate::True).await,
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if *if_exists && e.kind() == ErrorKind::NotFound => {
            Ok(QueryResult::done(format!("table {} does not exist", target.name)))
        }
        other => other,
    }
}

fn parts(
    delete: &ast::Delete,
) -> Result<(&ast::ObjectName, Option<&ast::Ident>, Option<&ast::Expr>)> {
    let ast::Delete {
        delete_token: _,
        optimizer_hints,
        tables,
        from,
        using,
        selection,
        returning,
        output,
        order_by,
        limit,
    } = delete;
    let refused = [
        (!optimizer_hints.is_empty(), "optimizer hints"),
        (!tables.is_empty(), "several tables"),
        (using.is_some(), "USING"),
        (returning.is_some(), "RETURNING"),
        (output.is_some(), "OUTPUT"),
        (!order_by.is_empty(), "ORDER BY"),
        (limit.is_some(), "LIMIT"),
    ];
    if let Some((_, what)) = refused.iter().find(|(present, _)| *present) {
        return Err(Error::unsupported(format!("DELETE with {what} is not supported")));
    }
    let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = from;
    let [only] = from.as_slice() else {
        return Err(Error::unsupported("DELETE takes one table"));
    };
    if !only.joins.is_empty() {
        return Err(Error::unsupported("DELETE with JOIN is not supported"));
    }
    match &only.relation {
        ast::TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
        } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
            Ok((name, alias.as_ref().map(|a| &a.name), selection.as_ref()))
        }
        other => Err(Error::unsupported(format!("DELETE FROM {other} is not supported"))),
    }
}

/// A subquery would be a join, whose rows no metadata proves.
fn refuse_subquery(name: &QualifiedName, condition: &ast::Expr) -> Result<()> {
    struct Subquery;
    impl Visitor for Subquery {
        type Break = ();

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    if condition.visit(&mut Subquery).is_break() {
        return Err(Error::unsupported(format!(
            "DELETE FROM {name}: a condition with a subquery is not supported yet: row-level \
             deletes come later"
        )));
    }
    Ok(())
}

/// Binds the condition to the table's columns.
fn bind(
    ctx: &StatementContext,
    mut condition: ast::Expr,
    schema: &Schema,
    known_as: &str,
) -> Result<Expr> {
    let spellings = Spellings::of_table(schema, known_as);
    guard::check_expr(&mut condition)?;
    spellings.respell_expr(&mut condition)?;
    let schema = DFSchema::try_from_qualified_schema(
        datafusion::common::TableReference::bare(known_as),
        schema,
    )?;
    let planning = PlanningContext::new(&ctx.state);
    let expr =
        SqlToRel::new(&planning).sql_to_expr(condition, &schema, &mut PlannerContext::new())?;
    let expr = super::plan::substitute(expr, &ctx.parameters)?;
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(ctx.state.config_options()))
        .with_query_execution_start_time(ctx.state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let expr = floats::settle(expr, &schema)?;
    let expr = exact::exactly(simplifier.coerce(expr, &schema)?, &schema)?;
    Ok(simplifier.simplify(expr)?)
}

/// Rows of the files to be removed that delete files had deleted before: they are not deleted again.
async fn deleted_before(
    ctx: &StatementContext,
    name: &QualifiedName,
    table: &Table,
    filter: &Predicate,
) -> Result<u64> {
    let Some(snapshot) = table.current_snapshot() else { return Ok(0) };
    let mut plan = name.catalog.plan_files(table, snapshot, filter).await?;
    plan.files.retain(|file| file.deletes.is_some());
    // What is not removed whole is refused below.
    if plan.files.is_empty() || !plan.files.iter().all(|file| file.all_rows_match) {
        return Ok(0);
    }
    let table = IcebergTable::try_new(name.catalog.clone(), table.clone())?;
    table.count_deleted(&ctx.state, &plan.files).await
}

/// Commits the removal of every file whose rows all match.
async fn remove(
    ctx: &StatementContext,
    name: &QualifiedName,
    branch: String,
    filter: Predicate,
) -> Result<QueryResult> {
    let table = ctx.load_table(name).await?;
    let removed = if branch::head(&table, &branch).is_none() || filter == Predicate::False {
        0
    } else {
        let deleted_before = deleted_before(ctx, name, &table, &filter).await?;
        let change = RowsChange::OverwriteWhere { filter, files: Vec::new() };
        let committed = name
            .catalog
            .commit_rows(&table, change, CommitOptions { branch, ..CommitOptions::default() })
            .await
            .map_err(|e| match e.kind() {
                fjord_catalog::ErrorKind::Unsupported => Error::unsupported(format!(
                    "DELETE FROM {name}: only whole files can be deleted yet, and the condition \
                         is not proven for every row of the files that it may touch; row-level \
                         deletes come later"
                ))
                .with_source(e),
                _ => e.into(),
            })?;
        committed.removed_rows.saturating_sub(deleted_before)
    };
    let schema = Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]));
    let count: ArrayRef = Arc::new(UInt64Array::from(vec![removed]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![count])
        .map_err(datafusion::error::DataFusionError::from)?;
    let mut result = QueryResult::rows(schema, vec![batch]);
    result.kind = ResultKind::Affected;
    Ok(result)
}
