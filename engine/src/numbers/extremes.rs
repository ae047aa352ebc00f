//! `min` and `max` of floats in groups: NaN is the greatest number whatever the order of the rows,
//! and infinities count.
//!
//! DataFusion's groups begin at the greatest finite number and take every NaN that comes along.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::nullif;
use arrow::datatypes::{ArrowPrimitiveType, DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result as DfResult;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion::physical_expr::NullState;

use super::sum::left_out;

/// DataFusion's `min` or `max`, but for groups of floats.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme<I> {
    inner: I,
    extreme: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Least,
    Greatest,
}

impl Extreme<Min> {
    pub(super) fn min() -> Self {
        Self { inner: Min::new(), extreme: End::Least }
    }
}

impl Extreme<Max> {
    pub(super) fn max() -> Self {
        Self { inner: Max::new(), extreme: End::Greatest }
    }
}

impl<I: AggregateUDFImpl + Eq + std::hash::Hash> AggregateUDFImpl for Extreme<I> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
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
        let ty = args.return_field.data_type();
        Ok(match (ty, self.extreme) {
            (DataType::Float32, End::Least) => groups::<Float32Type>(f32::NAN, |best, new| {
                if best.is_nan() || new < *best {
                    *best = new;
                }
            }),
            (DataType::Float64, End::Least) => groups::<Float64Type>(f64::NAN, |best, new| {
                if best.is_nan() || new < *best {
                    *best = new;
                }
            }),
            (DataType::Float32, End::Greatest) => {
                groups::<Float32Type>(f32::NEG_INFINITY, |best, new| {
                    if new.is_nan() || new > *best {
                        *best = new;
                    }
                })
            }
            (DataType::Float64, End::Greatest) => {
                groups::<Float64Type>(f64::NEG_INFINITY, |best, new| {
                    if new.is_nan() || new > *best {
                        *best = new;
                    }
                })
            }
            _ => self.inner.create_groups_accumulator(args)?,
        })
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> DfResult<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_expr()
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn set_monotonicity(&self, ty: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(ty)
    }
}

fn groups<T: ArrowPrimitiveType + Send + std::fmt::Debug>(
    start: T::Native,
    keep: fn(&mut T::Native, T::Native),
) -> Box<dyn GroupsAccumulator> {
    Box::new(GroupExtremes::<T> { start, keep, best: Vec::new(), seen: NullState::new() })
}

/// The best value of each group, which begins as `start` and which `keep` replaces by a better one.
#[derive(Debug)]
struct GroupExtremes<T: ArrowPrimitiveType> {
    start: T::Native,
    keep: fn(&mut T::Native, T::Native),
    best: Vec<T::Native>,
    seen: NullState,
}

impl<T: ArrowPrimitiveType + Send + std::fmt::Debug> GroupsAccumulator for GroupExtremes<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> DfResult<()> {
        let [values] = values else { return internal_err!("min and max take one column") };
        let values = values.as_primitive::<T>();
        self.best.resize(groups, self.start);
        let (best, keep) = (&mut self.best, self.keep);
        self.seen.accumulate(group_indices, values, filter, groups, |group, value| {
            if let Some(best) = best.get_mut(group) {
                keep(best, value);
            }
        });
        Ok(())
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
        let best = emit_to.take_needed(&mut self.best);
        let nulls = self.seen.build(emit_to);
        Ok(Arc::new(PrimitiveArray::<T>::new(best.into(), nulls)))
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
        let [values] = values else { return internal_err!("min and max take one column") };
        match filter {
            None => Ok(vec![Arc::clone(values)]),
            Some(filter) => Ok(vec![nullif(values, &left_out(filter))?]),
        }
    }

    fn size(&self) -> usize {
        self.best.capacity() * size_of::<T::Native>() + self.seen.size()
    }
}
