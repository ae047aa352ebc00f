//! Casts that lose something, as functions that the optimizer leaves alone.
//!
//! DataFusion turns `CAST(d AS int) = 3` into `d = 3.0`, for plans and for pruning alike. That is
//! right only where no two values of `d` become the same one and none fails.

use std::sync::Arc;

use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::format::DEFAULT_FORMAT_OPTIONS;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue, internal_err};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TryCast, Volatility,
};

/// The function that stands for CAST.
const CAST: &str = "fjord_cast";

/// Replaces a cast that is not one-to-one by a function; `expr` itself otherwise.
pub(super) fn hide(expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    let (inner, target, failure) = match &expr {
        Expr::Cast(Cast { expr, field }) => (expr, field.data_type(), Failure::Error),
        Expr::TryCast(TryCast { expr, field }) => (expr, field.data_type(), Failure::Null),
        _ => return Ok(Transformed::no(expr)),
    };
    if matches!(inner.as_ref(), Expr::Literal(..)) {
        return Ok(Transformed::no(expr));
    }
    // The type of a parameter is not known yet; nothing is unwrapped without it.
    let Ok(from) = inner.get_type(schema) else { return Ok(Transformed::no(expr)) };
    if !is_unwrapped(&from) || !is_unwrapped(target) || is_one_to_one(&from, target) {
        return Ok(Transformed::no(expr));
    }
    // The type travels as that of a NULL, so that the function is the same on every node.
    let target = Expr::Literal(ScalarValue::try_from(target)?, None);
    let func = Arc::new(ScalarUDF::from(LossyCast::new(failure)));
    let args = vec![inner.as_ref().clone(), target];
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(func, args))))
}

/// What a cast that was replaced casts, and to which type.
pub(super) fn hidden(expr: &Expr) -> Option<(&Expr, DataType)> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == CAST => {
            match args.as_slice() {
                [value, Expr::Literal(target, _)] => Some((value, target.data_type())),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Both functions, for the registry.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    [Failure::Error, Failure::Null]
        .map(|failure| Arc::new(ScalarUDF::from(LossyCast::new(failure))))
        .into()
}

/// The types between which DataFusion unwraps casts, beside texts and bytes, of which it is right.
fn is_unwrapped(ty: &DataType) -> bool {
    ty.is_integer()
        || ty.is_decimal()
        || matches!(ty, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

/// Whether every value has its own counterpart, and none fails; also where nothing is unwrapped.
fn is_one_to_one(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        _ if from == to => true,
        (T::Timestamp(from_unit, from_zone), T::Timestamp(unit, zone)) => {
            let is_utc = |zone: &Option<Arc<str>>| {
                zone.as_deref().is_none_or(|z| matches!(z, "UTC" | "+00:00" | "Z"))
            };
            from_unit == unit
                && (from_zone.is_some() == zone.is_some() || (is_utc(from_zone) && is_utc(zone)))
        }
        (T::Date32, T::Date64) | (T::Date32 | T::Date64, T::Timestamp(..)) => true,
        (T::Decimal128(precision, scale), T::Decimal128(to_precision, to_scale)) => {
            to_scale >= scale && digits(*to_precision, *to_scale) >= digits(*precision, *scale)
        }
        (from, T::Decimal128(precision, scale)) if from.is_integer() => {
            *scale >= 0 && digits(*precision, *scale) >= integer_digits(from)
        }
        (from, to) if from.is_integer() && to.is_integer() => {
            match (integer_range(from), integer_range(to)) {
                (Some((low, high)), Some((to_low, to_high))) => to_low <= low && high <= to_high,
                _ => false,
            }
        }
        _ => false,
    }
}

fn digits(precision: u8, scale: i8) -> i16 {
    i16::from(precision) - i16::from(scale)
}

fn integer_digits(ty: &DataType) -> i16 {
    match ty {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        _ => 20,
    }
}

/// The smallest and the largest value of an integer type.
pub(super) fn integer_range(ty: &DataType) -> Option<(i128, i128)> {
    Some(match ty {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Failure {
    /// `CAST`.
    Error,
    /// `TRY_CAST`.
    Null,
}

/// `CAST(x AS t)` as a function of x and a NULL of type t.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LossyCast {
    failure: Failure,
    signature: Signature,
}

impl LossyCast {
    fn new(failure: Failure) -> Self {
        Self { failure, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for LossyCast {
    fn name(&self) -> &str {
        match self.failure {
            Failure::Error => CAST,
            Failure::Null => "fjord_try_cast",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> DfResult<String> {
        let [value, Expr::Literal(target, _)] = args else {
            return internal_err!("{} takes a value and a type", self.name());
        };
        let verb = match self.failure {
            Failure::Error => "CAST",
            Failure::Null => "TRY_CAST",
        };
        Ok(format!("{verb}({value} AS {})", target.data_type()))
    }

    /// Not what it casts: a join by a cast has both among its columns.
    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        let [value, Expr::Literal(target, _)] = args else {
            return internal_err!("{} takes a value and a type", self.name());
        };
        let verb = match self.failure {
            Failure::Error => "CAST",
            Failure::Null => "TRY_CAST",
        };
        Ok(format!("{verb}({} AS {})", value.schema_name(), target.data_type()))
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        match types {
            [_, target] => Ok(target.clone()),
            _ => internal_err!("{} takes a value and a type", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let [value, target] = args.arg_fields else {
            return internal_err!("{} takes a value and a type", self.name());
        };
        let nullable = self.failure == Failure::Null || value.is_nullable();
        Ok(Arc::new(Field::new(self.name(), target.data_type().clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let Some(value) = args.args.first() else {
            return internal_err!("{} takes a value and a type", self.name());
        };
        let options = CastOptions {
            safe: self.failure == Failure::Null,
            format_options: DEFAULT_FORMAT_OPTIONS,
        };
        value.cast_to(args.return_field.data_type(), Some(&options))
    }

    /// Which range of instants becomes one day, or one instant of a finer unit: what is compared
    /// with such a value prunes by that range.
    fn preimage(
        &self,
        args: &[Expr],
        literal: &Expr,
        info: &SimplifyContext,
    ) -> DfResult<PreimageResult> {
        let (Some(value), Expr::Literal(literal, _)) = (args.first(), literal) else {
            return Ok(PreimageResult::None);
        };
        let from = info.get_data_type(value)?;
        let Some((low, high)) = instants(&from, literal) else {
            return Ok(PreimageResult::None);
        };
        let interval = Box::new(Interval::try_new(low, high)?);
        Ok(PreimageResult::Range { expr: value.clone(), interval })
    }
}

/// The first instant of type `from` that becomes `literal`, and the first after it.
fn instants(from: &DataType, literal: &ScalarValue) -> Option<(ScalarValue, ScalarValue)> {
    let DataType::Timestamp(unit, zone) = from else { return None };
    if zone.as_deref().is_some_and(|z| !matches!(z, "UTC" | "+00:00" | "Z")) {
        return None;
    }
    let (start, length) = match literal {
        ScalarValue::Date32(Some(days)) => (i128::from(*days).checked_mul(DAY_NANOS)?, DAY_NANOS),
        // A cast to a coarser unit cuts towards 1970: no range becomes a value.
        literal => match nanos(literal)? {
            (start, to) if unit_nanos(to) <= unit_nanos(*unit) => (start, unit_nanos(*unit)),
            _ => return None,
        },
    };
    let per_unit = unit_nanos(*unit);
    if start % per_unit != 0 || length % per_unit != 0 {
        return None;
    }
    let at =
        |nanos: i128| Some(instant(i64::try_from(nanos / per_unit).ok()?, *unit, zone.clone()));
    Some((at(start)?, at(start + length)?))
}

const DAY_NANOS: i128 = 86_400_000_000_000;

/// Nanoseconds of a unit of time.
pub(super) fn unit_nanos(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// An instant since the epoch in nanoseconds, and the unit that it is in.
pub(super) fn nanos(value: &ScalarValue) -> Option<(i128, TimeUnit)> {
    let (count, unit) = match value {
        ScalarValue::TimestampSecond(Some(v), _) => (*v, TimeUnit::Second),
        ScalarValue::TimestampMillisecond(Some(v), _) => (*v, TimeUnit::Millisecond),
        ScalarValue::TimestampMicrosecond(Some(v), _) => (*v, TimeUnit::Microsecond),
        ScalarValue::TimestampNanosecond(Some(v), _) => (*v, TimeUnit::Nanosecond),
        _ => return None,
    };
    Some((i128::from(count) * unit_nanos(unit), unit))
}

/// `count` units since the epoch.
pub(super) fn instant(count: i64, unit: TimeUnit, zone: Option<Arc<str>>) -> ScalarValue {
    match unit {
        TimeUnit::Second => ScalarValue::TimestampSecond(Some(count), zone),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(count), zone),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(count), zone),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(count), zone),
    }
}
