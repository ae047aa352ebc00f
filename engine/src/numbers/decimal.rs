//! Arithmetic of decimals that fails where the result has more digits than its type.
//!
//! DataFusion computes in 128 bits, which hold a little more than the 38 digits of the widest
//! decimal: results of 39 digits come out, and are cut where they are shown. Where the types and
//! literals of the operands prove that 38 digits suffice, DataFusion's operators stay.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::kernels::numeric::{add, div, mul, sub};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue, internal_err};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

use super::as_operands;
use super::cast::integer_range;
use crate::error::{Error, ErrorKind};

/// The digits of the widest decimal.
pub(super) const DIGITS_MAX: u8 = 38;

/// The largest integer of `precision` digits.
pub(super) fn largest(precision: u8) -> i128 {
    10_i128.checked_pow(u32::from(precision)).map_or(i128::MAX, |power| power - 1)
}

/// Replaces arithmetic whose result may have more than 38 digits by a function that says so;
/// `expr` itself otherwise.
pub(super) fn check(expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
        return Ok(Transformed::no(expr));
    };
    if name_of(*op).is_none() {
        return Ok(Transformed::no(expr));
    }
    let is_decimal = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Decimal128(_, _)));
    if !is_decimal(left) || !is_decimal(right) {
        return Ok(Transformed::no(expr));
    }
    // A result type below the widest has room for every result of its operands.
    let Ok(DataType::Decimal128(DIGITS_MAX, _)) = expr.get_type(schema) else {
        return Ok(Transformed::no(expr));
    };
    if magnitude(&expr, schema).is_some_and(|most| most <= largest(DIGITS_MAX)) {
        return Ok(Transformed::no(expr));
    }
    let args = vec![left.as_ref().clone(), right.as_ref().clone()];
    let func = Arc::new(ScalarUDF::from(CheckedDecimal::new(*op)));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(func, args))))
}

/// The functions, for the registry.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    use Operator as O;
    [O::Plus, O::Minus, O::Multiply, O::Divide]
        .map(|op| Arc::new(ScalarUDF::from(CheckedDecimal::new(op))))
        .into()
}

/// How far from zero the unscaled values of `expr` may lie.
fn magnitude(expr: &Expr, schema: &DFSchema) -> Option<i128> {
    let DataType::Decimal128(precision, scale) = expr.get_type(schema).ok()? else {
        return None;
    };
    let most = largest(precision);
    match expr {
        Expr::Literal(ScalarValue::Decimal128(Some(value), _, _), _) => value.checked_abs(),
        Expr::Cast(Cast { expr: inner, field }) => match inner.as_ref() {
            Expr::Literal(value, _) => match value.cast_to(field.data_type()).ok()? {
                ScalarValue::Decimal128(Some(value), _, _) => value.checked_abs(),
                _ => Some(most),
            },
            inner => {
                let range = integer_range(&inner.get_type(schema).ok()?);
                let scaled = range.and_then(|(low, high)| {
                    low.checked_abs()?.max(high).checked_mul(power(i16::from(scale))?)
                });
                Some(scaled.map_or(most, |scaled| scaled.min(most)))
            }
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (l, r) = (magnitude(left, schema)?, magnitude(right, schema)?);
            let scale_of = |expr: &Expr| match expr.get_type(schema) {
                Ok(DataType::Decimal128(_, scale)) => Some(i16::from(scale)),
                _ => None,
            };
            let (ls, rs, scale) = (scale_of(left)?, scale_of(right)?, i16::from(scale));
            match op {
                Operator::Plus | Operator::Minus => l
                    .checked_mul(power(scale - ls)?)?
                    .checked_add(r.checked_mul(power(scale - rs)?)?),
                Operator::Multiply => l.checked_mul(r),
                Operator::Divide => l.checked_mul(power(scale - ls + rs)?),
                _ => Some(most),
            }
        }
        _ => Some(most),
    }
}

fn power(exponent: i16) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

fn name_of(op: Operator) -> Option<(&'static str, &'static str)> {
    Some(match op {
        Operator::Plus => ("fjord_decimal_add", "addition"),
        Operator::Minus => ("fjord_decimal_subtract", "subtraction"),
        Operator::Multiply => ("fjord_decimal_multiply", "multiplication"),
        Operator::Divide => ("fjord_decimal_divide", "division"),
        _ => return None,
    })
}

/// `a + b` and its kind of decimals, as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedDecimal {
    op: Operator,
    signature: Signature,
}

impl CheckedDecimal {
    fn new(op: Operator) -> Self {
        Self { op, signature: Signature::any(2, Volatility::Immutable) }
    }

    /// As the operator would be written.
    fn written(&self, args: &[String]) -> DfResult<String> {
        match args {
            [left, right] => Ok(format!("{left} {} {right}", self.op)),
            _ => internal_err!("{} has {} operands", self.name(), args.len()),
        }
    }

    fn result_type(&self, left: &DataType, right: &DataType) -> DfResult<DataType> {
        BinaryTypeCoercer::new(left, &self.op, right).get_result_type()
    }

    /// The overflow of `row`, or of a row that is not known.
    fn overflow(&self, args: &[ColumnarValue], row: Option<usize>, ty: &DataType) -> Error {
        let (_, noun) = name_of(self.op).unwrap_or(("", "arithmetic"));
        let shown: Option<Vec<String>> =
            row.and_then(|row| args.iter().map(|arg| shown(arg, row)).collect());
        let what = match shown.as_deref() {
            Some([left, right]) => format!("{left} {} {right}", self.op),
            _ => "the result".to_owned(),
        };
        let ty = match ty {
            DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
            other => other.to_string(),
        };
        Error::new(
            ErrorKind::Execution,
            format!("decimal {noun} overflow: {what} does not fit {ty}"),
        )
    }
}

/// The decimal of a row as text.
fn shown(value: &ColumnarValue, row: usize) -> Option<String> {
    let value = match value {
        ColumnarValue::Scalar(value) => value.clone(),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row).ok()?,
    };
    match value {
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            Some(Decimal128Type::format_decimal(value, precision, scale))
        }
        _ => None,
    }
}

impl ScalarUDFImpl for CheckedDecimal {
    fn name(&self) -> &str {
        name_of(self.op).map_or("fjord_decimal", |(name, _)| name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> DfResult<String> {
        self.written(&as_operands(args))
    }

    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        self.written(&args)
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        match types {
            [left, right] => self.result_type(left, right),
            _ => internal_err!("{} has {} operands", self.name(), types.len()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let [left, right] = args.arg_fields else {
            return internal_err!("{} has {} operands", self.name(), args.arg_fields.len());
        };
        let ty = self.result_type(left.data_type(), right.data_type())?;
        let nullable = left.is_nullable() || right.is_nullable();
        Ok(Arc::new(Field::new(self.name(), ty, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let ty = args.return_field.data_type();
        let args = args.args.as_slice();
        let [left, right] = args else {
            return internal_err!("{} has {} operands", self.name(), args.len());
        };
        let computed = match self.op {
            Operator::Plus => apply(left, right, add),
            Operator::Minus => apply(left, right, sub),
            Operator::Multiply => apply(left, right, mul),
            _ => apply(left, right, div),
        };
        let result = match computed {
            Err(DataFusionError::ArrowError(e, _))
                if matches!(*e, ArrowError::ArithmeticOverflow(_)) =>
            {
                let both =
                    matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
                return Err(self.overflow(args, both.then_some(0), ty).with_source(*e).into());
            }
            result => result?,
        };
        let most = largest(DIGITS_MAX).unsigned_abs();
        let row = match &result {
            ColumnarValue::Array(array) => {
                let decimals = array.as_primitive::<Decimal128Type>();
                if decimals.values().iter().any(|value| value.unsigned_abs() > most) {
                    // What raised the suspicion may be NULL.
                    decimals.iter().position(|value| value.is_some_and(|v| v.unsigned_abs() > most))
                } else {
                    None
                }
            }
            ColumnarValue::Scalar(ScalarValue::Decimal128(Some(value), _, _)) => {
                (value.unsigned_abs() > most).then_some(0)
            }
            ColumnarValue::Scalar(_) => None,
        };
        match row {
            Some(row) => Err(self.overflow(args, Some(row), ty).into()),
            None => Ok(result),
        }
    }
}
