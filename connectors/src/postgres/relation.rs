//! A remote relation as a table provider: a table of the database, or a query that runs there.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, Statistics, internal_err};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use super::columns::{self, RemoteColumn};
use super::condition::Printer;
use super::database::{Database, Described};
use super::exec::RemoteSqlExec;
use super::quote;
use super::scan::{ScanColumn, ScanSpec};
use crate::connector::{RemoteKind, RemoteName};

/// A table of so few bytes is read by one connection.
const ALONE_BYTES: u64 = 8 << 20;

/// What a query reads from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Base {
    Table {
        schema: String,
        name: String,
        oid: u32,
        /// Whether it may be read by parts.
        stored: bool,
    },
    /// Text of a SELECT.
    Query { sql: String },
}

impl Base {
    /// As it stands after FROM.
    pub(super) fn to_sql(&self) -> String {
        match self {
            Base::Table { schema, name, .. } => {
                quote::relation(&RemoteName { schema: schema.clone(), name: name.clone() })
            }
            Base::Query { sql } => format!("({sql}) AS q"),
        }
    }
}

/// A relation of one database.
#[derive(Clone, Debug)]
pub(super) struct RemoteRelation {
    pub(super) database: Arc<Database>,
    pub(super) base: Base,
    /// For messages.
    pub(super) shown: String,
    pub(super) columns: Vec<RemoteColumn>,
    schema: SchemaRef,
    kind: RemoteKind,
    bytes: u64,
    /// It has no more rows, and the first ones of an order.
    pub(super) rows_max: Option<usize>,
    /// Whether some of its query was written by a user.
    pub(super) has_text: bool,
    statistics: Statistics,
}

impl RemoteRelation {
    pub(super) fn of_table(database: Arc<Database>, described: &Described) -> Self {
        let columns = described.columns.clone();
        let schema = columns::schema(&columns);
        Self {
            base: Base::Table {
                schema: described.name.schema.clone(),
                name: described.name.name.clone(),
                oid: described.found.oid,
                stored: described.found.is_stored,
            },
            shown: described.name.to_string(),
            kind: described.found.kind,
            bytes: described.found.bytes,
            rows_max: None,
            has_text: false,
            statistics: statistics(described, &schema),
            database,
            columns,
            schema,
        }
    }

    /// The result of a query.
    pub(super) fn of_query(
        database: Arc<Database>,
        sql: String,
        shown: String,
        columns: Vec<RemoteColumn>,
    ) -> Self {
        let schema = columns::schema(&columns);
        let statistics = Statistics::new_unknown(&schema);
        Self {
            base: Base::Query { sql },
            shown,
            kind: RemoteKind::View,
            bytes: 0,
            rows_max: None,
            has_text: false,
            database,
            columns,
            schema,
            statistics,
        }
    }

    /// A filter of a scan in the database's SQL, where both judge alike.
    pub(super) fn condition(&self, filter: &Expr) -> Option<String> {
        let settings = self.database.settings();
        if !settings.pushdown {
            return None;
        }
        let find =
            |column: &Column| self.columns.iter().find(|known| known.name == column.name).cloned();
        Printer { rules: settings.rules, find: &find }.condition(filter)
    }

    /// The query that reads the columns at `projection` of the rows that `filters` keep.
    pub(super) fn spec(
        &self,
        projection: Option<&Vec<usize>>,
        conditions: Vec<String>,
        tail: String,
    ) -> ScanSpec {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let columns = projection.unwrap_or(&all).iter().filter_map(|i| self.columns.get(*i));
        ScanSpec {
            catalog: self.database.settings().catalog.clone(),
            relation: self.shown.clone(),
            columns: columns.map(ScanColumn::new).collect(),
            base: self.base.clone(),
            conditions,
            tail,
            has_text: self.has_text,
        }
    }
}

#[async_trait]
impl TableProvider for RemoteRelation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        match self.kind {
            RemoteKind::View => TableType::View,
            _ => TableType::Base,
        }
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut conditions = Vec::with_capacity(filters.len());
        for filter in filters {
            match self.condition(filter) {
                Some(condition) => conditions.push(condition),
                None => return internal_err!("{filter} was taken and cannot be pushed down"),
            }
        }
        let tail = match limit {
            Some(limit) if self.database.settings().pushdown => format!(" LIMIT {limit}"),
            _ => String::new(),
        };
        let spec = self.spec(projection, conditions, tail);
        let by_parts = self.bytes > ALONE_BYTES && spec.may_be_cut();
        let partitions = if by_parts { state.config().target_partitions().max(1) } else { 1 };
        let statistics = self.statistics.clone().project(projection);
        let exec = RemoteSqlExec::new(Arc::clone(&self.database), spec, partitions, statistics);
        Ok(Arc::new(exec))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let judged = filters.iter().map(|filter| match self.condition(filter) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        });
        Ok(judged.collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.clone())
    }
}

/// What the planner of the database believes; never exact.
fn statistics(described: &Described, schema: &SchemaRef) -> Statistics {
    let mut known = Statistics::new_unknown(schema);
    let Some(rows) = described.found.rows else { return known };
    known.num_rows = Precision::Inexact(rows as usize);
    let mut width = 0.0;
    for (column, known) in described.columns.iter().zip(&mut known.column_statistics) {
        let Some(of) = described.statistics.iter().find(|s| s.column == column.name) else {
            continue;
        };
        let distinct = if of.distinct < 0.0 { -of.distinct * rows } else { of.distinct };
        *known = ColumnStatistics {
            null_count: Precision::Inexact((of.null_share * rows) as usize),
            distinct_count: if distinct > 0.0 {
                Precision::Inexact(distinct as usize)
            } else {
                Precision::Absent
            },
            ..ColumnStatistics::new_unknown()
        };
        width += of.width as f64;
    }
    if width > 0.0 {
        known.total_byte_size = Precision::Inexact((rows * width) as usize);
    }
    known
}
