//! How the files of one partition of a scan are opened: every column of the table at hand.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::physical_plan::{FileSource, ParquetFileReaderFactory, ParquetSource};
use datafusion::error::Result;
use datafusion::functions::core::file_row_index;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion_datasource::morsel::Morselizer;
use object_store::ObjectStore;

use crate::error::{Error, ErrorKind};

/// The name under which the number of a row in its file is read.
pub(super) const ROW_NUMBER: &str = "__fjord_row_number";

/// Opens files of one partition of a scan.
#[derive(Debug)]
pub(in crate::iceberg) struct Opening {
    /// With every column of the table, and the hidden ones that deletes need; reads whole rows.
    pub(super) whole: ParquetSource,
    batch_rows: usize,
    store: Arc<dyn ObjectStore>,
    config: FileScanConfig,
    partition: usize,
}

impl Opening {
    /// Opens files of `store` as `whole` reads them, and as `config` says of a scan's `partition`.
    pub(in crate::iceberg) fn new(
        whole: ParquetSource,
        batch_rows: usize,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Self {
        // A limit would count rows before a mask takes some of them away; and what is copied for
        // each file does not name all of them.
        let config = FileScanConfigBuilder::from(config.clone())
            .with_limit(None)
            .with_file_groups(Vec::new())
            .build();
        Self { whole, batch_rows, store, config, partition }
    }

    pub(super) fn config(&self) -> &FileScanConfig {
        &self.config
    }

    pub(super) fn readers(&self) -> Result<&Arc<dyn ParquetFileReaderFactory>> {
        let readers = self.whole.parquet_file_reader_factory();
        readers.ok_or_else(|| Error::new(ErrorKind::Bug, "a scan without a reader").into())
    }

    /// A source of `columns` of the table as they are, and, if asked, of the row number after them.
    pub(super) fn reading(&self, columns: &[usize], row_number: bool) -> Result<ParquetSource> {
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
        Ok(projected.clone())
    }

    /// The morselizer of `source`, which is one of [`Opening::reading`].
    pub(super) fn morselizer(&self, source: &ParquetSource) -> Result<Box<dyn Morselizer>> {
        source.with_batch_size(self.batch_rows).create_morselizer(
            Arc::clone(&self.store),
            &self.config,
            self.partition,
        )
    }
}

pub(super) fn row_number_function(schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let config = Arc::new(ConfigOptions::default());
    Ok(Arc::new(ScalarFunctionExpr::try_new(file_row_index(), Vec::new(), schema, config)?))
}

/// Whether an expression is the number of a row in its file.
pub(in crate::iceberg) fn is_row_number(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<ScalarFunctionExpr>()
        .is_some_and(|function| function.fun().name() == file_row_index().name())
}
