//! The operator on the build side of a join that keeps its keys, to be sent when all are there.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};

use super::exchange::Exchange;
use super::keys::KeysBuilder;
use crate::error::{Error, ErrorKind};

/// Hands on batches as they are, and keeps the keys in them for the filter of an id.
#[derive(Debug)]
pub(crate) struct KeepJoinKeysExec {
    input: Arc<dyn ExecutionPlan>,
    filter: u64,
    /// The join's, on this side. Those of a type that is not kept are `None` in what is sent.
    keys: Vec<Arc<dyn PhysicalExpr>>,
}

impl KeepJoinKeysExec {
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        filter: u64,
        keys: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Self {
        Self { input, filter, keys }
    }

    pub(crate) fn filter(&self) -> u64 {
        self.filter
    }

    pub(crate) fn keys(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.keys
    }

    fn with_input(
        &self,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return Err(Error::new(ErrorKind::Bug, "KeepJoinKeysExec has one child").into());
        };
        Ok(Arc::new(Self::new(input, self.filter, self.keys.clone())))
    }
}

impl DisplayAs for KeepJoinKeysExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeepJoinKeysExec")
    }
}

impl ExecutionPlan for KeepJoinKeysExec {
    fn name(&self) -> &str {
        "KeepJoinKeysExec"
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
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for key in &self.keys {
            recursion = f(key)?;
            if recursion == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(recursion)
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
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let Some(exchange) = Exchange::of(&context) else { return Ok(input) };
        let schema = input.schema();
        let kept = self.keys.iter().map(|key| {
            let is_kept = super::keys::is_kept(&key.data_type(&schema)?);
            Ok(is_kept.then(KeysBuilder::default))
        });
        Ok(Box::pin(Keeping {
            kept: Some(kept.collect::<Result<_>>()?),
            keys: self.keys.clone(),
            filter: self.filter,
            partitions: self.input.output_partitioning().partition_count(),
            reservation: MemoryConsumer::new("KeepJoinKeys").register(context.memory_pool()),
            exchange,
            input,
        }))
    }
}

struct Keeping {
    input: SendableRecordBatchStream,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Until the end.
    kept: Option<Vec<Option<KeysBuilder>>>,
    filter: u64,
    partitions: usize,
    reservation: MemoryReservation,
    exchange: Arc<Exchange>,
}

impl Keeping {
    fn keep(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        for (key, place) in self.keys.iter().zip(kept.iter_mut()) {
            let Some(builder) = place else { continue };
            let keys = key.evaluate(batch)?.into_array(batch.num_rows())?;
            if builder.add(&keys)?.is_err() {
                *place = None;
            }
        }
        let bytes = kept.iter().flatten().map(KeysBuilder::bytes).sum();
        if self.reservation.try_resize(bytes).is_err() {
            // Nothing depends on it.
            kept.fill_with(|| None);
            self.reservation.free();
        }
        Ok(())
    }
}

impl Stream for Keeping {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.input.poll_next_unpin(cx));
        match &next {
            Some(Ok(batch)) => self.keep(batch)?,
            Some(Err(_)) => {}
            None => {
                if let Some(kept) = self.kept.take() {
                    self.exchange.keep(self.filter, self.partitions, kept);
                }
            }
        }
        Poll::Ready(next)
    }
}

impl RecordBatchStream for Keeping {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
