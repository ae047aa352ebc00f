//! Parquet footers, kept by full URI, and the reader that uses them.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{FieldRef, Schema};
use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use fjord_catalog::statistics::{CacheCounters, CacheStatistics};
use fjord_connectors::parquet_text::marked;
use futures::FutureExt;
use futures::future::BoxFuture;
use moka::future::Cache;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, MetadataFetch};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use url::Url;

/// Bytes of footers and page indexes kept unless the engine says otherwise.
const FOOTER_CACHE_BYTES_MAX: u64 = 128 << 20;

static PROCESS_FOOTERS: LazyLock<FooterCache> =
    LazyLock::new(|| FooterCache::new(FOOTER_CACHE_BYTES_MAX));

/// A bounded cache of footers. Cheap to clone.
///
/// The key is the store's URL, the path in it and the size: paths alone collide between buckets
/// (stack §3). Iceberg's files never change, so nothing is ever revalidated.
#[derive(Clone)]
pub struct FooterCache {
    footers: Cache<FooterKey, Arc<ParquetMetaData>>,
    counters: Arc<CacheCounters>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FooterKey {
    store_url: Arc<str>,
    path: Path,
    size_bytes: u64,
}

impl FooterCache {
    /// A cache that holds at most `bytes_max` of parsed footers.
    pub fn new(bytes_max: u64) -> Self {
        let footers = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &FooterKey, footer: &Arc<ParquetMetaData>| {
                let bytes = footer.memory_size() + key.path.as_ref().len();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self { footers, counters: Arc::default() }
    }

    /// How the cache has served.
    pub fn statistics(&self) -> CacheStatistics {
        self.counters.statistics(self.footers.weighted_size())
    }

    /// The cache that scans share when the session brings none of its own.
    pub fn of_process() -> Self {
        PROCESS_FOOTERS.clone()
    }
}

impl fmt::Debug for FooterCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FooterCache")
            .field("footers", &self.footers.entry_count())
            .field("bytes", &self.footers.weighted_size())
            .finish()
    }
}

/// Opens data files of one store, with their footers from the cache.
#[derive(Debug)]
pub struct FooterReaderFactory {
    store: Arc<dyn ObjectStore>,
    store_url: Arc<str>,
    cache: FooterCache,
    /// Columns that the reader will be asked to read as text, whatever the file says they are.
    text: Arc<HashSet<String>>,
}

impl FooterReaderFactory {
    /// A factory for files of `store`, which is known as `store_url`.
    pub fn new(store: Arc<dyn ObjectStore>, store_url: &Url, cache: FooterCache) -> Self {
        let (store_url, text) = (Arc::from(store_url.as_str()), Arc::default());
        Self { store, store_url, cache, text }
    }

    /// For scans of a table with `schema`: what has the name of a text column is read as text.
    #[must_use]
    pub fn reading(mut self, schema: &Schema) -> Self {
        let is_text = |field: &&FieldRef| field.data_type().is_string();
        let fields = schema.fields().iter().filter(is_text);
        self.text = Arc::new(fields.map(|field| field.name().clone()).collect());
        self
    }
}

impl ParquetFileReaderFactory for FooterReaderFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        partitioned_file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::error::Result<Box<dyn AsyncFileReader + Send>> {
        let path = partitioned_file.object_meta.location;
        let metrics = ParquetFileMetrics::new(partition_index, path.as_ref(), metrics);
        let key = FooterKey {
            store_url: Arc::clone(&self.store_url),
            path,
            size_bytes: partitioned_file.object_meta.size,
        };
        Ok(Box::new(FooterReader {
            store: Arc::clone(&self.store),
            key,
            cache: self.cache.clone(),
            metadata_size_hint,
            metrics,
            text: Arc::clone(&self.text),
        }))
    }
}

/// Reads one data file. Its size is known from the manifest, so no request asks for it.
struct FooterReader {
    store: Arc<dyn ObjectStore>,
    key: FooterKey,
    cache: FooterCache,
    metadata_size_hint: Option<usize>,
    metrics: ParquetFileMetrics,
    text: Arc<HashSet<String>>,
}

impl FooterReader {
    fn fetch(&self) -> Fetch<'_> {
        Fetch { store: self.store.as_ref(), path: &self.key.path }
    }

    /// The page index comes with it, asked for or not: it lies beside the footer, so that mostly
    /// one request reads both, and a reader that is not given it would load it at every opening.
    async fn footer(&self) -> Result<Arc<ParquetMetaData>, ParquetError> {
        self.cache.counters.looked_up();
        let load = async {
            self.cache.counters.missed();
            let metadata = ParquetMetaDataReader::new()
                .with_prefetch_hint(self.metadata_size_hint)
                .with_page_index_policy(PageIndexPolicy::Optional)
                .load_and_finish(self.fetch(), self.key.size_bytes)
                .await?;
            super::footer_check::check(&metadata, self.key.size_bytes)?;
            Ok(Arc::new(metadata))
        };
        // Ranges of one file are opened together by several partitions: one of them reads.
        self.cache.footers.try_get_with_by_ref(&self.key, load).await.map_err(unreadable)
    }
}

/// A footer that could not be read; the scan says of which file.
#[derive(Debug, thiserror::Error)]
#[error("its footer cannot be read: {0}")]
struct UnreadableFooter(#[source] Arc<ParquetError>);

fn unreadable(cause: Arc<ParquetError>) -> ParquetError {
    ParquetError::External(Box::new(UnreadableFooter(cause)))
}

impl AsyncFileReader for FooterReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.metrics.bytes_scanned.add(length(&range));
        self.store.get_range(&self.key.path, range).map(|bytes| bytes.map_err(external)).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.metrics.bytes_scanned.add(ranges.iter().map(length).sum());
        async move { self.store.get_ranges(&self.key.path, &ranges).await.map_err(external) }
            .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async {
            let footer = self.footer().await?;
            let safe = marked(&footer, &self.text)?;
            Ok(safe.map_or(footer, Arc::new))
        }
        .boxed()
    }
}

impl Drop for FooterReader {
    fn drop(&mut self) {
        let ratio = &self.metrics.scan_efficiency_ratio;
        ratio.add_part(self.metrics.bytes_scanned.value());
        ratio.set_total(usize::try_from(self.key.size_bytes).unwrap_or(usize::MAX));
    }
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}

fn external(e: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(e))
}

struct Fetch<'a> {
    store: &'a dyn ObjectStore,
    path: &'a Path,
}

impl MetadataFetch for Fetch<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.store.get_range(self.path, range).map(|bytes| bytes.map_err(external)).boxed()
    }
}
