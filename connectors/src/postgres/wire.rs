//! The types of PostgreSQL's binary format that are read, and what each becomes in Arrow.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use serde::{Deserialize, Serialize};

/// The time zone of `timestamptz`.
pub(super) const UTC: &str = "UTC";

/// How the bytes of a column are read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Wire {
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// `numeric` as a decimal; what does not fit is an error.
    Decimal {
        precision: u8,
        scale: i8,
    },
    /// `numeric` that holds an integer: what `sum(int8)` gives.
    NumericInt64,
    /// `numeric` as its digits.
    NumericText,
    Text,
    /// A version byte, then text.
    Jsonb,
    Bytes,
    Date {
        infinite_is_null: bool,
    },
    Timestamp {
        utc: bool,
        infinite_is_null: bool,
    },
    Time,
    Interval,
    Uuid,
    /// One dimension.
    List(Box<Wire>),
}

impl Wire {
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Wire::Bool => DataType::Boolean,
            Wire::Int16 => DataType::Int16,
            Wire::Int32 => DataType::Int32,
            Wire::Int64 | Wire::NumericInt64 => DataType::Int64,
            Wire::Float32 => DataType::Float32,
            Wire::Float64 => DataType::Float64,
            Wire::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Wire::NumericText | Wire::Text | Wire::Jsonb | Wire::Uuid => DataType::Utf8,
            Wire::Bytes => DataType::Binary,
            Wire::Date { .. } => DataType::Date32,
            Wire::Timestamp { utc, .. } => {
                DataType::Timestamp(TimeUnit::Microsecond, utc.then(|| UTC.into()))
            }
            Wire::Time => DataType::Time64(TimeUnit::Microsecond),
            Wire::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Wire::List(item) => {
                DataType::List(Arc::new(Field::new_list_field(item.data_type(), true)))
            }
        }
    }

    /// Whether a value may stand for none: an infinite date that is read as NULL.
    pub(super) fn may_become_null(&self) -> bool {
        matches!(
            self,
            Wire::Date { infinite_is_null: true } | Wire::Timestamp { infinite_is_null: true, .. }
        )
    }
}
