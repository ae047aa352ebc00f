//! A scan as a message, for the process that reads it.
//!
//! DataFusion's own messages lose the deletes of a file, the adapter that finds columns by field id,
//! virtual columns, and limits beyond 32 bits (stack §3). What this module cannot carry it refuses.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{Statistics, internal_datafusion_err, not_impl_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_datasource::TableSchema;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use datafusion_proto_common::protobuf_common;
use fjord_catalog::spec::Schema as IcebergSchema;
use fjord_catalog::storage::Storage;
use url::Url;

use super::adapter::{AdapterParts, FieldIdAdapterFactory};
use super::deletes::{
    Attached, AttachedMessage, DecodedDeletes, DeleteCache, DeletesEncoder, DeletesMessage, Loader,
    ScanDeletes, extended,
};
use super::footer::{FooterCache, FooterReaderFactory};
use super::row_groups::RowGroups;
use super::source::{Chosen, IcebergSource};

/// A scan of an Iceberg table.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ScanMessage {
    #[prost(message, optional, tag = "1")]
    file_schema: Option<protobuf::Schema>,
    #[prost(message, optional, tag = "2")]
    partition_schema: Option<protobuf::Schema>,
    #[prost(message, optional, tag = "3")]
    virtual_schema: Option<protobuf::Schema>,
    #[prost(message, repeated, tag = "4")]
    groups: Vec<GroupMessage>,
    #[prost(message, repeated, tag = "5")]
    projection: Vec<protobuf::PhysicalExprNode>,
    #[prost(string, repeated, tag = "6")]
    aliases: Vec<String>,
    /// Whether `projection` says which columns; an empty one is one too.
    #[prost(bool, tag = "7")]
    is_projected: bool,
    #[prost(message, optional, tag = "8")]
    predicate: Option<protobuf::PhysicalExprNode>,
    #[prost(message, optional, tag = "9")]
    options: Option<protobuf_common::TableParquetOptions>,
    #[prost(uint64, optional, tag = "10")]
    limit: Option<u64>,
    #[prost(string, tag = "11")]
    store_url: String,
    #[prost(message, optional, tag = "12")]
    statistics: Option<protobuf_common::Statistics>,
    #[prost(uint64, optional, tag = "13")]
    batch_size: Option<u64>,
    #[prost(uint64, optional, tag = "14")]
    source_batch_size: Option<u64>,
    #[prost(bool, tag = "15")]
    preserve_order: bool,
    #[prost(message, optional, tag = "16")]
    adapter: Option<AdapterMessage>,
    #[prost(message, optional, tag = "17")]
    deletes: Option<DeletesMessage>,
    /// Columns that only deletes need.
    #[prost(message, optional, tag = "18")]
    hidden: Option<protobuf::Schema>,
    #[prost(message, optional, tag = "19")]
    chosen: Option<ChosenMessage>,
}

/// Files that are read one after the other.
#[derive(Clone, PartialEq, prost::Message)]
struct GroupMessage {
    #[prost(message, repeated, tag = "1")]
    files: Vec<FileMessage>,
}

/// A data file, or a range of its bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct FileMessage {
    #[prost(message, optional, tag = "1")]
    file: Option<protobuf::PartitionedFile>,
    #[prost(message, optional, tag = "2")]
    deletes: Option<AttachedMessage>,
}

/// How columns are found in files.
#[derive(Clone, PartialEq, prost::Message)]
struct AdapterMessage {
    /// Iceberg schemas as JSON, the one that is read first.
    #[prost(string, repeated, tag = "1")]
    schemas: Vec<String>,
    #[prost(string, optional, tag = "2")]
    mapping: Option<String>,
    #[prost(int32, repeated, tag = "3")]
    without_nan: Vec<i32>,
}

/// [`Chosen`].
#[derive(Clone, PartialEq, prost::Message)]
struct ChosenMessage {
    #[prost(uint64, tag = "1")]
    files: u64,
    #[prost(uint64, tag = "2")]
    files_total: u64,
    #[prost(uint64, tag = "3")]
    manifests: u64,
    #[prost(uint64, tag = "4")]
    manifests_total: u64,
    #[prost(uint64, tag = "5")]
    files_with_deletes: u64,
}

/// The scan behind an operator, if it is one of a table.
pub(crate) fn scan_of(node: &dyn ExecutionPlan) -> Option<(&FileScanConfig, &IcebergSource)> {
    let config: &FileScanConfig =
        node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref()?;
    Some((config, config.file_source().downcast_ref::<IcebergSource>()?))
}

/// What a message cannot carry of a scan, if there is any such thing.
pub(crate) fn unshippable(config: &FileScanConfig, source: &IcebergSource) -> Option<&'static str> {
    let mut files = config.file_groups.iter().flat_map(FileGroup::files);
    let not_carried = |file: &PartitionedFile| {
        // Where row groups begin matters before a file is sent, and no more.
        let known = usize::from(file.extensions.get_arc::<Attached>().is_some())
            + usize::from(file.extensions.get_arc::<RowGroups>().is_some());
        file.extensions.len() > known || file.ordering.is_some()
    };
    let found = [
        (source.adapters().is_none(), "a scan whose columns are not found by field id"),
        (!config.output_ordering.is_empty(), "a scan in a declared order"),
        (config.output_partitioning.is_some(), "a scan with a declared partitioning"),
        (config.file_compression_type != FileCompressionType::UNCOMPRESSED, "compressed files"),
        (files.any(not_carried), "a file with extensions that no message carries"),
    ];
    found.into_iter().find_map(|(is, what)| is.then_some(what))
}

/// The scan as a message.
pub(crate) fn encode_scan(
    config: &FileScanConfig,
    source: &IcebergSource,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<ScanMessage> {
    if let Some(what) = unshippable(config, source) {
        return not_impl_err!("{what} is not sent to workers");
    }
    let Some(adapters) = source.adapters() else {
        return not_impl_err!("a scan without adapters is not sent to workers");
    };
    let schema = source.table_schema();
    let mut deletes = DeletesEncoder::default();
    let mut groups = Vec::with_capacity(config.file_groups.len());
    for group in &config.file_groups {
        let mut files = Vec::with_capacity(group.len());
        for file in group.files() {
            let attached = file.extensions.get_arc::<Attached>();
            let attached = attached.map(|attached| deletes.add(&attached)).transpose()?;
            files.push(FileMessage { file: Some(file.try_into()?), deletes: attached });
        }
        groups.push(GroupMessage { files });
    }
    let projected = source.projection();
    let projection = projected
        .into_iter()
        .flat_map(ProjectionExprs::iter)
        .map(|column| converter.physical_expr_to_proto(&column.expr, codec))
        .collect::<Result<_>>()?;
    let aliases =
        projected.into_iter().flat_map(ProjectionExprs::iter).map(|c| c.alias.clone()).collect();
    let predicate = source.filter().map(|filter| converter.physical_expr_to_proto(&filter, codec));
    let hidden = match source.deletes() {
        None => None,
        Some(scan) => {
            let visible = schema.file_schema().fields().len();
            let whole = scan.whole.table_schema().file_schema().fields();
            let hidden: Vec<FieldRef> = whole.iter().skip(visible).cloned().collect();
            Some((&Schema::new(hidden)).try_into()?)
        }
    };
    Ok(ScanMessage {
        file_schema: Some(schema.file_schema().as_ref().try_into()?),
        partition_schema: Some((&Schema::new(schema.table_partition_cols().clone())).try_into()?),
        virtual_schema: Some((&Schema::new(schema.virtual_columns().clone())).try_into()?),
        groups,
        projection,
        aliases,
        is_projected: projected.is_some(),
        predicate: predicate.transpose()?,
        options: Some(source.parquet().table_parquet_options().try_into()?),
        limit: config.limit.map(|limit| limit as u64),
        store_url: config.object_store_url.to_string(),
        statistics: Some((&config.statistics()).into()),
        batch_size: config.batch_size.map(|rows| rows as u64),
        source_batch_size: source.batch_rows().map(|rows| rows as u64),
        preserve_order: config.preserve_order,
        adapter: Some(encode_adapter(adapters.parts())?),
        deletes: hidden.is_some().then(|| deletes.finish()),
        hidden,
        chosen: source.chosen().map(|chosen| ChosenMessage {
            files: chosen.files,
            files_total: chosen.files_total,
            manifests: chosen.manifests,
            manifests_total: chosen.manifests_total,
            files_with_deletes: chosen.files_with_deletes,
        }),
    })
}

fn encode_adapter(parts: AdapterParts) -> Result<AdapterMessage> {
    let schemas = parts.schemas.iter().map(|schema| serde_json::to_string(schema.as_ref()));
    let schemas = schemas
        .collect::<Result<_, _>>()
        .map_err(|e| internal_datafusion_err!("a schema is no JSON: {e}"))?;
    let AdapterParts { mapping_json: mapping, without_nan, .. } = parts;
    Ok(AdapterMessage { schemas, mapping, without_nan })
}

fn decode_adapter(message: &AdapterMessage) -> Result<FieldIdAdapterFactory> {
    let schemas = message.schemas.iter().map(|json| {
        let schema: IcebergSchema = serde_json::from_str(json)
            .map_err(|e| internal_datafusion_err!("a schema that cannot be read: {e}"))?;
        Ok(Arc::new(schema))
    });
    let parts = AdapterParts {
        schemas: schemas.collect::<Result<_>>()?,
        mapping_json: message.mapping.clone(),
        without_nan: message.without_nan.clone(),
    };
    Ok(FieldIdAdapterFactory::try_from_parts(parts)?)
}

/// The scan that `message` says, on this process's stores and caches.
pub(crate) fn decode_scan(
    message: &ScanMessage,
    storage: &Storage,
    context: &TaskContext,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = table_schema(message)?;
    let (file, full) = (Arc::clone(schema.file_schema()), Arc::clone(schema.table_schema()));
    let options: TableParquetOptions = required(message.options.as_ref())?.try_into()?;
    let adapters = decode_adapter(required(message.adapter.as_ref())?)?;

    let url = ObjectStoreUrl::parse(&message.store_url)?;
    let store_url: &Url = url.as_ref();
    let store = context.runtime_env().object_store(&url)?;
    let footers = FooterCache::of_process();
    let readers = FooterReaderFactory::new(store, store_url, footers.clone()).reading(&file);
    let readers = Arc::new(readers);
    let reading = |schema: TableSchema| {
        let size_hint = options.global.metadata_size_hint;
        let readers = Arc::<FooterReaderFactory>::clone(&readers);
        let parquet = ParquetSource::new(schema)
            .with_table_parquet_options(options.clone())
            .with_parquet_file_reader_factory(readers);
        match size_hint {
            Some(bytes) => parquet.with_metadata_size_hint(bytes),
            None => parquet,
        }
    };
    let whole = reading(schema.clone());
    let decoding = PhysicalPlanDecodeContext::new(context, codec);
    let mut parquet = whole.clone();
    if let Some(predicate) = &message.predicate {
        let predicate = converter.proto_to_physical_expr(predicate, &full, &decoding)?;
        parquet = parquet.with_predicate(predicate);
    }
    let mut source = IcebergSource::new(parquet).with_adapters(adapters.clone());
    if let Some(chosen) = &message.chosen {
        source = source.with_chosen(Chosen {
            files: chosen.files,
            files_total: chosen.files_total,
            manifests: chosen.manifests,
            manifests_total: chosen.manifests_total,
            files_with_deletes: chosen.files_with_deletes,
        });
    }
    let mut deletes = None;
    if let Some(shared) = &message.deletes {
        let hidden = decode_schema(message.hidden.as_ref())?;
        let pool = Arc::clone(context.memory_pool());
        let cache = DeleteCache::of_process();
        let loader = Arc::new(Loader::new(cache, footers, pool, adapters.clone()));
        let whole = match hidden.fields().is_empty() {
            true => whole,
            false => reading(extended(&file, hidden.fields()).into()),
        };
        source = source.with_deletes(ScanDeletes { loader, whole });
        deletes = Some(DecodedDeletes::try_new(shared, storage)?);
    }
    let mut source: Arc<dyn FileSource> = match message.source_batch_size {
        Some(rows) => source.with_batch_size(to_usize(rows)?),
        None => Arc::new(source),
    };
    if message.is_projected {
        let columns = message.projection.iter().zip(&message.aliases).map(|(expr, alias)| {
            let expr = converter.proto_to_physical_expr(expr, &full, &decoding)?;
            Ok(ProjectionExpr::new(expr, alias.clone()))
        });
        let columns = ProjectionExprs::new(columns.collect::<Result<Vec<_>>>()?);
        source = source
            .try_pushdown_projection(&columns)?
            .ok_or_else(|| internal_datafusion_err!("a scan that takes no projection"))?;
    }
    let groups = message
        .groups
        .iter()
        .map(|group| {
            let files = group.files.iter().map(|file| decode_file(file, deletes.as_ref()));
            Ok(FileGroup::new(files.collect::<Result<Vec<_>>>()?))
        })
        .collect::<Result<Vec<_>>>()?;
    let statistics: Statistics = required(message.statistics.as_ref())?.try_into()?;
    let config = FileScanConfigBuilder::new(url, source)
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_limit(message.limit.map(to_usize).transpose()?)
        .with_batch_size(message.batch_size.map(to_usize).transpose()?)
        .with_preserve_order(message.preserve_order)
        .with_expr_adapter(Some(Arc::new(adapters)))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

fn decode_file(message: &FileMessage, deletes: Option<&DecodedDeletes>) -> Result<PartitionedFile> {
    let mut file: PartitionedFile = required(message.file.as_ref())?.try_into()?;
    match (&message.deletes, deletes) {
        (None, _) => {}
        (Some(attached), Some(deletes)) => {
            drop(file.extensions.insert(deletes.attached(attached)?));
        }
        // Without them, deleted rows would come back.
        (Some(_), None) => return required(None),
    }
    Ok(file)
}

fn table_schema(message: &ScanMessage) -> Result<TableSchema> {
    let columns =
        |schema: SchemaRef| -> Vec<FieldRef> { schema.fields().iter().cloned().collect() };
    Ok(TableSchema::builder(decode_schema(message.file_schema.as_ref())?)
        .with_table_partition_cols(columns(decode_schema(message.partition_schema.as_ref())?))
        .with_virtual_columns(columns(decode_schema(message.virtual_schema.as_ref())?))
        .build())
}

/// A schema of a message.
pub(crate) fn decode_schema(message: Option<&protobuf::Schema>) -> Result<SchemaRef> {
    let schema: Schema = required(message)?.try_into()?;
    Ok(Arc::new(schema))
}

fn required<T>(part: Option<T>) -> Result<T> {
    part.ok_or_else(|| internal_datafusion_err!("a message that lacks a part"))
}

fn to_usize(number: u64) -> Result<usize> {
    usize::try_from(number).map_err(|_| internal_datafusion_err!("{number} is too large here"))
}
