//! From delete files to deletes in memory, through the cache.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use fjord_catalog::deletes::{DeletedRows, read_vector};

use super::attach::{Attached, KeyGroup, StoredDeletes};
use super::cache::{DeleteCache, DeleteKey, Deletes, Loaded};
use super::keys::KeySetBuilder;
use super::positions::{self, PositionsBuilder};
use super::reader::{DeleteReader, named};
use crate::error::{Error, ErrorKind};
use crate::iceberg::adapter::FieldIdAdapterFactory;
use crate::iceberg::footer::FooterCache;

/// How an out-of-memory error calls us.
const CONSUMER: &str = "IcebergDeletes";

/// Loads the deletes of data files of one scan.
#[derive(Debug)]
pub(in crate::iceberg) struct Loader {
    cache: DeleteCache,
    pool: Arc<dyn MemoryPool>,
    reader: DeleteReader,
}

/// The deletes of one data file by position, in memory.
#[derive(Debug)]
pub(super) struct FileDeletes {
    /// The rows, if any.
    pub(super) rows: Option<Arc<DeletedRows>>,
    /// What `rows` was taken from, or the memory of its copy.
    _held: Vec<Held>,
}

#[derive(Debug)]
enum Held {
    Loaded(#[expect(dead_code, reason = "kept for its memory")] Arc<Loaded>),
    Copied(#[expect(dead_code, reason = "kept for its memory")] MemoryReservation),
}

impl Loader {
    /// A loader that keeps what it loads in `cache` and accounts for it in `pool`.
    pub(in crate::iceberg) fn new(
        cache: DeleteCache,
        footers: FooterCache,
        pool: Arc<dyn MemoryPool>,
        adapters: FieldIdAdapterFactory,
    ) -> Self {
        Self { cache, pool, reader: DeleteReader { adapters, footers } }
    }

    /// Loads what deletes rows of a data file by position.
    pub(super) async fn load(&self, attached: &Attached) -> Result<FileDeletes> {
        let (rows, held) = self.rows(attached).await?;
        Ok(FileDeletes { rows, _held: held })
    }

    /// The keys of one group.
    pub(super) async fn key_set(&self, group: &KeyGroup) -> Result<Arc<Loaded>> {
        self.cache.get(&group.key, || self.keys(group)).await
    }

    /// What was found under `key`, by `find` if need be.
    pub(super) async fn found<F>(
        &self,
        key: &DeleteKey,
        find: impl Fn() -> F,
    ) -> Result<Arc<Loaded>>
    where
        F: Future<Output = Result<Loaded>> + Send,
    {
        self.cache.get(key, find).await
    }

    async fn rows(&self, attached: &Attached) -> Result<(Option<Arc<DeletedRows>>, Vec<Held>)> {
        let mut sets: Vec<Arc<DeletedRows>> = Vec::new();
        let mut held = Vec::new();
        if let Some(vector) = &attached.vector {
            let loaded = self.cache.get(&vector.key, || self.vector(vector, attached.rows)).await?;
            let Deletes::Vector(rows) = &loaded.deletes else { return Err(mixed_up()) };
            sets.push(Arc::clone(rows));
            held.push(Held::Loaded(loaded));
        }
        for file in &attached.positions {
            let loaded = self.cache.get(&file.key, || self.positions(file)).await?;
            let Deletes::Positions(by_path) = &loaded.deletes else { return Err(mixed_up()) };
            if let Some(rows) = by_path.get(&attached.uri) {
                sets.push(Arc::clone(rows));
                held.push(Held::Loaded(loaded));
            }
        }
        let Some(last) = sets.pop() else { return Ok((None, held)) };
        if sets.is_empty() {
            return Ok((Some(last), held));
        }
        let mut all = last.as_ref().clone();
        sets.iter().for_each(|rows| all.merge(rows));
        let memory = self.memory();
        memory.try_grow(all.memory_bytes())?;
        Ok((Some(Arc::new(all)), vec![Held::Copied(memory)]))
    }

    async fn vector(&self, file: &StoredDeletes, rows: u64) -> Result<Loaded> {
        let memory = self.memory();
        let range_bytes = file.range.as_ref().map_or(0, |range| range.end - range.start);
        memory.try_grow(usize::try_from(range_bytes).unwrap_or(usize::MAX))?;
        let blob = self.reader.blob(file).await?;
        let deleted = read_vector(&blob, rows).map_err(|e| named(file, Error::from(e).into()))?;
        if deleted.len() != file.records {
            let text = format!(
                "its deletion vector deletes {} rows, the manifest says {}",
                deleted.len(),
                file.records
            );
            return Err(named(file, Error::new(ErrorKind::Corrupt, text).into()));
        }
        memory.try_resize(deleted.memory_bytes())?;
        Ok(Loaded { deletes: Deletes::Vector(Arc::new(deleted)), memory })
    }

    async fn positions(&self, file: &StoredDeletes) -> Result<Loaded> {
        let mut builder = PositionsBuilder::new(self.memory());
        self.reader
            .batches(file, positions::COLUMNS.as_slice(), |columns| builder.add(columns))
            .await?;
        let (rows, memory) = builder.finish()?;
        Ok(Loaded { deletes: Deletes::Positions(rows), memory })
    }

    async fn keys(&self, group: &KeyGroup) -> Result<Loaded> {
        let types = group.columns.iter().map(|column| column.data_type().clone()).collect();
        let mut builder = KeySetBuilder::new(types, self.memory())?;
        // Keys of one struct share its field in the file.
        let fields: Vec<_> = group.columns.iter().map(|c| Arc::clone(&c.stored)).collect();
        for (file, sequence_number) in &group.files {
            self.reader
                .batches(file, &fields, |stored| {
                    let keys = group
                        .columns
                        .iter()
                        .zip(stored)
                        .map(|(column, stored)| column.of_delete_file(stored))
                        .collect::<Result<Vec<_>>>()?;
                    builder.add(&keys, *sequence_number)
                })
                .await?;
        }
        let (keys, memory) = builder.finish()?;
        Ok(Loaded { deletes: Deletes::Keys(keys), memory })
    }

    pub(super) fn memory(&self) -> MemoryReservation {
        MemoryConsumer::new(CONSUMER).register(&self.pool)
    }
}

/// Keys of the cache are made of what its entries are made of.
pub(super) fn mixed_up() -> DataFusionError {
    let key = std::any::type_name::<DeleteKey>();
    Error::new(ErrorKind::Bug, format!("two kinds of deletes have the same {key}")).into()
}
