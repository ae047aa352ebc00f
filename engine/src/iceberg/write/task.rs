//! One task of a write: spreads its rows over a bounded number of open files.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::row::{RowConverter, SortField};
use datafusion::execution::memory_pool::MemoryReservation;
use fjord_catalog::spec::{DataFile, Struct};

use super::file::{FileShape, OpenFile};
use super::ledger::ClosedFiles;
use super::partition::Partitioner;
use crate::error::{Error, ErrorKind, Result};

/// Rows and bytes gathered before they are dealt out to partitions: dealing out each batch alone
/// would hand the encoders a few rows at a time.
const STAGED_ROWS_MAX: usize = 64 * 1024;
const STAGED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What all tasks of a statement share.
#[derive(Debug)]
pub(crate) struct WriteShape {
    pub(crate) file: Arc<FileShape>,
    pub(crate) partitioner: Partitioner,
    /// Rows arrive sorted by partition value: a partition that ended does not come back.
    pub(crate) clustered: bool,
}

type PartitionKey = Box<[u8]>;

struct Slot {
    file: OpenFile,
    memory_bytes: usize,
    last_used: u64,
}

/// The rows of one partition within the staged batches: `(batch, row)` each.
struct Share {
    key: PartitionKey,
    partition: Struct,
    rows: Vec<(usize, usize)>,
}

/// A task's open and closed files.
pub(crate) struct WriteTask {
    shape: Arc<WriteShape>,
    memory: MemoryReservation,
    open: HashMap<PartitionKey, Slot>,
    staged: Vec<RecordBatch>,
    staged_rows: usize,
    staged_bytes: usize,
    tick: u64,
    /// Unique to this task and attempt, so that no other writer can choose the same names.
    attempt: uuid::Uuid,
    files_named: u32,
    closed: ClosedFiles,
    data_files: Vec<DataFile>,
}

impl WriteTask {
    pub(crate) fn new(shape: Arc<WriteShape>, memory: MemoryReservation) -> Self {
        Self {
            shape,
            memory,
            open: HashMap::new(),
            staged: Vec::new(),
            staged_rows: 0,
            staged_bytes: 0,
            tick: 0,
            attempt: uuid::Uuid::now_v7(),
            files_named: 0,
            closed: ClosedFiles::default(),
            data_files: Vec::new(),
        }
    }

    /// Takes a batch that already has the file's schema.
    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.shape.partitioner.is_trivial() {
            let partition = self.shape.partitioner.columns.iter().map(|_| None).collect();
            self.append(PartitionKey::default(), partition, &batch).await?;
            return self.fit_memory().await;
        }
        self.staged_rows += batch.num_rows();
        self.staged_bytes += batch.get_array_memory_size();
        self.staged.push(batch);
        let full = self.staged_rows >= STAGED_ROWS_MAX || self.staged_bytes >= STAGED_BYTES_MAX;
        if full || self.memory.try_resize(self.memory_bytes()).is_err() {
            self.deal_out().await?;
        }
        Ok(())
    }

    /// Closes all files and returns them, with the guard that deletes them unless handed over.
    pub(crate) async fn finish(mut self) -> Result<(Vec<DataFile>, ClosedFiles)> {
        self.deal_out().await?;
        let mut keys: Vec<PartitionKey> = self.open.keys().cloned().collect();
        // Files in the order of their partitions, whatever the hash map's.
        keys.sort_unstable();
        for key in keys {
            self.close(&key).await?;
        }
        Ok((self.data_files, self.closed))
    }

    /// Rows sit in the files of their partitions after this.
    async fn deal_out(&mut self) -> Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let staged = std::mem::take(&mut self.staged);
        (self.staged_rows, self.staged_bytes) = (0, 0);
        let shares = shares(&self.shape.partitioner, &staged)?;
        let batches = staged.iter().collect::<Vec<_>>();
        for share in shares {
            let rows = interleave_record_batch(&batches, &share.rows).map_err(|e| {
                Error::new(ErrorKind::Bug, format!("rows cannot be gathered: {e}")).with_source(e)
            })?;
            if self.shape.clustered && !self.open.contains_key(&share.key) {
                self.close_all().await?;
            }
            self.append(share.key, share.partition, &rows).await?;
            self.fit_memory().await?;
        }
        Ok(())
    }

    async fn append(
        &mut self,
        key: PartitionKey,
        partition: Struct,
        rows: &RecordBatch,
    ) -> Result<()> {
        self.tick += 1;
        if !self.open.contains_key(&key) {
            if self.open.len() >= self.shape.file.options.open_partitions_max {
                self.close_least_recent().await?;
            }
            let name = format!("{}-{:05}.parquet", self.attempt.simple(), self.files_named);
            self.files_named += 1;
            let directory = self.shape.partitioner.directory(&partition);
            let file = OpenFile::open(&self.shape.file, &directory, &name, partition)?;
            self.open.insert(key.clone(), Slot { file, memory_bytes: 0, last_used: 0 });
        }
        let Some(slot) = self.open.get_mut(&key) else {
            return Err(Error::new(ErrorKind::Bug, "an open file is not in its table"));
        };
        slot.file.write(rows).await?;
        slot.memory_bytes = slot.file.memory_bytes();
        slot.last_used = self.tick;
        let full = slot.file.file_bytes() >= self.shape.file.options.target_file_bytes;
        fjord_catalog::failpoint::hit("K1").await;
        if full {
            self.close(&key).await?;
        }
        Ok(())
    }

    async fn close(&mut self, key: &PartitionKey) -> Result<()> {
        if let Some(slot) = self.open.remove(key) {
            let closed = slot.file.close().await?;
            self.closed.push(closed.target);
            self.data_files.push(closed.data_file);
        }
        Ok(())
    }

    async fn close_all(&mut self) -> Result<()> {
        let keys: Vec<PartitionKey> = self.open.keys().cloned().collect();
        for key in keys {
            self.close(&key).await?;
        }
        Ok(())
    }

    async fn close_least_recent(&mut self) -> Result<()> {
        let oldest = self.open.iter().min_by_key(|(_, slot)| slot.last_used);
        match oldest.map(|(key, _)| key.clone()) {
            Some(key) => self.close(&key).await,
            None => Ok(()),
        }
    }

    fn memory_bytes(&self) -> usize {
        self.staged_bytes + self.open.values().map(|slot| slot.memory_bytes).sum::<usize>()
    }

    /// Accounts for the memory held; where the pool refuses, closes the largest files early and
    /// ends the last one's row group.
    async fn fit_memory(&mut self) -> Result<()> {
        loop {
            let Err(refused) = self.memory.try_resize(self.memory_bytes()) else { return Ok(()) };
            let largest = self.open.iter().max_by_key(|(_, slot)| slot.memory_bytes);
            let Some(key) = largest.map(|(key, _)| key.clone()) else {
                return Err(refused.into());
            };
            if self.open.len() > 1 {
                self.close(&key).await?;
                continue;
            }
            if let Some(slot) = self.open.get_mut(&key) {
                slot.file.flush().await?;
                slot.memory_bytes = slot.file.memory_bytes();
            }
            if self.memory.try_resize(self.memory_bytes()).is_ok() {
                return Ok(());
            }
            // Even an empty row group is too much: the file itself has to go.
            self.close(&key).await?;
        }
    }
}

/// Sorts the rows of `batches` by partition value, in order of first appearance.
fn shares(partitioner: &Partitioner, batches: &[RecordBatch]) -> Result<Vec<Share>> {
    let mut shares: Vec<Share> = Vec::new();
    let mut by_key: HashMap<PartitionKey, usize> = HashMap::new();
    let mut converter: Option<RowConverter> = None;
    for (at, batch) in batches.iter().enumerate() {
        let values: Vec<ArrayRef> = partitioner.values(batch)?;
        let converter = match &mut converter {
            Some(converter) => converter,
            none => {
                let fields = values.iter().map(|v| SortField::new(v.data_type().clone())).collect();
                none.insert(RowConverter::new(fields).map_err(no_key)?)
            }
        };
        let keys = converter.convert_columns(&values).map_err(no_key)?;
        // Neighbours often share a partition: look the key up only when it changes.
        let mut last: Option<(usize, usize)> = None;
        for row in 0..batch.num_rows() {
            let key = keys.row(row);
            let share = match last {
                Some((before, share)) if keys.row(before) == key => share,
                _ => match by_key.get(key.as_ref()) {
                    Some(share) => *share,
                    None => {
                        let partition = partitioner.partition(&values, row)?;
                        let key: PartitionKey = key.as_ref().into();
                        shares.push(Share { key: key.clone(), partition, rows: Vec::new() });
                        by_key.insert(key, shares.len() - 1);
                        shares.len() - 1
                    }
                },
            };
            last = Some((row, share));
            shares[share].rows.push((at, row));
        }
    }
    Ok(shares)
}

fn no_key(e: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Bug, format!("partition values have no key: {e}")).with_source(e)
}
