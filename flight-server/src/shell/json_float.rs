//! Floats in JSON: what has no number there, NaN and the infinities, is text and not NULL.

use std::io::Write;

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder};

/// Writes floats as the shortest number that reads back the same, and `"NaN"`, `"Infinity"` and
/// `"-Infinity"` as text, as Trino's protocol does.
#[derive(Debug)]
pub(super) struct JsonFloats;

impl EncoderFactory for JsonFloats {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Float32 => Box::new(Singles(array.as_primitive())),
            DataType::Float64 => Box::new(Doubles(array.as_primitive())),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Singles<'a>(&'a PrimitiveArray<Float32Type>);
struct Doubles<'a>(&'a PrimitiveArray<Float64Type>);

impl Encoder for Singles<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        match value.is_finite() {
            true => number(format_args!("{value:?}"), out),
            false => out.extend_from_slice(word(f64::from(value))),
        }
    }
}

impl Encoder for Doubles<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        match value.is_finite() {
            true => number(format_args!("{value:?}"), out),
            false => out.extend_from_slice(word(value)),
        }
    }
}

fn number(digits: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    // Writing to memory does not fail, and an encoder could not say so.
    let _infallible = out.write_fmt(digits);
}

fn word(value: f64) -> &'static [u8] {
    match (value.is_nan(), value > 0.0) {
        (true, _) => b"\"NaN\"",
        (false, true) => b"\"Infinity\"",
        (false, false) => b"\"-Infinity\"",
    }
}
