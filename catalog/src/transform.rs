//! Partition transforms of single values (specification: "partition transforms").
//!
//! Ours rather than the library's (0.10.1), which is wrong before 1970: its `day` of a timestamp is
//! one too high in the last second of a day, its `bucket` of nanoseconds rounds towards zero. Its
//! `truncate` refuses binary and forgets a decimal's scale. Writers and pruning must agree on every
//! value, or pruning drops files that hold matching rows.

use chrono::{Datelike, NaiveDate};
use iceberg::spec::{Datum, PrimitiveLiteral, PrimitiveType, Transform, Type};
use iceberg::transform::create_transform_function;

use crate::error::{Error, ErrorKind, Result};

const DAY_MICROS: i64 = 86_400_000_000;
const HOUR_MICROS: i64 = 3_600_000_000;
/// Days from 0001-01-01 (which is day 1) to 1970-01-01.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// Applies `transform` to one value; `None` stands for NULL (the void transform).
///
/// # Errors
/// `Unsupported` when the transform does not take this type, `InvalidArgument` when its result
/// would be out of range.
pub fn transform_literal(transform: &Transform, value: &Datum) -> Result<Option<Datum>> {
    let ty = value.data_type();
    let refused = || {
        let problem = format!("transform \"{transform}\" does not take {ty}");
        Error::new(ErrorKind::Unsupported, problem)
    };
    // The library computes a `truncate` of dates and times that the specification does not know.
    let result = transform
        .result_type(&Type::Primitive(ty.clone()))
        .map_err(|e| refused().with_source(e))?;
    let Type::Primitive(result) = result else { return Err(refused()) };
    if *transform == Transform::Void {
        return Ok(None);
    }
    let first =
        transform_values(*transform, ty, value.literal()).and_then(|v| v.into_iter().next());
    let datum = first.and_then(|literal| to_datum(&result, &literal));
    datum.map(Some).ok_or_else(|| {
        let problem = format!("transform \"{transform}\" of {value} is out of range");
        Error::new(ErrorKind::InvalidArgument, problem)
    })
}

/// The partition values that rows with value `v` may lie in: one, or two where writers disagree, the
/// specification's first. `None` when it cannot be said (out of range, a transform or type that is not known).
pub(crate) fn transform_values(
    transform: Transform,
    ty: &PrimitiveType,
    v: &PrimitiveLiteral,
) -> Option<Vec<PrimitiveLiteral>> {
    let one = |literal: PrimitiveLiteral| Some(vec![literal]);
    match transform {
        Transform::Identity => one(v.clone()),
        Transform::Truncate(width) => one(truncate(width, v)?),
        Transform::Year => one(PrimitiveLiteral::Int(date(days(ty, v)?)?.year() - 1970)),
        Transform::Month => {
            let date = date(days(ty, v)?)?;
            let month = (date.year() - 1970) * 12 + i32::try_from(date.month0()).ok()?;
            one(PrimitiveLiteral::Int(month))
        }
        Transform::Day => one(PrimitiveLiteral::Int(days(ty, v)?)),
        Transform::Hour => {
            let PrimitiveLiteral::Long(v) = v else { return None };
            let hours = v.div_euclid(unit(ty)?.checked_mul(HOUR_MICROS)?);
            one(PrimitiveLiteral::Int(i32::try_from(hours).ok()?))
        }
        Transform::Bucket(n) => bucket(n, ty, v),
        Transform::Void | Transform::Unknown => None,
    }
}

/// Units of a timestamp type in a microsecond.
fn unit(ty: &PrimitiveType) -> Option<i64> {
    match ty {
        PrimitiveType::Timestamp | PrimitiveType::Timestamptz => Some(1),
        PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs => Some(1000),
        _ => None,
    }
}

fn days(ty: &PrimitiveType, v: &PrimitiveLiteral) -> Option<i32> {
    match (ty, v) {
        (PrimitiveType::Date, PrimitiveLiteral::Int(v)) => Some(*v),
        (_, PrimitiveLiteral::Long(v)) => {
            i32::try_from(v.div_euclid(unit(ty)?.checked_mul(DAY_MICROS)?)).ok()
        }
        _ => None,
    }
}

fn date(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAYS_FROM_CE)?)
}

fn truncate(width: u32, v: &PrimitiveLiteral) -> Option<PrimitiveLiteral> {
    let characters = usize::try_from(width).ok()?;
    if width == 0 {
        return None;
    }
    Some(match v {
        PrimitiveLiteral::Int(v) => {
            let width = i64::from(width);
            let v = i64::from(*v);
            PrimitiveLiteral::Int(i32::try_from(v - v.rem_euclid(width)).ok()?)
        }
        PrimitiveLiteral::Long(v) => {
            PrimitiveLiteral::Long(v.checked_sub(v.rem_euclid(i64::from(width)))?)
        }
        PrimitiveLiteral::Int128(v) => {
            PrimitiveLiteral::Int128(v.checked_sub(v.rem_euclid(i128::from(width)))?)
        }
        PrimitiveLiteral::String(v) => {
            PrimitiveLiteral::String(v.chars().take(characters).collect())
        }
        PrimitiveLiteral::Binary(v) => {
            PrimitiveLiteral::Binary(v.iter().take(characters).copied().collect())
        }
        _ => return None,
    })
}

fn bucket(n: u32, ty: &PrimitiveType, v: &PrimitiveLiteral) -> Option<Vec<PrimitiveLiteral>> {
    if n == 0 || i32::try_from(n).is_err() {
        return None;
    }
    let function = create_transform_function(&Transform::Bucket(n)).ok()?;
    let hash = |datum: &Datum| {
        let bucket = function.transform_literal(datum).ok()??;
        Some(bucket.literal().clone())
    };
    match (ty, v) {
        (PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs, PrimitiveLiteral::Long(v)) => {
            // Nanoseconds hash as their microsecond: the one below by the specification, the one
            // towards 1970 by the library.
            let floor = hash(&Datum::timestamp_micros(v.div_euclid(1000)))?;
            let towards_zero = hash(&Datum::timestamp_micros(v / 1000))?;
            Some(if floor == towards_zero { vec![floor] } else { vec![floor, towards_zero] })
        }
        _ => Some(vec![hash(&to_datum(ty, v)?)?]),
    }
}

/// A `Datum` of `ty`; its constructor is private, its byte form is not.
pub(crate) fn to_datum(ty: &PrimitiveType, v: &PrimitiveLiteral) -> Option<Datum> {
    let bytes: Vec<u8> = match v {
        PrimitiveLiteral::Boolean(v) => vec![u8::from(*v)],
        PrimitiveLiteral::Int(v) => v.to_le_bytes().to_vec(),
        PrimitiveLiteral::Long(v) => v.to_le_bytes().to_vec(),
        PrimitiveLiteral::Float(v) => v.0.to_le_bytes().to_vec(),
        PrimitiveLiteral::Double(v) => v.0.to_le_bytes().to_vec(),
        PrimitiveLiteral::String(v) => v.as_bytes().to_vec(),
        PrimitiveLiteral::Binary(v) => v.clone(),
        PrimitiveLiteral::Int128(v) => v.to_be_bytes().to_vec(),
        PrimitiveLiteral::UInt128(v) => v.to_be_bytes().to_vec(),
        PrimitiveLiteral::AboveMax | PrimitiveLiteral::BelowMin => return None,
    };
    Datum::try_from_bytes(&bytes, ty.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(datum: Datum) -> Option<Datum> {
        transform_literal(&Transform::Day, &datum).unwrap()
    }

    #[test]
    fn day_before_1970_rounds_down_within_a_second() {
        // One day and half a second before the epoch lies in 1969-12-30.
        assert_eq!(day(Datum::timestamp_micros(-86_400_500_000)), Some(Datum::date(-2)));
        assert_eq!(day(Datum::timestamp_nanos(-86_400_500_000_000)), Some(Datum::date(-2)));
        assert_eq!(day(Datum::timestamp_micros(-1)), Some(Datum::date(-1)));
        assert_eq!(day(Datum::timestamp_micros(86_400_000_000)), Some(Datum::date(1)));
    }

    #[test]
    fn bucket_of_nanoseconds_before_1970_is_that_of_the_microsecond_below() {
        let bucket = Transform::Bucket(1_000);
        assert_eq!(
            transform_literal(&bucket, &Datum::timestamp_nanos(-1_500)).unwrap(),
            transform_literal(&bucket, &Datum::timestamp_micros(-2)).unwrap(),
        );
    }

    #[test]
    fn truncate_takes_binary_and_keeps_a_decimals_scale() {
        let truncate = Transform::Truncate(2);
        assert_eq!(
            transform_literal(&truncate, &Datum::binary([1, 2, 3])).unwrap(),
            Some(Datum::binary([1, 2]))
        );
        let ty = PrimitiveType::Decimal { precision: 9, scale: 2 };
        let cut = transform_literal(
            &Transform::Truncate(50),
            &Datum::try_from_bytes(&(-1i128).to_be_bytes(), ty.clone()).unwrap(),
        );
        let cut = cut.unwrap().unwrap();
        assert_eq!((cut.data_type(), cut.literal()), (&ty, &PrimitiveLiteral::Int128(-50)));
    }
}
