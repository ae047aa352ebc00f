//! An operator that hands on batches: those with long lists in parts, or none without giving way.
//!
//! UNNEST makes all of a batch at once, however much that is. A join makes batch after batch without
//! asking anybody: whoever stands above it and folds them is polled once and returns much later.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};

use crate::error::{Error, ErrorKind};

/// List values of one part: what unnests in a few hundredths of a second.
const VALUES_MAX: usize = 256 << 10;

/// How long batches may follow each other before the task gives way to others, and learns whether
/// it is still wanted.
const TURN_TIME: Duration = Duration::from_millis(50);

/// Rows of the first slice that lists are made of, when nobody knows yet how long they are.
const FIRST_ROWS: usize = 16;

/// How long the lists of a row are, as far as has been seen. A hint: whoever shares it only cuts
/// batches by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListLengths {
    /// Values a row, rounded up; 0 while no row was seen.
    values_per_row: Arc<AtomicUsize>,
}

impl ListLengths {
    fn saw(&self, batch: &RecordBatch) {
        if batch.num_rows() > 0 {
            let values = most_list_values(batch).div_ceil(batch.num_rows()).max(1);
            self.values_per_row.store(values, Ordering::Relaxed);
        }
    }

    /// Rows whose lists hold [`VALUES_MAX`] values together.
    fn rows(&self) -> usize {
        match self.values_per_row.load(Ordering::Relaxed) {
            0 => FIRST_ROWS,
            values => (VALUES_MAX / values).max(1),
        }
    }
}

/// How batches are handed on.
#[derive(Clone, Debug)]
pub(crate) enum Handing {
    /// In slices of which lists are made that hold about [`VALUES_MAX`] values.
    Rows(ListLengths),
    /// Those with more than [`VALUES_MAX`] list values in slices.
    Parts(ListLengths),
    /// As they are; after [`TURN_TIME`] others have their turn.
    Turns,
}

/// Hands on batches.
#[derive(Debug)]
pub(crate) struct HandExec {
    input: Arc<dyn ExecutionPlan>,
    handing: Handing,
}

impl HandExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, handing: Handing) -> Self {
        Self { input, handing }
    }

    /// How it hands on.
    pub(crate) fn handing(&self) -> &Handing {
        &self.handing
    }

    fn with_input(
        &self,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return Err(Error::new(ErrorKind::Bug, "HandExec has one child").into());
        };
        Ok(Arc::new(Self { input, handing: self.handing.clone() }))
    }
}

impl DisplayAs for HandExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.handing {
            Handing::Rows(_) => write!(f, "HandExec: made_list_values_max={VALUES_MAX}"),
            Handing::Parts(_) => write!(f, "HandExec: list_values_max={VALUES_MAX}"),
            Handing::Turns => write!(f, "HandExec: turn={TURN_TIME:?}"),
        }
    }
}

impl ExecutionPlan for HandExec {
    fn name(&self) -> &str {
        "HandExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(match &self.handing {
            Handing::Rows(lengths) => {
                Box::pin(Slices { input, lengths: lengths.clone(), rest: None })
            }
            Handing::Parts(lengths) => {
                Box::pin(Parts { input, lengths: lengths.clone(), rest: None })
            }
            Handing::Turns => Box::pin(Turns { input, began: None }),
        })
    }
}

/// Slices for a projection that makes lists: what it makes of one is seen before it gets the next.
struct Slices {
    input: SendableRecordBatchStream,
    lengths: ListLengths,
    rest: Option<RecordBatch>,
}

impl Stream for Slices {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match ready!(self.input.poll_next_unpin(cx)) {
                Some(Ok(batch)) => batch,
                end => return Poll::Ready(end),
            },
        };
        let rows = self.lengths.rows();
        if batch.num_rows() <= rows {
            return Poll::Ready(Some(Ok(batch)));
        }
        self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        Poll::Ready(Some(Ok(batch.slice(0, rows))))
    }
}

impl RecordBatchStream for Slices {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

struct Parts {
    input: SendableRecordBatchStream,
    lengths: ListLengths,
    /// What is left of a batch, and the rows of each of its parts.
    rest: Option<(RecordBatch, usize)>,
}

impl Stream for Parts {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (batch, rows) = match self.rest.take() {
            Some(rest) => rest,
            None => match ready!(self.input.poll_next_unpin(cx)) {
                Some(Ok(batch)) => {
                    self.lengths.saw(&batch);
                    let rows = rows_of_a_part(&batch);
                    (batch, rows)
                }
                end => return Poll::Ready(end),
            },
        };
        if batch.num_rows() <= rows {
            return Poll::Ready(Some(Ok(batch)));
        }
        let part = batch.slice(0, rows);
        self.rest = Some((batch.slice(rows, batch.num_rows() - rows), rows));
        Poll::Ready(Some(Ok(part)))
    }
}

impl RecordBatchStream for Parts {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

struct Turns {
    input: SendableRecordBatchStream,
    /// When the task was last woken, as far as this operator saw.
    began: Option<Instant>,
}

impl Stream for Turns {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.began.is_some_and(|began| began.elapsed() > TURN_TIME) {
            self.began = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.began.get_or_insert_with(Instant::now);
        let next = self.input.poll_next_unpin(cx);
        if next.is_pending() {
            self.began = None;
        }
        next
    }
}

impl RecordBatchStream for Turns {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

/// As many rows as hold [`VALUES_MAX`] list values on average; at least one.
fn rows_of_a_part(batch: &RecordBatch) -> usize {
    match most_list_values(batch) {
        values if values > VALUES_MAX => {
            (batch.num_rows().saturating_mul(VALUES_MAX) / values).max(1)
        }
        _ => batch.num_rows(),
    }
}

/// The values of that column of lists which has the most.
fn most_list_values(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| list_values(column.as_ref())).max().unwrap_or(0)
}

/// The values of all lists of a column together; 0 for a column of another type.
fn list_values(column: &dyn Array) -> usize {
    match column.data_type() {
        DataType::List(_) => {
            let offsets = column.as_list::<i32>().value_offsets();
            let ends = offsets.first().zip(offsets.last());
            ends.map_or(0, |(first, last)| usize::try_from(last - first).unwrap_or(0))
        }
        DataType::LargeList(_) => {
            let offsets = column.as_list::<i64>().value_offsets();
            let ends = offsets.first().zip(offsets.last());
            ends.map_or(0, |(first, last)| usize::try_from(last - first).unwrap_or(0))
        }
        DataType::FixedSizeList(_, size) => {
            column.len().saturating_mul(usize::try_from(*size).unwrap_or(0))
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, ListArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::TryStreamExt;

    use super::*;

    fn lists(rows: usize, length: usize) -> RecordBatch {
        let values = Int32Array::from_iter_values((0_i32..).take(rows * length));
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(length, rows));
        let item = Arc::new(Field::new("item", DataType::Int32, true));
        let lists: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(values), None));
        RecordBatch::try_from_iter([("l", lists)]).unwrap()
    }

    async fn parts(batch: &RecordBatch) -> Vec<usize> {
        let rows = futures::stream::iter([Ok(batch.clone())]);
        let input = Box::pin(RecordBatchStreamAdapter::new(batch.schema(), rows));
        let parts = Parts { input, lengths: ListLengths::default(), rest: None };
        let parts: Vec<RecordBatch> = parts.try_collect().await.unwrap();
        let whole = arrow::compute::concat_batches(&batch.schema(), &parts).unwrap();
        assert_eq!(whole, *batch);
        parts.iter().map(RecordBatch::num_rows).collect()
    }

    #[tokio::test]
    async fn long_lists_come_in_parts_and_short_ones_as_they_are() {
        assert_eq!(parts(&lists(100, 3)).await, [100]);
        assert_eq!(parts(&lists(10, 100_000)).await, [2, 2, 2, 2, 2]);
        assert_eq!(parts(&lists(3, VALUES_MAX + 1)).await, [1, 1, 1]);
        assert_eq!(parts(&lists(0, 0)).await, [0]);
    }

    #[tokio::test]
    async fn what_lists_are_made_of_is_sliced_by_how_long_they_came_out() {
        let batch = lists(8_192, 0);
        let input = futures::stream::iter([Ok(batch.clone())]);
        let input = Box::pin(RecordBatchStreamAdapter::new(batch.schema(), input));
        let lengths = ListLengths::default();
        let mut slices = Slices { input, lengths: lengths.clone(), rest: None };
        assert_eq!(slices.next().await.unwrap().unwrap().num_rows(), FIRST_ROWS);
        lengths.saw(&lists(1, VALUES_MAX / 4));
        assert_eq!(slices.next().await.unwrap().unwrap().num_rows(), 4);
        lengths.saw(&lists(16, 1));
        let rest = slices.next().await.unwrap().unwrap();
        assert_eq!(rest.num_rows(), 8_192 - FIRST_ROWS - 4);
        assert!(slices.next().await.is_none());
    }
}
