//! Reading a data file whose deleted rows are told by a mask: more columns are read than the query
//! asked for, and what the query asked for is made of the rows that stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::error::Result;
use datafusion::functions::core::file_row_index;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs, Projector};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion_datasource::morsel::Morselizer;
use object_store::ObjectStore;

use super::fallible::may_fail;
use super::load::{FileDeletes, LoadedKeys};
use super::mask::Mask;
use crate::error::{Error, ErrorKind};

/// The name under which the number of a row in its file is read.
const ROW_NUMBER: &str = "__fjord_row_number";

/// What a scan asks of each file, and how to ask for more.
#[derive(Debug)]
pub(in crate::iceberg) struct MaskedSource {
    /// With every column of the table, and the hidden ones that deletes need; reads whole rows.
    pub(in crate::iceberg) whole: ParquetSource,
    /// What the scan asks for.
    pub(in crate::iceberg) asked: ParquetSource,
    pub(in crate::iceberg) batch_rows: usize,
    pub(in crate::iceberg) store: Arc<dyn ObjectStore>,
    pub(in crate::iceberg) config: FileScanConfig,
    pub(in crate::iceberg) partition: usize,
}

/// How the batches of one file become what the scan asks for.
///
/// ```text
/// Parquet ─ columns asked for, keys, row number ─ mask ─ filter that may fail ─ projection
/// ```
#[derive(Debug)]
pub(super) struct MaskedRead {
    mask: Mask,
    /// Where in a batch the row number is.
    row_number: Option<usize>,
    /// How many of a batch's columns, from the first on, the query needs.
    wanted: usize,
    filter: Option<Arc<dyn PhysicalExpr>>,
    projector: Projector,
    output: SchemaRef,
}

impl MaskedSource {
    /// The filter that the scan was given, if any.
    pub(super) fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.asked.filter()
    }

    /// The morselizer that reads a file with `deletes`, and what to do with its batches.
    pub(super) fn of_file(
        &self,
        deletes: FileDeletes,
    ) -> Result<(Box<dyn Morselizer>, MaskedRead)> {
        let schema = self.whole.table_schema().table_schema();
        let projection = self.asked.projection().map_or_else(
            || self.whole_rows(),
            |asked| asked.clone().try_map_exprs(|expr| self.over_whole(expr)),
        )?;
        let filter = self.asked.filter();
        // A filter that fails on a deleted row would fail the query: it waits for the mask.
        let late = filter.as_ref().map(may_fail).transpose()?.unwrap_or(false)
            && self.asked.table_parquet_options().global.pushdown_filters;
        let late_filter = filter.clone().filter(|_| late);

        let (read, wanted) = self.columns(&projection, late_filter.as_ref(), &deletes)?;
        let key_places = key_places(&deletes, &read)?;
        let row_numbers_asked = asks_row_number(&projection);
        let row_number = deletes.rows.is_some() || row_numbers_asked;
        let row_number = row_number.then_some(read.len());

        let inner = self.inner(&read, row_number.is_some(), late)?;
        let kept = schema.project(&read[..wanted])?;
        let kept = if row_numbers_asked { with_row_number(&kept) } else { kept };
        let rebased = projection
            .try_map_exprs(|expr| reassign_expr_columns(without_function(expr)?, &kept))?;
        let read = MaskedRead {
            mask: Mask { deletes, key_places },
            row_number,
            wanted,
            filter: late_filter.map(|f| reassign_expr_columns(f, &kept)).transpose()?,
            projector: rebased.make_projector(&kept)?,
            output: self.config.projected_schema()?,
        };
        Ok((inner, read))
    }

    /// The columns to be read, and how many of them, from the first on, the query needs; the others
    /// are for the deletes.
    fn columns(
        &self,
        projection: &ProjectionExprs,
        late_filter: Option<&Arc<dyn PhysicalExpr>>,
        deletes: &FileDeletes,
    ) -> Result<(Vec<usize>, usize)> {
        let schema = self.whole.table_schema().table_schema();
        let mut columns: BTreeSet<usize> = projection.column_indices().into_iter().collect();
        for column in late_filter.into_iter().flat_map(collect_columns) {
            columns.insert(schema.index_of(column.name())?);
        }
        let keys: BTreeSet<usize> = deletes
            .keys
            .iter()
            .flat_map(|keys| keys.columns())
            .map(|key| key.column)
            .filter(|key| !columns.contains(key))
            .collect();
        let wanted = columns.len();
        Ok((columns.into_iter().chain(keys).collect(), wanted))
    }

    /// Reads `columns` as they are, and the row number after them.
    fn inner(
        &self,
        columns: &[usize],
        row_number: bool,
        late: bool,
    ) -> Result<Box<dyn Morselizer>> {
        let schema = self.whole.table_schema().table_schema();
        let mut exprs: Vec<ProjectionExpr> = columns
            .iter()
            .map(|at| {
                let name = schema.field(*at).name();
                ProjectionExpr::new(Arc::new(Column::new(name, *at)), name)
            })
            .collect();
        if row_number {
            exprs.push(ProjectionExpr::new(row_number_function(schema)?, ROW_NUMBER));
        }
        let projected = self.whole.try_pushdown_projection(&ProjectionExprs::new(exprs))?;
        let projected = projected
            .as_ref()
            .and_then(|source| source.downcast_ref::<ParquetSource>())
            .ok_or_else(|| Error::new(ErrorKind::Bug, "the Parquet source takes no projection"))?;
        let options = self.asked.table_parquet_options();
        let pushed_down = options.global.pushdown_filters && !late;
        let mut source = projected.clone().with_pushdown_filters(pushed_down);
        if let Some(filter) = self.asked.filter() {
            source = source.with_predicate(filter);
        }
        // A limit would count rows before the mask takes some of them away.
        let config = FileScanConfigBuilder::from(self.config.clone()).with_limit(None).build();
        source.with_batch_size(self.batch_rows).create_morselizer(
            Arc::clone(&self.store),
            &config,
            self.partition,
        )
    }

    /// An expression over what the scan reads as one over `whole`: row numbers are columns of
    /// `asked` that `whole` does not have.
    fn over_whole(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let schema = self.whole.table_schema().table_schema();
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
    /// What the scan asks for of the rows of `batch` that stay.
    pub(super) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let numbers = self.row_number.map(|at| batch.column(at).as_primitive::<Int64Type>());
        let kept = self.mask.kept(batch, numbers)?;
        let wanted: Vec<usize> = (0..self.wanted).chain(self.row_number).collect();
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

/// Where among the columns that are read those of each set of keys are.
fn key_places(deletes: &FileDeletes, read: &[usize]) -> Result<Vec<Vec<usize>>> {
    let place = |column: usize| {
        read.iter().position(|read| *read == column).ok_or_else(|| {
            Error::new(ErrorKind::Bug, "a column by which rows are deleted is not read")
        })
    };
    let of_set = |keys: &LoadedKeys| keys.columns().iter().map(|key| place(key.column)).collect();
    Ok(deletes.keys.iter().map(of_set).collect::<Result<_, Error>>()?)
}

fn row_number_function(schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let config = Arc::new(ConfigOptions::default());
    Ok(Arc::new(ScalarFunctionExpr::try_new(file_row_index(), Vec::new(), schema, config)?))
}

/// Whether an expression is the number of a row in its file.
pub(in crate::iceberg) fn is_row_number(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<ScalarFunctionExpr>()
        .is_some_and(|function| function.fun().name() == file_row_index().name())
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
    let number = arrow::datatypes::Field::new(ROW_NUMBER, arrow::datatypes::DataType::Int64, true);
    let fields: Vec<_> = schema.fields().iter().cloned().chain([Arc::new(number)]).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}
