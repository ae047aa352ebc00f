//! Reading a data file whose deleted rows are told by a mask: more columns are read than the query
//! asked for, and what the query asked for is made of the rows that stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::physical_plan::{FileSource, ParquetSource};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExprs, Projector};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion_datasource::morsel::Morselizer;

use super::cache::Loaded;
use super::fallible::may_fail;
use super::finder::Finder;
use super::mask::Mask;
use super::opening::{Opening, ROW_NUMBER, is_row_number, row_number_function};

/// What a scan asks of each file, and how to ask for more.
#[derive(Debug)]
pub(in crate::iceberg) struct MaskedSource {
    /// What the scan asks for.
    pub(in crate::iceberg) asked: ParquetSource,
    pub(in crate::iceberg) opening: Arc<Opening>,
}

/// How the batches of one file become what the scan asks for.
///
/// ```text
/// Parquet ─ columns asked for, row number ─ mask ─ filter that may fail ─ projection
/// ```
#[derive(Debug)]
pub(super) struct MaskedRead {
    mask: Mask,
    /// Tells the rows that are deleted by key, if any may be.
    finder: Option<Arc<Finder>>,
    /// Where in a batch the row number is: behind the columns that were asked for.
    row_number: usize,
    /// Whether the query asks for the row number too.
    is_number_asked: bool,
    filter: Option<Arc<dyn PhysicalExpr>>,
    projector: Projector,
    output: SchemaRef,
}

impl MaskedSource {
    /// The filter that the scan was given, if any.
    pub(super) fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.asked.filter()
    }

    /// The morselizer that reads a file whose rows `mask` and `finder` take away, and what to do
    /// with its batches.
    pub(super) fn of_file(
        &self,
        mask: Mask,
        finder: Option<Arc<Finder>>,
    ) -> Result<(Box<dyn Morselizer>, MaskedRead)> {
        let schema = self.opening.whole.table_schema().table_schema();
        let projection = self.asked.projection().map_or_else(
            || self.whole_rows(),
            |asked| asked.clone().try_map_exprs(|expr| self.over_whole(expr)),
        )?;
        let filter = self.asked.filter();
        // A filter that fails on a deleted row would fail the query: it waits for the mask.
        let late = filter.as_ref().map(may_fail).transpose()?.unwrap_or(false)
            && self.asked.table_parquet_options().global.pushdown_filters;
        let late_filter = filter.filter(|_| late);

        let columns = self.columns(&projection, late_filter.as_ref())?;
        let inner = self.inner(&columns, late)?;
        let is_number_asked = asks_row_number(&projection);
        let kept = schema.project(&columns)?;
        let kept = if is_number_asked { with_row_number(&kept) } else { kept };
        let rebased = projection
            .try_map_exprs(|expr| reassign_expr_columns(without_function(expr)?, &kept))?;
        let read = MaskedRead {
            mask,
            finder,
            row_number: columns.len(),
            is_number_asked,
            filter: late_filter.map(|f| reassign_expr_columns(f, &kept)).transpose()?,
            projector: rebased.make_projector(&kept)?,
            output: self.opening.config().projected_schema()?,
        };
        Ok((inner, read))
    }

    /// The columns to be read.
    fn columns(
        &self,
        projection: &ProjectionExprs,
        late_filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<Vec<usize>> {
        let schema = self.opening.whole.table_schema().table_schema();
        let mut columns: BTreeSet<usize> = projection.column_indices().into_iter().collect();
        for column in late_filter.into_iter().flat_map(collect_columns) {
            columns.insert(schema.index_of(column.name())?);
        }
        Ok(columns.into_iter().collect())
    }

    /// Reads `columns` as they are, and the row number after them.
    fn inner(&self, columns: &[usize], late: bool) -> Result<Box<dyn Morselizer>> {
        let options = self.asked.table_parquet_options();
        let pushed_down = options.global.pushdown_filters && !late;
        let source = self.opening.reading(columns, true)?;
        let mut source = source.with_pushdown_filters(pushed_down);
        if let Some(filter) = self.asked.filter() {
            source = source.with_predicate(filter);
        }
        self.opening.morselizer(&source)
    }

    /// An expression over what the scan reads as one over `whole`: row numbers are columns of
    /// `asked` that `whole` does not have.
    fn over_whole(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let schema = self.opening.whole.table_schema().table_schema();
        let virtual_columns = self.asked.table_schema().virtual_columns();
        expr.transform_down(|node| match node.downcast_ref::<Column>() {
            Some(column) if virtual_columns.find(column.name()).is_some() => {
                Ok(Transformed::yes(row_number_function(schema)?))
            }
            Some(column) => Ok(Transformed::yes(Arc::new(Column::new(
                column.name(),
                schema.index_of(column.name())?,
            )))),
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn whole_rows(&self) -> Result<ProjectionExprs> {
        let schema = self.asked.table_schema().table_schema();
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        ProjectionExprs::from_indices(&all, schema).try_map_exprs(|expr| self.over_whole(expr))
    }
}

impl MaskedRead {
    /// What tells the rows that are deleted by key, if any may be.
    pub(super) fn finder(&self) -> Option<&Arc<Finder>> {
        self.finder.as_ref()
    }

    /// Where in their file the rows of `batch` are.
    pub(super) fn numbers<'a>(&self, batch: &'a RecordBatch) -> &'a [i64] {
        batch.column(self.row_number).as_primitive::<Int64Type>().values()
    }

    /// What the scan asks for of the rows of `batch` that stay; those `found` by key do not.
    pub(super) fn apply(&self, batch: &RecordBatch, found: &[Arc<Loaded>]) -> Result<RecordBatch> {
        let kept = self.mask.kept(self.numbers(batch), found)?;
        let wanted: Vec<usize> = (0..self.row_number + usize::from(self.is_number_asked)).collect();
        let mut batch = batch.project(&wanted)?;
        if let Some(kept) = kept {
            batch = filter_record_batch(&batch, &kept)?;
        }
        if let Some(filter) = &self.filter {
            let passes = filter.evaluate(&batch)?.into_array(batch.num_rows())?;
            batch = filter_record_batch(&batch, as_boolean_array(&passes)?)?;
        }
        let (_, columns, rows) = self.projector.project_batch(&batch)?.into_parts();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let output = Arc::clone(&self.output);
        Ok(RecordBatch::try_new_with_options(output, columns, &options)?)
    }
}

fn asks_row_number(projection: &ProjectionExprs) -> bool {
    projection.expr_iter().any(|expr| expr.exists(|node| Ok(is_row_number(node))).unwrap_or(true))
}

/// The function as the column that the batches have in its place.
fn without_function(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_down(|node| {
        if is_row_number(&node) {
            return Ok(Transformed::yes(Arc::new(Column::new(ROW_NUMBER, 0))));
        }
        Ok(Transformed::no(node))
    })
    .data()
}

fn with_row_number(schema: &Schema) -> Schema {
    let number = Field::new(ROW_NUMBER, DataType::Int64, true);
    let fields: Vec<_> = schema.fields().iter().cloned().chain([Arc::new(number)]).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}
