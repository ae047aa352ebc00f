//! Parquet files that somebody else wrote, described as data files of a table without being rewritten.

mod columns;
mod partition;

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use fjord_catalog::evolve::{NAME_MAPPING, name_mapping_of};
use fjord_catalog::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat};
use fjord_catalog::storage::Storage;
use fjord_catalog::table::Table;
use fjord_connectors::relation::FoundFile;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;

use self::columns::FileColumns;
use self::partition::Partition;
use super::footer::{FooterCache, FooterReaderFactory};
use super::metrics::MetricsModes;
use crate::error::{Error, ErrorKind, Result};

/// Footers that are read at the same time.
const FOOTERS_MAX: usize = 16;

/// Files described for one table.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// Those with rows, in the order given.
    pub(crate) files: Vec<DataFile>,
    /// The name mapping that the table needs to read them, where it has none and they have no field
    /// ids.
    pub(crate) name_mapping: Option<String>,
    /// Rows in all of them.
    pub(crate) rows: u64,
}

/// Describes `found` as files of `table`, from their footers; no row is read.
///
/// # Errors
/// Naming the file: for one that `storage`, the table's, cannot reach later; whose columns are not
/// the table's; whose partition is not known.
pub(crate) async fn describe(
    state: &dyn Session,
    storage: &Storage,
    table: &Table,
    found: &[FoundFile],
) -> Result<Adopted> {
    let metadata = table.metadata();
    let mut properties = metadata.properties().clone();
    let mut fresh = None;
    if !properties.contains_key(NAME_MAPPING) {
        let mapping = name_mapping_of(metadata)?;
        properties.insert(NAME_MAPPING.to_owned(), mapping.clone());
        fresh = Some(mapping);
    }
    let footers = state
        .config()
        .get_extension::<FooterCache>()
        .map_or_else(FooterCache::of_process, |cache| cache.as_ref().clone());
    let modes = MetricsModes::try_new(metadata.current_schema(), &properties)?;
    let describing = Describing {
        storage,
        table,
        columns: FileColumns::try_new(metadata.current_schema(), &properties)?,
        modes,
        footers,
    };
    // Futures, not a closure that makes them: the compiler cannot prove such a closure to hold for
    // every lifetime.
    let each: Vec<_> = found.iter().map(|file| describing.named(file)).collect();
    let described: Vec<(Option<DataFile>, bool)> =
        stream::iter(each).buffered(FOOTERS_MAX).try_collect().await?;
    let needs_mapping = described.iter().any(|(_, has_ids)| !has_ids);
    let files: Vec<DataFile> = described.into_iter().filter_map(|(file, _)| file).collect();
    let rows = files.iter().map(DataFile::record_count).sum();
    Ok(Adopted { files, name_mapping: fresh.filter(|_| needs_mapping), rows })
}

struct Describing<'a> {
    storage: &'a Storage,
    table: &'a Table,
    columns: FileColumns,
    modes: MetricsModes,
    footers: FooterCache,
}

impl Describing<'_> {
    /// The same, with errors that name the file.
    async fn named(&self, found: &FoundFile) -> Result<(Option<DataFile>, bool)> {
        self.file(found).await.map_err(|e| {
            Error::new(e.kind(), format!("file {:?}: {e}", found.shown)).with_source(e)
        })
    }

    /// The file, unless it has no rows, and whether it has field ids.
    async fn file(&self, found: &FoundFile) -> Result<(Option<DataFile>, bool)> {
        let uri = self.reachable(found)?;
        let footer = self.footer(found).await?;
        let described = footer.file_metadata();
        let physical =
            parquet_to_arrow_schema(described.schema_descr(), described.key_value_metadata())
                .map_err(|e| {
                    Error::new(ErrorKind::Corrupt, "its schema cannot be read").with_source(e)
                })?;
        let metadata = self.table.metadata();
        let partition = Partition::of_path(metadata, &found.partition)?;
        let identified = self.columns.identify(&Arc::new(physical), partition.columns())?;
        let rows = u64::try_from(described.num_rows()).map_err(|e| {
            Error::new(ErrorKind::Corrupt, "its count of rows is negative").with_source(e)
        })?;
        if rows == 0 {
            return Ok((None, identified.has_ids));
        }
        self.columns.check_nulls(&footer, &identified.leaves)?;
        let bounds = self.modes.exact_bounds(&footer, &identified.leaves)?;
        let mut file = DataFileBuilder::default();
        file.content(DataContentType::Data)
            .file_path(uri)
            .file_format(DataFileFormat::Parquet)
            .partition(partition.tuple(metadata, &bounds)?)
            .partition_spec_id(metadata.default_partition_spec_id())
            .record_count(rows)
            .file_size_in_bytes(found.size_bytes)
            .split_offsets(Some(offsets(&footer)));
        self.modes.fill_adopted(&mut file, &footer, &identified.leaves)?;
        let file = file.build().map_err(|e| {
            Error::new(ErrorKind::Bug, "a data file cannot be described").with_source(e)
        })?;
        Ok((Some(file), identified.has_ids))
    }

    /// The URI by which the table will find the file.
    fn reachable(&self, found: &FoundFile) -> Result<String> {
        let resolved = self.storage.resolve(&found.uri).map_err(|e| {
            Error::new(
                ErrorKind::PermissionDenied,
                "the catalog's tables cannot reach it: it is neither in the warehouse nor below a \
                 configured prefix of tables",
            )
            .with_source(e)
        })?;
        if resolved.path != found.location.path || resolved.store_url != found.location.store_url {
            return Err(Error::unsupported(
                "its name reads as another one's in a URI; rename it first",
            ));
        }
        Ok(found.uri.clone())
    }

    async fn footer(&self, found: &FoundFile) -> Result<Arc<ParquetMetaData>> {
        let at = &found.location;
        let readers =
            FooterReaderFactory::new(Arc::clone(&at.store), &at.store_url, self.footers.clone());
        let object = PartitionedFile::new_from_meta(ObjectMeta {
            location: at.path.clone(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: found.size_bytes,
            e_tag: None,
            version: None,
        });
        let metrics = ExecutionPlanMetricsSet::new();
        let mut reader = readers.create_reader(0, object, None, &metrics)?;
        reader.get_metadata(None).await.map_err(|e| {
            Error::new(ErrorKind::Corrupt, format!("it is no Parquet file that can be read: {e}"))
                .with_source(e)
        })
    }
}

/// Where its row groups begin, in order.
fn offsets(footer: &ParquetMetaData) -> Vec<i64> {
    let groups = footer.row_groups().iter().filter_map(|group| group.columns().first());
    let mut offsets: Vec<i64> = groups
        .map(|first| first.dictionary_page_offset().unwrap_or_else(|| first.data_page_offset()))
        .collect();
    offsets.sort_unstable();
    offsets
}
