//! Distinct values of columns: every value in the bytes that Iceberg hashes, its single-value
//! serialization.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, PrimitiveArray, StringArray, StringViewArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use fjord_catalog::table_statistics::DistinctSketch;

use crate::error::{Error, Result};

/// Adds the values of `column` to `sketch`; NULL is no value.
///
/// # Errors
/// `Unsupported` for nested columns.
pub(crate) fn add(sketch: &mut DistinctSketch, column: &ArrayRef) -> Result<()> {
    match column.data_type() {
        DataType::Boolean => {
            for value in column.as_boolean().iter().flatten() {
                sketch.add(&[u8::from(value)]);
            }
        }
        DataType::Int32 => {
            each(column.as_primitive::<Int32Type>(), |v| sketch.add(&v.to_le_bytes()));
        }
        DataType::Date32 => {
            each(column.as_primitive::<Date32Type>(), |v| sketch.add(&v.to_le_bytes()));
        }
        DataType::Int64 => {
            each(column.as_primitive::<Int64Type>(), |v| sketch.add(&v.to_le_bytes()));
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            each(column.as_primitive::<Time64MicrosecondType>(), |v| sketch.add(&v.to_le_bytes()));
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let column = column.as_primitive::<TimestampMicrosecondType>();
            each(column, |v| sketch.add(&v.to_le_bytes()));
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let column = column.as_primitive::<TimestampNanosecondType>();
            each(column, |v| sketch.add(&v.to_le_bytes()));
        }
        DataType::Float32 => {
            each(column.as_primitive::<Float32Type>(), |v| sketch.add(&v.to_le_bytes()));
        }
        DataType::Float64 => {
            each(column.as_primitive::<Float64Type>(), |v| sketch.add(&v.to_le_bytes()));
        }
        DataType::Decimal128(..) => {
            each(column.as_primitive::<Decimal128Type>(), |v| {
                let bytes = v.to_be_bytes();
                sketch.add(shortest(&bytes));
            });
        }
        _ => return add_bytes(sketch, column),
    }
    Ok(())
}

fn add_bytes(sketch: &mut DistinctSketch, column: &ArrayRef) -> Result<()> {
    let any = column.as_any();
    if let Some(column) = any.downcast_ref::<StringViewArray>() {
        column.iter().flatten().for_each(|v| sketch.add(v.as_bytes()));
    } else if let Some(column) = any.downcast_ref::<StringArray>() {
        column.iter().flatten().for_each(|v| sketch.add(v.as_bytes()));
    } else if let Some(column) = any.downcast_ref::<LargeStringArray>() {
        column.iter().flatten().for_each(|v| sketch.add(v.as_bytes()));
    } else if let Some(column) = any.downcast_ref::<BinaryViewArray>() {
        column.iter().flatten().for_each(|v| sketch.add(v));
    } else if let Some(column) = any.downcast_ref::<BinaryArray>() {
        column.iter().flatten().for_each(|v| sketch.add(v));
    } else if let Some(column) = any.downcast_ref::<LargeBinaryArray>() {
        column.iter().flatten().for_each(|v| sketch.add(v));
    } else if let Some(column) = any.downcast_ref::<FixedSizeBinaryArray>() {
        column.iter().flatten().for_each(|v| sketch.add(v));
    } else {
        let ty = column.data_type();
        return Err(Error::unsupported(format!("values of {ty} cannot be counted")));
    }
    Ok(())
}

fn each<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, mut add: impl FnMut(T::Native)) {
    for value in column.iter().flatten() {
        add(value);
    }
}

/// The shortest two's complement of a big-endian number: what Iceberg serializes of a decimal.
fn shortest(bytes: &[u8; 16]) -> &[u8] {
    let fill = if bytes[0] & 0x80 == 0 { 0x00 } else { 0xff };
    let spare =
        bytes.windows(2).take_while(|pair| pair[0] == fill && (pair[1] ^ fill) & 0x80 == 0).count();
    &bytes[spare..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_hashed_in_its_shortest_form() {
        for (value, bytes) in [
            (0_i128, &[0_u8][..]),
            (1, &[1]),
            (-1, &[0xff]),
            (127, &[0x7f]),
            (128, &[0x00, 0x80]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
            (i128::MIN, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(shortest(&value.to_be_bytes()), bytes, "{value}");
        }
    }
}
