//! One NaN: what is computed is the same NaN as what is written.
//!
//! NaN has many bit patterns, and the processor's own (inf - inf) has the sign bit set: sorted and
//! compared by the total order, it would come before every number, and would not equal 'NaN'.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue, internal_err};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::zeros::constant;

const NAME: &str = "fjord_one_nan";

/// Functions of numbers that may be NaN where their arguments are not.
const MAY_BE_NAN: [&str; 14] = [
    "acos", "acosh", "asin", "atanh", "cos", "cot", "ln", "log", "log10", "log2", "power", "sin",
    "sqrt", "tan",
];

/// Puts arithmetic of floats that may be NaN into a function that gives the one NaN.
pub(super) fn settle(mut expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    use Operator as O;
    let may_be_nan = match &expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            matches!(op, O::Plus | O::Minus | O::Multiply | O::Divide | O::Modulo)
        }
        // A constant is folded, and seen through by pruning.
        Expr::Negative(_) => constant(&expr).is_none_or(|value| is_nan(&value)),
        Expr::ScalarFunction(function) => MAY_BE_NAN.contains(&function.func.name()),
        _ => false,
    };
    if !may_be_nan || !matches!(expr.get_type(schema), Ok(DataType::Float32 | DataType::Float64)) {
        return Ok(Transformed::no(expr));
    }
    // The outermost one decides: arithmetic hands NaN on.
    match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => {
            uncover(left);
            uncover(right);
        }
        Expr::Negative(inner) => uncover(inner),
        _ => {}
    }
    let func = Arc::new(ScalarUDF::from(OneNan::default()));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(func, vec![expr]))))
}

fn uncover(expr: &mut Expr) {
    if let Expr::ScalarFunction(ScalarFunction { func, args }) = expr
        && func.name() == NAME
        && let Some(inner) = args.pop()
    {
        *expr = inner;
    }
}

fn is_nan(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float32(Some(v)) => v.is_nan(),
        ScalarValue::Float64(Some(v)) => v.is_nan(),
        _ => false,
    }
}

/// Its argument, with one NaN for all.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OneNan {
    signature: Signature,
}

impl Default for OneNan {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for OneNan {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> DfResult<String> {
        match args {
            [value] => Ok(value.to_string()),
            _ => internal_err!("{NAME} has {} operands", args.len()),
        }
    }

    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        match args {
            [value] => Ok(value.schema_name().to_string()),
            _ => internal_err!("{NAME} has {} operands", args.len()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        match types {
            [ty] => Ok(ty.clone()),
            _ => internal_err!("{NAME} has {} operands", types.len()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let [value] = args.arg_fields else {
            return internal_err!("{NAME} has {} operands", args.arg_fields.len());
        };
        Ok(Arc::new(Field::new(NAME, value.data_type().clone(), value.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let [value] = <[ColumnarValue; 1]>::try_from(args.args)
            .or_else(|args| internal_err!("{NAME} has {} operands", args.len()))?;
        Ok(match value {
            ColumnarValue::Scalar(ScalarValue::Float32(Some(v))) if v.is_nan() => {
                ColumnarValue::Scalar(ScalarValue::Float32(Some(f32::NAN)))
            }
            ColumnarValue::Scalar(ScalarValue::Float64(Some(v))) if v.is_nan() => {
                ColumnarValue::Scalar(ScalarValue::Float64(Some(f64::NAN)))
            }
            ColumnarValue::Array(array) => ColumnarValue::Array(match array.data_type() {
                DataType::Float32 => Arc::new(
                    array
                        .as_primitive::<Float32Type>()
                        .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v }),
                ),
                DataType::Float64 => Arc::new(
                    array
                        .as_primitive::<Float64Type>()
                        .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v }),
                ),
                _ => array,
            }),
            scalar => scalar,
        })
    }
}
