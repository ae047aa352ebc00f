//! Column metrics of a data file: from the Parquet footer, and NaN counts that footers lack.

mod adopted;

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use fjord_catalog::spec::{DataFileBuilder, Datum, PrimitiveType, Schema, Type};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

pub use adopted::AdoptedLeaf;

use super::transform::minimal_bytes;
use crate::error::{Error, ErrorKind, Result};

const TRUNCATE_DEFAULT: usize = 16;
/// Wider tables keep metrics of their first columns alone, unless properties say otherwise.
const INFERRED_COLUMNS_MAX: usize = 100;
const DEFAULT_KEY: &str = "write.metadata.metrics.default";
const COLUMN_KEY: &str = "write.metadata.metrics.column.";
const INFERRED_KEY: &str = "write.metadata.metrics.max-inferred-column-defaults";

/// How much is kept about a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    None,
    Counts,
    /// Bounds of text and bytes are cut to so many code points or bytes.
    Truncate(usize),
    Full,
}

impl Mode {
    fn parse(key: &str, text: &str) -> Result<Self> {
        let lower = text.trim().to_ascii_lowercase();
        match lower.as_str() {
            "none" => return Ok(Self::None),
            "counts" => return Ok(Self::Counts),
            "full" => return Ok(Self::Full),
            _ => {}
        }
        lower
            .strip_prefix("truncate(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|length| length.trim().parse().ok())
            .filter(|length| *length > 0)
            .map(Self::Truncate)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "table property \"{key}\" is \"{text}\": it must be none, counts, truncate(length) or full"
                ))
            })
    }
}

#[derive(Clone, Debug)]
struct Leaf {
    field_id: i32,
    ty: PrimitiveType,
    /// Below a list or a map: it has counts but no bounds.
    repeated: bool,
    mode: Mode,
}

/// What is kept about each leaf column, in the order of the Parquet file's columns.
#[derive(Clone, Debug)]
pub struct MetricsModes {
    leaves: Vec<Leaf>,
    /// For each top-level column its first leaf, and whether floats lie below it.
    columns: Vec<(usize, bool)>,
}

impl MetricsModes {
    /// Reads `write.metadata.metrics.*`.
    ///
    /// # Errors
    /// `Invalid`, naming the property, for an unknown mode.
    pub fn try_new(schema: &Schema, properties: &HashMap<String, String>) -> Result<Self> {
        let asked = properties.get(DEFAULT_KEY).map(|text| Mode::parse(DEFAULT_KEY, text));
        let asked = asked.transpose()?;
        let inferred_max = match properties.get(INFERRED_KEY) {
            None => INFERRED_COLUMNS_MAX,
            Some(text) => text.trim().parse().map_err(|e: std::num::ParseIntError| {
                Error::invalid(format!(
                    "table property \"{INFERRED_KEY}\" is \"{text}\": it must be a number"
                ))
                .with_source(e)
            })?,
        };
        let mut modes = Self { leaves: Vec::new(), columns: Vec::new() };
        for column in schema.as_struct().fields() {
            let first = modes.leaves.len();
            modes.add(column.id, &column.field_type, false);
            let floats = modes.leaves[first..]
                .iter()
                .any(|l| matches!(l.ty, PrimitiveType::Float | PrimitiveType::Double));
            modes.columns.push((first, floats));
        }
        for (i, leaf) in modes.leaves.iter_mut().enumerate() {
            let key =
                schema.name_by_field_id(leaf.field_id).map(|name| format!("{COLUMN_KEY}{name}"));
            let own = key.and_then(|key| properties.get(&key).map(|text| Mode::parse(&key, text)));
            leaf.mode = match (own.transpose()?, asked) {
                (Some(mode), _) | (None, Some(mode)) => mode,
                (None, None) if i < inferred_max => Mode::Truncate(TRUNCATE_DEFAULT),
                (None, None) => Mode::None,
            };
        }
        Ok(modes)
    }

    fn add(&mut self, field_id: i32, ty: &Type, repeated: bool) {
        match ty {
            Type::Primitive(ty) => {
                self.leaves.push(Leaf { field_id, ty: ty.clone(), repeated, mode: Mode::None });
            }
            Type::Struct(ty) => {
                ty.fields().iter().for_each(|f| self.add(f.id, &f.field_type, repeated));
            }
            Type::List(ty) => self.add(ty.element_field.id, &ty.element_field.field_type, true),
            Type::Map(ty) => {
                self.add(ty.key_field.id, &ty.key_field.field_type, true);
                self.add(ty.value_field.id, &ty.value_field.field_type, true);
            }
        }
    }

    /// To how many bytes the footer may cut its statistics; `None`: not at all.
    pub fn footer_bytes_max(&self) -> Option<usize> {
        let mut bytes_max = 64;
        for leaf in &self.leaves {
            match leaf.mode {
                Mode::Full => return None,
                // A code point has up to four bytes; one more tells that the value goes on.
                Mode::Truncate(length) => {
                    bytes_max = bytes_max.max(length.saturating_mul(4).saturating_add(4));
                }
                Mode::None | Mode::Counts => {}
            }
        }
        Some(bytes_max)
    }

    /// A counter for the rows of one file.
    pub fn nan_counter(&self) -> NanCounter {
        NanCounter { counts: vec![0; self.leaves.len()] }
    }

    /// Puts the metrics of a finished file into `file`.
    ///
    /// # Errors
    /// `Bug` when the footer is not that of a file with this schema.
    pub fn fill(
        &self,
        file: &mut DataFileBuilder,
        footer: &ParquetMetaData,
        nans: &NanCounter,
    ) -> Result<()> {
        let mut totals: Vec<LeafTotal> = vec![LeafTotal::default(); self.leaves.len()];
        for row_group in footer.row_groups() {
            if row_group.num_columns() != self.leaves.len() {
                return Err(Error::new(
                    ErrorKind::Bug,
                    "the parquet file has other columns than its table",
                ));
            }
            for ((leaf, total), chunk) in
                self.leaves.iter().zip(&mut totals).zip(row_group.columns())
            {
                total.size += u64::try_from(chunk.compressed_size()).unwrap_or(0);
                let values = u64::try_from(chunk.num_values()).unwrap_or(0);
                total.add(leaf, values, chunk.statistics())?;
            }
        }
        let mut sizes = HashMap::new();
        let (mut values, mut nulls, mut nan_counts) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        let (mut lower, mut upper) = (HashMap::new(), HashMap::new());
        for ((leaf, total), nan_count) in self.leaves.iter().zip(totals).zip(&nans.counts) {
            sizes.insert(leaf.field_id, total.size);
            if leaf.mode == Mode::None {
                continue;
            }
            values.insert(leaf.field_id, total.values);
            if !total.nulls_unknown {
                nulls.insert(leaf.field_id, total.nulls);
            }
            if is_float(&leaf.ty) {
                nan_counts.insert(leaf.field_id, *nan_count);
            }
            if let Some(bound) = total.lower.known().map(|min| cut_lower(leaf, min)).transpose()? {
                lower.insert(leaf.field_id, bound);
            }
            if let Some(max) = total.upper.known()
                && let Some(bound) = cut_upper(leaf, max)?
            {
                upper.insert(leaf.field_id, bound);
            }
        }
        file.column_sizes(sizes)
            .value_counts(values)
            .null_value_counts(nulls)
            .nan_value_counts(nan_counts)
            .lower_bounds(lower)
            .upper_bounds(upper);
        Ok(())
    }
}

fn is_float(ty: &PrimitiveType) -> bool {
    matches!(ty, PrimitiveType::Float | PrimitiveType::Double)
}

/// A bound over several row groups.
#[derive(Clone, Debug, Default)]
enum Bound {
    #[default]
    NoValueYet,
    Known(Datum),
    /// A row group with values did not say.
    Unknown,
}

impl Bound {
    fn add(&mut self, datum: Option<Datum>, wins: std::cmp::Ordering) {
        *self = match (std::mem::take(self), datum) {
            (Self::NoValueYet, Some(new)) => Self::Known(new),
            (Self::Known(old), Some(new)) if new.partial_cmp(&old) == Some(wins) => {
                Self::Known(new)
            }
            (Self::Known(old), Some(_)) => Self::Known(old),
            (Self::Unknown, _) | (_, None) => Self::Unknown,
        };
    }

    fn known(self) -> Option<Datum> {
        match self {
            Self::Known(datum) => Some(datum),
            Self::NoValueYet | Self::Unknown => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct LeafTotal {
    size: u64,
    values: u64,
    nulls: u64,
    nulls_unknown: bool,
    lower: Bound,
    upper: Bound,
}

impl LeafTotal {
    fn add(&mut self, leaf: &Leaf, values: u64, statistics: Option<&Statistics>) -> Result<()> {
        self.values += values;
        let nulls = statistics.and_then(Statistics::null_count_opt);
        self.nulls += nulls.unwrap_or(0);
        self.nulls_unknown |= nulls.is_none();
        if leaf.repeated || matches!(leaf.mode, Mode::None | Mode::Counts) || nulls == Some(values)
        {
            return Ok(());
        }
        let min = statistics.and_then(Statistics::min_bytes_opt);
        let max = statistics.and_then(Statistics::max_bytes_opt);
        if is_float(&leaf.ty) && min.is_none() && max.is_none() {
            // Nothing but NaN, which bounds leave out.
            return Ok(());
        }
        let to_datum = |bytes: Option<&[u8]>| -> Result<Option<Datum>> {
            let datum = bytes.map(|bytes| datum_of(leaf, bytes, statistics)).transpose()?;
            Ok(datum.filter(|d| !d.is_nan()))
        };
        self.lower.add(to_datum(min)?, std::cmp::Ordering::Less);
        self.upper.add(to_datum(max)?, std::cmp::Ordering::Greater);
        Ok(())
    }
}

/// A statistic's plain-encoded bytes as a value. Both formats are little-endian but for decimals.
fn datum_of(leaf: &Leaf, bytes: &[u8], statistics: Option<&Statistics>) -> Result<Datum> {
    let little_endian = matches!(statistics, Some(Statistics::Int32(_) | Statistics::Int64(_)));
    let value = if matches!(leaf.ty, PrimitiveType::Decimal { .. }) && little_endian {
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        for (to, from) in wide.iter_mut().rev().zip(bytes) {
            *to = *from;
        }
        Datum::try_from_bytes(minimal_bytes(&wide), leaf.ty.clone())
    } else {
        Datum::try_from_bytes(bytes, leaf.ty.clone())
    };
    value.map_err(|e| fjord_catalog::Error::from(e).into())
}

fn truncated(leaf: &Leaf) -> Option<usize> {
    match leaf.mode {
        Mode::Truncate(length) => Some(length),
        Mode::None | Mode::Counts | Mode::Full => None,
    }
}

fn rebuilt(leaf: &Leaf, bytes: &[u8]) -> Result<Datum> {
    Datum::try_from_bytes(bytes, leaf.ty.clone()).map_err(|e| fjord_catalog::Error::from(e).into())
}

fn cut_lower(leaf: &Leaf, min: Datum) -> Result<Datum> {
    use fjord_catalog::spec::PrimitiveLiteral as L;
    match (truncated(leaf), min.literal()) {
        (Some(length), L::String(text)) => match text.char_indices().nth(length) {
            Some((end, _)) => rebuilt(leaf, &text.as_bytes()[..end]),
            None => Ok(min),
        },
        (Some(length), L::Binary(bytes)) if bytes.len() > length => rebuilt(leaf, &bytes[..length]),
        _ => Ok(min),
    }
}

/// `None` when no value of that length lies above `max`.
fn cut_upper(leaf: &Leaf, max: Datum) -> Result<Option<Datum>> {
    use fjord_catalog::spec::PrimitiveLiteral as L;
    match (truncated(leaf), max.literal()) {
        (Some(length), L::String(text)) => match text.char_indices().nth(length) {
            Some((end, _)) => {
                next_text(&text[..end]).map(|text| rebuilt(leaf, text.as_bytes())).transpose()
            }
            None => Ok(Some(max)),
        },
        (Some(length), L::Binary(bytes)) if bytes.len() > length => {
            next_bytes(&bytes[..length]).map(|bytes| rebuilt(leaf, &bytes)).transpose()
        }
        _ => Ok(Some(max)),
    }
}

/// The least text above every text that starts with `prefix`.
fn next_text(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Surrogates are no characters: the one after U+D7FF is U+E000.
        let next =
            if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn next_bytes(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=end].to_vec();
    next[end] += 1;
    Some(next)
}

/// Counts NaN by leaf as rows are written.
#[derive(Clone, Debug)]
pub struct NanCounter {
    counts: Vec<u64>,
}

impl NanCounter {
    /// Counts the rows of `batch`.
    pub fn add(&mut self, modes: &MetricsModes, batch: &RecordBatch) {
        for (column, (first, floats)) in batch.columns().iter().zip(&modes.columns) {
            if *floats {
                let mut leaf = *first;
                self.visit(column, None, &mut leaf);
            }
        }
    }

    fn visit(&mut self, array: &ArrayRef, above: Option<&NullBuffer>, leaf: &mut usize) {
        match array.data_type() {
            DataType::Struct(_) => {
                let array = array.as_struct();
                let live = NullBuffer::union(above, array.nulls());
                array.columns().iter().for_each(|child| self.visit(child, live.as_ref(), leaf));
            }
            DataType::List(_) => {
                let array = array.as_list::<i32>();
                let live = live_values(array.offsets(), above, array.nulls(), array.values().len());
                self.visit(array.values(), Some(&live), leaf);
            }
            DataType::Map(..) => {
                let array = array.as_map();
                let live =
                    live_values(array.offsets(), above, array.nulls(), array.entries().len());
                self.visit(array.keys(), Some(&live), leaf);
                self.visit(array.values(), Some(&live), leaf);
            }
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>();
                self.count(values.values().iter().map(|v| v.is_nan()), above, values.nulls(), leaf);
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>();
                self.count(values.values().iter().map(|v| v.is_nan()), above, values.nulls(), leaf);
            }
            _ => *leaf += 1,
        }
    }

    fn count(
        &mut self,
        nans: impl Iterator<Item = bool>,
        above: Option<&NullBuffer>,
        own: Option<&NullBuffer>,
        leaf: &mut usize,
    ) {
        let count = match NullBuffer::union(above, own) {
            None => nans.filter(|nan| *nan).count(),
            Some(live) => nans.zip(live.iter()).filter(|(nan, live)| *nan && *live).count(),
        };
        self.counts[*leaf] += count as u64;
        *leaf += 1;
    }
}

/// Which values of a list's child belong to a row: neither cut off by a slice nor below a NULL.
fn live_values(
    offsets: &OffsetBuffer<i32>,
    above: Option<&NullBuffer>,
    own: Option<&NullBuffer>,
    values: usize,
) -> NullBuffer {
    let rows = NullBuffer::union(above, own);
    let mut live = BooleanBufferBuilder::new(values);
    let mut at = 0;
    for (row, range) in offsets.windows(2).enumerate() {
        // Arrow's offsets are never negative.
        let (start, end) = (range[0] as usize, range[1] as usize);
        live.append_n(start.saturating_sub(at), false);
        live.append_n(end - start, rows.as_ref().is_none_or(|rows| rows.is_valid(row)));
        at = end;
    }
    live.append_n(values.saturating_sub(at), false);
    NullBuffer::new(live.finish())
}
