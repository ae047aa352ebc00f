//! Constants in the database's SQL, each of a type that is said: nothing is left to its guesses.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;

use super::quote;

const SECOND_MICROS: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;
/// 0001-01-01 and 9999-12-31 in days since 1970: what is written with four digits.
const DAYS_MIN: i64 = -719_162;
const DAYS_MAX: i64 = 2_932_896;
const UUID_CHARS: usize = 36;

/// Constants and columns of one kind are compared as they are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// Integers and decimals.
    Number,
    Date,
    Timestamp {
        utc: bool,
    },
    Time,
    Text,
    Uuid,
    Float,
}

impl Kind {
    /// The kind of a value of a type that is compared alike everywhere.
    pub(super) fn of(ty: &DataType) -> Option<Self> {
        Some(match ty {
            DataType::Boolean => Kind::Bool,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Kind::Number,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                Kind::Number
            }
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => {
                Kind::Number
            }
            DataType::Date32 => Kind::Date,
            DataType::Timestamp(_, zone) => Kind::Timestamp { utc: zone.is_some() },
            DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
            DataType::Float32 | DataType::Float64 => Kind::Float,
            _ => return None,
        })
    }
}

/// `value` as a constant that is compared with a column of kind `kind`; `None` where it has no such
/// form, or would be compared otherwise.
pub(super) fn constant(value: &ScalarValue, kind: Kind) -> Option<String> {
    match kind {
        Kind::Bool => match value {
            ScalarValue::Boolean(Some(value)) => Some(if *value { "TRUE" } else { "FALSE" }.into()),
            _ => None,
        },
        Kind::Number => number(value),
        Kind::Date => match value {
            ScalarValue::Date32(Some(days)) => Some(format!("'{}'::date", day((*days).into())?)),
            _ => None,
        },
        Kind::Timestamp { utc } => {
            let (micros, zone) = micros(value)?;
            if zone != utc {
                return None;
            }
            let (days, micros) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
            let (day, time) = (day(days)?, time(micros));
            Some(match utc {
                true => format!("'{day} {time}+00'::timestamptz"),
                false => format!("'{day} {time}'::timestamp"),
            })
        }
        Kind::Time => {
            let micros = match value {
                ScalarValue::Time64Microsecond(Some(v)) => *v,
                ScalarValue::Time64Nanosecond(Some(v)) if v % 1000 == 0 => v / 1000,
                ScalarValue::Time32Millisecond(Some(v)) => i64::from(*v) * 1000,
                ScalarValue::Time32Second(Some(v)) => i64::from(*v) * SECOND_MICROS,
                _ => return None,
            };
            (0..DAY_MICROS).contains(&micros).then(|| format!("'{}'::time", time(micros)))
        }
        Kind::Text => Some(format!("{}::text", quote::text(value.try_as_str()??)?)),
        Kind::Uuid => uuid(value.try_as_str()??),
        Kind::Float => float(value),
    }
}

fn number(value: &ScalarValue) -> Option<String> {
    let integer = |v: i64| format!("'{v}'::int8");
    Some(match value {
        ScalarValue::Int8(Some(v)) => integer((*v).into()),
        ScalarValue::Int16(Some(v)) => integer((*v).into()),
        ScalarValue::Int32(Some(v)) => integer((*v).into()),
        ScalarValue::Int64(Some(v)) => integer(*v),
        ScalarValue::UInt8(Some(v)) => integer((*v).into()),
        ScalarValue::UInt16(Some(v)) => integer((*v).into()),
        ScalarValue::UInt32(Some(v)) => integer((*v).into()),
        ScalarValue::UInt64(Some(v)) => format!("'{v}'::numeric"),
        ScalarValue::Decimal32(Some(v), _, scale) => decimal((*v).into(), *scale)?,
        ScalarValue::Decimal64(Some(v), _, scale) => decimal((*v).into(), *scale)?,
        ScalarValue::Decimal128(Some(v), _, scale) => decimal(*v, *scale)?,
        _ => return None,
    })
}

fn decimal(value: i128, scale: i8) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    Some(format!("'{sign}{whole}{point}{fraction}'::numeric"))
}

fn float(value: &ScalarValue) -> Option<String> {
    // NaN and zeros are ordered otherwise; the shortest digits that are read as the same number.
    match value {
        ScalarValue::Float32(Some(v)) if v.is_finite() && *v != 0.0 => {
            Some(format!("'{v:e}'::float4"))
        }
        ScalarValue::Float64(Some(v)) if v.is_finite() && *v != 0.0 => {
            Some(format!("'{v:e}'::float8"))
        }
        _ => None,
    }
}

/// Only texts that a uuid is shown as: no other is equal to one, and the order is the same.
fn uuid(text: &str) -> Option<String> {
    let is_uuid = text.len() == UUID_CHARS
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    is_uuid.then(|| format!("'{text}'::uuid"))
}

/// Microseconds since 1970, and whether in a zone; `None` where there are finer digits.
fn micros(value: &ScalarValue) -> Option<(i64, bool)> {
    let (value, unit, zone) = match value {
        ScalarValue::TimestampSecond(Some(v), zone) => (*v, TimeUnit::Second, zone),
        ScalarValue::TimestampMillisecond(Some(v), zone) => (*v, TimeUnit::Millisecond, zone),
        ScalarValue::TimestampMicrosecond(Some(v), zone) => (*v, TimeUnit::Microsecond, zone),
        ScalarValue::TimestampNanosecond(Some(v), zone) => (*v, TimeUnit::Nanosecond, zone),
        _ => return None,
    };
    let micros = match unit {
        TimeUnit::Second => value.checked_mul(SECOND_MICROS)?,
        TimeUnit::Millisecond => value.checked_mul(1000)?,
        TimeUnit::Microsecond => value,
        TimeUnit::Nanosecond if value % 1000 == 0 => value / 1000,
        TimeUnit::Nanosecond => return None,
    };
    Some((micros, zone.is_some()))
}

fn time(micros: i64) -> String {
    let (seconds, fraction) = (micros / SECOND_MICROS, micros % SECOND_MICROS);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{fraction:06}", seconds % 60)
}

/// A day since 1970 by the Gregorian calendar. Counted in years that begin in March, so that a leap
/// day is the last one, and in cycles of 400 of them.
fn day(days: i64) -> Option<String> {
    const CYCLE_DAYS: i64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const SHIFT_DAYS: i64 = 719_468;
    if !(DAYS_MIN..=DAYS_MAX).contains(&days) {
        return None;
    }
    let shifted = days + SHIFT_DAYS;
    let (cycle, in_cycle) = (shifted.div_euclid(CYCLE_DAYS), shifted.rem_euclid(CYCLE_DAYS));
    let year = (in_cycle - in_cycle / 1460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    Some(format!("{:04}-{month:02}-{day:02}", cycle * 400 + year + carry))
}

#[cfg(test)]
mod tests {
    use super::{constant, day};
    use crate::postgres::literal::Kind;
    use datafusion::common::ScalarValue;

    #[test]
    fn days_are_dates() {
        let dates = [
            (0, "1970-01-01"),
            (-719_162, "0001-01-01"),
            (2_932_896, "9999-12-31"),
            (11_016, "2000-02-29"),
            (19_782, "2024-02-29"),
            (19_783, "2024-03-01"),
            (-1, "1969-12-31"),
            (-25_509, "1900-02-28"),
            (-25_508, "1900-03-01"),
        ];
        for (days, date) in dates {
            assert_eq!(day(days).as_deref(), Some(date));
        }
        assert_eq!((day(-719_163), day(2_932_897)), (None, None));
    }

    #[test]
    fn constants_are_typed_and_quoted() {
        let shown = |value: ScalarValue, kind| constant(&value, kind).unwrap_or_default();
        assert_eq!(shown(ScalarValue::from("it's"), Kind::Text), "'it''s'::text");
        assert_eq!(shown(ScalarValue::from("a\\b'"), Kind::Text), "E'a\\\\b'''::text");
        assert_eq!(shown(ScalarValue::from("nul\0"), Kind::Text), "");
        assert_eq!(
            shown(ScalarValue::Decimal128(Some(-5), 10, 3), Kind::Number),
            "'-0.005'::numeric"
        );
        assert_eq!(
            shown(ScalarValue::Int64(Some(i64::MIN)), Kind::Number),
            "'-9223372036854775808'::int8"
        );
        assert_eq!(shown(ScalarValue::Float64(Some(f64::NAN)), Kind::Float), "");
        assert_eq!(shown(ScalarValue::Float64(Some(-0.0)), Kind::Float), "");
        assert_eq!(
            shown(
                ScalarValue::TimestampMicrosecond(Some(-1), None),
                Kind::Timestamp { utc: false }
            ),
            "'1969-12-31 23:59:59.999999'::timestamp"
        );
        assert_eq!(
            shown(ScalarValue::TimestampNanosecond(Some(1), None), Kind::Timestamp { utc: false }),
            ""
        );
        assert_eq!(
            shown(ScalarValue::from("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), Kind::Uuid),
            ""
        );
    }
}
