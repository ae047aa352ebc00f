//! A set of whole numbers: the keys of a join's build side.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, lit};
use datafusion::scalar::ScalarValue;

/// Bits of a chunk.
const CHUNK_BITS: i64 = 1 << 16;
const CHUNK_WORDS: usize = 1 << 10;
const CHUNK_BYTES: usize = CHUNK_WORDS * 8;
/// Chunks of a set: 64 million keys where they follow each other, a thousand where they are far apart.
const CHUNKS_MAX: usize = 1 << 10;
/// Chunks between the first and the last: each has a place in the table that is looked up.
const SPAN_MAX: i64 = 1 << 20;

type Chunk = Box<[u64; CHUNK_WORDS]>;

/// Whether keys of this type are kept.
pub(super) fn is_kept(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32
    )
}

/// The keys as 64 bits each.
fn wide(keys: &ArrayRef) -> Result<ArrayRef> {
    Ok(match keys.data_type() {
        DataType::Date32 => cast(&cast(keys, &DataType::Int32)?, &DataType::Int64)?,
        DataType::Int64 => Arc::clone(keys),
        _ => cast(keys, &DataType::Int64)?,
    })
}

/// Keys on their way into a set.
#[derive(Debug, Default)]
pub(super) struct KeysBuilder {
    chunks: HashMap<i64, Chunk>,
}

/// There are more keys, or they are farther apart, than a set holds.
#[derive(Debug)]
pub(super) struct TooMany;

impl KeysBuilder {
    /// Adds the keys that are not NULL.
    ///
    /// # Errors
    /// Those of a cast, which a type of [`is_kept`] has not.
    pub(super) fn add(&mut self, keys: &ArrayRef) -> Result<Result<(), TooMany>> {
        let keys = wide(keys)?;
        let keys = keys.as_primitive::<Int64Type>();
        // Keys near each other follow each other: the chunk stays in hand.
        let mut at = None;
        let mut bits: Vec<(i64, i64)> = Vec::new();
        for key in keys.iter().flatten() {
            let place = key.div_euclid(CHUNK_BITS);
            if at != Some(place) {
                self.set(at, &bits);
                bits.clear();
                at = Some(place);
                if !self.chunks.contains_key(&place) {
                    if self.chunks.len() >= CHUNKS_MAX {
                        return Ok(Err(TooMany));
                    }
                    self.chunks.insert(place, Box::new([0; CHUNK_WORDS]));
                }
            }
            let bit = key.rem_euclid(CHUNK_BITS);
            bits.push((bit / 64, bit % 64));
        }
        self.set(at, &bits);
        Ok(Ok(()))
    }

    fn set(&mut self, place: Option<i64>, bits: &[(i64, i64)]) {
        let Some(chunk) = place.and_then(|place| self.chunks.get_mut(&place)) else { return };
        for (word, bit) in bits {
            if let Some(word) = usize::try_from(*word).ok().and_then(|word| chunk.get_mut(word)) {
                *word |= 1 << bit;
            }
        }
    }

    /// Adds the keys of another set.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), TooMany> {
        for (place, chunk) in other.chunks {
            if let Some(known) = self.chunks.get_mut(&place) {
                known.iter_mut().zip(*chunk).for_each(|(word, more)| *word |= more);
                continue;
            }
            if self.chunks.len() >= CHUNKS_MAX {
                return Err(TooMany);
            }
            drop(self.chunks.insert(place, chunk));
        }
        Ok(())
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK_BYTES
    }

    pub(super) fn encode(&self) -> KeysMessage {
        let chunks = self.chunks.iter().map(|(place, chunk)| ChunkMessage {
            place: *place,
            bits: chunk.iter().flat_map(|word| word.to_le_bytes()).collect(),
        });
        KeysMessage { chunks: chunks.collect() }
    }

    /// What a message holds; `None` for one that is not ours.
    pub(super) fn decode(message: KeysMessage) -> Option<Self> {
        let chunks = message.chunks.into_iter().map(|chunk| {
            let words: Vec<u64> = chunk
                .bits
                .chunks_exact(8)
                .map(|word| word.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
                .collect();
            let words: Chunk = words.into_boxed_slice().try_into().ok()?;
            Some((chunk.place, words))
        });
        Some(Self { chunks: chunks.collect::<Option<_>>()? })
    }

    /// The set; `None` where keys are too far apart.
    pub(super) fn build(self) -> Option<Keys> {
        let (first, last) = (self.chunks.keys().min(), self.chunks.keys().max());
        let (Some(first), Some(last)) = (first.copied(), last.copied()) else {
            return Some(Keys { first: 0, chunks: Vec::new() });
        };
        let span = last.checked_sub(first)?;
        if span >= SPAN_MAX {
            return None;
        }
        let mut chunks = Vec::new();
        chunks.resize_with(usize::try_from(span).ok()? + 1, || None);
        for (place, chunk) in self.chunks {
            *chunks.get_mut(usize::try_from(place - first).ok()?)? = Some(chunk);
        }
        Some(Keys { first, chunks })
    }
}

/// A set of keys as a message.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct KeysMessage {
    #[prost(message, repeated, tag = "1")]
    chunks: Vec<ChunkMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChunkMessage {
    #[prost(sint64, tag = "1")]
    place: i64,
    /// One bit for each key, the first one lowest.
    #[prost(bytes = "vec", tag = "2")]
    bits: Vec<u8>,
}

/// Keys that can be looked up.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Keys {
    /// The place of the first chunk.
    first: i64,
    chunks: Vec<Option<Chunk>>,
}

impl Keys {
    /// The first and the last key.
    fn ends(&self) -> Option<(i64, i64)> {
        let keys_of = |(place, chunk): (usize, &Option<Chunk>)| {
            let base = (self.first + i64::try_from(place).ok()?) * CHUNK_BITS;
            let mut words = chunk.as_ref()?.iter().enumerate().filter(|(_, word)| **word != 0);
            let first = words.clone().next().map(|(at, word)| (at, word.trailing_zeros()));
            let last = words.next_back().map(|(at, word)| (at, 63 - word.leading_zeros()));
            let key = |(at, bit): (usize, u32)| {
                Some(base + i64::try_from(at).ok()? * 64 + i64::from(bit))
            };
            Some((key(first?)?, key(last?)?))
        };
        let mut known = self.chunks.iter().enumerate().filter_map(keys_of);
        let (first, mut last) = known.next()?;
        if let Some((_, end)) = known.next_back() {
            last = end;
        }
        Some((first, last))
    }

    /// That `key` is between the first and the last of the set: by this, files and row groups are left
    /// out.
    ///
    /// # Errors
    /// Those of a cast, which a type of [`is_kept`] has not.
    pub(super) fn bounds(
        &self,
        key: &Arc<dyn PhysicalExpr>,
        schema: &Schema,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let Some((first, last)) = self.ends() else { return Ok(lit(false)) };
        let data_type = key.data_type(schema)?;
        let bound = |op, value: i64| {
            let value = match data_type {
                DataType::Date32 => ScalarValue::Int64(Some(value)).cast_to(&DataType::Int32)?,
                _ => ScalarValue::Int64(Some(value)),
            };
            let value = lit(value.cast_to(&data_type)?);
            Ok::<_, DataFusionError>(Arc::new(BinaryExpr::new(Arc::clone(key), op, value)) as Arc<_>)
        };
        let bounds = (bound(Operator::GtEq, first)?, bound(Operator::LtEq, last)?);
        Ok(Arc::new(BinaryExpr::new(bounds.0, Operator::And, bounds.1)))
    }

    fn contains(&self, key: i64) -> bool {
        let place = key.div_euclid(CHUNK_BITS).wrapping_sub(self.first);
        let chunk = usize::try_from(place).ok().and_then(|place| self.chunks.get(place));
        let Some(Some(chunk)) = chunk else { return false };
        let bit = key.rem_euclid(CHUNK_BITS);
        let word = usize::try_from(bit / 64).ok().and_then(|word| chunk.get(word));
        word.is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Which of `keys` are in the set; NULL is in none.
    ///
    /// # Errors
    /// Those of a cast, which a type of [`is_kept`] has not.
    pub(super) fn find(&self, keys: &ArrayRef) -> Result<BooleanArray> {
        let keys = wide(keys)?;
        let keys = keys.as_primitive::<Int64Type>();
        let values = keys.values();
        let found = BooleanBuffer::collect_bool(keys.len(), |at| self.contains(values[at]));
        let found = match keys.nulls() {
            Some(valid) => &found & valid.inner(),
            None => found,
        };
        Ok(BooleanArray::new(found, None))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Int16Array, Int64Array};

    use super::*;

    fn set(keys: ArrayRef) -> KeysBuilder {
        let mut builder = KeysBuilder::default();
        builder.add(&keys).unwrap().unwrap();
        builder
    }

    #[test]
    fn a_set_holds_its_keys_and_no_other_on_both_sides_of_zero() {
        let keys: Vec<i64> = (0..5000).map(|n| n * 7_919 % 400_000 - 200_000).collect();
        let half = keys.len() / 2;
        let mut builder = set(Arc::new(Int64Array::from(keys[..half].to_vec())));
        builder.merge(set(Arc::new(Int64Array::from(keys[half..].to_vec())))).unwrap();
        let built = KeysBuilder::decode(builder.encode()).unwrap().build().unwrap();
        let ends = (*keys.iter().min().unwrap(), *keys.iter().max().unwrap());
        assert_eq!(built.ends(), Some(ends));
        let asked: Vec<Option<i64>> =
            (-210_000..210_000).map(Some).chain([None, Some(i64::MIN), Some(i64::MAX)]).collect();
        let found = built.find(&(Arc::new(Int64Array::from(asked.clone())) as ArrayRef)).unwrap();
        for (at, key) in asked.iter().enumerate() {
            assert_eq!(found.value(at), key.is_some_and(|key| keys.contains(&key)), "{key:?}");
        }
    }

    #[test]
    fn keys_of_other_widths_are_the_same_numbers() {
        let built = set(Arc::new(Int16Array::from(vec![Some(-7), None, Some(9)]))).build().unwrap();
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(-7), Some(8), None, Some(9)]));
        let found = built.find(&dates).unwrap();
        let schema = Schema::new(vec![arrow::datatypes::Field::new("d", DataType::Date32, true)]);
        let d = datafusion::physical_expr::expressions::col("d", &schema).unwrap();
        let bounds = built.bounds(&d, &schema).unwrap().to_string();
        assert_eq!(bounds, "d@0 >= 1969-12-25 AND d@0 <= 1970-01-10");
        assert_eq!(
            found.iter().map(Option::unwrap).collect::<Vec<_>>(),
            [true, false, false, true]
        );
    }

    #[test]
    fn keys_that_are_too_far_apart_are_no_set() {
        let far: Vec<i64> = (0..2000).map(|n| n * (CHUNK_BITS + 1)).collect();
        let mut builder = KeysBuilder::default();
        assert!(builder.add(&(Arc::new(Int64Array::from(far)) as ArrayRef)).unwrap().is_err());
        let ends: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]));
        assert!(set(ends).build().is_none());
        assert!(!KeysBuilder::default().build().unwrap().contains(0));
    }
}
