//! Iceberg partition transforms as Arrow kernels.
//!
//! The values must equal those of [`fjord_catalog::spec::transform_literal`], which pruning uses:
//! a file filed under another partition value than pruning computes would be lost to queries.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryViewArray, Int32Array,
    LargeBinaryArray, LargeStringArray, PrimitiveArray, StringArray, StringViewArray,
    new_null_array,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use chrono::Datelike;
use fjord_catalog::spec::Transform;

use crate::error::{Error, ErrorKind, Result};

const EPOCH_YEAR: i32 = 1970;
/// Days from 0001-01-01 to 1970-01-01, in chrono's count.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;
const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// The Arrow type of `transform` over a column of type `source` (spec, "Partition Transforms").
///
/// # Errors
/// `Unsupported` when the transform does not take this type.
pub fn result_type(transform: &Transform, source: &DataType) -> Result<DataType> {
    use DataType as D;
    let text_or_bytes = matches!(
        source,
        D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Binary | D::LargeBinary | D::BinaryView
    );
    let timestamp = matches!(source, D::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _));
    let number = matches!(source, D::Int32 | D::Int64 | D::Decimal128(..));
    let found = match transform {
        Transform::Identity if !source.is_nested() => Some(source.clone()),
        Transform::Void => Some(source.clone()),
        Transform::Bucket(_)
            if number
                || text_or_bytes
                || timestamp
                || matches!(
                    source,
                    D::Date32 | D::Time64(TimeUnit::Microsecond) | D::FixedSizeBinary(_)
                ) =>
        {
            Some(D::Int32)
        }
        Transform::Truncate(_) if number || text_or_bytes => Some(source.clone()),
        Transform::Year | Transform::Month if timestamp || *source == D::Date32 => Some(D::Int32),
        Transform::Day if timestamp || *source == D::Date32 => Some(D::Date32),
        Transform::Hour if timestamp => Some(D::Int32),
        _ => None,
    };
    found.ok_or_else(|| {
        Error::unsupported(format!("transform \"{transform}\" does not take a column of {source}"))
    })
}

/// Applies `transform` to every value; NULL stays NULL.
///
/// # Errors
/// `Unsupported` when the transform does not take this type.
pub fn transform(transform: &Transform, source: &ArrayRef) -> Result<ArrayRef> {
    let ty = result_type(transform, source.data_type())?;
    match transform {
        Transform::Identity => Ok(Arc::clone(source)),
        Transform::Void => Ok(new_null_array(&ty, source.len())),
        Transform::Bucket(buckets) => bucket(source, *buckets),
        Transform::Truncate(width) => truncate(source, *width),
        Transform::Year | Transform::Month | Transform::Day | Transform::Hour => {
            time_part(transform, source)
        }
        Transform::Unknown => Err(mismatch(source)),
    }
}

fn mismatch(source: &ArrayRef) -> Error {
    Error::new(ErrorKind::Bug, format!("no transform kernel for {}", source.data_type()))
}

/// `(murmur3_x86_32(value) & i32::MAX) % buckets` (spec, appendix B).
fn bucket(source: &ArrayRef, buckets: u32) -> Result<ArrayRef> {
    let of = |hash: u32| -> i32 {
        // Both fit: the hash has 31 bits left and the remainder is smaller still.
        i32::try_from((hash & 0x7fff_ffff) % buckets.max(1)).unwrap_or(0)
    };
    let of_long = |v: i64| of(murmur3(&v.to_le_bytes()));
    let of_bytes = |v: &[u8]| of(murmur3(v));

    let buckets: Int32Array = match source.data_type() {
        DataType::Int32 => source.as_primitive::<Int32Type>().unary(|v| of_long(i64::from(v))),
        DataType::Date32 => source.as_primitive::<Date32Type>().unary(|v| of_long(i64::from(v))),
        DataType::Int64 => source.as_primitive::<Int64Type>().unary(of_long),
        DataType::Time64(TimeUnit::Microsecond) => {
            source.as_primitive::<Time64MicrosecondType>().unary(of_long)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            source.as_primitive::<TimestampMicrosecondType>().unary(of_long)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            source.as_primitive::<TimestampNanosecondType>().unary(|v| of_long(v.div_euclid(1_000)))
        }
        DataType::Decimal128(..) => source
            .as_primitive::<Decimal128Type>()
            .unary(|v| of_bytes(minimal_bytes(&v.to_be_bytes()))),
        DataType::Utf8 => {
            source.as_string::<i32>().iter().map(|v| v.map(|v| of_bytes(v.as_bytes()))).collect()
        }
        DataType::LargeUtf8 => {
            source.as_string::<i64>().iter().map(|v| v.map(|v| of_bytes(v.as_bytes()))).collect()
        }
        DataType::Utf8View => {
            source.as_string_view().iter().map(|v| v.map(|v| of_bytes(v.as_bytes()))).collect()
        }
        DataType::Binary => source.as_binary::<i32>().iter().map(|v| v.map(of_bytes)).collect(),
        DataType::LargeBinary => {
            source.as_binary::<i64>().iter().map(|v| v.map(of_bytes)).collect()
        }
        DataType::BinaryView => source.as_binary_view().iter().map(|v| v.map(of_bytes)).collect(),
        DataType::FixedSizeBinary(_) => {
            source.as_fixed_size_binary().iter().map(|v| v.map(of_bytes)).collect()
        }
        _ => return Err(mismatch(source)),
    };
    Ok(Arc::new(buckets))
}

/// The fewest two's complement bytes that keep value and sign.
pub(crate) fn minimal_bytes(big_endian: &[u8; 16]) -> &[u8] {
    let fill = if big_endian[0] & 0x80 == 0 { 0x00 } else { 0xff };
    let mut start = 0;
    while start < 15 && big_endian[start] == fill && (big_endian[start + 1] ^ fill) & 0x80 == 0 {
        start += 1;
    }
    &big_endian[start..]
}

/// Murmur3, x86, 32 bits, seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let scramble = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);

    let mut hash = 0u32;
    let (blocks, tail) = bytes.as_chunks::<4>();
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = tail.iter().rev().fold(0u32, |k, byte| (k << 8) | u32::from(*byte));
    hash ^= scramble(rest);
    // The reference takes the length modulo 2^32.
    hash ^= (bytes.len() & 0xffff_ffff) as u32;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// Numbers go down to a multiple of `width`, text keeps `width` code points, binary `width` bytes.
fn truncate(source: &ArrayRef, width: u32) -> Result<ArrayRef> {
    let count = usize::try_from(width).unwrap_or(usize::MAX);
    let text = |v: &str| v.char_indices().nth(count).map_or(v.len(), |(end, _)| end);
    let cut: ArrayRef = match source.data_type() {
        DataType::Int32 => {
            let width = i64::from(width);
            // Below i32::MIN it wraps, as the reference implementation does.
            Arc::new(
                source.as_primitive::<Int32Type>().unary::<_, Int32Type>(|v| {
                    v.wrapping_sub(i64::from(v).rem_euclid(width) as i32)
                }),
            )
        }
        DataType::Int64 => {
            let width = i64::from(width);
            Arc::new(
                source
                    .as_primitive::<Int64Type>()
                    .unary::<_, Int64Type>(|v| v.wrapping_sub(v.rem_euclid(width))),
            )
        }
        DataType::Decimal128(..) => {
            let width = i128::from(width);
            let cut: PrimitiveArray<Decimal128Type> = source
                .as_primitive::<Decimal128Type>()
                .unary(|v| v.wrapping_sub(v.rem_euclid(width)));
            Arc::new(cut.with_data_type(source.data_type().clone()))
        }
        DataType::Utf8 => {
            let values = source.as_string::<i32>().iter();
            Arc::new(values.map(|v| v.map(|v| &v[..text(v)])).collect::<StringArray>())
        }
        DataType::LargeUtf8 => {
            let values = source.as_string::<i64>().iter();
            Arc::new(values.map(|v| v.map(|v| &v[..text(v)])).collect::<LargeStringArray>())
        }
        DataType::Utf8View => {
            let values = source.as_string_view().iter();
            Arc::new(values.map(|v| v.map(|v| &v[..text(v)])).collect::<StringViewArray>())
        }
        DataType::Binary => {
            let values = source.as_binary::<i32>().iter();
            Arc::new(values.map(|v| v.map(|v| &v[..v.len().min(count)])).collect::<BinaryArray>())
        }
        DataType::LargeBinary => {
            let values = source.as_binary::<i64>().iter();
            let cut = values.map(|v| v.map(|v| &v[..v.len().min(count)]));
            Arc::new(cut.collect::<LargeBinaryArray>())
        }
        DataType::BinaryView => {
            let values = source.as_binary_view().iter();
            let cut = values.map(|v| v.map(|v| &v[..v.len().min(count)]));
            Arc::new(cut.collect::<BinaryViewArray>())
        }
        _ => return Err(mismatch(source)),
    };
    Ok(cut)
}

fn time_part(transform: &Transform, source: &ArrayRef) -> Result<ArrayRef> {
    match source.data_type() {
        DataType::Date32 => dated(transform, source.as_primitive::<Date32Type>(), i64::from, 1, 0),
        DataType::Timestamp(TimeUnit::Microsecond, _) => dated(
            transform,
            source.as_primitive::<TimestampMicrosecondType>(),
            |v| v,
            MICROS_PER_DAY,
            MICROS_PER_HOUR,
        ),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => dated(
            transform,
            source.as_primitive::<TimestampNanosecondType>(),
            |v| v,
            MICROS_PER_DAY * 1_000,
            MICROS_PER_HOUR * 1_000,
        ),
        _ => Err(mismatch(source)),
    }
}

/// Year, month, day and hour of instants that count from 1970; always rounded down.
fn dated<T: ArrowPrimitiveType>(
    transform: &Transform,
    instants: &PrimitiveArray<T>,
    to_long: impl Fn(T::Native) -> i64,
    per_day: i64,
    per_hour: i64,
) -> Result<ArrayRef> {
    let days = |v: T::Native| -> Result<i32> {
        i32::try_from(to_long(v).div_euclid(per_day)).map_err(|_| out_of_range())
    };
    Ok(match transform {
        Transform::Day => Arc::new(instants.try_unary::<_, Date32Type, _>(days)?),
        Transform::Hour => Arc::new(instants.try_unary::<_, Int32Type, _>(|v| {
            i32::try_from(to_long(v).div_euclid(per_hour)).map_err(|_| out_of_range())
        })?),
        Transform::Year => Arc::new(instants.try_unary::<_, Int32Type, _>(|v| {
            Ok::<_, Error>(civil(days(v)?)?.year() - EPOCH_YEAR)
        })?),
        _ => Arc::new(instants.try_unary::<_, Int32Type, _>(|v| {
            let date = civil(days(v)?)?;
            // A month below twelve always fits.
            Ok::<_, Error>((date.year() - EPOCH_YEAR) * 12 + date.month0() as i32)
        })?),
    })
}

fn out_of_range() -> Error {
    Error::new(
        ErrorKind::Execution,
        "a date or timestamp lies outside the years that can be partitioned by",
    )
}

fn civil(days: i32) -> Result<chrono::NaiveDate> {
    days.checked_add(EPOCH_DAYS_FROM_CE)
        .and_then(chrono::NaiveDate::from_num_days_from_ce_opt)
        .ok_or_else(out_of_range)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Decimal128Array, FixedSizeBinaryArray, Int64Array, Time64MicrosecondArray,
        TimestampMicrosecondArray, TimestampNanosecondArray,
    };
    use fjord_catalog::spec::{Datum, PrimitiveLiteral, PrimitiveType, transform_literal};
    use proptest::prelude::*;

    use super::*;

    /// The transformed value as the library's literal; columns hold one value.
    fn literal(array: &ArrayRef) -> PrimitiveLiteral {
        use PrimitiveLiteral as L;
        match array.data_type() {
            DataType::Int32 => L::Int(array.as_primitive::<Int32Type>().value(0)),
            DataType::Date32 => L::Int(array.as_primitive::<Date32Type>().value(0)),
            DataType::Int64 => L::Long(array.as_primitive::<Int64Type>().value(0)),
            DataType::Time64(_) => L::Long(array.as_primitive::<Time64MicrosecondType>().value(0)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                L::Long(array.as_primitive::<TimestampMicrosecondType>().value(0))
            }
            DataType::Timestamp(..) => {
                L::Long(array.as_primitive::<TimestampNanosecondType>().value(0))
            }
            DataType::Decimal128(..) => L::Int128(array.as_primitive::<Decimal128Type>().value(0)),
            DataType::Utf8 => L::String(array.as_string::<i32>().value(0).to_owned()),
            DataType::LargeUtf8 => L::String(array.as_string::<i64>().value(0).to_owned()),
            DataType::Utf8View => L::String(array.as_string_view().value(0).to_owned()),
            DataType::Binary => L::Binary(array.as_binary::<i32>().value(0).to_vec()),
            DataType::LargeBinary => L::Binary(array.as_binary::<i64>().value(0).to_vec()),
            DataType::BinaryView => L::Binary(array.as_binary_view().value(0).to_vec()),
            DataType::FixedSizeBinary(_) => {
                L::Binary(array.as_fixed_size_binary().value(0).to_vec())
            }
            other => panic!("{other}"),
        }
    }

    /// Both refuse, or both agree; NULL stays NULL.
    fn check(wanted: Transform, datum: &Datum, column: ArrayRef) {
        let ours = transform(&wanted, &column);
        let theirs = transform_literal(&wanted, datum);
        let (ours, theirs) = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(_), Err(_)) => return,
            (ours, theirs) => panic!("{wanted} of {datum:?}: {ours:?} but {theirs:?}"),
        };
        match theirs {
            None => assert!(ours.is_null(0), "{wanted} of {datum}"),
            Some(theirs) => {
                let mut theirs = theirs.literal().clone();
                if let PrimitiveLiteral::UInt128(uuid) = theirs {
                    theirs = PrimitiveLiteral::Binary(uuid.to_be_bytes().to_vec());
                }
                assert_eq!(literal(&ours), theirs, "{wanted} of {datum:?}");
            }
        }
        let null = new_null_array(column.data_type(), 1);
        assert!(transform(&wanted, &null).unwrap().is_null(0));
    }

    fn check_all(n: u32, datum: &Datum, column: &ArrayRef) {
        let transforms = [
            Transform::Identity,
            Transform::Void,
            Transform::Bucket(n),
            Transform::Truncate(n),
            Transform::Year,
            Transform::Month,
            Transform::Day,
            Transform::Hour,
        ];
        for wanted in transforms {
            check(wanted, datum, Arc::clone(column));
        }
    }

    fn decimal(unscaled: i128) -> (Datum, ArrayRef) {
        let ty = PrimitiveType::Decimal { precision: 38, scale: 3 };
        let column = Decimal128Array::from(vec![unscaled]).with_precision_and_scale(38, 3).unwrap();
        (Datum::try_from_bytes(&unscaled.to_be_bytes(), ty).unwrap(), Arc::new(column))
    }

    // Years that the library's calendar can hold.
    const MICROS: std::ops::Range<i64> = -60_000_000_000_000_000..60_000_000_000_000_000;

    proptest! {
        #[test]
        fn kernels_agree_with_literals_on_numbers(
            n in 1u32..1_000, int in -1_000_000i32..2_000_000, long in any::<i64>(),
            unscaled in -(10i128.pow(37))..10i128.pow(37),
        ) {
            check_all(n, &Datum::int(int), &(Arc::new(Int32Array::from(vec![int])) as ArrayRef));
            let long = long / 2;
            check_all(n, &Datum::long(long), &(Arc::new(Int64Array::from(vec![long])) as ArrayRef));
            let (datum, column) = decimal(unscaled);
            check_all(n, &datum, &column);
            let (datum, column) = decimal(unscaled % 300);
            check_all(n, &datum, &column);
        }

        #[test]
        fn kernels_agree_with_literals_on_times(
            n in 1u32..1_000, days in -700_000i32..700_000, time in 0i64..86_400_000_000,
            micros in MICROS, nanos in any::<i64>(),
        ) {
            let date = Arc::new(arrow::array::Date32Array::from(vec![days])) as ArrayRef;
            check_all(n, &Datum::date(days), &date);
            let column = Arc::new(Time64MicrosecondArray::from(vec![time])) as ArrayRef;
            check_all(n, &Datum::time_micros(time).unwrap(), &column);
            for micros in [micros, micros % 10_000_000_000] {
                let column = TimestampMicrosecondArray::from(vec![micros]);
                check_all(n, &Datum::timestamptz_micros(micros), &(Arc::new(column.clone().with_timezone("UTC")) as ArrayRef));
                check_all(n, &Datum::timestamp_micros(micros), &(Arc::new(column) as ArrayRef));
            }
            for nanos in [nanos, nanos % 1_000_000_000_000] {
                let column = TimestampNanosecondArray::from(vec![nanos]);
                check_all(n, &Datum::timestamptz_nanos(nanos), &(Arc::new(column.clone().with_timezone("UTC")) as ArrayRef));
                check_all(n, &Datum::timestamp_nanos(nanos), &(Arc::new(column) as ArrayRef));
            }
        }

        #[test]
        fn kernels_agree_with_literals_on_text_and_bytes(
            n in 1u32..12, text in ".{0,12}", bytes in proptest::collection::vec(any::<u8>(), 0..40),
            uuid in any::<u128>(),
        ) {
            let text = text.as_str();
            let columns: [ArrayRef; 3] = [
                Arc::new(StringArray::from(vec![text])),
                Arc::new(LargeStringArray::from(vec![text])),
                Arc::new(StringViewArray::from(vec![text])),
            ];
            columns.iter().for_each(|column| check_all(n, &Datum::string(text), column));
            let slice = bytes.as_slice();
            let columns: [ArrayRef; 3] = [
                Arc::new(BinaryArray::from(vec![slice])),
                Arc::new(LargeBinaryArray::from(vec![slice])),
                Arc::new(BinaryViewArray::from(vec![slice])),
            ];
            columns.iter().for_each(|column| check_all(n, &Datum::binary(bytes.clone()), column));
            let uuid = uuid::Uuid::from_u128(uuid);
            let column = FixedSizeBinaryArray::try_from_iter([uuid.as_bytes()].into_iter()).unwrap();
            let column = Arc::new(column) as ArrayRef;
            check_all(n, &Datum::uuid(uuid), &column);
            check_all(n, &Datum::fixed(*uuid.as_bytes()), &column);
        }
    }

    #[test]
    fn hashes_are_those_of_the_specification() {
        // Appendix B of the Iceberg specification.
        assert_eq!(murmur3(&34i64.to_le_bytes()) as i32, 2_017_239_379);
        assert_eq!(murmur3(b"iceberg") as i32, 1_210_000_089);
        assert_eq!(murmur3(minimal_bytes(&1420i128.to_be_bytes())) as i32, -500_754_589);
        assert_eq!(murmur3(&[0, 1, 2, 3]) as i32, -188_683_207);
    }

    #[test]
    fn truncate_wraps_below_the_least_integer() {
        let column = Arc::new(Int32Array::from(vec![i32::MIN])) as ArrayRef;
        let cut = transform(&Transform::Truncate(10), &column).unwrap();
        assert_eq!(literal(&cut), PrimitiveLiteral::Int(i32::MIN.wrapping_sub(2)));
    }
}
