//! The scan's file source: DataFusion's Parquet source, seen as Iceberg's.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpener, FileScanConfig, FileSource, ParquetSource,
};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::TableSchema;
use datafusion_datasource::morsel::Morselizer;
use object_store::ObjectStore;

use super::adapter::FieldIdAdapterFactory;
use super::deletes::{DeletingMorselizer, MaskedSource, Opening, ScanDeletes, is_row_number};
use super::guard::GuardedMorselizer;
use crate::error::{Error, ErrorKind};

/// Rows of a batch where the plan did not say.
const BATCH_ROWS: usize = 8192;

/// Reads the data files of an Iceberg table.
///
/// ```text
/// DataSourceExec ─ FileScanConfig ─ IcebergSource ─ ParquetSource
///                        └ field-id adapter             └ footer cache
/// ```
///
/// Everything about Parquet is delegated; every answer that is a source is wrapped again. Deletes
/// are applied here, in the morselizer, so that nothing above the scan ever sees a deleted row.
#[derive(Clone, Debug)]
pub struct IcebergSource {
    parquet: ParquetSource,
    /// Applied when a partition is opened, as the inner source returns it type-erased.
    batch_size: Option<usize>,
    chosen: Option<Arc<Chosen>>,
    deletes: Option<Arc<ScanDeletes>>,
    /// Also in the scan's configuration, where its type is hidden.
    adapters: Option<FieldIdAdapterFactory>,
}

/// How many of a snapshot's files and manifests a scan was left with, for `EXPLAIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Data files to be read.
    pub files: u64,
    /// Data files in the snapshot.
    pub files_total: u64,
    /// Manifests that were read to find them.
    pub manifests: u64,
    /// Manifests in the snapshot.
    pub manifests_total: u64,
    /// Of the data files to be read, those from which rows were deleted.
    pub files_with_deletes: u64,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, files_total, manifests, manifests_total, files_with_deletes } = self;
        write!(f, "files={files}/{files_total}, manifests={manifests}/{manifests_total}")?;
        match files_with_deletes {
            0 => Ok(()),
            _ => write!(f, ", files_with_deletes={files_with_deletes}"),
        }
    }
}

impl IcebergSource {
    /// Wraps a Parquet source.
    pub fn new(parquet: ParquetSource) -> Self {
        Self { parquet, batch_size: None, chosen: None, deletes: None, adapters: None }
    }

    /// Tells how columns are found in files, for whoever sends the scan elsewhere.
    #[must_use]
    pub(crate) fn with_adapters(mut self, adapters: FieldIdAdapterFactory) -> Self {
        self.adapters = Some(adapters);
        self
    }

    pub(crate) fn adapters(&self) -> Option<&FieldIdAdapterFactory> {
        self.adapters.as_ref()
    }

    /// The source that everything about Parquet is delegated to.
    pub(crate) fn parquet(&self) -> &ParquetSource {
        &self.parquet
    }

    /// The rows of a batch, where the plan said.
    pub(crate) fn batch_rows(&self) -> Option<usize> {
        self.batch_size
    }

    pub(super) fn deletes(&self) -> Option<&ScanDeletes> {
        self.deletes.as_deref()
    }

    /// Reads files that carry deletes without their deleted rows.
    #[must_use]
    pub(super) fn with_deletes(mut self, deletes: ScanDeletes) -> Self {
        self.deletes = Some(Arc::new(deletes));
        self
    }

    /// Shows in plans how many files were chosen out of how many.
    #[must_use]
    pub fn with_chosen(mut self, chosen: Chosen) -> Self {
        self.chosen = Some(Arc::new(chosen));
        self
    }

    /// How many files were chosen out of how many, if the scan was told.
    pub fn chosen(&self) -> Option<&Chosen> {
        self.chosen.as_deref()
    }

    fn over(&self, parquet: ParquetSource) -> Self {
        Self { parquet, ..self.clone() }
    }

    fn rewrap(&self, inner: &Arc<dyn FileSource>) -> Result<Arc<dyn FileSource>> {
        match inner.downcast_ref::<ParquetSource>() {
            Some(parquet) => Ok(Arc::new(self.over(parquet.clone()))),
            None => Err(Error::new(ErrorKind::Bug, "the Parquet source became another one").into()),
        }
    }

    /// Whether a filter touches a nested column, or asks where in its file a row is.
    ///
    /// A row number is known of what was read, not of what a row filter is shown. And
    /// The inner source decides by the table's schema whether it can evaluate a filter, but
    /// silently drops one that the adapter turned into something it cannot (stack §3).
    fn touches_nested(&self, filter: &Arc<dyn PhysicalExpr>) -> Result<bool> {
        let schema = self.table_schema().table_schema();
        let mut nested = false;
        filter.apply(|node| {
            nested |= is_row_number(node);
            if let Some(column) = node.downcast_ref::<Column>() {
                nested |= schema
                    .field_with_name(column.name())
                    .is_ok_and(|field| field.data_type().is_nested());
            }
            Ok(if nested { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        Ok(nested)
    }
}

impl FileSource for IcebergSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.parquet.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = match self.batch_size {
            Some(rows) => self.parquet.with_batch_size(rows).create_morselizer(
                Arc::clone(&store),
                config,
                partition,
            ),
            None => self.parquet.create_morselizer(Arc::clone(&store), config, partition),
        }?;
        let inner = match &self.deletes {
            None => inner,
            Some(deletes) => {
                let whole = deletes.whole.clone();
                let batch_rows = self.batch_size.unwrap_or(BATCH_ROWS);
                let opening = Opening::new(whole, batch_rows, store, config, partition);
                let masked =
                    MaskedSource { asked: self.parquet.clone(), opening: Arc::new(opening) };
                Box::new(DeletingMorselizer::new(inner, Arc::clone(deletes), masked))
            }
        };
        Ok(Box::new(GuardedMorselizer::new(inner, config.object_store_url.as_str())))
    }

    fn table_schema(&self) -> &TableSchema {
        self.parquet.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_size: Some(batch_size), ..self.clone() })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.parquet.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.parquet.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.parquet.metrics()
    }

    fn file_type(&self) -> &'static str {
        "iceberg"
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(chosen) = &self.chosen {
            match t {
                DisplayFormatType::Default | DisplayFormatType::Verbose => {
                    write!(f, ", {chosen}")?;
                }
                DisplayFormatType::TreeRender => {
                    writeln!(f, "files={}/{}", chosen.files, chosen.files_total)?;
                    writeln!(f, "manifests={}/{}", chosen.manifests, chosen.manifests_total)?;
                }
            }
        }
        self.parquet.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.parquet.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        repartition_file_min_size: usize,
        output_ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        // The inner source only regroups files and keeps the configuration's source: this one.
        self.parquet.repartitioned(
            target_partitions,
            repartition_file_min_size,
            output_ordering,
            config,
        )
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let nested =
            filters.iter().map(|f| self.touches_nested(f)).collect::<Result<Vec<bool>>>()?;
        let offered = filters
            .into_iter()
            .zip(&nested)
            .filter_map(|(filter, nested)| (!nested).then_some(filter))
            .collect();
        let inner = self.parquet.try_pushdown_filters(offered, config)?;
        let mut answers = inner.filters.into_iter();
        let filters = nested
            .iter()
            .map(|nested| if *nested { None } else { answers.next() }.unwrap_or(PushedDown::No))
            .collect();
        let updated_node = inner.updated_node.map(|node| self.rewrap(&node)).transpose()?;
        Ok(FilterPushdownPropagation { filters, updated_node })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        use SortOrderPushdownResult as R;
        Ok(match self.parquet.try_pushdown_sort(order, eq_properties)? {
            R::Exact { inner } => R::Exact { inner: self.rewrap(&inner)? },
            R::Inexact { inner } => R::Inexact { inner: self.rewrap(&inner)? },
            R::Unsupported => R::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.parquet.reorder_files(files)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        self.parquet
            .try_pushdown_projection(projection)?
            .map(|inner| self.rewrap(&inner))
            .transpose()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.parquet.apply_expressions(f)
    }
}
