//! Iceberg's single values (defaults, bounds, partition values) as DataFusion scalars.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use fjord_catalog::spec::{Datum, Literal, PrimitiveLiteral, PrimitiveType, StructType, Type};

use super::{to_arrow_fields, to_arrow_type};
use crate::error::{Error, ErrorKind, Result};

/// A bound, as a scalar of the Arrow type that the bound's own Iceberg type reads as.
///
/// # Errors
/// `Corrupt` if the value does not fit the type.
pub fn datum_to_scalar(datum: &Datum) -> Result<ScalarValue> {
    primitive_to_scalar(datum.data_type(), datum.literal())
}

/// A value of the Iceberg type `ty` as a scalar of [`to_arrow_type`]; `None` is NULL.
///
/// # Errors
/// `Corrupt` if the value does not fit the type, `Unsupported` for a list or map that is not NULL
/// (the format allows no such default).
pub fn literal_to_scalar(ty: &Type, literal: Option<&Literal>) -> Result<ScalarValue> {
    match (ty, literal) {
        (_, None) => Ok(ScalarValue::try_from(&to_arrow_type(ty)?)?),
        (Type::Primitive(primitive), Some(Literal::Primitive(value))) => {
            primitive_to_scalar(primitive, value)
        }
        (Type::Struct(fields), Some(Literal::Struct(values))) => {
            let values: Vec<Option<&Literal>> = values.iter().collect();
            struct_to_scalar(fields, &values)
        }
        _ => Err(Error::unsupported(format!("a default value of type {ty}"))),
    }
}

fn struct_to_scalar(fields: &StructType, values: &[Option<&Literal>]) -> Result<ScalarValue> {
    let columns = fields
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| {
            // An absent child takes its own default: `{}` is how the format spells that.
            let value = values.get(i).copied().flatten().or(field.initial_default.as_ref());
            Ok(literal_to_scalar(&field.field_type, value)?.to_array()?)
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let arrow_fields = to_arrow_fields(fields)?;
    if columns.is_empty() {
        let empty = new_null_array(&DataType::Struct(arrow_fields), 1);
        return Ok(ScalarValue::try_from_array(&empty, 0)?);
    }
    let array = StructArray::try_new(arrow_fields, columns, None::<NullBuffer>).map_err(|e| {
        Error::new(ErrorKind::Corrupt, "a struct default lacks a value").with_source(e)
    })?;
    Ok(ScalarValue::Struct(Arc::new(array)))
}

/// A primitive value of the Iceberg type `ty` as a scalar of the Arrow type it reads as.
///
/// # Errors
/// `Corrupt` if the value does not fit the type.
pub fn primitive_to_scalar(ty: &PrimitiveType, value: &PrimitiveLiteral) -> Result<ScalarValue> {
    use PrimitiveLiteral as L;
    use PrimitiveType as T;
    let utc = || Some(Arc::from("UTC"));
    Ok(match (ty, value) {
        (T::Boolean, L::Boolean(v)) => ScalarValue::Boolean(Some(*v)),
        (T::Int, L::Int(v)) => ScalarValue::Int32(Some(*v)),
        (T::Long, L::Long(v)) => ScalarValue::Int64(Some(*v)),
        // Bounds of a column that has since been widened keep the narrow value.
        (T::Long, L::Int(v)) => ScalarValue::Int64(Some(i64::from(*v))),
        (T::Float, L::Float(v)) => ScalarValue::Float32(Some(v.0)),
        (T::Double, L::Double(v)) => ScalarValue::Float64(Some(v.0)),
        (T::Double, L::Float(v)) => ScalarValue::Float64(Some(f64::from(v.0))),
        (T::Date, L::Int(v)) => ScalarValue::Date32(Some(*v)),
        (T::Time, L::Long(v)) => ScalarValue::Time64Microsecond(Some(*v)),
        (T::Timestamp, L::Long(v)) => ScalarValue::TimestampMicrosecond(Some(*v), None),
        (T::Timestamptz, L::Long(v)) => ScalarValue::TimestampMicrosecond(Some(*v), utc()),
        (T::TimestampNs, L::Long(v)) => ScalarValue::TimestampNanosecond(Some(*v), None),
        (T::TimestamptzNs, L::Long(v)) => ScalarValue::TimestampNanosecond(Some(*v), utc()),
        (T::String, L::String(v)) => ScalarValue::Utf8View(Some(v.clone())),
        (T::Binary, L::Binary(v)) => ScalarValue::BinaryView(Some(v.clone())),
        (T::Uuid, L::UInt128(v)) => {
            ScalarValue::FixedSizeBinary(super::UUID_BYTES, Some(v.to_be_bytes().to_vec()))
        }
        (T::Fixed(n), L::Binary(v)) if u64::try_from(v.len()).is_ok_and(|len| len == *n) => {
            ScalarValue::FixedSizeBinary(
                i32::try_from(*n).map_err(|_| misfit(ty))?,
                Some(v.clone()),
            )
        }
        (T::Decimal { precision, scale }, L::Int128(v)) => ScalarValue::Decimal128(
            Some(*v),
            u8::try_from(*precision).map_err(|_| misfit(ty))?,
            i8::try_from(*scale).map_err(|_| misfit(ty))?,
        ),
        _ => return Err(misfit(ty)),
    })
}

fn misfit(ty: &PrimitiveType) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a stored value is not of its type {ty}"))
}
