//! Column defaults between SQL literals and Iceberg's single values.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use fjord_catalog::spec::{Literal, PrimitiveLiteral, PrimitiveType, Type};

use crate::error::{Error, Result};
use crate::sql::quote::quote_text;

const SECONDS_PER_DAY: i64 = 86_400;

/// A literal as it was written, before its column's type is known to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenLiteral {
    /// Digits with an optional sign, point and exponent.
    Number(String),
    /// Quoted text, also that of `DATE '…'` and its kind.
    Text(String),
    /// `TRUE` or `FALSE`.
    Boolean(bool),
    /// `X'…'`, decoded.
    Bytes(Vec<u8>),
}

/// The literal as a value of `ty`.
///
/// # Errors
/// `Invalid` when it does not fit, `Unsupported` for nested types.
pub(crate) fn literal_of_type(written: &WrittenLiteral, ty: &Type) -> Result<Literal> {
    use WrittenLiteral as W;
    let Type::Primitive(primitive) = ty else {
        return Err(Error::unsupported("defaults of nested types are not supported"));
    };
    let value = match (primitive, written) {
        (PrimitiveType::Boolean, W::Boolean(b)) => Some(Literal::bool(*b)),
        (PrimitiveType::Int, W::Number(n)) => n.parse::<i32>().ok().map(Literal::int),
        (PrimitiveType::Long, W::Number(n)) => n.parse::<i64>().ok().map(Literal::long),
        (PrimitiveType::Float, W::Number(n)) => {
            n.parse::<f32>().ok().filter(|v| v.is_finite()).map(Literal::float)
        }
        (PrimitiveType::Double, W::Number(n)) => {
            n.parse::<f64>().ok().filter(|v| v.is_finite()).map(Literal::double)
        }
        (PrimitiveType::Decimal { precision, scale }, W::Number(n)) => {
            decimal(n, *precision, *scale).map(Literal::decimal)
        }
        (PrimitiveType::String, W::Text(text)) => Some(Literal::string(text)),
        (PrimitiveType::Date, W::Text(text)) => date(text).map(Literal::date),
        (PrimitiveType::Time, W::Text(text)) => time(text).map(Literal::time),
        (PrimitiveType::Timestamp, W::Text(text)) => {
            timestamp(text).and_then(whole_micros).map(Literal::timestamp)
        }
        (PrimitiveType::TimestampNs, W::Text(text)) => timestamp(text).map(Literal::timestamp),
        (PrimitiveType::Timestamptz, W::Text(text)) => {
            zoned(text).and_then(whole_micros).map(Literal::timestamptz)
        }
        (PrimitiveType::TimestamptzNs, W::Text(text)) => zoned(text).map(Literal::timestamptz),
        (PrimitiveType::Uuid, W::Text(text)) => uuid::Uuid::parse_str(text).ok().map(Literal::uuid),
        (PrimitiveType::Binary, W::Bytes(bytes)) => Some(Literal::binary(bytes.iter().copied())),
        (PrimitiveType::Fixed(length), W::Bytes(bytes)) => (u64::try_from(bytes.len()).ok()
            == Some(*length))
        .then(|| Literal::fixed(bytes.iter().copied())),
        _ => None,
    };
    value.ok_or_else(|| {
        let shown = crate::sql::types::type_to_sql(ty, crate::sql::types::TypeDetail::Brief);
        Error::invalid(format!("default {} is not a value of type {shown}", written.as_sql()))
    })
}

impl WrittenLiteral {
    fn as_sql(&self) -> String {
        match self {
            WrittenLiteral::Number(text) => text.clone(),
            WrittenLiteral::Text(text) => quote_text(text),
            WrittenLiteral::Boolean(value) => value.to_string(),
            WrittenLiteral::Bytes(bytes) => hex_literal(bytes),
        }
    }
}

/// A default in SQL; `None` for nested values, which our SQL cannot say.
pub fn literal_to_sql(literal: &Literal, ty: &Type) -> Option<String> {
    let (Literal::Primitive(value), Type::Primitive(ty)) = (literal, ty) else { return None };
    Some(match (ty, value) {
        (_, PrimitiveLiteral::Boolean(v)) => v.to_string(),
        (PrimitiveType::Date, PrimitiveLiteral::Int(days)) => {
            let date = DateTime::from_timestamp(i64::from(*days) * SECONDS_PER_DAY, 0)?;
            format!("DATE '{}'", date.format("%Y-%m-%d"))
        }
        (_, PrimitiveLiteral::Int(v)) => v.to_string(),
        (PrimitiveType::Time, PrimitiveLiteral::Long(micros)) => {
            let time = DateTime::from_timestamp_micros(*micros)?;
            format!("TIME '{}'", time.format("%H:%M:%S%.6f"))
        }
        (PrimitiveType::Timestamp, PrimitiveLiteral::Long(v)) => {
            let at = DateTime::from_timestamp_micros(*v)?;
            format!("TIMESTAMP '{}'", at.format("%Y-%m-%d %H:%M:%S%.6f"))
        }
        (PrimitiveType::Timestamptz, PrimitiveLiteral::Long(v)) => {
            let at = DateTime::from_timestamp_micros(*v)?;
            format!("TIMESTAMP '{}'", at.format("%Y-%m-%d %H:%M:%S%.6f+00:00"))
        }
        (PrimitiveType::TimestampNs, PrimitiveLiteral::Long(v)) => {
            let at = DateTime::from_timestamp_nanos(*v);
            format!("TIMESTAMP '{}'", at.format("%Y-%m-%d %H:%M:%S%.9f"))
        }
        (PrimitiveType::TimestamptzNs, PrimitiveLiteral::Long(v)) => {
            let at = DateTime::from_timestamp_nanos(*v);
            format!("TIMESTAMP '{}'", at.format("%Y-%m-%d %H:%M:%S%.9f+00:00"))
        }
        (_, PrimitiveLiteral::Long(v)) => v.to_string(),
        (_, PrimitiveLiteral::Float(v)) => format!("{:?}", v.0),
        (_, PrimitiveLiteral::Double(v)) => format!("{:?}", v.0),
        (_, PrimitiveLiteral::String(v)) => quote_text(v),
        (_, PrimitiveLiteral::Binary(bytes)) => hex_literal(bytes),
        (PrimitiveType::Decimal { scale, .. }, PrimitiveLiteral::Int128(v)) => {
            decimal_text(*v, *scale)
        }
        (_, PrimitiveLiteral::UInt128(v)) => quote_text(&uuid::Uuid::from_u128(*v).to_string()),
        _ => return None,
    })
}

fn hex_literal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{digits}'")
}

/// The bytes of an even number of hexadecimal digits.
pub(crate) fn bytes_from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(digits.get(i..i + 2)?, 16).ok())
        .collect()
}

fn decimal_text(unscaled: i128, scale: u32) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// The unscaled value; `None` if digits would be lost.
fn decimal(text: &str, precision: u32, scale: u32) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::try_from(scale).ok()?;
    if fraction.len() > scale {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction:0<scale$}").parse().ok()?;
    (unscaled < 10_i128.checked_pow(precision)?).then_some(sign * unscaled)
}

fn date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let days = date.and_time(NaiveTime::MIN).and_utc().timestamp() / SECONDS_PER_DAY;
    i32::try_from(days).ok()
}

fn time(text: &str) -> Option<i64> {
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f").ok()?;
    let nanos =
        i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond());
    whole_micros(nanos)
}

fn timestamp(text: &str) -> Option<i64> {
    let text = text.replacen(' ', "T", 1);
    let at = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    at.and_utc().timestamp_nanos_opt()
}

fn zoned(text: &str) -> Option<i64> {
    let text = text.trim().replacen(' ', "T", 1).replace(" UTC", "Z").replace(' ', "");
    DateTime::parse_from_rfc3339(&text).ok()?.timestamp_nanos_opt()
}

/// Nanoseconds as microseconds; `None` if digits would be lost.
fn whole_micros(nanos: i64) -> Option<i64> {
    (nanos % 1_000 == 0).then_some(nanos / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::ddl::parse_type::type_from_sql;

    #[test]
    fn literals_round_trip_through_their_type() {
        use WrittenLiteral as W;
        for (ty, written, shown) in [
            ("int", W::Number("-5".into()), "-5"),
            ("bigint", W::Number("9000000000".into()), "9000000000"),
            ("decimal(10,2)", W::Number("-1.5".into()), "-1.50"),
            ("decimal(3,3)", W::Number("0.005".into()), "0.005"),
            ("double", W::Number("1e3".into()), "1000.0"),
            ("varchar", W::Text("it's".into()), "'it''s'"),
            ("boolean", W::Boolean(true), "true"),
            ("date", W::Text("1969-12-31".into()), "DATE '1969-12-31'"),
            ("time", W::Text("23:59:59.5".into()), "TIME '23:59:59.500000'"),
            (
                "timestamp",
                W::Text("2024-02-29 01:02:03.000004".into()),
                "TIMESTAMP '2024-02-29 01:02:03.000004'",
            ),
            (
                "timestamp with time zone",
                W::Text("2024-02-29 01:02:03+01:00".into()),
                "TIMESTAMP '2024-02-29 00:02:03.000000+00:00'",
            ),
            (
                "timestamp(9)",
                W::Text("2024-02-29 01:02:03.000000004".into()),
                "TIMESTAMP '2024-02-29 01:02:03.000000004'",
            ),
            ("varbinary", W::Bytes(vec![0, 255]), "X'00ff'"),
            (
                "uuid",
                W::Text("f79c3e09-677c-4bbd-a479-3f349cb785e7".into()),
                "'f79c3e09-677c-4bbd-a479-3f349cb785e7'",
            ),
        ] {
            let ty = type_from_sql(ty).unwrap();
            let literal = literal_of_type(&written, &ty).unwrap();
            assert_eq!(literal_to_sql(&literal, &ty).as_deref(), Some(shown));
        }
    }

    #[test]
    fn a_default_that_would_lose_digits_is_refused() {
        use WrittenLiteral as W;
        for (ty, written) in [
            ("int", W::Number("3000000000".into())),
            ("int", W::Number("1.5".into())),
            ("int", W::Text("1".into())),
            ("decimal(3,1)", W::Number("1.25".into())),
            ("decimal(3,1)", W::Number("100".into())),
            ("timestamp", W::Text("2024-01-01 00:00:00.0000001".into())),
            ("timestamp with time zone", W::Text("2024-01-01 00:00:00".into())),
            ("date", W::Text("2024-02-30".into())),
            ("fixed(2)", W::Bytes(vec![1])),
            ("array(int)", W::Number("1".into())),
        ] {
            let ty = type_from_sql(ty).unwrap();
            assert!(literal_of_type(&written, &ty).is_err(), "{written:?}");
        }
    }
}
