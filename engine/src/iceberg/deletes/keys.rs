//! Sets of keys by which equality deletes delete, and the rows of a batch that have one of them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, UInt32Array};
use arrow::compute::{SortOptions, sort_to_indices, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::ScalarValue;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;

/// Bits of the filter for each key: of the rows that are not deleted, one in seventy passes it.
const FILTER_BITS_PER_KEY: usize = 16;

/// What a key costs beside its row: hash, order, sequence number.
const KEY_BYTES: usize = 8 + 4 + 8;

const HASHES: RandomState = RandomState::with_seed(0x00F1_0D0D);

/// Keys with the sequence numbers of the deletes that they come from.
///
/// Two keys are the same when each of their values is, as Iceberg compares them: NULL equals NULL,
/// NaN equals every NaN, and the two zeros differ.
///
/// ```text
/// batch ─ hashes ─ filter (two bits of a word) ─ sorted hashes ─ rows
///                    └ nearly all rows end here
/// ```
#[derive(Debug)]
pub(super) struct KeySet {
    converter: RowConverter,
    rows: Rows,
    sequence_numbers: Vec<i64>,
    /// Hashes with their rows, by hash.
    hashes: Vec<(u64, u32)>,
    filter: Vec<u64>,
    bounds: Vec<Option<Bounds>>,
}

/// Where the values of one column of the keys lie.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// The least and the greatest; `None` while all are NULL.
    pub(super) ends: Option<(ScalarValue, ScalarValue)>,
    pub(super) has_null: bool,
}

impl KeySet {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Where the values of each column lie; `None` for columns whose order is not everybody's.
    pub(super) fn bounds(&self) -> &[Option<Bounds>] {
        &self.bounds
    }

    /// Calls `delete` for each row of `columns` with a key of a delete newer than
    /// `sequence_number`.
    pub(super) fn find(
        &self,
        columns: &[ArrayRef],
        sequence_number: i64,
        mut delete: impl FnMut(usize),
    ) -> Result<()> {
        let columns: Vec<ArrayRef> = columns.iter().map(one_nan).collect();
        let count = columns.first().map_or(0, |column| column.len());
        let mut hashes = vec![0; count];
        create_hashes(&columns, &HASHES, &mut hashes)?;
        let candidates: Vec<u32> = hashes
            .iter()
            .zip(0_u32..)
            .filter(|(hash, _)| self.passes(**hash))
            .map(|(_, row)| row)
            .collect();
        if candidates.is_empty() {
            return Ok(());
        }
        let indices = UInt32Array::from(candidates.clone());
        let columns = columns
            .iter()
            .map(|column| take(column, &indices, None))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = self.converter.convert_columns(&columns)?;
        for (candidate, row) in candidates.into_iter().zip(rows.iter()) {
            let hash = hashes[candidate as usize];
            let first = self.hashes.partition_point(|(other, _)| *other < hash);
            let same = self.hashes[first..].iter().take_while(|(other, _)| *other == hash);
            let is_deleted = same
                .map(|(_, at)| *at as usize)
                .any(|at| self.sequence_numbers[at] > sequence_number && self.rows.row(at) == row);
            if is_deleted {
                delete(candidate as usize);
            }
        }
        Ok(())
    }

    fn passes(&self, hash: u64) -> bool {
        let (word, bits) = place(hash, self.filter.len());
        self.filter.get(word).is_some_and(|word| word & bits == bits)
    }
}

/// The word of the filter that a hash belongs to, and its two bits.
fn place(hash: u64, words: usize) -> (usize, u64) {
    // The high half of the product: even, and without a division.
    let word = ((u128::from(hash) * words as u128) >> 64) as usize;
    (word, (1 << (hash & 63)) | (1 << ((hash >> 6) & 63)))
}

/// Gathers keys, batch by batch.
#[derive(Debug)]
pub(super) struct KeySetBuilder {
    converter: RowConverter,
    rows: Rows,
    sequence_numbers: Vec<i64>,
    hashes: Vec<(u64, u32)>,
    bounds: Vec<Option<Bounds>>,
    memory: MemoryReservation,
}

impl KeySetBuilder {
    /// For keys of columns of `types`.
    pub(super) fn new(types: Vec<DataType>, memory: MemoryReservation) -> Result<Self> {
        let nothing = Bounds { ends: None, has_null: false };
        let bounds = types.iter().map(|ty| is_ordered(ty).then(|| nothing.clone())).collect();
        let converter = RowConverter::new(types.into_iter().map(SortField::new).collect())?;
        let rows = converter.empty_rows(0, 0);
        let (sequence_numbers, hashes) = (Vec::new(), Vec::new());
        Ok(Self { converter, rows, sequence_numbers, hashes, bounds, memory })
    }

    /// Adds one batch of keys that delete from data files older than `sequence_number`.
    pub(super) fn add(&mut self, columns: &[ArrayRef], sequence_number: i64) -> Result<()> {
        let columns: Vec<ArrayRef> = columns.iter().map(one_nan).collect();
        let count = columns.first().map_or(0, |column| column.len());
        let first = self.rows.num_rows();
        let too_many = || {
            crate::error::Error::new(
                crate::error::ErrorKind::LimitExceeded,
                format!("more than {} equality deletes in one partition", u32::MAX),
            )
        };
        if u32::try_from(first + count).is_err() {
            return Err(too_many().into());
        }
        let mut hashes = vec![0; count];
        create_hashes(&columns, &HASHES, &mut hashes)?;
        self.converter.append(&mut self.rows, &columns)?;
        for (bounds, column) in self.bounds.iter_mut().zip(&columns) {
            if let Some(bounds) = bounds {
                bounds.widen(column)?;
            }
        }
        self.sequence_numbers.resize(first + count, sequence_number);
        let places = (first..).map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        self.hashes.extend(hashes.into_iter().zip(places));
        self.memory.try_resize(self.bytes())
    }

    fn bytes(&self) -> usize {
        let keys = self.hashes.capacity();
        // Sorting and growing may hold as much again for a moment; the rows are the larger part.
        self.rows.size() + keys * (KEY_BYTES + 4 + FILTER_BITS_PER_KEY / 8)
    }

    /// The set, and the memory that it takes.
    pub(super) fn finish(mut self) -> Result<(KeySet, MemoryReservation)> {
        self.hashes.sort_unstable();
        self.hashes.shrink_to_fit();
        let words = (self.hashes.len() * FILTER_BITS_PER_KEY).div_ceil(64).max(1);
        let mut filter = vec![0; words];
        for (hash, _) in &self.hashes {
            let (word, bits) = place(*hash, words);
            filter[word] |= bits;
        }
        self.memory.try_resize(self.bytes())?;
        let Self { converter, rows, sequence_numbers, hashes, bounds, memory } = self;
        Ok((KeySet { converter, rows, sequence_numbers, hashes, filter, bounds }, memory))
    }
}

impl Bounds {
    fn widen(&mut self, column: &ArrayRef) -> Result<()> {
        self.has_null |= column.null_count() > 0;
        if column.null_count() == column.len() {
            return Ok(());
        }
        let first = |descending| -> Result<ScalarValue> {
            let order = SortOptions { descending, nulls_first: false };
            let first = sort_to_indices(column, Some(order), Some(1))?;
            ScalarValue::try_from_array(column, first.value(0) as usize)
        };
        let (least, greatest) = (first(false)?, first(true)?);
        self.ends = Some(match self.ends.take() {
            None => (least, greatest),
            Some((low, high)) => (
                if least < low { least } else { low },
                if greatest > high { greatest } else { high },
            ),
        });
        Ok(())
    }
}

/// Whether a file's statistics bound values of the type as we order them: NaN has no place among
/// floats, and not every writer orders bytes alike.
fn is_ordered(ty: &DataType) -> bool {
    ty.is_integer()
        || matches!(
            ty,
            DataType::Date32
                | DataType::Time64(_)
                | DataType::Timestamp(_, _)
                | DataType::Decimal128(_, _)
                | DataType::Utf8
                | DataType::Utf8View
        )
}

/// The column with every NaN the same one.
fn one_nan(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            let one: Float32Array = values.unary(|v| if v.is_nan() { f32::NAN } else { v });
            Arc::new(one)
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            let one: Float64Array = values.unary(|v| if v.is_nan() { f64::NAN } else { v });
            Arc::new(one)
        }
        _ => Arc::clone(column),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};
    use datafusion::execution::memory_pool::{
        GreedyMemoryPool, MemoryConsumer, MemoryPool, UnboundedMemoryPool,
    };

    use super::*;

    fn set(deletes: &[(ArrayRef, i64)]) -> KeySet {
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let memory = MemoryConsumer::new("test").register(&pool);
        let ty = deletes[0].0.data_type().clone();
        let mut builder = KeySetBuilder::new(vec![ty], memory).unwrap();
        for (keys, sequence_number) in deletes {
            builder.add(&[Arc::clone(keys)], *sequence_number).unwrap();
        }
        builder.finish().unwrap().0
    }

    fn found(set: &KeySet, column: ArrayRef, sequence_number: i64) -> Vec<usize> {
        let mut rows = Vec::new();
        set.find(&[column], sequence_number, |row| rows.push(row)).unwrap();
        rows
    }

    #[test]
    fn null_equals_null_and_nan_every_nan_but_the_zeros_differ() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | (1 << 63) | 7);
        let keys = Float64Array::from(vec![None, Some(f64::NAN), Some(0.0)]);
        let rows =
            Float64Array::from(vec![Some(-0.0), None, Some(other_nan), Some(0.0), Some(1.0)]);
        assert_eq!(found(&set(&[(Arc::new(keys), 5)]), Arc::new(rows), 4), [1, 2, 3]);
    }

    /// Hazard: a delete that is not newer than the data file deletes from it.
    #[test]
    fn only_newer_deletes_delete() {
        let key = |k: i64| Arc::new(Int64Array::from(vec![k])) as ArrayRef;
        let set = set(&[(key(1), 3), (key(2), 5), (key(1), 4)]);
        let rows = || Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef;
        assert_eq!(found(&set, rows(), 2), [0, 1]);
        assert_eq!(found(&set, rows(), 3), [0, 1]);
        assert_eq!(found(&set, rows(), 4), [1]);
        assert_eq!(found(&set, rows(), 5), [0_usize; 0]);
    }

    #[test]
    fn among_many_keys_exactly_the_right_rows_are_found() {
        let text = |n: usize| format!("a key that is longer than a view holds {n}");
        let keys: StringViewArray = (0..10_000).step_by(7).map(|n| Some(text(n))).collect();
        let rows: StringViewArray = (0..10_000).map(|n| Some(text(n))).collect();
        let expected: Vec<usize> = (0..10_000).step_by(7).collect();
        assert_eq!(found(&set(&[(Arc::new(keys), 2)]), Arc::new(rows), 1), expected);
    }

    #[test]
    fn keys_are_counted_against_the_pool_as_they_come() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100_000));
        let memory = MemoryConsumer::new("deletes").register(&pool);
        let mut builder = KeySetBuilder::new(vec![DataType::Int64], memory).unwrap();
        let keys: ArrayRef = Arc::new((0..1000).collect::<Int64Array>());
        let error = (0..100).find_map(|_| builder.add(&[Arc::clone(&keys)], 1).err()).unwrap();
        assert!(error.to_string().contains("deletes"), "{error}");
        drop(builder);
        assert_eq!(pool.reserved(), 0);
    }
}
