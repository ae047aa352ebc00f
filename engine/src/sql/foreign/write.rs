//! INSERT, CREATE TABLE AS and rows that a client sends, into a table of a database: one
//! transaction there, whose count of rows is the statement's.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use fjord_connectors::connector::{RemoteName, RemoteTable};
use futures::StreamExt;
use sqlparser::ast::Ident;

use super::create::{self, Making};
use super::name::{ForeignName, is_view};
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::catalog::ForeignCatalog;
use crate::foreign::name::Part;
use crate::iceberg::write::{ConformExec, Fit};
use crate::query::{QueryResult, ResultKind};
use crate::sql::context::StatementContext;
use crate::sql::ddl::ast::CreateTableStatement;
use crate::sql::ingest::{IfMissing, IfPresent, IngestTarget};
use crate::sql::insert::{InsertParts, assigned};
use crate::sql::{bound, ingest, plan, select, titles};

/// Plans an INSERT into a database's table: its rows, and the write above them.
pub(crate) async fn plan_insert(
    ctx: &StatementContext,
    insert: &sqlparser::ast::Insert,
    parts: &InsertParts<'_>,
    target: &ForeignName,
) -> Result<(LogicalPlan, Arc<dyn ExecutionPlan>)> {
    target.permit(ctx, Privilege::Write)?;
    require_writes(target)?;
    if parts.overwrite || !parts.partition.is_empty() {
        return Err(Error::unsupported(format!(
            "\"{target}\" is a table of a live {} database: INSERT OVERWRITE and PARTITION are for \
             Iceberg tables",
            target.catalog.kind()
        )));
    }
    let (name, schema) = table_of(ctx, target).await?;
    let rows = match &ctx.rows {
        Some(rows) => bound::relation(insert, rows)?,
        None => plan::plan_query(ctx, parts.source.clone()).await?,
    };
    append(ctx, target, &name, &schema, rows, &parts.columns).await
}

/// The columns that INSERT fills, in the order of its rows.
pub(crate) fn filled(
    target: &ForeignName,
    schema: &SchemaRef,
    named: &[&Ident],
) -> Result<Vec<FieldRef>> {
    if named.is_empty() {
        return Ok(schema.fields().iter().map(Arc::clone).collect());
    }
    let mut filled: Vec<FieldRef> = Vec::with_capacity(named.len());
    for ident in named {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let chosen = Part::of(ident).choose("column", names)?;
        let field = chosen.and_then(|name| schema.fields().iter().find(|f| f.name() == name));
        let Some(field) = field else {
            let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            return Err(Error::invalid(format!(
                "table \"{target}\" has no column \"{}\"; it has {}",
                ident.value,
                known.join(", ")
            )));
        };
        if filled.iter().any(|before| before.name() == field.name()) {
            return Err(Error::invalid(format!("column \"{}\" is given twice", field.name())));
        }
        filled.push(Arc::clone(field));
    }
    Ok(filled)
}

/// The stored name of a table that is written to, and its columns.
pub(crate) async fn table_of(
    ctx: &StatementContext,
    target: &ForeignName,
) -> Result<(RemoteName, SchemaRef)> {
    target.refuse_information_schema()?;
    let found = target.found().await?;
    if is_view(found.kind) {
        return Err(Error::invalid(format!("\"{target}\" is a view, not a table")));
    }
    match ctx.foreign_table(&target.catalog, &found.name).await? {
        Some(table) => Ok((found.name, table.schema())),
        None => Err(target.missing("table").await),
    }
}

async fn append(
    ctx: &StatementContext,
    target: &ForeignName,
    name: &RemoteName,
    schema: &SchemaRef,
    rows: LogicalPlan,
    named: &[&Ident],
) -> Result<(LogicalPlan, Arc<dyn ExecutionPlan>)> {
    let filled = filled(target, schema, named)?;
    let given = rows.schema().columns();
    if filled.len() != given.len() {
        return Err(Error::invalid(format!(
            "table \"{target}\": {} columns are to be filled, the rows have {}",
            filled.len(),
            given.len()
        )));
    }
    let output = given
        .into_iter()
        .zip(&filled)
        .map(|(column, field)| {
            let expr = Expr::Column(column);
            let cast = assigned(ctx, expr, field.data_type(), field.name(), rows.schema())?;
            Ok(cast.alias(field.name()))
        })
        .collect::<Result<Vec<_>>>()?;
    let rows = LogicalPlanBuilder::from(rows).project(output)?.build()?;
    let input = plan::physical(ctx, &rows).await?;
    // The database says itself what may not be NULL, after its triggers.
    let fields: Vec<Field> =
        filled.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let columns: Vec<String> = filled.iter().map(|f| f.name().clone()).collect();
    let fitted = ConformExec::new(input, Arc::new(Schema::new(fields)), Fit::Exact);
    let connector = target.catalog.connector()?;
    let write = connector.insert(name, &columns, Arc::new(fitted)).await;
    Ok((rows, write.map_err(|e| target.catalog.named(&e))?))
}

/// Runs a CTAS into a database.
pub(crate) async fn run_ctas(
    ctx: &StatementContext,
    statement: &CreateTableStatement,
    target: &ForeignName,
) -> Result<QueryResult> {
    let (rows, making) = plan_ctas(ctx, statement, target).await?;
    let table = match making {
        Making::Skipped(message) => return Ok(QueryResult::done(message)),
        Making::Make(table) => table,
    };
    if !statement.with_data {
        target.catalog.create_table(&table).await?;
        return Ok(QueryResult::done(format!(
            "created table {}.{}",
            target.catalog.name(),
            table.name
        )));
    }
    let input = plan::physical(ctx, &rows).await?;
    let write = create_as(target, table, input)?;
    let result = select::execute(ctx, write, ResultKind::Affected, None)?;
    Ok(forgetting(result, &target.catalog))
}

/// What is known of the schema is older than a table that is made as the result is read.
fn forgetting(result: QueryResult, catalog: &Arc<ForeignCatalog>) -> QueryResult {
    let (schema, catalog) = (Arc::clone(&result.schema), Arc::clone(catalog));
    let rows = result.stream.inspect(move |_made| catalog.refresh());
    QueryResult { stream: Box::pin(RecordBatchStreamAdapter::new(schema, rows)), ..result }
}

/// What such a CTAS would do, as text.
pub(crate) async fn explain_ctas(
    ctx: &StatementContext,
    statement: &CreateTableStatement,
    target: &ForeignName,
) -> Result<[String; 2]> {
    let (rows, making) = plan_ctas(ctx, statement, target).await?;
    let table = match making {
        Making::Skipped(message) => return Ok([message.clone(), message]),
        Making::Make(table) => table,
    };
    let full_name = format!("{}.{}", target.catalog.name(), table.name);
    let logical = ctx.state.optimize(&rows)?.display_indent().to_string();
    let write = create_as(target, table, plan::physical(ctx, &rows).await?)?;
    let physical = displayable(write.as_ref()).indent(false).to_string();
    Ok([format!("CreateTable: {full_name}\n{logical}"), physical])
}

async fn plan_ctas(
    ctx: &StatementContext,
    statement: &CreateTableStatement,
    target: &ForeignName,
) -> Result<(LogicalPlan, Making)> {
    target.permit(ctx, Privilege::Write)?;
    require_writes(target)?;
    let Some(query) = &statement.query else {
        return Err(Error::invalid("CREATE TABLE AS needs a query"));
    };
    if statement.column_names.is_empty() {
        titles::check_stored(&query.query)?;
    }
    let rows = plan::plan_query(ctx, query.query.as_ref().clone()).await?;
    let making = create::plan(statement, target, Some(rows.schema().as_arrow())).await?;
    Ok((rows, making))
}

fn create_as(
    target: &ForeignName,
    table: RemoteTable,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let connector = target.catalog.connector()?;
    connector.create_table_as(table, input).map_err(|e| target.catalog.named(&e))
}

/// Rows that a client sends.
pub(crate) async fn ingest(
    ctx: &StatementContext,
    target: &ForeignName,
    how: &IngestTarget,
    rows: SendableRecordBatchStream,
) -> Result<QueryResult> {
    target.permit(ctx, Privilege::Write)?;
    require_writes(target)?;
    let found = target.find().await?;
    let columns = rows.schema();
    if columns.fields().is_empty() {
        return Err(Error::invalid(format!("table \"{target}\": the rows have no columns")));
    }
    let write = match (found, how.if_present, how.if_missing) {
        (Some(_), IfPresent::Append, _) => {
            let (name, schema) = table_of(ctx, target).await?;
            let idents: Vec<Ident> =
                columns.fields().iter().map(|f| Ident::with_quote('"', f.name())).collect();
            let named: Vec<&Ident> = idents.iter().collect();
            let rows = ingest::relation(rows)?;
            append(ctx, target, &name, &schema, rows, &named).await?.1
        }
        (Some(_), IfPresent::Replace, _) => {
            return Err(Error::unsupported(format!(
                "\"{target}\" is a table of a live {} database, which rows do not replace: drop it \
                 first, or append",
                target.catalog.kind()
            )));
        }
        (Some(_), IfPresent::Fail, _) => {
            let message = format!("table \"{target}\" already exists");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        (None, _, IfMissing::Create) => {
            let name = target.for_new().await?;
            let table = RemoteTable { name, schema: columns, if_not_exists: false };
            let input = plan::physical(ctx, &ingest::relation(rows)?).await?;
            let write = create_as(target, table, input)?;
            let result = select::execute(ctx, write, ResultKind::Affected, None)?;
            return Ok(forgetting(result, &target.catalog));
        }
        (None, _, IfMissing::Fail) => return Err(target.missing("table").await),
    };
    select::execute(ctx, write, ResultKind::Affected, None)
}

/// Refuses a database that is only read.
pub(crate) fn require_writes(target: &ForeignName) -> Result<()> {
    if target.catalog.connector()?.capabilities().writes {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "catalog \"{}\" is a {} database that is read and not written",
        target.catalog.name(),
        target.catalog.kind()
    )))
}
