//! Fields of the binary format into Arrow builders.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::NullBufferBuilder;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    IntervalMonthDayNanoBuilder, ListArray, PrimitiveBuilder, StringArray, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, Field, IntervalMonthDayNano};
use arrow::error::ArrowError;

use super::numeric::Numeric;
use super::wire::{UTC, Wire};

/// 2000-01-01, where PostgreSQL's time begins, in Unix time.
pub(super) const EPOCH_DAYS: i32 = 10_957;
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;
const DAY_MICROS: i64 = 86_400_000_000;
const NANOS_PER_MICRO: i64 = 1000;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Why a field is not read.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not of the type that it should be.
    Malformed,
    /// A value that has no place in the column's type.
    Value(String),
}

impl Refusal {
    pub(super) fn value(value: impl Display) -> Self {
        Self::Value(value.to_string())
    }
}

/// The values of one column, until a batch is full.
pub(super) enum Decoder {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal {
        builder: Decimal128Builder,
        precision: u8,
        scale: i8,
    },
    NumericInt64(Int64Builder),
    NumericText(StringBuilder),
    /// Its bytes; that they are UTF-8 is seen when all are there.
    Text(BinaryBuilder),
    Jsonb(StringBuilder),
    Bytes(BinaryBuilder),
    Date {
        builder: Date32Builder,
        infinite_is_null: bool,
    },
    Timestamp {
        builder: TimestampMicrosecondBuilder,
        infinite_is_null: bool,
    },
    Time(Time64MicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(StringBuilder),
    List {
        items: Box<Decoder>,
        item: Wire,
        offsets: Vec<i32>,
        valid: NullBufferBuilder,
    },
}

fn fixed<const N: usize>(field: &[u8]) -> Result<[u8; N], Refusal> {
    field.try_into().map_err(|_| Refusal::Malformed)
}

fn text(field: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(field).map_err(|_| Refusal::Malformed)
}

impl Decoder {
    pub(super) fn new(wire: &Wire, rows: usize) -> Self {
        match wire {
            Wire::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            Wire::Int16 => Self::Int16(Int16Builder::with_capacity(rows)),
            Wire::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            Wire::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            Wire::Float32 => Self::Float32(Float32Builder::with_capacity(rows)),
            Wire::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            Wire::Decimal { precision, scale } => Self::Decimal {
                builder: Decimal128Builder::with_capacity(rows).with_data_type(wire.data_type()),
                precision: *precision,
                scale: *scale,
            },
            Wire::NumericInt64 => Self::NumericInt64(Int64Builder::with_capacity(rows)),
            Wire::NumericText => Self::NumericText(StringBuilder::new()),
            Wire::Text => Self::Text(BinaryBuilder::with_capacity(rows, rows * 16)),
            Wire::Jsonb => Self::Jsonb(StringBuilder::new()),
            Wire::Bytes => Self::Bytes(BinaryBuilder::new()),
            Wire::Date { infinite_is_null } => Self::Date {
                builder: Date32Builder::with_capacity(rows),
                infinite_is_null: *infinite_is_null,
            },
            Wire::Timestamp { utc, infinite_is_null } => Self::Timestamp {
                builder: TimestampMicrosecondBuilder::with_capacity(rows)
                    .with_timezone_opt(utc.then_some(UTC)),
                infinite_is_null: *infinite_is_null,
            },
            Wire::Time => Self::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            Wire::Interval => Self::Interval(IntervalMonthDayNanoBuilder::with_capacity(rows)),
            Wire::Uuid => Self::Uuid(StringBuilder::with_capacity(rows, rows * 36)),
            Wire::List(item) => Self::List {
                items: Box::new(Self::new(item, rows)),
                item: item.as_ref().clone(),
                offsets: vec![0],
                valid: NullBufferBuilder::new(rows),
            },
        }
    }

    /// Appends fields, `None` for NULL.
    pub(super) fn append<'a>(
        &mut self,
        fields: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Bool(b) => each(fields, b, BooleanBuilder::append_null, |b, field| {
                match field {
                    [0] => b.append_value(false),
                    [1] => b.append_value(true),
                    _ => return Err(Refusal::Malformed),
                }
                Ok(())
            }),
            Self::Int16(b) => numbers(fields, b, |field| Ok(i16::from_be_bytes(fixed(field)?))),
            Self::Int32(b) => numbers(fields, b, |field| Ok(i32::from_be_bytes(fixed(field)?))),
            Self::Int64(b) => numbers(fields, b, |field| Ok(i64::from_be_bytes(fixed(field)?))),
            // One NaN: others would be ordered otherwise than the database orders them.
            Self::Float32(b) => numbers(fields, b, |field| {
                let value = f32::from_be_bytes(fixed(field)?);
                Ok(if value.is_nan() { f32::NAN } else { value })
            }),
            Self::Float64(b) => numbers(fields, b, |field| {
                let value = f64::from_be_bytes(fixed(field)?);
                Ok(if value.is_nan() { f64::NAN } else { value })
            }),
            Self::Decimal { builder, precision, scale } => numbers(fields, builder, |field| {
                Numeric::try_new(field)?.to_decimal(*precision, *scale)
            }),
            Self::NumericInt64(b) => numbers(fields, b, |field| {
                let value = Numeric::try_new(field)?.to_decimal(38, 0)?;
                i64::try_from(value).map_err(|_| Refusal::value(value))
            }),
            Self::NumericText(b) => each(fields, b, StringBuilder::append_null, |b, field| {
                b.append_value(Numeric::try_new(field)?.to_text()?);
                Ok(())
            }),
            Self::Jsonb(b) => each(fields, b, StringBuilder::append_null, |b, field| {
                let Some((1, json)) = field.split_first() else { return Err(Refusal::Malformed) };
                b.append_value(text(json)?);
                Ok(())
            }),
            Self::Bytes(b) | Self::Text(b) => {
                each(fields, b, BinaryBuilder::append_null, |b, field| {
                    b.append_value(field);
                    Ok(())
                })
            }
            Self::Date { builder, infinite_is_null } => {
                each(fields, builder, Date32Builder::append_null, |b, field| {
                    append_date(b, i32::from_be_bytes(fixed(field)?), *infinite_is_null)
                })
            }
            Self::Timestamp { builder, infinite_is_null } => {
                each(fields, builder, TimestampMicrosecondBuilder::append_null, |b, field| {
                    append_timestamp(b, i64::from_be_bytes(fixed(field)?), *infinite_is_null)
                })
            }
            Self::Time(b) => numbers(fields, b, |field| match i64::from_be_bytes(fixed(field)?) {
                time @ 0..DAY_MICROS => Ok(time),
                _ => Err(Refusal::value("24:00:00")),
            }),
            Self::Interval(b) => numbers(fields, b, |field| interval(&fixed(field)?)),
            Self::Uuid(b) => each(fields, b, StringBuilder::append_null, |b, field| {
                let text = uuid(&fixed(field)?);
                b.append_value(std::str::from_utf8(&text).map_err(|_| Refusal::Malformed)?);
                Ok(())
            }),
            Self::List { items, offsets, valid, .. } => {
                for field in fields {
                    let end = offsets.last().copied().unwrap_or_default();
                    let Some(field) = field else {
                        offsets.push(end);
                        valid.append_null();
                        continue;
                    };
                    let end = end.checked_add(append_items(items, field)?);
                    offsets.push(end.ok_or_else(|| Refusal::value("an array of too many items"))?);
                    valid.append_non_null();
                }
                Ok(())
            }
        }
    }

    /// The column so far; what is appended next begins a new one, for which there is as much room.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int16(b) => primitive(b),
            Self::Int32(b) => primitive(b),
            Self::Int64(b) | Self::NumericInt64(b) => primitive(b),
            Self::Float32(b) => primitive(b),
            Self::Float64(b) => primitive(b),
            Self::Decimal { builder, .. } => primitive(builder),
            Self::NumericText(b) | Self::Jsonb(b) | Self::Uuid(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(StringArray::try_from_binary(bytes(b))?),
            Self::Bytes(b) => Arc::new(bytes(b)),
            Self::Date { builder, .. } => primitive(builder),
            Self::Timestamp { builder, .. } => primitive(builder),
            Self::Time(b) => primitive(b),
            Self::Interval(b) => primitive(b),
            Self::List { items, item, offsets, valid } => {
                let field = Arc::new(Field::new_list_field(item.data_type(), true));
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                Arc::new(ListArray::try_new(field, offsets, items.finish()?, valid.finish())?)
            }
        })
    }
}

/// Appends each of `fields` to a builder.
fn each<'a, B>(
    fields: impl Iterator<Item = Option<&'a [u8]>>,
    builder: &mut B,
    null: impl Fn(&mut B),
    value: impl Fn(&mut B, &'a [u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    for field in fields {
        match field {
            None => null(builder),
            Some(field) => value(builder, field)?,
        }
    }
    Ok(())
}

fn numbers<'a, T: ArrowPrimitiveType>(
    fields: impl Iterator<Item = Option<&'a [u8]>>,
    builder: &mut PrimitiveBuilder<T>,
    value: impl Fn(&'a [u8]) -> Result<T::Native, Refusal>,
) -> Result<(), Refusal> {
    each(fields, builder, PrimitiveBuilder::append_null, |builder, field| {
        builder.append_value(value(field)?);
        Ok(())
    })
}

fn primitive<T: ArrowPrimitiveType>(builder: &mut PrimitiveBuilder<T>) -> ArrayRef {
    let array = builder.finish();
    // Batches are about alike in length: one that is a little longer must not move.
    let next = PrimitiveBuilder::with_capacity(array.len() + array.len() / 8);
    *builder = next.with_data_type(array.data_type().clone());
    Arc::new(array)
}

fn bytes(builder: &mut BinaryBuilder) -> BinaryArray {
    let array = builder.finish();
    let size = array.value_data().len();
    *builder = BinaryBuilder::with_capacity(array.len() + array.len() / 8, size + size / 8);
    array
}

fn append_date(b: &mut Date32Builder, days: i32, infinite_is_null: bool) -> Result<(), Refusal> {
    match days {
        i32::MIN | i32::MAX if infinite_is_null => b.append_null(),
        i32::MIN => return Err(Refusal::value("-infinity")),
        i32::MAX => return Err(Refusal::value("infinity")),
        days => b.append_value(days.checked_add(EPOCH_DAYS).ok_or(Refusal::Malformed)?),
    }
    Ok(())
}

fn append_timestamp(
    b: &mut TimestampMicrosecondBuilder,
    micros: i64,
    infinite_is_null: bool,
) -> Result<(), Refusal> {
    match micros {
        i64::MIN | i64::MAX if infinite_is_null => b.append_null(),
        i64::MIN => return Err(Refusal::value("-infinity")),
        i64::MAX => return Err(Refusal::value("infinity")),
        micros => match micros.checked_add(EPOCH_MICROS) {
            Some(micros) => b.append_value(micros),
            // The last hours of the database's time, in the year 294276.
            None => return Err(Refusal::value("a time in the year 294276")),
        },
    }
    Ok(())
}

fn interval(field: &[u8; 16]) -> Result<IntervalMonthDayNano, Refusal> {
    let [m0, m1, m2, m3, m4, m5, m6, m7, d0, d1, d2, d3, o0, o1, o2, o3] = *field;
    let micros = i64::from_be_bytes([m0, m1, m2, m3, m4, m5, m6, m7]);
    let days = i32::from_be_bytes([d0, d1, d2, d3]);
    let months = i32::from_be_bytes([o0, o1, o2, o3]);
    let nanos = micros
        .checked_mul(NANOS_PER_MICRO)
        .ok_or_else(|| Refusal::value(format!("an interval of {micros} microseconds")))?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

fn uuid(field: &[u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in field.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    text
}

/// The items of an array of one dimension, which begins at one. Source: `array_send`.
fn append_items(items: &mut Decoder, field: &[u8]) -> Result<i32, Refusal> {
    let mut rest = field;
    let mut word = || -> Result<i32, Refusal> {
        let (head, tail) = rest.split_first_chunk::<4>().ok_or(Refusal::Malformed)?;
        rest = tail;
        Ok(i32::from_be_bytes(*head))
    };
    let (dimensions, _has_null, _type) = (word()?, word()?, word()?);
    match dimensions {
        0 => return if rest.is_empty() { Ok(0) } else { Err(Refusal::Malformed) },
        1 => {}
        n => return Err(Refusal::value(format!("an array of {n} dimensions"))),
    }
    let (count, lower) = (word()?, word()?);
    if lower != 1 {
        return Err(Refusal::value(format!("an array whose first index is {lower}")));
    }
    let mut found = Vec::new();
    for _ in 0..count {
        let (head, tail) = rest.split_first_chunk::<4>().ok_or(Refusal::Malformed)?;
        rest = tail;
        found.push(match usize::try_from(i32::from_be_bytes(*head)) {
            Err(_) => None,
            Ok(length) => {
                let (item, tail) = rest.split_at_checked(length).ok_or(Refusal::Malformed)?;
                rest = tail;
                Some(item)
            }
        });
    }
    items.append(found.into_iter())?;
    if rest.is_empty() { Ok(count) } else { Err(Refusal::Malformed) }
}
