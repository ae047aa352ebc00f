//! The write operator: N streams of batches in, data files out, one row per file.
//!
//! ```text
//! input ─ ConformExec ─ [Repartition by partition value] ─ [Sort] ─ IcebergWriteExec (N) ─ commit
//! ```

mod fit;
mod conform;
mod schema;
pub(crate) mod upload;
mod ledger;
mod options;
mod partition;
mod file;
mod task;
mod expr;
mod exec;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod statement_tests;

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema as ArrowSchema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use fjord_catalog::catalog::Catalog;
use fjord_catalog::spec::{NullOrder, SortDirection, TableMetadata, Transform};
use fjord_catalog::storage::Storage;
use fjord_catalog::table::Table;

use self::expr::transform_expr;
use self::file::FileShape;
pub use self::fit::Fit;
pub(crate) use self::fit::fit;
use self::options::{Distribution, WriteOptions};
pub(crate) use self::partition::literal_at;
use self::partition::{Partitioner, column_path};
use self::task::WriteShape;
use crate::error::{Error, Result};

pub(crate) use self::exec::{ConformExec, IcebergWriteExec, output_schema};
pub(crate) use self::expr::iceberg_transform;
pub(crate) use self::ledger::{Ledger, clean_up, delete_files};

/// Below this many rows a second writer costs more than it gains.
const PARALLEL_ROWS_MIN: usize = 100_000;

/// Where rows go. `table` may be staged (CTAS).
#[derive(Clone, Debug)]
pub struct WriteTarget {
    /// The catalog that will commit.
    pub catalog: Catalog,
    /// Schema, default partition spec, sort order and properties to write by.
    pub table: Table,
}

/// Plans the write of `input`, whose columns are the table's by position and already of the
/// table's Arrow types or castable to them: casts, then clusters by partition where that bounds
/// the open files, sorts where the table has a sort order, and ends in `IcebergWriteExec`.
///
/// The result has as many partitions as `input`, or as the session's target partitions where rows
/// are clustered or dealt out, and yields rows of
/// `(data_file: Utf8 JSON, spec_id: Int32, record_count: UInt64)`.
///
/// # Errors
/// `Invalid` for a property or a column count that is wrong, `Unsupported` for what cannot be
/// written.
pub fn plan_write(
    input: Arc<dyn ExecutionPlan>,
    target: &WriteTarget,
    fit: Fit,
    session: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>> {
    let storage = target.catalog.storage();
    let planned = PlannedWrite::try_new(&target.table, storage, &input.schema())?;
    let PlannedWrite { arrow, hash_by, sort_by, .. } = &planned;
    let writers = session.config().target_partitions();
    let mut plan = conformed(input, arrow, fit);
    if !hash_by.is_empty() {
        if writers > 1 || plan.output_partitioning().partition_count() > 1 {
            let by = Partitioning::Hash(hash_by.clone(), writers.max(1));
            plan = Arc::new(RepartitionExec::try_new(plan, by)?);
        }
    } else if deserves_more_writers(&plan, writers) {
        let deal = Partitioning::RoundRobinBatch(writers);
        plan = Arc::new(RepartitionExec::try_new(plan, deal)?);
    }
    if let Some(order) = sort_by {
        plan = Arc::new(SortExec::new(order.clone(), plan).with_preserve_partitioning(true));
    }
    Ok(planned.above(plan, &target.table))
}

/// The write of `input` as it is, which another process planned: it is in the table's shape, spread
/// and sorted.
pub(crate) fn write_planned(
    input: Arc<dyn ExecutionPlan>,
    table: &Table,
    storage: &Storage,
) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(PlannedWrite::try_new(table, storage, &input.schema())?.above(input, table))
}

/// What a table and the columns of the rows decide of a write.
struct PlannedWrite {
    arrow: SchemaRef,
    shape: Arc<WriteShape>,
    hash_by: Vec<Arc<dyn PhysicalExpr>>,
    sort_by: Option<LexOrdering>,
}

impl PlannedWrite {
    fn try_new(table: &Table, storage: &Storage, rows: &SchemaRef) -> Result<Self> {
        let table = table.metadata();
        let parquet = super::types::to_parquet_schema(table.current_schema())?;
        let options = WriteOptions::try_new(table, &parquet)?;
        let partitioner = Partitioner::try_new(table)?;
        let arrow = schema::to_write_schema(table.current_schema(), rows)?;

        let by_partition = partition_exprs(&partitioner, &arrow)?;
        let sort_order = sort_exprs(table, &arrow)?;
        let clustered = !by_partition.is_empty()
            && (options.distribution == Distribution::Range || !sort_order.is_empty());
        let hash_by = match options.distribution {
            Distribution::None => Vec::new(),
            Distribution::Hash | Distribution::Range => by_partition.clone(),
        };
        let mut sort_by = Vec::new();
        if clustered {
            let ascending = SortOptions::new(false, true);
            let by = by_partition.iter().map(|e| PhysicalSortExpr::new(Arc::clone(e), ascending));
            sort_by.extend(by);
        }
        let sort_order_id = if sort_order.is_empty() {
            None
        } else {
            i32::try_from(table.default_sort_order_id()).ok()
        };
        sort_by.extend(sort_order);
        let file = FileShape {
            storage: storage.clone(),
            arrow: Arc::clone(&arrow),
            parquet,
            options,
            spec_id: table.default_partition_spec_id(),
            sort_order_id,
        };
        let shape = Arc::new(WriteShape { file: Arc::new(file), partitioner, clustered });
        Ok(Self { arrow, shape, hash_by, sort_by: LexOrdering::new(sort_by) })
    }

    fn above(self, input: Arc<dyn ExecutionPlan>, table: &Table) -> Arc<dyn ExecutionPlan> {
        let Self { shape, hash_by, sort_by, .. } = self;
        Arc::new(IcebergWriteExec::new(input, table.clone(), shape, hash_by, sort_by))
    }
}

/// Skips the cast where nothing can differ: equal types, no NULL to be refused, and no decimal that
/// may have too many digits.
fn conformed(input: Arc<dyn ExecutionPlan>, arrow: &SchemaRef, fit: Fit) -> Arc<dyn ExecutionPlan> {
    let same = input.schema().fields().iter().zip(arrow.fields()).all(|(given, wanted)| {
        given.name() == wanted.name()
            && given.data_type() == wanted.data_type()
            && given.is_nullable() == wanted.is_nullable()
            && !has_decimals(wanted.data_type())
    });
    if same { input } else { Arc::new(ConformExec::new(input, Arc::clone(arrow), fit)) }
}

fn has_decimals(ty: &DataType) -> bool {
    match ty {
        DataType::Decimal128(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_decimals(field.data_type())),
        DataType::List(field) | DataType::Map(field, _) => has_decimals(field.data_type()),
        _ => false,
    }
}

fn partition_exprs(
    partitioner: &Partitioner,
    arrow: &ArrowSchema,
) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    partitioner
        .columns
        .iter()
        .filter(|c| c.transform != Transform::Void)
        .map(|c| transform_expr(c.transform, &c.path, arrow))
        .collect()
}

fn sort_exprs(table: &TableMetadata, arrow: &ArrowSchema) -> Result<Vec<PhysicalSortExpr>> {
    table
        .default_sort_order()
        .fields
        .iter()
        .filter(|field| field.transform != Transform::Void)
        .map(|field| {
            let path = column_path(table.current_schema(), field.source_id).ok_or_else(|| {
                Error::unsupported(format!(
                    "the sort order names column {}, which is not in the schema",
                    field.source_id
                ))
            })?;
            let options = SortOptions::new(
                field.direction == SortDirection::Descending,
                field.null_order == NullOrder::First,
            );
            Ok(PhysicalSortExpr::new(transform_expr(field.transform, &path, arrow)?, options))
        })
        .collect()
}

/// A single stream of many rows keeps one core busy: deal its batches out. An ordered stream stays
/// as it is, since its author wants that order in the files.
fn deserves_more_writers(plan: &Arc<dyn ExecutionPlan>, writers: usize) -> bool {
    if writers < 2
        || plan.output_partitioning().partition_count() != 1
        || plan.output_ordering().is_some()
    {
        return false;
    }
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
    match statistics.ok().and_then(|s| s.num_rows.get_value().copied()) {
        Some(rows) => rows >= PARALLEL_ROWS_MIN,
        // A source of few rows comes in one batch, which makes one file however it is dealt.
        None => true,
    }
}
