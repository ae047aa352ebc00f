//! The table provider behind `read_*`: a pinned list of files, one schema, one format.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use super::hive::HiveColumns;
use super::listing::Listing;
use super::named_source::NamedSource;
use super::proven_reader::ProvenReaders;

/// Files read as one table.
#[derive(Debug)]
pub(super) struct FileTable {
    store_url: ObjectStoreUrl,
    format: Arc<dyn FileFormat>,
    files: Vec<PartitionedFile>,
    table_schema: TableSchema,
    statistics: Option<Statistics>,
    /// What the files' columns become, where the reader itself cannot make them so: an
    /// expression and a field for each column of `table_schema`.
    conversion: Option<Conversion>,
}

/// Expressions over the columns as they are read.
#[derive(Debug)]
pub(super) struct Conversion {
    pub(super) schema: SchemaRef,
    pub(super) expressions: Vec<Expr>,
}

impl FileTable {
    pub(super) fn new(
        listing: &Listing,
        hive: HiveColumns,
        schema: SchemaRef,
        format: Arc<dyn FileFormat>,
    ) -> Self {
        let mut files: Vec<PartitionedFile> =
            listing.files.iter().map(super::listing::ListedFile::to_partitioned).collect();
        for (file, values) in files.iter_mut().zip(hive.values) {
            file.partition_values = values;
        }
        let table_schema =
            TableSchema::builder(schema).with_table_partition_cols(hive.fields).build();
        let store_url = listing.store_url.clone();
        Self { store_url, format, files, table_schema, statistics: None, conversion: None }
    }

    pub(super) fn with_conversion(mut self, conversion: Option<Conversion>) -> Self {
        self.conversion = conversion;
        self
    }

    /// `per_file` are over the files' own columns; those of partition columns stay unknown.
    pub(super) fn with_statistics(mut self, per_file: Vec<Statistics>) -> Self {
        let schema = self.table_schema.table_schema();
        let mut total = Statistics::new_unknown(schema);
        total.num_rows = Precision::Exact(0);
        total.total_byte_size = Precision::Exact(0);
        for (file, mut statistics) in self.files.iter_mut().zip(per_file) {
            total.num_rows = total.num_rows.add(&statistics.num_rows);
            total.total_byte_size = total.total_byte_size.add(&statistics.total_byte_size);
            let unknown = Statistics::new_unknown(schema).column_statistics;
            let own = statistics.column_statistics.len();
            statistics.column_statistics.extend(unknown.into_iter().skip(own));
            // Not `PartitionedFile::with_statistics`: it claims that partition columns are never
            // NULL, which a `__HIVE_DEFAULT_PARTITION__` directory contradicts.
            file.statistics = Some(Arc::new(statistics));
        }
        self.statistics = Some(total);
        self
    }

    fn prefix(&self) -> Arc<str> {
        let url = self.store_url.as_str();
        if url.starts_with("file:") { "/".into() } else { url.into() }
    }

    async fn plan_files(
        &self,
        session: &dyn Session,
        projection: Option<Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = self.format.file_source(self.table_schema.clone());
        let groups = FileGroup::new(self.files.clone())
            .split_files(session.config().target_partitions().max(1));
        let mut builder = FileScanConfigBuilder::new(self.store_url.clone(), source)
            .with_file_groups(groups)
            .with_limit(limit);
        if let Some(statistics) = &self.statistics {
            builder = builder.with_statistics(statistics.clone());
        }
        let config = builder.with_projection_indices(projection)?.build();
        let plan = self.format.create_physical_plan(session, config).await?;
        Ok(name_errors(plan, self.prefix()))
    }
}

/// The format insists on its own source type while it plans, so the wrapper goes on afterwards.
fn name_errors(plan: Arc<dyn ExecutionPlan>, prefix: Arc<str>) -> Arc<dyn ExecutionPlan> {
    let Some(config) = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>())
    else {
        return plan;
    };
    let mut inner = Arc::clone(config.file_source());
    if let Some(parquet) = inner.downcast_ref::<ParquetSource>()
        && let Some(readers) = parquet.parquet_file_reader_factory()
    {
        let schema = parquet.table_schema().table_schema();
        let readers = Arc::new(ProvenReaders::new(Arc::clone(readers), schema));
        inner = Arc::new(parquet.clone().with_parquet_file_reader_factory(readers));
    }
    let source = Arc::new(NamedSource::new(inner, prefix));
    let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
    DataSourceExec::from_data_source(config)
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        match &self.conversion {
            Some(conversion) => Arc::clone(&conversion.schema),
            None => Arc::clone(self.table_schema.table_schema()),
        }
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = self.plan_files(session, projection.cloned(), limit).await?;
        let Some(conversion) = &self.conversion else { return Ok(scan) };
        let read: Schema =
            project_schema(self.table_schema.table_schema(), projection)?.as_ref().clone();
        let read = DFSchema::try_from(read)?;
        let all: Vec<usize> = (0..conversion.expressions.len()).collect();
        let expressions = projection
            .unwrap_or(&all)
            .iter()
            .map(|i| {
                let expr =
                    session.create_physical_expr(conversion.expressions[*i].clone(), &read)?;
                Ok(ProjectionExpr { expr, alias: conversion.schema.field(*i).name().clone() })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(expressions, scan)?))
    }
}
