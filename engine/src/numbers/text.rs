//! Texts compared with decimals, dates and instants: as what they say, not as what the other side's type
//! would make of it.
//!
//! `amount = '0.251'` over two digits is never true; DataFusion would round the text to 0.25 and find
//! rows.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::instant;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// The digits of the widest decimal that tables have.
const DIGITS_MAX: usize = 38;

/// Makes values of their own types of the texts among `exprs` that a type of the others would change;
/// whether there were any.
pub(super) fn refine(exprs: &mut [&mut Expr], schema: &DFSchema) -> bool {
    let mut is_refined = instant::refine(exprs, schema);
    if !exprs.iter().any(|expr| text_of(expr).is_some()) {
        return is_refined;
    }
    let others: Vec<DataType> = exprs
        .iter()
        .filter(|expr| text_of(expr).is_none())
        .filter_map(|expr| expr.get_type(schema).ok())
        .collect();
    let scale = others.iter().filter_map(|ty| match ty {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => Some(*scale),
        _ => None,
    });
    let scale = scale.max();
    let has_date = others.iter().any(|ty| matches!(ty, DataType::Date32 | DataType::Date64));
    for expr in exprs.iter_mut() {
        let Some(text) = text_of(expr) else { continue };
        let value = match scale {
            Some(scale) => longer_decimal(text, scale),
            None if has_date => time_of_day(text),
            None => None,
        };
        if let Some(value) = value {
            **expr = Expr::Literal(value, None);
            is_refined = true;
        }
    }
    is_refined
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// The decimal that a text is, if it has more digits after the point than `scale`.
fn longer_decimal(text: &str, scale: i8) -> Option<ScalarValue> {
    let digits = text.trim().trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.')?;
    let fraction = fraction.trim_end_matches('0');
    let is_plain = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let length = whole.len() + fraction.len();
    if !is_plain || length > DIGITS_MAX || fraction.len() <= usize::try_from(scale).unwrap_or(0) {
        return None;
    }
    let ty = DataType::Decimal128(u8::try_from(length).ok()?, i8::try_from(fraction.len()).ok()?);
    ScalarValue::from(text.trim()).cast_to(&ty).ok()
}

/// The instant that a text is, if it is not the beginning of a day.
fn time_of_day(text: &str) -> Option<ScalarValue> {
    let unit = match instant::fraction_digits(text) {
        0..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    };
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let value = ScalarValue::from(text).cast_to(&DataType::Timestamp(unit, None)).ok()?;
    match (&value, value.cast_to(&micros).ok()?) {
        (ScalarValue::TimestampNanosecond(Some(nanos), _), _) if nanos % 1_000 != 0 => Some(value),
        (_, ScalarValue::TimestampMicrosecond(Some(micros), _)) => {
            (micros % MICROS_PER_DAY != 0).then_some(value)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_that_would_be_changed_become_values() {
        let decimal =
            |value, precision, scale| Some(ScalarValue::Decimal128(Some(value), precision, scale));
        assert_eq!(longer_decimal("0.251", 2), decimal(251, 4, 3));
        assert_eq!(longer_decimal(" -12.3450 ", 2), decimal(-12_345, 5, 3));
        for text in ["0.25", "0.250", "7", "1.5e-3", "", ".", "x.251", "1.2.3"] {
            assert_eq!(longer_decimal(text, 2), None, "{text}");
        }
        let noon = ScalarValue::TimestampMicrosecond(Some(43_200_000_000), None);
        assert_eq!(time_of_day("1970-01-01T12:00:00"), Some(noon));
        let late = ScalarValue::TimestampNanosecond(Some(1), None);
        assert_eq!(time_of_day("1970-01-01 00:00:00.000000001"), Some(late));
        for text in ["1970-01-01", "1970-01-01 00:00:00", "soon"] {
            assert_eq!(time_of_day(text), None, "{text}");
        }
    }
}
