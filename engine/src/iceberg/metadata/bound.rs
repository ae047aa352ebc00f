//! Bounds as texts.
//!
//! The library's own text of an instant before 1970 with a fraction of a second, and of a day or an
//! instant beyond its calendar, is a panic **[H]**.

use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta};
use fjord_catalog::spec::{Datum, PrimitiveLiteral, PrimitiveType};

/// `bound` as people write it; beyond the calendar, its number.
pub(super) fn readable(bound: &Datum) -> String {
    use PrimitiveLiteral as L;
    use PrimitiveType as T;
    match (bound.data_type(), bound.literal()) {
        (T::Timestamp, L::Long(v)) => {
            text(DateTime::from_timestamp_micros(*v).map(|at| at.naive_utc()), v)
        }
        (T::Timestamptz, L::Long(v)) => text(DateTime::from_timestamp_micros(*v), v),
        (T::TimestampNs, L::Long(v)) => DateTime::from_timestamp_nanos(*v).naive_utc().to_string(),
        (T::TimestamptzNs, L::Long(v)) => DateTime::from_timestamp_nanos(*v).to_string(),
        (T::Date, L::Int(v)) => text(day(*v), v),
        _ => bound.to_human_string(),
    }
}

fn day(days: i32) -> Option<NaiveDate> {
    DateTime::UNIX_EPOCH
        .naive_utc()
        .date()
        .checked_add_signed(TimeDelta::try_days(i64::from(days))?)
}

fn text(value: Option<impl fmt::Display>, number: impl fmt::Display) -> String {
    value.map_or_else(|| number.to_string(), |value| value.to_string())
}
