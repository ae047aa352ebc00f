//! Rows that are in memory already, as the relation `read_memory` of an engine.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::MemTable;
use fjord_connectors::relation::{FileAccess, FileRelation, RelationArguments};

/// What reads all of them. The argument says nothing; the syntax wants one.
pub const QUERY: &str = "SELECT * FROM read_memory('all')";

/// Rows of a batch, as the engine's own operators make them.
const BATCH_ROWS: i64 = 8_192;
/// What a row has.
const COLUMNS_OF_INTEGERS: i64 = 8;
const COLUMNS_OF_FLOATS: i64 = 4;
const COLUMNS_OF_TEXTS: i64 = 2;

/// Integers, floats and texts of `bytes` in all.
pub fn batches(bytes: usize) -> Result<Vec<RecordBatch>> {
    let mut made = Vec::new();
    let mut size = 0;
    while size < bytes {
        let batch = batch(i64::try_from(made.len())? * BATCH_ROWS)?;
        size += batch.get_array_memory_size();
        made.push(batch);
    }
    Ok(made)
}

fn batch(first: i64) -> Result<RecordBatch> {
    let rows = first..first + BATCH_ROWS;
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for id in 0..COLUMNS_OF_INTEGERS {
        let values = Int64Array::from_iter_values(rows.clone().map(|row| row * (id + 1)));
        columns.push((format!("integer_{id}"), Arc::new(values)));
    }
    for id in 0..COLUMNS_OF_FLOATS {
        let values = Float64Array::from_iter_values(rows.clone().map(|row| row as f64 / 7.0));
        columns.push((format!("float_{id}"), Arc::new(values)));
    }
    for id in 0..COLUMNS_OF_TEXTS {
        let values = rows.clone().map(|row| format!("value {row} of column {id}"));
        columns.push((format!("text_{id}"), Arc::new(StringArray::from_iter_values(values))));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// The relation. A query of it goes the way of every query: parsed, checked, planned, admitted.
#[derive(Debug)]
pub struct ReadMemory {
    table: Arc<MemTable>,
}

impl ReadMemory {
    /// Shares the batches out evenly over `partitions`.
    pub fn try_new(batches: &[RecordBatch], partitions: usize) -> Result<Self> {
        let each = batches.len().div_ceil(partitions.max(1)).max(1);
        let schema = batches.first().context("no rows")?.schema();
        let shares = batches.chunks(each).map(<[RecordBatch]>::to_vec).collect();
        Ok(Self { table: Arc::new(MemTable::try_new(schema, shares)?) })
    }
}

#[async_trait]
impl FileRelation for ReadMemory {
    fn name(&self) -> &'static str {
        "read_memory"
    }

    async fn open(
        &self,
        _arguments: RelationArguments,
        _access: &dyn FileAccess,
        _session: &dyn Session,
    ) -> datafusion::error::Result<Arc<dyn TableProvider>> {
        let table: Arc<dyn TableProvider> = Arc::<MemTable>::clone(&self.table);
        Ok(table)
    }
}
