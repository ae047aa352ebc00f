//! Whether a value fits its column exactly: what a cast would round, cut or overflow is an error.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float32Array, PrimitiveArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, ErrorKind, Result};

pub(super) const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: FormatOptions::new() };

/// A date without a time of day, of a year of four digits.
const DATE_CHARS: usize = 10;
/// An instant to the microsecond, likewise.
const MICROS_CHARS: usize = 26;

/// What becomes of the nanoseconds of an instant in a column of microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// They are an error: the table says what it holds (INSERT).
    Exact,
    /// They are cut, towards the past: the table was made for these rows (CREATE TABLE AS).
    Floor,
}

/// `array` as `ty`, every value kept.
///
/// # Errors
/// `Execution`, naming the column, the value and a way out, for a value that `ty` does not have.
pub(crate) fn fit(array: &ArrayRef, ty: &DataType, path: &str, fit: Fit) -> Result<ArrayRef> {
    use DataType as T;
    match (array.data_type(), ty) {
        (T::Float32 | T::Float64, T::Float32) => to_real(array, ty, path),
        (T::Timestamp(TimeUnit::Nanosecond, from), T::Timestamp(TimeUnit::Microsecond, to))
            if from.is_some() == to.is_some() =>
        {
            to_micros(array, ty, path, fit)
        }
        (from, T::Decimal128(..)) if from.is_floating() => float_to_decimal(array, ty, path),
        (from, to) if from.is_floating() && to.is_integer() => {
            let cast = cast(array, ty, path)?;
            let changed = as_doubles(array, path)?
                .iter()
                .zip(&as_doubles(&cast, path)?)
                .map(|(value, kept)| value != kept)
                .collect();
            unchanged(array, cast, &changed, ty, path)
        }
        (T::Timestamp(..), T::Date32)
        | (T::Time64(TimeUnit::Nanosecond), T::Time64(TimeUnit::Microsecond)) => {
            there_and_back(array, ty, path)
        }
        (from, T::Decimal128(..) | T::Date32 | T::Timestamp(TimeUnit::Microsecond, _))
            if from.is_string() =>
        {
            read_text(array, ty, path, fit)
        }
        (from, to) if from.is_decimal() && (to.is_integer() || to.is_decimal()) => {
            there_and_back(array, ty, path)
        }
        _ => cast(array, ty, path),
    }
}

/// Refuses decimals of more digits than their own type has: arithmetic may leave some behind, and
/// no reader would take them.
pub(super) fn check_digits(array: &ArrayRef, path: &str) -> Result<()> {
    let Some(decimals) = array.as_primitive_opt::<Decimal128Type>() else { return Ok(()) };
    decimals.validate_decimal_precision(decimals.precision()).map_err(|e| {
        let ty = sql_name(array.data_type());
        let message = format!("column \"{path}\": a value has more digits than {ty} holds: {e}");
        Error::new(ErrorKind::Execution, message).with_source(e)
    })
}

fn cast(array: &ArrayRef, ty: &DataType, path: &str) -> Result<ArrayRef> {
    cast_with_options(array, ty, &STRICT).map_err(|e| misfit(path, e))
}

pub(super) fn misfit(path: &str, e: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Execution, format!("column \"{path}\": {e}")).with_source(e)
}

/// Texts, which a cast would round or cut.
fn read_text(array: &ArrayRef, ty: &DataType, path: &str, fit: Fit) -> Result<ArrayRef> {
    let there = cast(array, ty, path)?;
    // Looked at first, as the finest types are slow to read.
    let (finest, may_be_cut): (_, fn(&str, usize) -> bool) = match ty {
        DataType::Decimal128(..) => (DataType::Decimal256(76, 38), |text, scale| {
            text.split_once('.').is_some_and(|(_, digits)| digits.len() > scale)
        }),
        DataType::Date32 => {
            (DataType::Timestamp(TimeUnit::Microsecond, None), |text, _| text.len() > DATE_CHARS)
        }
        DataType::Timestamp(_, zone) if fit == Fit::Exact => {
            (DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()), |text, _| {
                text.len() > MICROS_CHARS
            })
        }
        _ => return Ok(there),
    };
    let scale = match ty {
        DataType::Decimal128(_, scale) => usize::try_from(*scale).unwrap_or(0),
        _ => 0,
    };
    let texts = cast(array, &DataType::Utf8View, path)?;
    if !texts.as_string_view().iter().flatten().any(|text| may_be_cut(text, scale)) {
        return Ok(there);
    }
    // What the finest type does not reach, as the years after 2262, has no more digits than it shows.
    let as_finest = |values: &ArrayRef| cast_with_options(values, &finest, &STRICT);
    let (Ok(exact), Ok(kept)) = (as_finest(array), as_finest(&there)) else { return Ok(there) };
    let changed = distinct(&exact, &kept).map_err(|e| misfit(path, e))?;
    unchanged(array, there, &changed, ty, path)
}

fn there_and_back(array: &ArrayRef, ty: &DataType, path: &str) -> Result<ArrayRef> {
    let there = cast(array, ty, path)?;
    let back = cast(&there, array.data_type(), path)?;
    let changed = distinct(array, &back).map_err(|e| misfit(path, e))?;
    unchanged(array, there, &changed, ty, path)
}

/// A double stands for the shortest decimal that reads as it: 0.1 fits, 1.005 does not fit two
/// digits.
fn float_to_decimal(array: &ArrayRef, ty: &DataType, path: &str) -> Result<ArrayRef> {
    let there = cast(array, ty, path)?;
    let back = cast(&there, array.data_type(), path)?;
    let (values, back) = (as_doubles(array, path)?, as_doubles(&back, path)?);
    let changed = values
        .iter()
        .zip(&back)
        .map(|pair| match pair {
            // The way back has a rounding of its own.
            (Some(value), Some(back)) => (value - back).abs() > value.abs() * 2.0 * f64::EPSILON,
            _ => false,
        })
        .collect();
    unchanged(array, there, &changed, ty, path)
}

fn as_doubles(array: &ArrayRef, path: &str) -> Result<PrimitiveArray<Float64Type>> {
    Ok(cast(array, &DataType::Float64, path)?.as_primitive::<Float64Type>().clone())
}

/// A real is the nearest one; what is out of its range has none.
fn to_real(array: &ArrayRef, ty: &DataType, path: &str) -> Result<ArrayRef> {
    let wide = as_doubles(array, path)?;
    let narrow: Float32Array = wide.unary(|value| value as f32);
    let lost = rows_where(&wide, |row, value| {
        let narrowed = narrow.value(row);
        (narrowed.is_infinite() && value.is_finite()) || (narrowed == 0.0 && value != 0.0)
    });
    match first(&lost) {
        None => Ok(Arc::new(narrow)),
        Some(row) => Err(Error::new(
            ErrorKind::Execution,
            format!(
                "column \"{path}\": value {:?} is out of range for {}",
                wide.value(row),
                sql_name(ty)
            ),
        )),
    }
}

/// Arrow's cast rounds towards zero; an instant before 1970 must round down like the rest.
fn to_micros(array: &ArrayRef, ty: &DataType, path: &str, fit: Fit) -> Result<ArrayRef> {
    let nanos = array.as_primitive::<TimestampNanosecondType>();
    let micros: PrimitiveArray<TimestampMicrosecondType> =
        nanos.unary(|nanos| nanos.div_euclid(1_000));
    let zone = match ty {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let micros: ArrayRef = Arc::new(micros.with_timezone_opt(zone));
    match fit {
        Fit::Floor => Ok(micros),
        Fit::Exact => {
            let changed = rows_where(nanos, |_, nanos| nanos.rem_euclid(1_000) != 0);
            unchanged(array, micros, &changed, ty, path)
        }
    }
}

fn rows_where<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    holds: impl Fn(usize, T::Native) -> bool,
) -> BooleanArray {
    let values = array.values();
    let rows = BooleanBuffer::collect_bool(array.len(), |row| {
        values.get(row).is_some_and(|value| holds(row, *value))
    });
    BooleanArray::new(rows, array.nulls().cloned())
}

fn first(rows: &BooleanArray) -> Option<usize> {
    if rows.true_count() == 0 {
        return None;
    }
    rows.iter().position(|row| row == Some(true))
}

/// `kept`, unless a row of `array` had to be changed.
fn unchanged(
    array: &ArrayRef,
    kept: ArrayRef,
    changed: &BooleanArray,
    ty: &DataType,
    path: &str,
) -> Result<ArrayRef> {
    let Some(row) = first(changed) else { return Ok(kept) };
    let formatter = ArrayFormatter::try_new(array.as_ref(), &STRICT.format_options)
        .map_err(|e| misfit(path, e))?;
    let value = formatter.value(row).to_string();
    let ty = sql_name(ty);
    Err(Error::new(
        ErrorKind::Execution,
        format!(
            "column \"{path}\" is of type {ty}, in which {value} would lose digits; \
             CAST(… AS {ty}) says that it may"
        ),
    ))
}

/// The types that values are cut to, as SQL names them.
fn sql_name(ty: &DataType) -> String {
    match ty {
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(TimeUnit::Microsecond) => "time(6)".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp(6)".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            "timestamp(6) with time zone".to_owned()
        }
        other => other.to_string(),
    }
}
