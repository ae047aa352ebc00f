//! The two operators of a write: rows brought into the table's shape, and rows into files.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning,
    PhysicalExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties,
    ReplaceChildrenOptions,
};
use fjord_catalog::catalog::Catalog;
use fjord_catalog::spec::DataFile;
use fjord_catalog::table::Table;
use futures::{StreamExt, TryStreamExt};

use super::conform::conform_batch;
use super::fit::Fit;
use super::ledger::Ledger;
use super::task::{WriteShape, WriteTask};
use crate::error::{Error, ErrorKind, Result};

fn only_child(
    children: Vec<Arc<dyn ExecutionPlan>>,
    name: &str,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    match <[_; 1]>::try_from(children) {
        Ok([child]) => Ok(child),
        Err(_) => Err(Error::new(ErrorKind::Bug, format!("{name} has one child")).into()),
    }
}

/// Casts rows to the table's types and refuses NULL in required columns.
#[derive(Debug)]
pub(crate) struct ConformExec {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    fit: Fit,
    properties: Arc<PlanProperties>,
}

impl ConformExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef, fit: Fit) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(input.properties().partitioning.partition_count()),
            input.properties().emission_type,
            input.properties().boundedness,
        ));
        Self { input, schema, fit, properties }
    }

    /// What rows become, and what becomes of too fine an instant.
    pub(crate) fn shape(&self) -> (&SchemaRef, Fit) {
        (&self.schema, self.fit)
    }
}

impl DisplayAs for ConformExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConformExec")
    }
}

impl ExecutionPlan for ConformExec {
    fn name(&self) -> &str {
        "ConformExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let input = only_child(children, self.name())?;
        Ok(Arc::new(Self::new(input, Arc::clone(&self.schema), self.fit)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let input = only_child(children, self.name())?;
        Ok(Arc::new(Self::new(input, Arc::clone(&self.schema), self.fit)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let (schema, fit) = (Arc::clone(&self.schema), self.fit);
        let rows = self
            .input
            .execute(partition, context)?
            .map(move |batch| conform_batch(&batch?, &schema, fit).map_err(DataFusionError::from));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }
}

/// The columns in which the write hands its files to the commit.
pub(crate) fn output_schema() -> SchemaRef {
    Arc::new(ArrowSchema::new(vec![
        Field::new("data_file", DataType::Utf8, false),
        Field::new("spec_id", DataType::Int32, false),
        Field::new("record_count", DataType::UInt64, false),
    ]))
}

/// Writes each input partition to data files; one row per file comes out when all are closed.
#[derive(Debug)]
pub(crate) struct IcebergWriteExec {
    input: Arc<dyn ExecutionPlan>,
    table: Table,
    shape: Arc<WriteShape>,
    /// Partition values by which the input must be spread over tasks; empty: any way.
    hash_by: Vec<Arc<dyn PhysicalExpr>>,
    sort_by: Option<LexOrdering>,
    ledger: Ledger,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl IcebergWriteExec {
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        table: Table,
        shape: Arc<WriteShape>,
        hash_by: Vec<Arc<dyn PhysicalExpr>>,
        sort_by: Option<LexOrdering>,
    ) -> Self {
        let ledger = Ledger::new();
        Self::build(input, table, shape, (hash_by, sort_by), ledger)
    }

    fn build(
        input: Arc<dyn ExecutionPlan>,
        table: Table,
        shape: Arc<WriteShape>,
        (hash_by, sort_by): (Vec<Arc<dyn PhysicalExpr>>, Option<LexOrdering>),
        ledger: Ledger,
    ) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(output_schema()),
            Partitioning::UnknownPartitioning(input.properties().partitioning.partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        let metrics = ExecutionPlanMetricsSet::new();
        Self { input, table, shape, hash_by, sort_by, ledger, metrics, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::build(
            input,
            self.table.clone(),
            Arc::clone(&self.shape),
            (self.hash_by.clone(), self.sort_by.clone()),
            self.ledger.clone(),
        )
    }

    /// The closed files of this process, which the commit takes over.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The table that is written.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }
}

impl DisplayAs for IcebergWriteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IcebergWriteExec: table={}", self.table.name())?;
        if !self.hash_by.is_empty() {
            let by = self.hash_by.iter().map(ToString::to_string).collect::<Vec<_>>();
            write!(f, ", clustered_by=[{}]", by.join(", "))?;
        }
        Ok(())
    }
}

impl ExecutionPlan for IcebergWriteExec {
    fn name(&self) -> &str {
        "IcebergWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![if self.hash_by.is_empty() {
            Distribution::UnspecifiedDistribution
        } else {
            Distribution::KeyPartitioned(self.hash_by.clone())
        }])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.sort_by.clone().map(OrderingRequirements::from)]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // Planning has decided on the number of writers: more of them would mean more files.
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        let sort_by = self.sort_by.iter().flatten().map(|sort| &sort.expr);
        for expr in self.hash_by.iter().chain(sort_by) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_input(only_child(children, self.name())?)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_input(only_child(children, self.name())?)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        if !self.ledger.begin(partition) {
            let problem = "a plan that writes may run only once; plan the statement again";
            return Err(Error::new(ErrorKind::Bug, problem).into());
        }
        let memory = MemoryConsumer::new(format!("IcebergWriteExec[{partition}]"))
            .with_can_spill(true)
            .register(context.memory_pool());
        let task = WriteTask::new(Arc::clone(&self.shape), memory);
        let metrics = WriteMetrics::new(&self.metrics, partition);
        let input = self.input.execute(partition, context)?;
        let written = write_all(input, task, self.table.clone(), self.ledger.clone(), metrics);
        let stream = futures::stream::once(Box::pin(written)).map_err(DataFusionError::from);
        Ok(Box::pin(RecordBatchStreamAdapter::new(output_schema(), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

struct WriteMetrics {
    rows: Count,
    bytes: Count,
    files: Count,
    write_time: Time,
}

impl WriteMetrics {
    fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(set).counter(name, partition);
        Self {
            rows: counter("rows_written"),
            bytes: counter("bytes_written"),
            files: counter("files_written"),
            write_time: MetricBuilder::new(set).subset_time("write_time", partition),
        }
    }
}

async fn write_all(
    mut input: SendableRecordBatchStream,
    mut task: WriteTask,
    table: Table,
    ledger: Ledger,
    metrics: WriteMetrics,
) -> Result<RecordBatch> {
    fjord_catalog::failpoint::hit("K0").await;
    while let Some(batch) = input.next().await {
        let batch = batch?;
        let _timer = metrics.write_time.timer();
        metrics.rows.add(batch.num_rows());
        task.write(batch).await?;
    }
    let _timer = metrics.write_time.timer();
    let (data_files, closed) = task.finish().await?;
    let bytes = data_files.iter().map(DataFile::file_size_in_bytes).sum::<u64>();
    metrics.bytes.add(usize::try_from(bytes).unwrap_or(usize::MAX));
    metrics.files.add(data_files.len());
    let rows = to_rows(&table, data_files)?;
    closed.hand_over(&ledger);
    Ok(rows)
}

fn to_rows(table: &Table, data_files: Vec<DataFile>) -> Result<RecordBatch> {
    let spec = table.metadata().default_partition_spec();
    let spec_ids = Int32Array::from(vec![spec.spec_id(); data_files.len()]);
    let record_counts = data_files.iter().map(DataFile::record_count).collect::<UInt64Array>();
    let json = data_files
        .into_iter()
        .map(|file| Catalog::data_file_to_json(table, spec, file).map_err(Error::from))
        .collect::<Result<Vec<String>>>()?;
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(json)), Arc::new(spec_ids), Arc::new(record_counts)];
    RecordBatch::try_new(output_schema(), columns)
        .map_err(|e| Error::new(ErrorKind::Bug, "files do not fit their columns").with_source(e))
}
