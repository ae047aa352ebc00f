//! Values as text, for clients that show and do not compute: uuids, bytes, nested values.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, FixedSizeBinaryArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};
use uuid::Uuid;

/// Uuids in their usual spelling.
pub(super) fn uuids(array: &FixedSizeBinaryArray) -> Result<ArrayRef, ArrowError> {
    let mut text = StringBuilder::with_capacity(array.len(), array.len() * 36);
    for value in array {
        match value {
            None => text.append_null(),
            Some(bytes) => {
                let uuid = Uuid::from_slice(bytes).map_err(|e| {
                    ArrowError::CastError(format!(
                        "cannot read {} bytes as a uuid: {e}",
                        bytes.len()
                    ))
                })?;
                write!(text, "{uuid}").map_err(|e| ArrowError::CastError(e.to_string()))?;
                text.append_value("");
            }
        }
    }
    Ok(Arc::new(text.finish()))
}

/// Bytes in hexadecimal, as JSON of binary values has them too.
pub(super) fn hex(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let array = cast(array, &DataType::Binary)?;
    let array: &BinaryArray = array.as_binary();
    let mut text = StringBuilder::with_capacity(array.len(), array.values().len() * 2);
    let mut digits = String::new();
    for value in array {
        let Some(bytes) = value else {
            text.append_null();
            continue;
        };
        digits.clear();
        for byte in bytes {
            digits.push(DIGITS[usize::from(byte >> 4)]);
            digits.push(DIGITS[usize::from(byte & 15)]);
        }
        text.append_value(&digits);
    }
    Ok(Arc::new(text.finish()))
}

/// Each value as one JSON document; a null stays a null, and nulls inside are written.
pub(super) fn json(array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, array, &options)?;
    let mut documents = StringBuilder::new();
    let mut document = Vec::new();
    for row in 0..array.len() {
        if encoder.is_null(row) {
            documents.append_null();
            continue;
        }
        document.clear();
        encoder.encode(row, &mut document);
        let text = std::str::from_utf8(&document)
            .map_err(|e| ArrowError::JsonError(format!("JSON is not UTF-8: {e}")))?;
        documents.append_value(text);
    }
    Ok(Arc::new(documents.finish()))
}
