//! `sum` of integers that fails where the total does not fit a bigint, instead of wrapping.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
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

use crate::error::{Error, ErrorKind};

/// DataFusion's `sum`, with totals of integers checked.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ExactSum {
    inner: Sum,
}

fn is_checked(args: &AccumulatorArgs<'_>) -> bool {
    *args.return_field.data_type() == DataType::Int64
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
            return Ok(Box::new(DistinctTotal { values: self.inner.accumulator(args)? }));
        }
        Ok(Box::new(Total::default()))
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
        if is_checked(&args) {
            Ok(Box::new(GroupTotals::new()))
        } else {
            self.inner.create_groups_accumulator(args)
        }
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> DfResult<Box<dyn Accumulator>> {
        match is_checked(&args) {
            true if args.is_distinct => {
                Ok(Box::new(DistinctTotal { values: self.inner.create_sliding_accumulator(args)? }))
            }
            true => Ok(Box::new(Total::default())),
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

fn overflow() -> Error {
    Error::new(
        ErrorKind::Execution,
        "bigint addition overflow in sum; sum(CAST(… AS decimal(38, 0))) has room for more",
    )
}

/// The sum of one group, and of a window that moves: exact, whatever the order of the rows.
#[derive(Debug, Default)]
struct Total {
    sum: i128,
    rows: u64,
}

impl Total {
    fn of(values: &ArrayRef) -> (i128, u64) {
        let values = values.as_primitive::<Int64Type>();
        let rows = (values.len() - values.null_count()) as u64;
        let sum = match values.null_count() {
            0 => values.values().iter().map(|value| i128::from(*value)).sum(),
            _ => values.iter().flatten().map(i128::from).sum(),
        };
        (sum, rows)
    }
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for values in values.iter().take(1) {
            let (sum, rows) = Self::of(values);
            self.sum += sum;
            self.rows += rows;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for values in values.iter().take(1) {
            let (sum, rows) = Self::of(values);
            self.sum -= sum;
            self.rows -= rows;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        if self.rows == 0 {
            return Ok(ScalarValue::Int64(None));
        }
        let sum = i64::try_from(self.sum).map_err(|_| overflow())?;
        Ok(ScalarValue::Int64(Some(sum)))
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
        let mut total = Total::default();
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

/// The sums of many groups, in eight bytes each: an overflow on the way is an error, even if later
/// rows would bring the sum back.
#[derive(Debug)]
struct GroupTotals {
    totals: Vec<i64>,
    seen: NullState,
}

impl GroupTotals {
    fn new() -> Self {
        Self { totals: Vec::new(), seen: NullState::new() }
    }
}

impl GroupsAccumulator for GroupTotals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> DfResult<()> {
        let [values] = values else { return internal_err!("sum takes one column") };
        let values = values.as_primitive::<Int64Type>();
        self.totals.resize(groups, 0);
        let totals = &mut self.totals;
        let mut overflowed = false;
        self.seen.accumulate(group_indices, values, filter, groups, |group, value| {
            if let Some(total) = totals.get_mut(group) {
                let (sum, overflows) = total.overflowing_add(value);
                *total = sum;
                overflowed |= overflows;
            }
        });
        if overflowed { Err(overflow().into()) } else { Ok(()) }
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
        Ok(Arc::new(Int64Array::new(totals.into(), nulls)))
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
        match filter {
            None => Ok(vec![Arc::clone(values)]),
            Some(filter) => Ok(vec![nullif(values, &left_out(filter))?]),
        }
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<i64>() + self.seen.size()
    }
}

/// Where `filter` is not true.
fn left_out(filter: &BooleanArray) -> BooleanArray {
    let kept = match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    };
    BooleanArray::new(!&kept, None)
}
