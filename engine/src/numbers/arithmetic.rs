//! Arithmetic of integers that fails where the result does not fit, instead of wrapping.
//!
//! DataFusion's `+`, `-`, `*`, negation and `abs` wrap, in folded constants too. Where the types
//! and literals of the operands prove that the result fits (`CAST(i AS bigint) + 1`), they stay.

use std::sync::Arc;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Field, FieldRef, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue, internal_err};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::as_operands;
use super::cast::integer_range;
use crate::error::{Error, ErrorKind};

/// Replaces arithmetic that may overflow by a function that says so; `expr` itself otherwise.
pub(super) fn check(expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    let (operation, args) = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Plus => (Operation::Add, vec![left.as_ref(), right.as_ref()]),
            Operator::Minus => (Operation::Subtract, vec![left.as_ref(), right.as_ref()]),
            Operator::Multiply => (Operation::Multiply, vec![left.as_ref(), right.as_ref()]),
            _ => return Ok(Transformed::no(expr)),
        },
        Expr::Negative(inner) => (Operation::Negate, vec![inner.as_ref()]),
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "abs" => {
            (Operation::Absolute, args.iter().collect())
        }
        _ => return Ok(Transformed::no(expr)),
    };
    let Some(ty) = integer_type(&args, schema) else { return Ok(Transformed::no(expr)) };
    let ranges = args.iter().map(|arg| range(arg, schema)).collect::<Option<Vec<_>>>();
    let result = ranges.and_then(|ranges| operation.range(&ranges));
    if let (Some((low, high)), Some((min, max))) = (result, integer_range(&ty))
        && min <= low
        && high <= max
    {
        return Ok(Transformed::no(expr));
    }
    let args = args.into_iter().cloned().collect();
    let func = Arc::new(ScalarUDF::from(Checked::new(operation)));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(func, args))))
}

/// The functions, for the registry.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    use Operation as O;
    [O::Add, O::Subtract, O::Multiply, O::Negate, O::Absolute]
        .map(|operation| Arc::new(ScalarUDF::from(Checked::new(operation))))
        .into()
}

/// The one integer type of all of `args`.
fn integer_type(args: &[&Expr], schema: &DFSchema) -> Option<DataType> {
    let (first, others) = args.split_first()?;
    let ty = first.get_type(schema).ok()?;
    let same = ty.is_integer()
        && others.iter().all(|other| other.get_type(schema).is_ok_and(|other| other == ty));
    same.then_some(ty)
}

/// Between which integers `expr` must lie.
fn range(expr: &Expr, schema: &DFSchema) -> Option<(i128, i128)> {
    match expr {
        Expr::Literal(value, _) => {
            let ScalarValue::Decimal128(Some(value), _, _) =
                value.cast_to(&DataType::Decimal128(38, 0)).ok()?
            else {
                return None;
            };
            Some((value, value))
        }
        Expr::Cast(Cast { expr: inner, field }) => {
            let inner = integer_range(&inner.get_type(schema).ok()?)?;
            let target = integer_range(field.data_type())?;
            Some((inner.0.max(target.0), inner.1.min(target.1)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let operation = match op {
                Operator::Plus => Operation::Add,
                Operator::Minus => Operation::Subtract,
                Operator::Multiply => Operation::Multiply,
                _ => return integer_range(&expr.get_type(schema).ok()?),
            };
            operation.range(&[range(left, schema)?, range(right, schema)?])
        }
        _ => integer_range(&expr.get_type(schema).ok()?),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
    Absolute,
}

impl Operation {
    fn range(self, operands: &[(i128, i128)]) -> Option<(i128, i128)> {
        match (self, operands) {
            (Self::Add, [(a, b), (c, d)]) => Some((a.checked_add(*c)?, b.checked_add(*d)?)),
            (Self::Subtract, [(a, b), (c, d)]) => Some((a.checked_sub(*d)?, b.checked_sub(*c)?)),
            (Self::Multiply, [(a, b), (c, d)]) => {
                let corners = [
                    a.checked_mul(*c)?,
                    a.checked_mul(*d)?,
                    b.checked_mul(*c)?,
                    b.checked_mul(*d)?,
                ];
                Some((corners.into_iter().min()?, corners.into_iter().max()?))
            }
            (Self::Negate, [(a, b)]) => Some((b.checked_neg()?, a.checked_neg()?)),
            (Self::Absolute, [(a, b)]) => Some((0, a.checked_abs()?.max(b.checked_abs()?))),
            _ => None,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Negate => "-",
            Self::Absolute => "abs",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Add => "addition",
            Self::Subtract => "subtraction",
            Self::Multiply => "multiplication",
            Self::Negate => "negation",
            Self::Absolute => "absolute value",
        }
    }
}

/// `a + b` and its kind as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn new(operation: Operation) -> Self {
        let operands = match operation {
            Operation::Negate | Operation::Absolute => 1,
            _ => 2,
        };
        Self { operation, signature: Signature::any(operands, Volatility::Immutable) }
    }

    /// As the operator would be written.
    fn written(&self, args: &[String]) -> DfResult<String> {
        let symbol = self.operation.symbol();
        match (self.operation, args) {
            (Operation::Negate, [value]) => Ok(format!("(- {value})")),
            (Operation::Absolute, [value]) => Ok(format!("abs({value})")),
            (_, [left, right]) => Ok(format!("{left} {symbol} {right}")),
            _ => internal_err!("{} has {} operands", self.name(), args.len()),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "fjord_add",
            Operation::Subtract => "fjord_subtract",
            Operation::Multiply => "fjord_multiply",
            Operation::Negate => "fjord_negate",
            Operation::Absolute => "fjord_abs",
        }
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
        match types.first() {
            Some(ty) => Ok(ty.clone()),
            None => internal_err!("{} without operands", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let Some(first) = args.arg_fields.first() else {
            return internal_err!("{} without operands", self.name());
        };
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), first.data_type().clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let operation = self.operation;
        let args = args.args.as_slice();
        match args.first().map(ColumnarValue::data_type) {
            Some(DataType::Int8) => evaluate::<Int8Type>(operation, args),
            Some(DataType::Int16) => evaluate::<Int16Type>(operation, args),
            Some(DataType::Int32) => evaluate::<Int32Type>(operation, args),
            Some(DataType::Int64) => evaluate::<Int64Type>(operation, args),
            Some(DataType::UInt8) => evaluate::<UInt8Type>(operation, args),
            Some(DataType::UInt16) => evaluate::<UInt16Type>(operation, args),
            Some(DataType::UInt32) => evaluate::<UInt32Type>(operation, args),
            Some(DataType::UInt64) => evaluate::<UInt64Type>(operation, args),
            other => internal_err!("{} of {other:?}", self.name()),
        }
    }
}

/// Integers whose overflow is a flag beside the wrapped result, so that a loop over them has no
/// branch.
trait Integer: Copy + std::fmt::Display {
    /// The SQL name of the type.
    const NAME: &'static str;
    const ZERO: Self;
    fn add(self, other: Self) -> (Self, bool);
    fn subtract(self, other: Self) -> (Self, bool);
    fn multiply(self, other: Self) -> (Self, bool);
    fn absolute(self) -> (Self, bool);
}

macro_rules! integer {
    ($native:ty, $name:literal, $absolute:expr) => {
        impl Integer for $native {
            const NAME: &'static str = $name;
            const ZERO: Self = 0;

            fn add(self, other: Self) -> (Self, bool) {
                self.overflowing_add(other)
            }

            fn subtract(self, other: Self) -> (Self, bool) {
                self.overflowing_sub(other)
            }

            fn multiply(self, other: Self) -> (Self, bool) {
                self.overflowing_mul(other)
            }

            fn absolute(self) -> (Self, bool) {
                let absolute: fn(Self) -> (Self, bool) = $absolute;
                absolute(self)
            }
        }
    };
}

integer!(i8, "tinyint", Self::overflowing_abs);
integer!(i16, "smallint", Self::overflowing_abs);
integer!(i32, "integer", Self::overflowing_abs);
integer!(i64, "bigint", Self::overflowing_abs);
integer!(u8, "unsigned tinyint", |value| (value, false));
integer!(u16, "unsigned smallint", |value| (value, false));
integer!(u32, "unsigned integer", |value| (value, false));
integer!(u64, "unsigned bigint", |value| (value, false));

fn evaluate<T>(operation: Operation, args: &[ColumnarValue]) -> DfResult<ColumnarValue>
where
    T: ArrowPrimitiveType,
    T::Native: Integer,
{
    let zero = ColumnarValue::Scalar(ScalarValue::new_primitive::<T>(
        Some(T::Native::ZERO),
        &T::DATA_TYPE,
    )?);
    match (operation, args) {
        (Operation::Add, [a, b]) => binary::<T>(operation, a, b, Integer::add),
        (Operation::Subtract, [a, b]) => binary::<T>(operation, a, b, Integer::subtract),
        (Operation::Multiply, [a, b]) => binary::<T>(operation, a, b, Integer::multiply),
        (Operation::Negate, [a]) => binary::<T>(operation, &zero, a, Integer::subtract),
        (Operation::Absolute, [a]) => binary::<T>(operation, &zero, a, |_, a| a.absolute()),
        _ => internal_err!("{} of {} operands", operation.noun(), args.len()),
    }
}

fn binary<T>(
    operation: Operation,
    left: &ColumnarValue,
    right: &ColumnarValue,
    apply: impl Fn(T::Native, T::Native) -> (T::Native, bool) + Copy,
) -> DfResult<ColumnarValue>
where
    T: ArrowPrimitiveType,
    T::Native: Integer,
{
    let fails = |l: T::Native, r: T::Native| overflow(operation, l, r);
    let array = match (left, right) {
        (ColumnarValue::Array(l), ColumnarValue::Array(r)) => {
            let (l, r) = (l.as_primitive::<T>(), r.as_primitive::<T>());
            let nulls = NullBuffer::union(l.nulls(), r.nulls());
            let pairs = l.values().iter().copied().zip(r.values().iter().copied());
            column::<T>(pairs, nulls, apply, fails)?
        }
        (ColumnarValue::Array(l), ColumnarValue::Scalar(r)) => {
            let l = l.as_primitive::<T>();
            match scalar::<T>(r)? {
                Some(r) => {
                    let pairs = l.values().iter().map(|l| (*l, r));
                    column::<T>(pairs, l.nulls().cloned(), apply, fails)?
                }
                None => PrimitiveArray::new_null(l.len()),
            }
        }
        (ColumnarValue::Scalar(l), ColumnarValue::Array(r)) => {
            let r = r.as_primitive::<T>();
            match scalar::<T>(l)? {
                Some(l) => {
                    let pairs = r.values().iter().map(|r| (l, *r));
                    column::<T>(pairs, r.nulls().cloned(), apply, fails)?
                }
                None => PrimitiveArray::new_null(r.len()),
            }
        }
        (ColumnarValue::Scalar(l), ColumnarValue::Scalar(r)) => {
            let value = match (scalar::<T>(l)?, scalar::<T>(r)?) {
                (Some(l), Some(r)) => match apply(l, r) {
                    (_, true) => return Err(fails(l, r).into()),
                    (value, false) => Some(value),
                },
                _ => None,
            };
            let value = ScalarValue::new_primitive::<T>(value, &T::DATA_TYPE)?;
            return Ok(ColumnarValue::Scalar(value));
        }
    };
    Ok(ColumnarValue::Array(Arc::new(array)))
}

fn scalar<T: ArrowPrimitiveType>(value: &ScalarValue) -> DfResult<Option<T::Native>> {
    let array = value.to_array()?;
    let array = array.as_primitive::<T>();
    Ok(array.is_valid(0).then(|| array.value(0)))
}

/// All rows first, and only if a flag was raised, the row that raised it: it may be NULL.
fn column<T>(
    pairs: impl ExactSizeIterator<Item = (T::Native, T::Native)> + Clone,
    nulls: Option<NullBuffer>,
    apply: impl Fn(T::Native, T::Native) -> (T::Native, bool),
    fails: impl Fn(T::Native, T::Native) -> Error,
) -> DfResult<PrimitiveArray<T>>
where
    T: ArrowPrimitiveType,
    T::Native: Integer,
{
    let mut overflowed = false;
    let values: Vec<T::Native> = pairs
        .clone()
        .map(|(l, r)| {
            let (value, overflows) = apply(l, r);
            overflowed |= overflows;
            value
        })
        .collect();
    if overflowed {
        for (row, (l, r)) in pairs.enumerate() {
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            if !is_null && apply(l, r).1 {
                return Err(fails(l, r).into());
            }
        }
    }
    Ok(PrimitiveArray::new(values.into(), nulls))
}

fn overflow<N: Integer>(operation: Operation, left: N, right: N) -> Error {
    let (ty, noun, symbol) = (N::NAME, operation.noun(), operation.symbol());
    let message = match operation {
        Operation::Negate => format!("{ty} {noun} overflow: -({right})"),
        Operation::Absolute => format!("{ty} {noun} overflow: abs({right})"),
        _ => format!("{ty} {noun} overflow: {left} {symbol} {right}"),
    };
    Error::new(ErrorKind::Execution, message)
}
