//! Rows that a client sends, into a table: created, appended to or replaced, in one commit.
//!
//! ```text
//! stream ─ OneStream ─ align by name (append) ─ write N-wide ─ commit
//! ```

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::AsArray;
use arrow::datatypes::{SchemaRef, UInt64Type};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use fjord_catalog::change::CommitOptions;
use fjord_catalog::name::{Namespace, TableName};
use futures::TryStreamExt;
use sqlparser::ast::Ident;

use super::context::{Loaded, QualifiedName, StatementContext};
use super::ddl::ast::{CreateTableStatement, IfTaken, ObjectPath};
use super::ddl::create::{Creation, plan_create};
use super::foreign::name::ForeignName;
use super::session_queries::sql_scope;
use super::{access, foreign, insert, plan, select};
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::name::Part;
use crate::iceberg::commit::{CommitAction, CommitOutcome, plan_commit};
use crate::iceberg::types::to_arrow_schema;
use crate::iceberg::write::{Fit, WriteTarget, plan_write};
use crate::query::{QueryResult, ResultKind};

/// Where rows go, and what to do about the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestTarget {
    /// `None`: the session's current one.
    pub catalog: Option<String>,
    /// `None`: the session's current one.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// What to do when there is no such table.
    pub if_missing: IfMissing,
    /// What to do when there is.
    pub if_present: IfPresent,
}

/// What to do when there is no such table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// Make it, with the columns of the rows.
    Create,
    /// Refuse.
    Fail,
}

/// What to do when the table is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfPresent {
    /// Add the rows; columns are found by name, and what the rows lack is NULL or its default.
    Append,
    /// Put a new table in its place, with the history kept.
    Replace,
    /// Refuse.
    Fail,
}

/// Plans and starts the write; the rows are read as the result is.
pub(crate) async fn run(
    ctx: &StatementContext,
    target: &IngestTarget,
    rows: SendableRecordBatchStream,
) -> Result<QueryResult> {
    let scope = ctx.scope();
    if let Some(name) = foreign_target(ctx, target) {
        return foreign::write::ingest(ctx, &name, target, rows).await;
    }
    let catalog = ctx.catalog(target.catalog.as_deref().unwrap_or(&scope.catalog))?;
    let schema = target.schema.as_deref().unwrap_or(&scope.schema);
    let name = TableName::new(Namespace::parse(schema)?, &target.table)?;
    let name = QualifiedName { catalog, name };
    access::permit(ctx, Privilege::Write, &name)?;
    let present = match ctx.load(&name).await {
        Ok(Loaded::Table(_)) => true,
        Ok(Loaded::View(_)) => {
            return Err(Error::invalid(format!("\"{name}\" is a view, not a table")));
        }
        Err(e) if e.kind() == ErrorKind::NotFound => false,
        Err(e) => return Err(e),
    };
    match (present, target.if_present, target.if_missing) {
        (true, IfPresent::Append, _) => append(ctx, &name, rows).await,
        (true, IfPresent::Replace, _) => create(ctx, &name, IfTaken::Replace, rows).await,
        (true, IfPresent::Fail, _) => {
            Err(Error::new(ErrorKind::AlreadyExists, format!("table \"{name}\" already exists")))
        }
        (false, _, IfMissing::Create) => create(ctx, &name, IfTaken::Fail, rows).await,
        (false, _, IfMissing::Fail) => {
            Err(Error::new(ErrorKind::NotFound, format!("table \"{name}\" not found")))
        }
    }
}

/// The table, where it is one of a database.
fn foreign_target(ctx: &StatementContext, target: &IngestTarget) -> Option<ForeignName> {
    let scope = ctx.scope();
    let catalog = ctx.services.foreign(target.catalog.as_deref().unwrap_or(&scope.catalog))?;
    let schema = Part::stored(target.schema.as_deref().unwrap_or(&scope.schema));
    Some(ForeignName { catalog, schema, table: Part::stored(&target.table) })
}

/// Reads the one row of a change to its end.
pub(crate) async fn count(result: QueryResult) -> Result<u64> {
    let batches: Vec<_> = result.stream.try_collect().await?;
    let counts = batches.iter().filter_map(|batch| {
        let column = batch.columns().first()?;
        column.as_primitive_opt::<UInt64Type>()
    });
    Ok(counts.flat_map(|column| column.iter().flatten()).sum())
}

async fn append(
    ctx: &StatementContext,
    name: &QualifiedName,
    rows: SendableRecordBatchStream,
) -> Result<QueryResult> {
    let table = ctx.load_table(name).await?;
    let schema = to_arrow_schema(table.metadata().current_schema())?;
    let columns: Vec<Ident> =
        rows.schema().fields().iter().map(|f| Ident::with_quote('"', f.name())).collect();
    if columns.is_empty() {
        return Err(Error::invalid(format!("table \"{name}\": the rows have no columns")));
    }
    let columns: Vec<&Ident> = columns.iter().collect();
    let rows = relation(rows)?;
    let rows = insert::align(ctx, rows, &table, &schema, &columns, &insert::Constants::new())?;
    write(ctx, name, &rows, WriteAs { table, action: CommitAction::Append, fit: Fit::Exact }).await
}

async fn create(
    ctx: &StatementContext,
    name: &QualifiedName,
    if_taken: IfTaken,
    rows: SendableRecordBatchStream,
) -> Result<QueryResult> {
    let path = vec![
        name.catalog.name().to_owned(),
        name.name.namespace.to_string(),
        name.name.name.clone(),
    ];
    let statement = CreateTableStatement {
        name: ObjectPath(path),
        if_taken,
        elements: Vec::new(),
        column_names: Vec::new(),
        partitioning: Vec::new(),
        sorted_by: Vec::new(),
        location: None,
        comment: None,
        format_version: None,
        properties: Vec::new(),
        query: None,
        with_data: true,
    };
    let columns = rows.schema();
    let created = plan_create(&statement, &sql_scope(ctx), Some(columns.as_ref())).await?;
    let Creation::Make(target, create) = created else {
        return Err(Error::new(ErrorKind::Bug, "an ingest was skipped"));
    };
    let staged = target.catalog.stage_table(*create).await?;
    let table = staged.table.clone();
    let action = CommitAction::Create(Box::new(staged));
    let rows = relation(rows)?;
    write(ctx, name, &rows, WriteAs { table, action, fit: Fit::Floor }).await
}

/// Which table is written, and how that is published.
struct WriteAs {
    table: fjord_catalog::table::Table,
    action: CommitAction,
    fit: Fit,
}

async fn write(
    ctx: &StatementContext,
    name: &QualifiedName,
    rows: &LogicalPlan,
    how: WriteAs,
) -> Result<QueryResult> {
    let input = plan::physical(ctx, rows).await?;
    let target = WriteTarget { catalog: name.catalog.clone(), table: how.table };
    let write = plan_write(input, &target, how.fit, ctx.state.as_ref())?;
    let options = CommitOptions::default();
    let commit = plan_commit(write, &target, how.action, options, CommitOutcome::default())?;
    select::execute(ctx, commit, ResultKind::Affected, None)
}

/// The rows as a relation that can be read once.
pub(crate) fn relation(rows: SendableRecordBatchStream) -> Result<LogicalPlan> {
    let schema = rows.schema();
    let once = OneStream { schema: Arc::clone(&schema), rows: Mutex::new(Some(rows)) };
    let table = StreamingTable::try_new(schema, vec![Arc::new(once)])?;
    let source = provider_as_source(Arc::new(table));
    Ok(LogicalPlanBuilder::scan("rows", source, None)?.build()?)
}

/// A partition whose rows are there once.
struct OneStream {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for OneStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneStream").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for OneStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        rows.unwrap_or_else(|| {
            let again = Error::new(ErrorKind::Bug, "rows that a client sent were read twice");
            let failed = futures::stream::once(std::future::ready(Err(again.into())));
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), failed))
        })
    }
}
