//! Partition transforms of single values: the library's, except where it departs from the spec.

use iceberg::spec::{Datum, PrimitiveLiteral, PrimitiveType, Transform, Type};

use crate::error::{Error, ErrorKind, Result};

/// Applies `transform` to one value; `None` stands for NULL (the void transform).
///
/// Writers and pruning must agree on every value, or pruning drops files that hold matching rows.
/// The library (0.10.1) is wrong in some places, mended here: `day` of a timestamp before 1970
/// that is not a whole second can come out a day late, `bucket` of a nanosecond timestamp before
/// 1970 rounds towards zero where the spec's microseconds round down, and `truncate` refuses
/// binary and forgets a decimal's scale.
///
/// # Errors
/// `Unsupported` when the transform does not take this type.
pub fn transform_literal(transform: &Transform, value: &Datum) -> Result<Option<Datum>> {
    use PrimitiveLiteral as L;
    use PrimitiveType as P;

    // The library computes a `truncate` of dates and times that the specification does not know.
    transform.result_type(&Type::Primitive(value.data_type().clone())).map_err(|e| {
        let ty = value.data_type();
        Error::new(ErrorKind::Unsupported, format!("transform \"{transform}\" does not take {ty}"))
            .with_source(e)
    })?;
    let mended = match (transform, value.data_type(), value.literal()) {
        (Transform::Day, P::Timestamp | P::Timestamptz, L::Long(micros)) => {
            Some(Datum::date(day_of(*micros, 86_400_000_000)))
        }
        (Transform::Day, P::TimestampNs | P::TimestamptzNs, L::Long(nanos)) => {
            Some(Datum::date(day_of(*nanos, 86_400_000_000_000)))
        }
        (Transform::Bucket(_), P::TimestampNs | P::TimestamptzNs, L::Long(nanos)) => {
            let micros = Datum::timestamp_micros(nanos.div_euclid(1_000));
            return from_library(transform, &micros);
        }
        (Transform::Truncate(width), P::Binary, L::Binary(bytes)) => {
            let end = bytes.len().min(usize::try_from(*width).unwrap_or(usize::MAX));
            Some(Datum::binary(bytes[..end].iter().copied()))
        }
        (Transform::Truncate(width), P::Decimal { .. }, L::Int128(unscaled)) => {
            let cut = unscaled - unscaled.rem_euclid(i128::from(*width));
            let bytes = cut.to_be_bytes();
            Some(Datum::try_from_bytes(&bytes, value.data_type().clone())?)
        }
        _ => None,
    };
    match mended {
        Some(datum) => Ok(Some(datum)),
        None => from_library(transform, value),
    }
}

fn from_library(transform: &Transform, value: &Datum) -> Result<Option<Datum>> {
    Ok(iceberg::transform::create_transform_function(transform)?.transform_literal(value)?)
}

/// Days since 1970; the range of `i64` micro- and nanoseconds fits.
fn day_of(time: i64, per_day: i64) -> i32 {
    i32::try_from(time.div_euclid(per_day)).unwrap_or(i32::MAX)
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
