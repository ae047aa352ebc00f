//! An Iceberg table at one pinned snapshot, as a DataFusion table provider.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema as ArrowSchema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::context::SessionState;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, lit};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use fjord_catalog::catalog::Catalog;
use fjord_catalog::plan_files::{FilePlan, PlannedFile};
use fjord_catalog::predicate::Predicate;
use fjord_catalog::spec::{
    DataFileFormat, PrimitiveType, Schema as IcebergSchema, SchemaRef as IcebergSchemaRef,
    SnapshotRef, Type,
};
use fjord_catalog::storage::Resolved;
use fjord_catalog::table::Table;
use fjord_catalog::table_statistics::distinct_counts;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use url::Url;

use super::adapter::FieldIdAdapterFactory;
use super::deletes::{Attachments, DeleteCache, Loader, ScanDeletes, extended};
use super::footer::{FooterCache, FooterReaderFactory};
use super::row_groups::RowGroups;
use super::source::{Chosen, IcebergSource};
use super::statistics::FileStatistics;
use super::types::{literal_to_scalar, to_arrow_schema};
use crate::error::{Error, Result};

/// Spark and Hive wrote INT96 timestamps; Iceberg's have microseconds.
const INT96_UNIT: &str = "us";

/// A table at one snapshot.
#[derive(Debug)]
pub struct IcebergTable {
    catalog: Catalog,
    table: Table,
    snapshot: Option<SnapshotRef>,
    iceberg_schema: IcebergSchemaRef,
    schema: SchemaRef,
    write_defaults: HashMap<String, Expr>,
}

impl IcebergTable {
    /// The table as it is now: its current snapshot and schema.
    ///
    /// # Errors
    /// `Unsupported` for a column type beyond Arrow's limits.
    pub fn try_new(catalog: Catalog, table: Table) -> Result<Self> {
        let schema = Arc::clone(table.metadata().current_schema());
        let snapshot = table.current_snapshot().cloned();
        Self::build(catalog, table, snapshot, schema)
    }

    /// The table at `snapshot`, with the schema of that snapshot (time travel).
    ///
    /// # Errors
    /// As [`IcebergTable::try_new`].
    pub fn try_new_at(catalog: Catalog, table: Table, snapshot: SnapshotRef) -> Result<Self> {
        let metadata = table.metadata();
        let schema = snapshot
            .schema_id()
            .and_then(|id| metadata.schema_by_id(id))
            .unwrap_or_else(|| metadata.current_schema());
        let schema = Arc::clone(schema);
        Self::build(catalog, table, Some(snapshot), schema)
    }

    /// The table at `snapshot`, the head of a branch, with the schema that the table has now: what
    /// a branch is written with.
    ///
    /// # Errors
    /// As [`IcebergTable::try_new`].
    pub fn try_new_on(catalog: Catalog, table: Table, snapshot: SnapshotRef) -> Result<Self> {
        let schema = Arc::clone(table.metadata().current_schema());
        Self::build(catalog, table, Some(snapshot), schema)
    }

    fn build(
        catalog: Catalog,
        table: Table,
        snapshot: Option<SnapshotRef>,
        iceberg_schema: IcebergSchemaRef,
    ) -> Result<Self> {
        let schema = to_arrow_schema(&iceberg_schema)?;
        let write_defaults = write_defaults(&iceberg_schema)?;
        Ok(Self { catalog, table, snapshot, iceberg_schema, schema, write_defaults })
    }

    /// The catalog it came from.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The loaded metadata.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The pinned snapshot; `None` when the table was never written.
    pub fn snapshot(&self) -> Option<&SnapshotRef> {
        self.snapshot.as_ref()
    }

    /// The schema of its rows, as Iceberg has it.
    pub fn iceberg_schema(&self) -> &IcebergSchemaRef {
        &self.iceberg_schema
    }

    /// The table with the columns that lineage is made of; none of them is the user's.
    pub(super) fn with_lineage_columns(&self) -> Result<Self> {
        let schema = Arc::new(super::lineage::extended(&self.iceberg_schema)?);
        let (catalog, table) = (self.catalog.clone(), self.table.clone());
        Self::build(catalog, table, self.snapshot.clone(), schema)
    }

    /// What ANALYZE counted, for the nearest snapshot.
    fn distinct_counts(&self) -> HashMap<i32, u64> {
        let metadata = self.table.metadata();
        self.snapshot.as_ref().map_or_else(HashMap::new, |s| distinct_counts(metadata, s))
    }

    /// Files by store, with their statistics; a table may span several buckets.
    fn by_store(
        &self,
        files: &[PlannedFile],
        statistics: &FileStatistics,
        deletes: &mut Attachments<'_>,
    ) -> Result<Vec<StoreFiles>> {
        let mut stores: BTreeMap<Url, StoreFiles> = BTreeMap::new();
        for planned in files {
            let file = &planned.file;
            if file.file_format() != DataFileFormat::Parquet {
                return Err(Error::unsupported(format!(
                    "data file {:?}: {} files cannot be read, only parquet ones",
                    file.file_path(),
                    file.file_format()
                )));
            }
            let at = self.catalog.storage().resolve(file.file_path())?;
            let mut partitioned = PartitionedFile::new_from_meta(ObjectMeta {
                location: at.path.clone(),
                last_modified: chrono::DateTime::UNIX_EPOCH,
                size: file.file_size_in_bytes(),
                e_tag: None,
                version: None,
            });
            // Not `with_statistics`: that claims partition values are never NULL. What it says is
            // of the whole file, deleted rows too: it only ever excludes.
            let of_file = Arc::new(statistics.of_planned(planned)?);
            partitioned.statistics = Some(Arc::clone(&of_file));
            if let Some(starts) = file.split_offsets().and_then(RowGroups::of) {
                partitioned.extensions.insert(starts);
            }
            let store = stores.entry(at.store_url.clone()).or_insert_with(|| StoreFiles {
                at,
                files: Vec::new(),
                statistics: Vec::new(),
            });
            match deletes.of_file(planned)? {
                None => store.statistics.push(of_file),
                Some(attached) => {
                    store.statistics.push(Arc::new(attached.without_deleted(&of_file)));
                    partitioned.extensions.insert(attached);
                }
            }
            store.files.push(partitioned);
        }
        Ok(stores.into_values().collect())
    }

    /// Reads the files of `plan`.
    fn scan_files(
        &self,
        state: &dyn Session,
        plan: &FilePlan,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (metadata, storage) = (self.table.metadata(), self.catalog.storage());
        let statistics =
            FileStatistics::new(metadata, &self.iceberg_schema, Arc::clone(&self.schema))
                .with_distinct(self.distinct_counts());
        let mut deletes = Attachments::new(storage, metadata, &self.iceberg_schema);
        let stores = self.by_store(&plan.files, &statistics, &mut deletes)?;
        let request = Request {
            projection,
            limit,
            chosen: chosen(plan),
            without_nan: without_nan(&plan.files, &self.iceberg_schema),
            deletes: deletes.finish(),
        };
        let mut scans = stores
            .into_iter()
            .map(|store| self.scan_store(state, store, &statistics, &request))
            .collect::<Result<Vec<_>>>()?;
        match (scans.pop(), scans.is_empty()) {
            (None, _) => Ok(Arc::new(EmptyExec::new(projected(&self.schema, projection)?))),
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                scans.push(last);
                Ok(UnionExec::try_new(scans)?)
            }
        }
    }

    /// How many of the rows of `files` are already deleted.
    ///
    /// # Errors
    /// Those of reading the delete files, and the columns by which they delete.
    pub async fn count_deleted(&self, state: &SessionState, files: &[PlannedFile]) -> Result<u64> {
        let files: Vec<PlannedFile> =
            files.iter().filter(|file| file.deletes.is_some()).cloned().collect();
        let stored: u64 = files.iter().map(|file| file.file.record_count()).sum();
        let plan = FilePlan { files, ..FilePlan::default() };
        let nothing = Vec::new();
        let rows = self.scan_files(state, &plan, Some(&nothing), None)?;
        let mut rows = execute_stream(rows, state.task_ctx())?;
        let mut left = 0_u64;
        while let Some(batch) = rows.try_next().await? {
            left += batch.num_rows() as u64;
        }
        Ok(stored.saturating_sub(left))
    }

    fn scan_store(
        &self,
        state: &dyn Session,
        store: StoreFiles,
        statistics: &FileStatistics,
        request: &Request<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let url = ObjectStoreUrl::parse(store.at.store_url.as_str())?;
        let runtime = state.runtime_env();
        if runtime.object_store(&url).is_err() {
            runtime.register_object_store(&store.at.store_url, Arc::clone(&store.at.store));
        }
        let total = statistics.of_files(store.statistics.iter().map(Arc::as_ref))?;
        let footers = footers(state);
        let readers =
            FooterReaderFactory::new(Arc::clone(&store.at.store), &store.at.store_url, footers)
                .reading(&self.schema);
        let options = parquet_options(state);
        let size_hint = options.global.metadata_size_hint;
        let mut parquet = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        if let Some(bytes) = size_hint {
            parquet = parquet.with_metadata_size_hint(bytes);
        }
        let adapter = FieldIdAdapterFactory::try_new_without_nan(
            &self.iceberg_schema,
            self.table.metadata().properties(),
            request.without_nan.clone(),
        )?
        .with_history(self.table.metadata().schemas_iter());
        let partitions = state.config().target_partitions();
        let mut source = IcebergSource::new(parquet.clone())
            .with_chosen(request.chosen)
            .with_adapters(adapter.clone());
        if let Some(hidden) = &request.deletes {
            let deletes = self.scan_deletes(state, parquet, hidden, adapter.clone());
            source = source.with_deletes(deletes);
        }
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(balance(store.files, partitions))
            .with_expr_adapter(Some(Arc::new(adapter)))
            .with_statistics(total)
            .with_projection_indices(request.projection.cloned())?
            .with_limit(request.limit)
            .build();
        let exec = DataSourceExec::from_data_source(config);
        // Few large files: split them by byte ranges, as the optimizer would not always do.
        Ok(match exec.repartitioned(partitions, state.config_options())? {
            Some(split) => split,
            None => exec,
        })
    }

    /// How the files with deletes are read: `parquet` and the `hidden` columns by whose values
    /// rows were deleted.
    fn scan_deletes(
        &self,
        state: &dyn Session,
        parquet: ParquetSource,
        hidden: &[FieldRef],
        adapters: FieldIdAdapterFactory,
    ) -> ScanDeletes {
        let cache = state
            .config()
            .get_extension::<DeleteCache>()
            .map_or_else(DeleteCache::of_process, |cache| cache.as_ref().clone());
        let pool = Arc::clone(&state.runtime_env().memory_pool);
        let loader = Arc::new(Loader::new(cache, footers(state), pool, adapters));
        if hidden.is_empty() {
            return ScanDeletes { loader, whole: parquet };
        }
        let mut whole = ParquetSource::new(extended(&self.schema, hidden))
            .with_table_parquet_options(parquet.table_parquet_options().clone());
        if let Some(readers) = parquet.parquet_file_reader_factory() {
            whole = whole.with_parquet_file_reader_factory(Arc::clone(readers));
        }
        if let Some(bytes) = parquet.table_parquet_options().global.metadata_size_hint {
            whole = whole.with_metadata_size_hint(bytes);
        }
        ScanDeletes { loader, whole }
    }
}

fn footers(state: &dyn Session) -> FooterCache {
    state
        .config()
        .get_extension::<FooterCache>()
        .map_or_else(FooterCache::of_process, |cache| cache.as_ref().clone())
}

/// What a scan was asked for.
struct Request<'a> {
    projection: Option<&'a Vec<usize>>,
    limit: Option<usize>,
    chosen: Chosen,
    without_nan: HashSet<i32>,
    /// Columns that only deletes need, when there are deletes.
    deletes: Option<Vec<FieldRef>>,
}

/// The files of a scan that live in one store.
struct StoreFiles {
    at: Resolved,
    files: Vec<PartitionedFile>,
    /// Of the rows that are not deleted, file by file.
    statistics: Vec<Arc<Statistics>>,
}

#[async_trait]
impl TableProvider for IcebergTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.write_defaults.get(column)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        // Files are chosen by metrics that say "may match"; the filter itself stays in the plan
        // and the optimizer offers it to the source as a row filter.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let mut plan = match &self.snapshot {
            None => FilePlan::default(),
            Some(snapshot) => {
                let predicate = file_predicate(filters, &self.iceberg_schema);
                self.catalog
                    .plan_files(&self.table, snapshot, &predicate)
                    .await
                    .map_err(Error::from)?
            }
        };
        if let (Some(limit), true) = (limit, filters.is_empty()) {
            keep_enough(&mut plan.files, limit);
        }
        Ok(self.scan_files(state, &plan, projection, limit)?)
    }
}

fn chosen(plan: &FilePlan) -> Chosen {
    Chosen {
        files: plan.files.len() as u64,
        files_total: plan.files_total,
        manifests: plan.manifests_total - plan.manifests_skipped,
        manifests_total: plan.manifests_total,
        files_with_deletes: plan.files.iter().filter(|f| f.deletes.is_some()).count() as u64,
    }
}

/// What of the filters can choose files.
fn file_predicate(filters: &[Expr], schema: &IcebergSchema) -> Predicate {
    super::filter::to_predicate(filters, schema)
}

/// The float columns that all of `files` say hold no NaN.
fn without_nan(files: &[PlannedFile], schema: &IcebergSchema) -> HashSet<i32> {
    let is_float =
        |ty: &Type| matches!(ty, Type::Primitive(PrimitiveType::Float | PrimitiveType::Double));
    let columns = schema.as_struct().fields().iter().filter(|f| is_float(&f.field_type));
    columns
        .map(|field| field.id)
        .filter(|id| files.iter().all(|f| f.file.nan_value_counts().get(id) == Some(&0)))
        .collect()
}

/// The first files that together hold `limit` rows.
fn keep_enough(files: &mut Vec<PlannedFile>, limit: usize) {
    let mut missing = u64::try_from(limit).unwrap_or(u64::MAX);
    let needed = files
        .iter()
        .take_while(|planned| {
            let wanted = missing > 0;
            // Of a file with deletes there may be nothing left.
            if planned.deletes.is_none() {
                missing = missing.saturating_sub(planned.file.record_count());
            }
            wanted
        })
        .count();
    files.truncate(needed);
}

/// Deals files to at most `partitions` groups so that each has about the same bytes.
pub(crate) fn balance(mut files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let groups = partitions.clamp(1, files.len().max(1));
    if groups == 1 {
        return vec![FileGroup::new(files)];
    }
    files.sort_by_key(|file| std::cmp::Reverse(file.effective_size()));
    let mut dealt: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); groups];
    for file in files {
        if let Some((bytes, group)) =
            dealt.iter_mut().min_by_key(|(bytes, group)| (*bytes, group.len()))
        {
            *bytes = bytes.saturating_add(file.effective_size());
            group.push(file);
        }
    }
    dealt.into_iter().map(|(_, group)| FileGroup::new(group)).collect()
}

fn parquet_options(state: &dyn Session) -> TableParquetOptions {
    let mut global = state.config_options().execution.parquet.clone();
    global.coerce_int96.get_or_insert_with(|| INT96_UNIT.to_owned());
    TableParquetOptions { global, ..TableParquetOptions::default() }
}

fn projected(schema: &SchemaRef, projection: Option<&Vec<usize>>) -> Result<SchemaRef> {
    match projection {
        None => Ok(Arc::clone(schema)),
        Some(columns) => {
            let projected: ArrowSchema =
                schema.project(columns).map_err(datafusion::error::DataFusionError::from)?;
            Ok(Arc::new(projected))
        }
    }
}

fn write_defaults(schema: &IcebergSchema) -> Result<HashMap<String, Expr>> {
    schema
        .as_struct()
        .fields()
        .iter()
        .filter_map(|field| {
            let default = field.write_default.as_ref()?;
            let value = literal_to_scalar(&field.field_type, Some(default));
            Some(value.map(|value| (field.name.clone(), lit(value))))
        })
        .collect()
}
