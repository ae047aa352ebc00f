//! `sum` of integers and of wide decimals that fails where the total does not fit its type,
//! instead of wrapping.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Int64Type};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result as DfResult;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, Operator,
    ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion::physical_expr::NullState;

use super::decimal::{DIGITS_MAX, largest};
use crate::error::{Error, ErrorKind};

/// DataFusion's `sum`, with totals of integers and of wide decimals checked.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ExactSum {
    inner: Sum,
}

fn is_checked(args: &AccumulatorArgs<'_>) -> bool {
    // A total of fewer digits has ten more than its values: rows enough to fill them do not exist.
    matches!(args.return_field.data_type(), DataType::Int64 | DataType::Decimal128(DIGITS_MAX, _))
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        if !is_checked(&args) {
            return self.inner.accumulator(args);
        }
        if args.is_distinct {
            return Ok(Box::new(DistinctTotal {
                ty: args.return_field.data_type().clone(),
                values: self.inner.accumulator(args)?,
            }));
        }
        Ok(Box::new(Total::new(args.return_field.data_type().clone())))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DfResult<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> DfResult<Box<dyn GroupsAccumulator>> {
        let ty = args.return_field.data_type().clone();
        match &ty {
            _ if !is_checked(&args) => self.inner.create_groups_accumulator(args),
            DataType::Int64 => Ok(Box::new(GroupTotals::<Int64Type>::new(ty))),
            _ => Ok(Box::new(GroupTotals::<Decimal128Type>::new(ty))),
        }
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> DfResult<Box<dyn Accumulator>> {
        match is_checked(&args) {
            true if args.is_distinct => Ok(Box::new(DistinctTotal {
                ty: args.return_field.data_type().clone(),
                values: self.inner.create_sliding_accumulator(args)?,
            })),
            true => Ok(Box::new(Total::new(args.return_field.data_type().clone()))),
            false => self.inner.create_sliding_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn set_monotonicity(&self, ty: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(ty)
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        literal: &Expr,
        arg_is_left: bool,
    ) -> DfResult<Option<Expr>> {
        self.inner.simplify_expr_op_literal(function, arg, op, literal, arg_is_left)
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }
}

fn overflow(ty: &DataType) -> Error {
    let message = match ty {
        DataType::Decimal128(precision, scale) => format!(
            "decimal addition overflow in sum: the total does not fit decimal({precision}, {scale})"
        ),
        _ => "bigint addition overflow in sum; sum(CAST(… AS decimal(38, 0))) has room for more"
            .to_owned(),
    };
    Error::new(ErrorKind::Execution, message)
}

/// The sum of one group, and of a window that moves: exact, whatever the order of the rows.
#[derive(Debug)]
struct Total {
    ty: DataType,
    /// The total modulo 2^128, and how often that was passed.
    sum: i128,
    turns: i64,
    rows: u64,
}

impl Total {
    fn new(ty: DataType) -> Self {
        Self { ty, sum: 0, turns: 0, rows: 0 }
    }

    fn add(&mut self, value: i128) {
        let (sum, overflows) = self.sum.overflowing_add(value);
        self.sum = sum;
        if overflows {
            self.turns += if value < 0 { -1 } else { 1 };
        }
    }

    fn subtract(&mut self, value: i128) {
        let (sum, overflows) = self.sum.overflowing_sub(value);
        self.sum = sum;
        if overflows {
            self.turns += if value < 0 { 1 } else { -1 };
        }
    }

    /// Takes in every value by `take`, a batch of bigints at once.
    fn take(&mut self, values: &ArrayRef, take: impl Fn(&mut Self, i128)) -> u64 {
        if let Some(decimals) = values.as_primitive_opt::<Decimal128Type>() {
            match decimals.null_count() {
                0 => decimals.values().iter().for_each(|value| take(self, *value)),
                _ => decimals.iter().flatten().for_each(|value| take(self, value)),
            }
        } else {
            let values = values.as_primitive::<Int64Type>();
            let sum = match values.null_count() {
                0 => values.values().iter().map(|value| i128::from(*value)).sum(),
                _ => values.iter().flatten().map(i128::from).sum(),
            };
            take(self, sum);
        }
        (values.len() - values.null_count()) as u64
    }
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for values in values.iter().take(1) {
            self.rows += self.take(values, Self::add);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for values in values.iter().take(1) {
            self.rows -= self.take(values, Self::subtract);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        if self.rows == 0 {
            return ScalarValue::try_from(&self.ty);
        }
        if self.turns != 0 {
            return Err(overflow(&self.ty).into());
        }
        match self.ty {
            DataType::Decimal128(precision, scale)
                if self.sum.unsigned_abs() <= largest(precision).unsigned_abs() =>
            {
                Ok(ScalarValue::Decimal128(Some(self.sum), precision, scale))
            }
            DataType::Decimal128(..) => Err(overflow(&self.ty).into()),
            _ => {
                let sum = i64::try_from(self.sum).map_err(|_| overflow(&self.ty))?;
                Ok(ScalarValue::Int64(Some(sum)))
            }
        }
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        self.update_batch(states)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// `sum(DISTINCT x)`: DataFusion keeps the values, and they are added here.
#[derive(Debug)]
struct DistinctTotal {
    ty: DataType,
    values: Box<dyn Accumulator>,
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.values.update_batch(values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.values.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.values.supports_retract_batch()
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let mut total = Total::new(self.ty.clone());
        for state in self.values.state()? {
            if let ScalarValue::List(list) = state {
                total.update_batch(&[Arc::clone(list.values())])?;
            }
        }
        total.evaluate()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        self.values.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        self.values.merge_batch(states)
    }

    fn size(&self) -> usize {
        self.values.size()
    }
}

/// A number whose overflow is a flag beside the wrapped sum.
trait Addend: Copy {
    const ZERO: Self;
    fn plus(self, other: Self) -> (Self, bool);
    /// Whether a total of type `ty` can have this value.
    fn fits(self, ty: &DataType) -> bool;
}

impl Addend for i64 {
    const ZERO: Self = 0;

    fn plus(self, other: Self) -> (Self, bool) {
        self.overflowing_add(other)
    }

    fn fits(self, _: &DataType) -> bool {
        true
    }
}

impl Addend for i128 {
    const ZERO: Self = 0;

    fn plus(self, other: Self) -> (Self, bool) {
        self.overflowing_add(other)
    }

    fn fits(self, ty: &DataType) -> bool {
        match ty {
            DataType::Decimal128(precision, _) => {
                self.unsigned_abs() <= largest(*precision).unsigned_abs()
            }
            _ => true,
        }
    }
}

/// The sums of many groups, each as wide as its type: an overflow on the way is an error, even if
/// later rows would bring the sum back.
#[derive(Debug)]
struct GroupTotals<T: ArrowPrimitiveType> {
    ty: DataType,
    totals: Vec<T::Native>,
    seen: NullState,
}

impl<T: ArrowPrimitiveType> GroupTotals<T> {
    fn new(ty: DataType) -> Self {
        Self { ty, totals: Vec::new(), seen: NullState::new() }
    }
}

impl<T> GroupsAccumulator for GroupTotals<T>
where
    T: ArrowPrimitiveType + Send,
    T::Native: Addend,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> DfResult<()> {
        let [values] = values else { return internal_err!("sum takes one column") };
        let values = values.as_primitive::<T>();
        self.totals.resize(groups, T::Native::ZERO);
        let totals = &mut self.totals;
        let mut overflowed = false;
        self.seen.accumulate(group_indices, values, filter, groups, |group, value| {
            if let Some(total) = totals.get_mut(group) {
                let (sum, overflows) = total.plus(value);
                *total = sum;
                overflowed |= overflows;
            }
        });
        if overflowed { Err(overflow(&self.ty).into()) } else { Ok(()) }
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> DfResult<()> {
        self.update_batch(values, group_indices, None, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        let totals = emit_to.take_needed(&mut self.totals);
        let nulls = self.seen.build(emit_to);
        let totals = PrimitiveArray::<T>::new(totals.into(), nulls).with_data_type(self.ty.clone());
        if totals.iter().flatten().any(|total| !total.fits(&self.ty)) {
            return Err(overflow(&self.ty).into());
        }
        Ok(Arc::new(totals))
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    /// A row's state is its value, or NULL where the filter leaves it out.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> DfResult<Vec<ArrayRef>> {
        let [values] = values else { return internal_err!("sum takes one column") };
        let values: ArrayRef =
            Arc::new(values.as_primitive::<T>().clone().with_data_type(self.ty.clone()));
        match filter {
            None => Ok(vec![values]),
            Some(filter) => Ok(vec![nullif(&values, &left_out(filter))?]),
        }
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<T::Native>() + self.seen.size()
    }
}

/// Where `filter` is not true.
pub(super) fn left_out(filter: &BooleanArray) -> BooleanArray {
    let kept = match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    };
    BooleanArray::new(!&kept, None)
}
