//! Rows into a table of the database: one COPY in one transaction.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::UInt64Array;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::{SinkExt, StreamExt, TryStreamExt};
use tokio_postgres::CopyInSink;

use super::database::Database;
use super::encode::{self, WrittenColumn};
use super::failure::is_changed;
use super::quote;
use super::stored::StoredType;
use super::transaction::Transaction;
use crate::connector::RemoteName;
use crate::error::{Error, ErrorKind};

/// What is written, and what is done before.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: RemoteName,
    pub(super) columns: Vec<WrittenColumn>,
    /// Makes the table, in the same transaction.
    pub(super) before: Option<String>,
    /// Nothing is done where this is there.
    pub(super) unless_there: Option<RemoteName>,
}

/// Writes its input, and yields how many rows that were. Runs once.
#[derive(Debug)]
pub struct RemoteWriteExec {
    database: Arc<Database>,
    target: Target,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    started: Arc<AtomicBool>,
}

fn count_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]))
}

impl RemoteWriteExec {
    pub(super) fn new(
        database: Arc<Database>,
        target: Target,
        input: Arc<dyn ExecutionPlan>,
    ) -> Self {
        let input: Arc<dyn ExecutionPlan> = match input.output_partitioning().partition_count() {
            1 => input,
            _ => Arc::new(CoalescePartitionsExec::new(input)),
        };
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(count_schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        Self { database, target, input, properties, started: Arc::default() }
    }

    fn with_input(
        &self,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else {
            return Err(Error::new(ErrorKind::Invalid, "RemoteWriteExec has one input").into());
        };
        Ok(Arc::new(Self {
            database: Arc::clone(&self.database),
            target: self.target.clone(),
            input,
            properties: Arc::clone(&self.properties),
            started: Arc::clone(&self.started),
        }))
    }
}

impl DisplayAs for RemoteWriteExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let catalog = &self.database.settings().catalog;
        write!(f, "RemoteWriteExec: catalog={catalog}, table={}", self.target.name)
    }
}

impl ExecutionPlan for RemoteWriteExec {
    fn name(&self) -> &str {
        "RemoteWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(Error::new(ErrorKind::Invalid, "RemoteWriteExec has one partition").into());
        }
        if self.started.swap(true, Ordering::SeqCst) {
            let problem = "a plan that writes may run only once; plan the statement again";
            return Err(Error::new(ErrorKind::Invalid, problem).into());
        }
        let input = self.input.execute(0, context)?;
        let work = write(Arc::clone(&self.database), self.target.clone(), input);
        let stream = futures::stream::once(Box::pin(work)).map_err(DataFusionError::from);
        Ok(Box::pin(RecordBatchStreamAdapter::new(count_schema(), stream)))
    }
}

async fn write(
    database: Arc<Database>,
    target: Target,
    input: SendableRecordBatchStream,
) -> DfResult<RecordBatch> {
    let _place = database.writer().await?;
    let what = format!("writing {}", target.name);
    let transaction = Transaction::begin(&database, &what).await?;
    if let Some(name) = &target.unless_there
        && transaction.relation_kind(name).await?.is_some()
    {
        transaction.roll_back().await?;
        return counted(0);
    }
    match &target.before {
        Some(before) => {
            transaction.execute(before).await?;
        }
        None => check_types(&database, &transaction, &target).await?,
    }
    let rows = copy(&transaction, &target, input).await?;
    transaction.commit().await?;
    database.forget();
    counted(rows)
}

/// The columns are of the types that rows are written for, and stay so: the transaction has a lock on
/// the table from now on. What is sent as another type would mean something else.
async fn check_types(
    database: &Database,
    transaction: &Transaction,
    target: &Target,
) -> Result<(), Error> {
    let what = format!("writing {}", target.name);
    let names: Vec<_> = target.columns.iter().map(|c| quote::identifier(&c.name)).collect();
    let sql = format!("SELECT {} FROM {}", names.join(", "), quote::relation(&target.name));
    let prepared = transaction.client()?.prepare(&sql).await;
    let statement = prepared.map_err(|e| match is_changed(&e) {
        true => database.changed(&what, e),
        false => transaction.failed(e),
    })?;
    for (found, column) in statement.columns().iter().zip(&target.columns) {
        let now = StoredType { oid: found.type_().oid(), modifier: found.type_modifier() };
        if column.stored.is_some_and(|stored| stored != now) {
            let ty = found.type_().name();
            let changed = format!(
                "{what}: column {:?} is of another type than when the statement was planned, {ty} now",
                column.name
            );
            return Err(database.changed_otherwise(&changed));
        }
    }
    Ok(())
}

async fn copy(
    transaction: &Transaction,
    target: &Target,
    mut input: SendableRecordBatchStream,
) -> DfResult<u64> {
    let names = target
        .columns
        .iter()
        .map(|column| quote::checked(&column.name))
        .collect::<Result<Vec<_>, _>>()?;
    let sql = format!(
        "COPY {} ({}) FROM STDIN (FORMAT BINARY)",
        quote::checked_relation(&target.name)?,
        names.join(", ")
    );
    let sink: CopyInSink<Bytes> =
        transaction.client()?.copy_in(&sql).await.map_err(|e| transaction.failed(e))?;
    let mut sink = pin!(sink);
    sink.feed(encode::header()).await.map_err(|e| transaction.failed(e))?;
    while let Some(batch) = input.next().await {
        let bytes = encode::rows(&batch?, &target.columns)?;
        sink.send(bytes).await.map_err(|e| transaction.failed(e))?;
    }
    sink.feed(encode::trailer()).await.map_err(|e| transaction.failed(e))?;
    Ok(sink.as_mut().finish().await.map_err(|e| transaction.failed(e))?)
}

fn counted(rows: u64) -> DfResult<RecordBatch> {
    Ok(RecordBatch::try_new(count_schema(), vec![Arc::new(UInt64Array::from(vec![rows]))])?)
}
