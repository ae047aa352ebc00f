//! Arrow columns into fields of the binary format.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericListArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, Bytes, BytesMut};

use super::copy::SIGNATURE;
use super::decode::{EPOCH_DAYS, EPOCH_MICROS};
use super::stored::StoredType;
use crate::error::{Error, ErrorKind};

pub(super) const NANOS_PER_MICRO: i64 = 1000;
const BASE: u128 = 10_000;
const BASE_DIGITS: u32 = 4;
const NEGATIVE: u16 = 0x4000;
/// Groups of digits in 64 bits.
const SMALL_GROUPS: usize = 5;

/// How the values of a column are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Digits after the point.
    Numeric {
        scale: i8,
    },
    Text,
    Jsonb,
    Bytes,
    Date,
    Timestamp {
        utc: bool,
    },
    Time,
    Interval,
    /// From its text, or from its sixteen bytes.
    Uuid,
    List {
        item: Box<Format>,
        item_oid: u32,
    },
}

/// A column of the table that is written.
#[derive(Clone, Debug)]
pub(super) struct WrittenColumn {
    pub(super) name: String,
    pub(super) format: Format,
    /// The type that the column must still have; `None` where we make it.
    pub(super) stored: Option<StoredType>,
}

impl Format {
    /// The Arrow type that values are brought to first; every value has one counterpart in it, or is
    /// refused.
    fn canonical(&self, from: &DataType) -> DataType {
        match self {
            Format::Bool => DataType::Boolean,
            Format::Int2 => DataType::Int16,
            Format::Int4 => DataType::Int32,
            Format::Int8 => DataType::Int64,
            Format::Float4 => DataType::Float32,
            Format::Float8 => DataType::Float64,
            Format::Numeric { scale } => DataType::Decimal128(38, *scale),
            Format::Text | Format::Jsonb => DataType::Utf8,
            Format::Bytes => DataType::Binary,
            Format::Date => DataType::Date32,
            // Finer instants are divided below, where what would be lost is seen.
            Format::Timestamp { .. } => match from {
                DataType::Timestamp(TimeUnit::Nanosecond, _) => from.clone(),
                DataType::Timestamp(_, zone) => {
                    DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
                }
                _ => DataType::Timestamp(TimeUnit::Microsecond, None),
            },
            Format::Time => DataType::Time64(TimeUnit::Nanosecond),
            Format::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Format::Uuid => match from {
                DataType::FixedSizeBinary(_) => DataType::Binary,
                _ => DataType::Utf8,
            },
            Format::List { .. } => from.clone(),
        }
    }
}

/// The bytes before the first row.
pub(super) fn header() -> Bytes {
    let mut bytes = BytesMut::with_capacity(SIGNATURE.len() + 8);
    bytes.put_slice(SIGNATURE);
    bytes.put_u64(0);
    bytes.freeze()
}

/// The bytes after the last row.
pub(super) fn trailer() -> Bytes {
    Bytes::from_static(&[0xff, 0xff])
}

/// The rows of a batch.
///
/// # Errors
/// For a value that the column cannot hold, naming both.
pub(super) fn rows(batch: &RecordBatch, columns: &[WrittenColumn]) -> Result<Bytes, Error> {
    let count = i16::try_from(columns.len())
        .map_err(|_| Error::new(ErrorKind::Invalid, "too many columns"))?;
    if batch.num_columns() != columns.len() {
        return Err(Error::new(ErrorKind::Invalid, "rows do not have the table's columns"));
    }
    let arrays = batch
        .columns()
        .iter()
        .zip(columns)
        .map(|(array, column)| canonical(array, column))
        .collect::<Result<Vec<_>, _>>()?;
    let limits: Vec<_> = columns.iter().map(|c| c.stored.and_then(StoredType::limit)).collect();
    let mut bytes = BytesMut::with_capacity(batch.get_array_memory_size() * 2);
    for row in 0..batch.num_rows() {
        bytes.put_i16(count);
        for ((array, column), limit) in arrays.iter().zip(columns).zip(&limits) {
            let broken = limit.and_then(|limit| limit.broken_by(array, row));
            let written = match broken {
                Some(value) => Err(value),
                None => field(array, row, &column.format, &mut bytes),
            };
            written.map_err(|value| {
                let message =
                    format!("column {:?}: {value} has no place in the table", column.name);
                Error::new(ErrorKind::Value, message)
            })?;
        }
    }
    Ok(bytes.freeze())
}

fn canonical(array: &ArrayRef, column: &WrittenColumn) -> Result<ArrayRef, Error> {
    let target = column.format.canonical(array.data_type());
    if *array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, &target, &options).map_err(|e| {
        Error::new(ErrorKind::Value, format!("column {:?} cannot be written", column.name))
            .with_source(e)
    })
}

/// A length, then as many bytes as it says.
fn sized(bytes: &mut BytesMut, value: &[u8]) -> Result<(), String> {
    let length = i32::try_from(value.len()).map_err(|_| "a value of two gigabytes".to_owned())?;
    bytes.put_i32(length);
    bytes.put_slice(value);
    Ok(())
}

fn field(
    array: &ArrayRef,
    row: usize,
    format: &Format,
    bytes: &mut BytesMut,
) -> Result<(), String> {
    if array.is_null(row) {
        bytes.put_i32(-1);
        return Ok(());
    }
    match format {
        Format::Bool => sized(bytes, &[u8::from(array.as_boolean().value(row))]),
        Format::Int2 => sized(bytes, &array.as_primitive::<Int16Type>().value(row).to_be_bytes()),
        Format::Int4 => sized(bytes, &array.as_primitive::<Int32Type>().value(row).to_be_bytes()),
        Format::Int8 => sized(bytes, &array.as_primitive::<Int64Type>().value(row).to_be_bytes()),
        Format::Float4 => {
            sized(bytes, &array.as_primitive::<Float32Type>().value(row).to_be_bytes())
        }
        Format::Float8 => {
            sized(bytes, &array.as_primitive::<Float64Type>().value(row).to_be_bytes())
        }
        Format::Numeric { scale } => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            match few_digits(value, *scale, bytes) {
                true => Ok(()),
                false => sized(bytes, &numeric(value, *scale)),
            }
        }
        Format::Text => sized(bytes, array.as_string::<i32>().value(row).as_bytes()),
        Format::Jsonb => {
            let json = array.as_string::<i32>().value(row);
            sized(bytes, &[&[1], json.as_bytes()].concat())
        }
        Format::Bytes => sized(bytes, array.as_binary::<i32>().value(row)),
        Format::Date => {
            let days = array.as_primitive::<Date32Type>().value(row);
            match days.checked_sub(EPOCH_DAYS) {
                // The least and the greatest stand for the infinities.
                Some(days) if days != i32::MIN && days != i32::MAX => {
                    sized(bytes, &days.to_be_bytes())
                }
                _ => Err(format!("the date {days} days after 1970")),
            }
        }
        Format::Timestamp { .. } => {
            let micros = match array.data_type() {
                DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                    let nanos = array
                        .as_primitive::<arrow::datatypes::TimestampNanosecondType>()
                        .value(row);
                    whole_micros(nanos)?
                }
                _ => array.as_primitive::<TimestampMicrosecondType>().value(row),
            };
            match micros.checked_sub(EPOCH_MICROS) {
                Some(v) if v != i64::MIN && v != i64::MAX => sized(bytes, &v.to_be_bytes()),
                _ => Err(format!("the time {micros} microseconds after 1970")),
            }
        }
        Format::Time => {
            let nanos = array.as_primitive::<Time64NanosecondType>().value(row);
            sized(bytes, &whole_micros(nanos)?.to_be_bytes())
        }
        Format::Interval => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            bytes.put_i32(16);
            bytes.put_i64(whole_micros(value.nanoseconds)?);
            bytes.put_i32(value.days);
            bytes.put_i32(value.months);
            Ok(())
        }
        Format::Uuid => match array.data_type() {
            DataType::Binary => match array.as_binary::<i32>().value(row) {
                value if value.len() == 16 => sized(bytes, value),
                value => Err(format!("a uuid of {} bytes", value.len())),
            },
            _ => {
                let text = array.as_string::<i32>().value(row);
                sized(bytes, &uuid(text).ok_or_else(|| format!("{text:?}, which is no uuid,"))?)
            }
        },
        Format::List { item, item_oid } => match array.data_type() {
            DataType::LargeList(_) => list(array.as_list::<i64>(), row, item, *item_oid, bytes),
            DataType::List(_) => list(array.as_list::<i32>(), row, item, *item_oid, bytes),
            other => Err(format!("a list of type {other}")),
        },
    }
}

fn whole_micros(nanos: i64) -> Result<i64, String> {
    match nanos % NANOS_PER_MICRO {
        0 => Ok(nanos / NANOS_PER_MICRO),
        _ => Err("a fraction of a microsecond".to_owned()),
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text
        .bytes()
        .enumerate()
        .filter(|(index, byte)| !(*byte == b'-' && matches!(index, 8 | 13 | 18 | 23)))
        .map(|(_, byte)| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    (text.len() == 36).then(|| bytes.try_into().ok()).flatten()
}

/// Source: `array_recv` in PostgreSQL's `arrayfuncs.c`.
fn list<O: arrow::array::OffsetSizeTrait>(
    lists: &GenericListArray<O>,
    row: usize,
    item: &Format,
    item_oid: u32,
    bytes: &mut BytesMut,
) -> Result<(), String> {
    let column = WrittenColumn { name: "item".to_owned(), format: item.clone(), stored: None };
    let items = canonical(&lists.value(row), &column).map_err(|e| e.to_string())?;
    let mut inner = BytesMut::new();
    inner.put_i32(i32::from(!items.is_empty()));
    inner.put_i32(i32::from(items.null_count() > 0));
    inner.put_u32(item_oid);
    if !items.is_empty() {
        inner.put_i32(i32::try_from(items.len()).map_err(|_| "a list too long".to_owned())?);
        inner.put_i32(1);
        for index in 0..items.len() {
            field(&items, index, item, &mut inner)?;
        }
    }
    sized(bytes, &inner)
}

/// Writes most of the numbers there are, whose digits fit in 64 bits; whether it was one.
fn few_digits(value: i128, scale: i8, bytes: &mut BytesMut) -> bool {
    let Ok(scale) = u16::try_from(scale) else { return false };
    let fractions = scale.div_ceil(BASE_DIGITS as u16);
    let shift = 10_u64.pow(u32::from(fractions) * BASE_DIGITS - u32::from(scale));
    let magnitude = u64::try_from(value.unsigned_abs()).ok();
    let Some(mut rest) = magnitude.and_then(|value| value.checked_mul(shift)) else { return false };
    let (mut groups, mut count) = ([0; SMALL_GROUPS], 0);
    while rest > 0 {
        groups[count] = (rest % BASE as u64) as u16;
        rest /= BASE as u64;
        count += 1;
    }
    let zeros = groups[..count].iter().take_while(|group| **group == 0).count();
    let shown = &groups[zeros..count];
    let weight = if shown.is_empty() { 0 } else { count as i16 - 1 - fractions as i16 };
    bytes.put_i32(8 + 2 * shown.len() as i32);
    bytes.put_u16(shown.len() as u16);
    bytes.put_i16(weight);
    bytes.put_u16(if value < 0 { NEGATIVE } else { 0 });
    bytes.put_u16(scale);
    for group in shown.iter().rev() {
        bytes.put_u16(*group);
    }
    true
}

/// Digits of base 10,000 around the point, without zeros at the ends.
fn numeric(value: i128, scale: i8) -> Vec<u8> {
    let scale = u32::try_from(scale).unwrap_or_default();
    let magnitude = value.unsigned_abs();
    let point = 10_u128.pow(scale.min(38));
    let (mut whole, fraction) = (magnitude / point, magnitude % point);
    let mut groups: Vec<u16> = Vec::new();
    while whole > 0 {
        groups.push((whole % BASE) as u16);
        whole /= BASE;
    }
    groups.reverse();
    let mut weight = groups.len() as i16 - 1;
    // Group by group, so that the shift to whole groups does not outgrow the type.
    let mut rest = fraction;
    let mut left = scale;
    while left > 0 {
        let taken = left.min(BASE_DIGITS);
        let below = 10_u128.pow(left - taken);
        let group = rest / below * 10_u128.pow(BASE_DIGITS - taken);
        rest %= below;
        groups.push(group as u16);
        left -= taken;
    }
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= zeros as i16;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let mut bytes = Vec::with_capacity(8 + groups.len() * 2);
    bytes.extend_from_slice(&(groups.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&weight.to_be_bytes());
    bytes.extend_from_slice(&(if value < 0 { NEGATIVE } else { 0 }).to_be_bytes());
    bytes.extend_from_slice(&(scale as u16).to_be_bytes());
    for group in groups {
        bytes.extend_from_slice(&group.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{few_digits, numeric};
    use crate::postgres::numeric::Numeric;

    #[test]
    fn decimals_come_back_as_they_went() {
        let widest = 99_999_999_999_999_999_999_999_999_999_999_999_999_i128;
        for scale in [0, 1, 3, 4, 5, 9, 37, 38] {
            let wide = i128::from(u64::MAX);
            for value in [
                0,
                1,
                -1,
                10_000,
                99_999,
                -123_456_789,
                100_000_000,
                wide,
                wide + 1,
                widest,
                -widest,
            ] {
                let bytes = numeric(value, scale);
                let mut few = BytesMut::new();
                if few_digits(value, scale, &mut few) {
                    assert_eq!(few[..4], (bytes.len() as u32).to_be_bytes(), "{value} {scale}");
                    assert_eq!(few[4..], bytes, "{value} {scale}");
                } else {
                    assert!(value.unsigned_abs() > 1_000_000_000_000_000, "{value} {scale}");
                }
                let read = Numeric::try_new(&bytes).unwrap().to_decimal(38, scale).unwrap();
                assert_eq!(read, value, "{value} {scale}");
            }
        }
        let text =
            |value, scale| Numeric::try_new(&numeric(value, scale)).unwrap().to_text().unwrap();
        assert_eq!(text(-5, 3), "-0.005");
        assert_eq!(text(1_234_567, 2), "12345.67");
        assert_eq!(text(0, 2), "0.00");
    }
}
