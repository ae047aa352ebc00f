//! `information_schema`: what a catalog holds, as relations that load no more than the query's
//! filters admit.
//!
//! ```text
//! list schemas ─ filter ─ list each ─ filter by name ─ load (columns, views, properties) ─ rows
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use fjord_catalog::catalog::Catalog;
use fjord_catalog::metastore::{Entry, EntryKind};
use fjord_connectors::connector::RemoteName;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::context::StatementContext;
use crate::access::AccessPolicy;
use crate::error::{Error, Result};
use crate::sql::information::{InformationTable, columns_of};
use crate::sql::names::{self, Mounted, Named};
use crate::sql::scope::{INFORMATION_SCHEMA, Queries, is_visible};
use crate::sql::show::columns::{ColumnRow, query_columns, table_columns, view_columns};

/// The name of the schema, in every catalog.
pub(crate) const SCHEMA: &str = INFORMATION_SCHEMA;

/// The relation `table` of `catalog`'s information schema.
///
/// # Errors
/// `NotFound`, listing the relations there are.
pub(crate) fn relation(
    ctx: &StatementContext,
    catalog: Mounted,
    table: &str,
) -> Result<Arc<dyn TableProvider>> {
    let table = InformationTable::by_name(table)?;
    let queries = super::session_queries::queries(ctx);
    let provider = InformationProvider::new(table, catalog, queries);
    Ok(Arc::new(provider.with_access(ctx.access.clone())))
}

/// Schemas listed at the same time.
const LISTINGS_MAX: usize = 32;

/// From so many schemas on, all names of a catalog are asked for at once, where it can.
const ALL_AT_ONCE_MIN: usize = 4;
/// Tables and views loaded at the same time.
const LOADS_MAX: usize = 16;
/// Tables whose rows make one batch.
const BATCH_TABLES: usize = 64;

/// One relation of one catalog's information schema.
#[derive(Debug)]
pub(crate) struct InformationProvider {
    source: Source,
}

impl InformationProvider {
    /// The relation `table` of `catalog`; `queries` plans views for their columns.
    pub(crate) fn new(
        table: InformationTable,
        catalog: Mounted,
        queries: Arc<dyn Queries>,
    ) -> Self {
        let schema = table.schema();
        let filters = Arc::default();
        Self { source: Source { table, catalog, queries, access: None, schema, filters } }
    }

    /// As somebody sees it who may do what `access` says.
    fn with_access(mut self, access: Option<Arc<dyn AccessPolicy>>) -> Self {
        self.source.access = access;
        self
    }
}

#[async_trait]
impl TableProvider for InformationProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.source.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let names = self.source.name_fields();
        let answer = |filter: &&Expr| {
            let known = filter.column_refs().iter().all(|c| names.iter().any(|n| *n == c.name));
            // Inexact: what cannot be evaluated on names is left to the filter above.
            if known {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let source = Source {
            filters: Arc::new(NameFilters::plan(state, &self.source, filters)?),
            ..self.source.clone()
        };
        // A limit counts rows after the filters, which only the operators above know to be exact.
        let limit = if filters.is_empty() { limit } else { None };
        let exec = StreamingTableExec::try_new(
            self.schema(),
            vec![Arc::new(source)],
            projection,
            None,
            false,
            limit,
        )?;
        Ok(Arc::new(exec))
    }
}

/// Filters that names alone decide.
#[derive(Debug, Default)]
struct NameFilters {
    /// Over catalog and schema.
    schemas: Vec<Arc<dyn PhysicalExpr>>,
    /// Over catalog, schema and table.
    tables: Vec<Arc<dyn PhysicalExpr>>,
}

impl NameFilters {
    fn plan(state: &dyn Session, source: &Source, filters: &[Expr]) -> DfResult<Self> {
        let names = source.name_fields();
        let name_schema = DFSchema::try_from(source.name_schema())?;
        let mut planned = Self::default();
        for filter in filters {
            let columns = filter.column_refs();
            if columns.is_empty() || !columns.iter().all(|c| names.iter().any(|n| *n == c.name)) {
                continue;
            }
            // The filter above decides again: one that cannot be planned here is left to it.
            let plain = unqualified(filter.clone())?;
            let Ok(expr) = state.create_physical_expr(plain, &name_schema) else { continue };
            let on_schema = columns.iter().all(|c| names[..2].iter().any(|n| *n == c.name));
            if on_schema { &mut planned.schemas } else { &mut planned.tables }.push(expr);
        }
        Ok(planned)
    }
}

/// The filter without qualifiers, which the listing's columns have none of.
fn unqualified(filter: Expr) -> DfResult<Expr> {
    let stripped = filter.transform(|e| match e {
        Expr::Column(c) if c.relation.is_some() => {
            Ok(Transformed::yes(Expr::Column(Column::from_name(c.name))))
        }
        e => Ok(Transformed::no(e)),
    })?;
    Ok(stripped.data)
}

/// Produces the rows; one partition, for the work is waiting for the catalog.
#[derive(Clone)]
struct Source {
    table: InformationTable,
    catalog: Mounted,
    queries: Arc<dyn Queries>,
    access: Option<Arc<dyn AccessPolicy>>,
    schema: SchemaRef,
    filters: Arc<NameFilters>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("table", &self.table).finish_non_exhaustive()
    }
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let rows = if self.table == InformationTable::Schemata {
            let source = self.clone();
            stream::once(async move { source.schemata().await }).boxed()
        } else {
            self.clone().table_rows()
        };
        Box::pin(RecordBatchStreamAdapter::new(schema, rows.map_err(DataFusionError::from)))
    }
}

/// A schema's admitted tables and views.
struct Listed {
    schema: String,
    entries: Vec<Named>,
}

type Batches = stream::BoxStream<'static, Result<RecordBatch>>;

impl Source {
    fn name_fields(&self) -> Vec<&str> {
        let fields = self.schema.fields().iter().take(self.table.name_columns());
        fields.map(|f| f.name().as_str()).collect()
    }

    fn name_schema(&self) -> Schema {
        let fields = self.schema.fields().iter().take(self.table.name_columns());
        Schema::new(fields.map(Arc::clone).collect::<Vec<_>>())
    }

    async fn schemata(&self) -> Result<RecordBatch> {
        let schemas = self.admitted_schemas().await?;
        let catalog = self.catalog.name();
        let rows = schemas
            .into_iter()
            .map(|schema| vec![Cell::from(catalog), Cell::from(schema)])
            .collect();
        batch(&self.schema, rows)
    }

    async fn admitted_schemas(&self) -> Result<Vec<String>> {
        let mut schemas = names::schemas(&self.catalog).await?;
        schemas.retain(|schema| schema == INFORMATION_SCHEMA || self.is_visible(schema, None));
        let keep = self.admit(&self.filters.schemas, &schemas, None)?;
        Ok(kept(schemas, &keep))
    }

    fn is_visible(&self, schema: &str, table: Option<&str>) -> bool {
        let is_own = schema.eq_ignore_ascii_case(INFORMATION_SCHEMA);
        is_own || is_visible(self.access.as_deref(), self.catalog.name(), Some(schema), table)
    }

    /// Which names the filters admit; `tables` is as long as `schemas` when given.
    fn admit(
        &self,
        filters: &[Arc<dyn PhysicalExpr>],
        schemas: &[String],
        tables: Option<&[String]>,
    ) -> Result<Vec<bool>> {
        let mut keep = vec![true; schemas.len()];
        if filters.is_empty() || schemas.is_empty() {
            return Ok(keep);
        }
        let catalogs = vec![self.catalog.name(); schemas.len()];
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(catalogs)),
            Arc::new(StringArray::from_iter_values(schemas)),
        ];
        if self.table.name_columns() == 3 {
            // Filters on schemas do not look at the table.
            columns.push(match tables {
                Some(tables) => Arc::new(StringArray::from_iter_values(tables)),
                None => Arc::new(StringArray::from_iter_values(schemas)),
            });
        }
        let names = RecordBatch::try_new(Arc::new(self.name_schema()), columns)
            .map_err(DataFusionError::from)?;
        for filter in filters {
            let answer = filter.evaluate(&names)?.into_array(names.num_rows())?;
            let Some(answer) = answer.as_any().downcast_ref::<BooleanArray>() else { continue };
            for (i, keep) in keep.iter_mut().enumerate() {
                *keep &= answer.is_valid(i) && answer.value(i);
            }
        }
        Ok(keep)
    }

    fn table_rows(self) -> Batches {
        let (lister, loader) = (self.clone(), self);
        stream::once({
            let source = lister.clone();
            async move {
                let schemas = source.admitted_schemas().await?;
                let known = source.known_entries(schemas.len()).await?;
                Ok::<_, Error>((schemas, known))
            }
        })
        .map_ok(|(schemas, mut known)| {
            let each = schemas.into_iter().map(move |schema| {
                let entries = known.as_mut().map(|known| known.remove(&schema).unwrap_or_default());
                Ok((schema, entries))
            });
            stream::iter(each)
        })
        .try_flatten()
        .map_ok(move |(schema, known)| {
            let source = lister.clone();
            async move { source.list(schema, known).await }
        })
        .try_buffered(LISTINGS_MAX)
        .map_ok(|listed| {
            let Listed { schema, entries } = listed;
            let chunks: Vec<Listed> = entries
                .chunks(BATCH_TABLES)
                .map(|chunk| Listed { schema: schema.clone(), entries: chunk.to_vec() })
                .collect();
            stream::iter(chunks).map(Ok)
        })
        .try_flatten()
        .and_then(move |chunk| {
            let source = loader.clone();
            async move { source.rows_of(chunk).await }
        })
        .boxed()
    }

    /// The entries of all schemas, where the catalog has them at hand and many are wanted.
    async fn known_entries(&self, schemas: usize) -> Result<Option<HashMap<String, Vec<Named>>>> {
        let Mounted::Lake(catalog) = &self.catalog else { return Ok(None) };
        if schemas < ALL_AT_ONCE_MIN {
            return Ok(None);
        }
        let Some(all) = catalog.metastore().list_all().await? else { return Ok(None) };
        let mut known: HashMap<String, Vec<Named>> = HashMap::new();
        for entry in all {
            known.entry(entry.name.namespace.to_string()).or_default().push(entry.into());
        }
        Ok(Some(known))
    }

    /// The admitted entries of one schema, which may be `known` already.
    async fn list(&self, schema: String, known: Option<Vec<Named>>) -> Result<Listed> {
        let mut entries = match known {
            Some(entries) if !schema.eq_ignore_ascii_case(INFORMATION_SCHEMA) => entries,
            _ => names::entries(&self.catalog, &schema).await?,
        };
        if !schema.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
            entries.retain(|entry| self.is_visible(&schema, Some(&entry.name)));
        }
        let names: Vec<String> = entries.iter().map(|e| e.name.clone()).collect();
        let schemas = vec![schema.clone(); names.len()];
        let keep = self.admit(&self.filters.tables, &schemas, Some(&names))?;
        Ok(Listed { schema, entries: kept(entries, &keep) })
    }

    async fn rows_of(&self, chunk: Listed) -> Result<RecordBatch> {
        let schema = chunk.schema.as_str();
        let rows: Vec<Vec<Vec<Cell>>> = stream::iter(chunk.entries)
            .map(|entry| async move {
                let mut start = vec![Cell::from(self.catalog.name()), Cell::from(schema)];
                start.push(Cell::from(entry.name.as_str()));
                match self.details(&entry).await {
                    Ok(rows) => rows.into_iter().map(|r| [start.clone(), r].concat()).collect(),
                    Err(e) => {
                        // One unreadable table must not hide all others.
                        tracing::warn!(table = entry.name, error = %e, "left out of information_schema");
                        Vec::new()
                    }
                }
            })
            .buffered(LOADS_MAX)
            .collect()
            .await;
        batch(&self.schema, rows.into_iter().flatten().collect())
    }

    /// The cells after the three names, for each row that an entry gives.
    async fn details(&self, named: &Named) -> Result<Vec<Vec<Cell>>> {
        let (Mounted::Lake(catalog), Some(entry)) = (&self.catalog, &named.entry) else {
            return self.foreign_details(named).await;
        };
        match (self.table, entry.kind) {
            (InformationTable::Schemata, _) => Ok(Vec::new()),
            (InformationTable::Tables, EntryKind::Table) => {
                Ok(vec![vec![Cell::from("BASE TABLE")]])
            }
            (InformationTable::Tables, EntryKind::View) => Ok(vec![vec![Cell::from("VIEW")]]),
            (InformationTable::Views | InformationTable::TableProperties, kind)
                if (kind == EntryKind::View) != (self.table == InformationTable::Views) =>
            {
                Ok(Vec::new())
            }
            (InformationTable::Views, _) => {
                let view = catalog.metastore().load_view(&entry.name).await?;
                Ok(vec![vec![Cell::from(view.sql)]])
            }
            (InformationTable::TableProperties, _) => {
                if columns_of(&entry.name).is_some() {
                    return Ok(Vec::new());
                }
                let table = catalog.load_table(&entry.name).await?;
                let mut properties: Vec<_> = table.metadata().properties().iter().collect();
                properties.sort();
                let cells = |(k, v): (&String, &String)| {
                    vec![Cell::from(k.as_str()), Cell::from(v.as_str())]
                };
                Ok(properties.into_iter().map(cells).collect())
            }
            (InformationTable::Columns, _) => {
                let columns = self.columns(catalog, entry).await?;
                Ok((1_i64..).zip(columns).map(|(i, c)| column_cells(i, c)).collect())
            }
        }
    }

    /// The same for what a database has, and for the information schema in its catalog.
    async fn foreign_details(&self, named: &Named) -> Result<Vec<Vec<Cell>>> {
        let kind = if named.kind == EntryKind::View { "VIEW" } else { "BASE TABLE" };
        match self.table {
            InformationTable::Tables => Ok(vec![vec![Cell::from(kind)]]),
            InformationTable::Columns => {
                let columns = match (&named.entry, &self.catalog) {
                    (Some(entry), _) => match columns_of(&entry.name) {
                        Some(own) => query_columns(own?.as_ref()),
                        None => Vec::new(),
                    },
                    (None, Mounted::Foreign(catalog)) => {
                        let name =
                            RemoteName { schema: named.schema.clone(), name: named.name.clone() };
                        let table = catalog.table(&name).await?;
                        table.map_or_else(Vec::new, |table| query_columns(&table.schema()))
                    }
                    (None, Mounted::Lake(_)) => Vec::new(),
                };
                Ok((1_i64..).zip(columns).map(|(i, c)| column_cells(i, c)).collect())
            }
            // What a view says, and properties, are the database's own to tell.
            InformationTable::Schemata
            | InformationTable::Views
            | InformationTable::TableProperties => Ok(Vec::new()),
        }
    }

    async fn columns(&self, catalog: &Catalog, entry: &Entry) -> Result<Vec<ColumnRow>> {
        if let Some(own) = columns_of(&entry.name) {
            return Ok(query_columns(own?.as_ref()));
        }
        if entry.kind == EntryKind::Table {
            let table = catalog.load_table(&entry.name).await?;
            return Ok(table_columns(table.metadata()));
        }
        let view = catalog.metastore().load_view(&entry.name).await?;
        let schema = self.queries.view_schema(catalog.name(), &view).await?;
        Ok(view_columns(&view, &schema))
    }
}

fn column_cells(position: i64, column: ColumnRow) -> Vec<Cell> {
    vec![
        Cell::from(column.name),
        Cell::Number(position),
        Cell::Text(column.default),
        Cell::from(if column.nullable { "YES" } else { "NO" }),
        Cell::from(column.ty),
        Cell::Text(column.comment),
    ]
}

fn kept<T>(items: Vec<T>, keep: &[bool]) -> Vec<T> {
    items.into_iter().zip(keep).filter(|(_, keep)| **keep).map(|(item, _)| item).collect()
}

#[derive(Clone, Debug)]
enum Cell {
    Text(Option<String>),
    Number(i64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(Some(text.to_owned()))
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(Some(text))
    }
}

fn batch(schema: &SchemaRef, rows: Vec<Vec<Cell>>) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| -> ArrayRef {
            let cells = rows.iter().map(|row| row.get(i));
            if field.data_type() == &DataType::Int64 {
                let numbers = cells.map(|cell| match cell {
                    Some(Cell::Number(n)) => Some(*n),
                    _ => None,
                });
                Arc::new(numbers.collect::<Int64Array>())
            } else {
                let texts = cells.map(|cell| match cell {
                    Some(Cell::Text(text)) => text.as_deref(),
                    _ => None,
                });
                Arc::new(texts.collect::<StringArray>())
            }
        })
        .collect();
    let made = RecordBatch::try_new(Arc::clone(schema), columns).map_err(DataFusionError::from);
    made.map_err(Error::from)
}
