//! Partition transforms of single values (specification: "partition transforms").
//!
//! Ours rather than the library's, which is wrong before 1970: its `day` of a timestamp is one too
//! high in the last second of a day, its `bucket` of nanoseconds rounds towards zero.

use chrono::{Datelike, NaiveDate};
use iceberg::transform::create_transform_function;

use crate::spec::{Datum, PrimitiveLiteral, PrimitiveType, Transform};

const DAY_MICROS: i64 = 86_400_000_000;
const HOUR_MICROS: i64 = 3_600_000_000;
/// Days from 0001-01-01 (which is day 1) to 1970-01-01.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// The partition values that rows with value `v` may lie in: one, or two where writers disagree.
/// `None` when it cannot be said (out of range, a transform or type that is not known).
pub(super) fn transform(
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
pub(super) fn to_datum(ty: &PrimitiveType, v: &PrimitiveLiteral) -> Option<Datum> {
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
