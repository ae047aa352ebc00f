//! The types of columns that are there, and what the database would do to values that do not fit.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};

use super::columns::oid;
use super::encode::NANOS_PER_MICRO;

/// Digits of a second that are kept where nothing else is declared.
const MICROS_DIGITS: u32 = 6;
/// What a declared length is stored with.
const HEADER: i32 = 4;

/// The type of a column that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredType {
    pub(super) oid: u32,
    /// Precision and scale, as the database writes them in one number; -1 without.
    pub(super) modifier: i32,
}

impl StoredType {
    /// What a value must be like so that the database keeps it as it is.
    pub(super) fn limit(self) -> Option<Limit> {
        match self.oid {
            // Further blanks at the end would be cut without a word.
            oid::VARCHAR => Some(Limit::Chars(usize::try_from(self.modifier - HEADER).ok()?)),
            oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ => {
                let digits = u32::try_from(self.modifier).ok().filter(|d| *d < MICROS_DIGITS)?;
                Some(Limit::Multiples(10_i64.pow(MICROS_DIGITS - digits)))
            }
            _ => None,
        }
    }
}

/// The declared bound of a column's values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    Chars(usize),
    /// Of so many microseconds.
    Multiples(i64),
}

impl Limit {
    /// What is wrong with the value of a row, if anything is.
    pub(super) fn broken_by(self, array: &ArrayRef, row: usize) -> Option<String> {
        if array.is_null(row) {
            return None;
        }
        let units = |of: i64| Self::of_micros(self, of);
        match (self, array.data_type()) {
            (Limit::Chars(most), DataType::Utf8) => {
                let text = array.as_string::<i32>().value(row);
                (text.len() > most && text.chars().count() > most)
                    .then(|| format!("a text of more than {most} characters"))
            }
            (_, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                units(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            (_, DataType::Timestamp(TimeUnit::Nanosecond, _)) => {
                units(array.as_primitive::<TimestampNanosecondType>().value(row) / NANOS_PER_MICRO)
            }
            (_, DataType::Time64(TimeUnit::Nanosecond)) => {
                units(array.as_primitive::<Time64NanosecondType>().value(row) / NANOS_PER_MICRO)
            }
            _ => None,
        }
    }

    fn of_micros(self, micros: i64) -> Option<String> {
        match self {
            Limit::Multiples(of) if micros % of != 0 => {
                Some("a time with more digits of a second than the column keeps".to_owned())
            }
            _ => None,
        }
    }
}
