//! Constants as values of a column's type: the same value, or none.

use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use fjord_catalog::spec::{Datum, PrimitiveType};

/// A constant compared with a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    /// NULL, of any type.
    Null,
    /// A value that the column could hold.
    Value(Datum),
    /// Not a constant, or not exactly a value of the column's type.
    Unknown,
}

/// The constant that `expr` is, as a value of `ty`.
pub(super) fn constant(expr: &Expr, ty: &PrimitiveType) -> Constant {
    fold(expr).map_or(Constant::Unknown, |scalar| to_datum(&scalar, ty))
}

/// The text that `expr` is: `Some(None)` for NULL.
pub(super) fn text(expr: &Expr) -> Option<Option<String>> {
    match fold(expr)? {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            Some(text)
        }
        ScalarValue::Null => Some(None),
        _ => None,
    }
}

/// A literal, or casts of one.
fn fold(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(scalar, _) => Some(match scalar {
            ScalarValue::Dictionary(_, inner) => ScalarValue::clone(inner),
            scalar => scalar.clone(),
        }),
        Expr::Alias(alias) => fold(&alias.expr),
        Expr::Cast(cast) => fold(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        _ => None,
    }
}

/// `scalar` as a value of `ty`, if some value of `ty` equals it.
pub(super) fn to_datum(scalar: &ScalarValue, ty: &PrimitiveType) -> Constant {
    if scalar.is_null() {
        return Constant::Null;
    }
    exact(scalar, ty).map_or(Constant::Unknown, Constant::Value)
}

fn exact(scalar: &ScalarValue, ty: &PrimitiveType) -> Option<Datum> {
    use PrimitiveType as P;
    match ty {
        P::Boolean => match scalar {
            ScalarValue::Boolean(Some(v)) => Some(Datum::bool(*v)),
            _ => None,
        },
        P::Int => Some(Datum::int(i32::try_from(unscaled(scalar, 0)?).ok()?)),
        P::Long => Some(Datum::long(i64::try_from(unscaled(scalar, 0)?).ok()?)),
        P::Decimal { scale, .. } => {
            let value = unscaled(scalar, i64::from(*scale))?;
            Datum::try_from_bytes(&value.to_be_bytes(), ty.clone()).ok()
        }
        P::Float => float(scalar).and_then(narrow).map(Datum::float),
        P::Double => float(scalar).map(Datum::double),
        P::Date => match scalar {
            ScalarValue::Date32(Some(days)) => Some(Datum::date(*days)),
            _ => None,
        },
        P::Time => Datum::time_micros(time_micros(scalar)?).ok(),
        P::Timestamp => Some(Datum::timestamp_micros(timestamp(scalar, 1_000, false)?)),
        P::Timestamptz => Some(Datum::timestamptz_micros(timestamp(scalar, 1_000, true)?)),
        P::TimestampNs => Some(Datum::timestamp_nanos(timestamp(scalar, 1, false)?)),
        P::TimestamptzNs => Some(Datum::timestamptz_nanos(timestamp(scalar, 1, true)?)),
        P::String => match scalar {
            ScalarValue::Utf8(Some(v))
            | ScalarValue::LargeUtf8(Some(v))
            | ScalarValue::Utf8View(Some(v)) => Some(Datum::string(v)),
            _ => None,
        },
        P::Binary => Some(Datum::binary(bytes(scalar)?.iter().copied())),
        P::Uuid => bytes(scalar)
            .filter(|b| b.len() == 16)
            .and_then(|b| Datum::try_from_bytes(b, P::Uuid).ok()),
        P::Fixed(length) => bytes(scalar)
            .filter(|b| u64::try_from(b.len()).is_ok_and(|len| len == *length))
            .map(|b| Datum::fixed(b.iter().copied())),
    }
}

/// An integer or decimal as an integer of units of `10^-scale`, if it is a whole number of them.
fn unscaled(scalar: &ScalarValue, scale: i64) -> Option<i128> {
    let (value, from) = match scalar {
        ScalarValue::Int8(Some(v)) => (i128::from(*v), 0),
        ScalarValue::Int16(Some(v)) => (i128::from(*v), 0),
        ScalarValue::Int32(Some(v)) => (i128::from(*v), 0),
        ScalarValue::Int64(Some(v)) => (i128::from(*v), 0),
        ScalarValue::UInt8(Some(v)) => (i128::from(*v), 0),
        ScalarValue::UInt16(Some(v)) => (i128::from(*v), 0),
        ScalarValue::UInt32(Some(v)) => (i128::from(*v), 0),
        ScalarValue::UInt64(Some(v)) => (i128::from(*v), 0),
        ScalarValue::Decimal128(Some(v), _, scale) => (*v, i64::from(*scale)),
        _ => return None,
    };
    let shift = scale - from;
    let factor = 10_i128.checked_pow(u32::try_from(shift.abs()).ok()?)?;
    if shift >= 0 {
        value.checked_mul(factor)
    } else {
        (value % factor == 0).then_some(value / factor)
    }
}

/// A finite or infinite number; NaN has no place that bounds could speak of.
fn float(scalar: &ScalarValue) -> Option<f64> {
    let value = match scalar {
        ScalarValue::Float32(Some(v)) => f64::from(*v),
        ScalarValue::Float64(Some(v)) => *v,
        other => {
            let whole = unscaled(other, 0)?;
            // Below 2^53 every integer is a double.
            i32::try_from(whole).ok().map(f64::from)?
        }
    };
    (!value.is_nan()).then_some(value)
}

/// The same number in single precision, if it has one.
fn narrow(value: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "checked by the way back")]
    let single = value as f32;
    (f64::from(single).to_bits() == value.to_bits()).then_some(single)
}

fn time_micros(scalar: &ScalarValue) -> Option<i64> {
    match scalar {
        ScalarValue::Time32Second(Some(v)) => i64::from(*v).checked_mul(1_000_000),
        ScalarValue::Time32Millisecond(Some(v)) => i64::from(*v).checked_mul(1_000),
        ScalarValue::Time64Microsecond(Some(v)) => Some(*v),
        ScalarValue::Time64Nanosecond(Some(v)) => (v % 1_000 == 0).then_some(v / 1_000),
        _ => None,
    }
}

/// A point in time in units of `unit_nanos`, if it is a whole number of them. With and without a
/// zone are different types: what one means in the other depends on the session.
fn timestamp(scalar: &ScalarValue, unit_nanos: i128, has_zone: bool) -> Option<i64> {
    let (value, nanos, zone) = match scalar {
        ScalarValue::TimestampSecond(Some(v), zone) => (*v, 1_000_000_000, zone.is_some()),
        ScalarValue::TimestampMillisecond(Some(v), zone) => (*v, 1_000_000, zone.is_some()),
        ScalarValue::TimestampMicrosecond(Some(v), zone) => (*v, 1_000, zone.is_some()),
        ScalarValue::TimestampNanosecond(Some(v), zone) => (*v, 1, zone.is_some()),
        ScalarValue::Date32(Some(days)) => (i64::from(*days), 86_400_000_000_000, false),
        _ => return None,
    };
    let total = i128::from(value).checked_mul(nanos)?;
    if zone != has_zone || total % unit_nanos != 0 {
        return None;
    }
    i64::try_from(total / unit_nanos).ok()
}

fn bytes(scalar: &ScalarValue) -> Option<&[u8]> {
    match scalar {
        ScalarValue::Binary(Some(v))
        | ScalarValue::LargeBinary(Some(v))
        | ScalarValue::BinaryView(Some(v))
        | ScalarValue::FixedSizeBinary(_, Some(v)) => Some(v),
        _ => None,
    }
}
