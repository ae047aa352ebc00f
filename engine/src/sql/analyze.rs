//! ANALYZE: counts the distinct values of a table's columns and keeps them with its snapshot.

use std::sync::Arc;

use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::execute_stream;
use fjord_catalog::table_statistics::DistinctSketch;
use futures::StreamExt;
use sqlparser::ast::Ident;

use super::context::StatementContext;
use super::ddl::ast::ObjectPath;
use super::insert::find_column;
use super::plan;
use crate::error::{Error, Result};
use crate::iceberg::distinct;
use crate::iceberg::table::IcebergTable;
use crate::iceberg::types::to_arrow_schema;
use crate::query::QueryResult;

/// Runs ANALYZE; without `columns`, for every column that is not nested.
pub(crate) async fn run(
    ctx: &StatementContext,
    name: &ObjectPath,
    columns: &[String],
) -> Result<QueryResult> {
    let name = ctx.qualify_parts(&name.0, &ctx.scope())?;
    let table = ctx.load_table(&name).await?;
    let Some(snapshot) = table.current_snapshot().cloned() else {
        return Ok(QueryResult::done(format!("table {name} was never written")));
    };
    let schema = to_arrow_schema(table.metadata().current_schema())?;
    let fields = table.metadata().current_schema().as_struct().fields();
    let mut chosen = Vec::new();
    for column in columns {
        let at = find_column(&table, &schema, &Ident::with_quote('"', column))?;
        if fields.get(at).is_none_or(|field| !field.field_type.is_primitive()) {
            return Err(Error::unsupported(format!(
                "table \"{name}\": column \"{column}\" is nested, and its values are not counted"
            )));
        }
        if !chosen.contains(&at) {
            chosen.push(at);
        }
    }
    if columns.is_empty() {
        chosen = (0..fields.len()).filter(|at| fields[*at].field_type.is_primitive()).collect();
    }
    let mut sketches = Vec::with_capacity(chosen.len());
    for at in &chosen {
        sketches.push(DistinctSketch::new(fields[*at].id)?);
    }
    if sketches.is_empty() {
        return Ok(QueryResult::done(format!("table {name} has no column to count")));
    }
    ctx.note_read(&name.catalog, &table, Some(snapshot.snapshot_id()));
    let provider = Arc::new(IcebergTable::try_new(name.catalog.clone(), table.clone())?);
    let source = provider_as_source(provider);
    let scan = LogicalPlanBuilder::scan("analyzed", source, Some(chosen))?.build()?;
    let physical = plan::physical(ctx, &scan).await?;
    let mut rows = execute_stream(physical, ctx.task())?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        for (sketch, column) in sketches.iter_mut().zip(batch.columns()) {
            distinct::add(sketch, column)?;
        }
        tokio::task::consume_budget().await;
    }
    name.catalog.put_statistics(&table, &snapshot, &sketches).await?;
    let counted = sketches.len();
    Ok(QueryResult::done(format!("analyzed table {name}: {counted} columns")))
}
