//! The leaf of a plan that reads from PostgreSQL.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions, StatisticsArgs,
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::database::Database;
use super::dynamic;
use super::scan::{Failure, ScanRun, ScanSpec};
use super::snapshot::Member;
use crate::error::{Error, ErrorKind};

/// Partitions of a scan that another process may ask for.
const PARTITIONS_MAX: usize = 4096;

/// A scan between processes.
#[derive(Serialize, Deserialize)]
struct Sent {
    spec: ScanSpec,
    partitions: usize,
    rows: Option<usize>,
}

/// Reads the answer to one query of one database. All partitions take from one queue.
#[derive(Debug)]
pub struct RemoteSqlExec {
    database: Arc<Database>,
    spec: ScanSpec,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    statistics: Arc<Statistics>,
    /// Filters of joins, read when the scan begins.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    metrics: ExecutionPlanMetricsSet,
    run: Arc<Mutex<Run>>,
}

/// One run of a plan; a plan that runs again has another.
enum Run {
    /// Its streams keep the scan's place in the statement.
    Fresh(Weak<Member>),
    Started(Weak<ScanRun>),
    /// Everything was read.
    Ended,
    Failed(Failure),
}

impl Default for Run {
    fn default() -> Self {
        Self::Fresh(Weak::new())
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Run::Fresh(_) => "Fresh",
            Run::Started(_) => "Started",
            Run::Ended => "Ended",
            Run::Failed(_) => "Failed",
        })
    }
}

impl RemoteSqlExec {
    pub(super) fn new(
        database: Arc<Database>,
        spec: ScanSpec,
        partitions: usize,
        statistics: Statistics,
    ) -> Self {
        let fields: Vec<Field> = spec
            .columns
            .iter()
            .map(|c| Field::new(&c.name, c.wire.data_type(), c.nullable))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self {
            database,
            spec,
            schema,
            properties,
            statistics: Arc::new(statistics),
            filters: Vec::new(),
            metrics: ExecutionPlanMetricsSet::new(),
            run: Arc::default(),
        }
    }

    /// The catalog that is read from.
    pub fn catalog(&self) -> &str {
        &self.spec.catalog
    }

    /// Which database that is.
    pub(crate) fn identity(&self) -> String {
        self.database.settings().identity()
    }

    /// The query that the database answers.
    pub fn sql(&self) -> String {
        self.spec.to_sql()
    }

    /// The filters of joins that it reads when it begins.
    pub(crate) fn filters(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.filters
    }

    /// The same scan with other filters of joins.
    pub(crate) fn with_filters(&self, filters: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        let mut node = self.with(self.metrics.clone(), Arc::clone(&self.run));
        node.filters = filters;
        node
    }

    /// What another process needs, but for its own secrets.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let sent = Sent {
            spec: self.spec.clone(),
            partitions: self.properties.partitioning.partition_count(),
            rows: self.statistics.num_rows.get_value().copied(),
        };
        serde_json::to_vec(&sent)
            .map_err(|e| Error::new(ErrorKind::Invalid, "a scan cannot be sent").with_source(e))
    }

    pub(super) fn decode(database: Arc<Database>, bytes: &[u8]) -> Result<Self, Error> {
        let sent: Sent = serde_json::from_slice(bytes).map_err(|e| {
            Error::new(ErrorKind::Corrupt, "what was sent is no scan of PostgreSQL").with_source(e)
        })?;
        if sent.partitions == 0 || sent.partitions > PARTITIONS_MAX {
            let message = format!("a scan of {} partitions was sent", sent.partitions);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let node = Self::new(database, sent.spec, sent.partitions, Statistics::default());
        let mut statistics = Statistics::new_unknown(&node.schema);
        if let Some(rows) = sent.rows {
            statistics.num_rows = Precision::Inexact(rows);
        }
        Ok(Self { statistics: Arc::new(statistics), ..node })
    }

    fn with(&self, metrics: ExecutionPlanMetricsSet, run: Arc<Mutex<Run>>) -> Self {
        Self {
            database: Arc::clone(&self.database),
            spec: self.spec.clone(),
            schema: Arc::clone(&self.schema),
            properties: Arc::clone(&self.properties),
            statistics: Arc::clone(&self.statistics),
            filters: self.filters.clone(),
            metrics,
            run,
        }
    }

    /// The scan's place in the statement that runs in `context`; all partitions have one.
    fn join(&self, context: &Arc<TaskContext>) -> Option<Arc<Member>> {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let Run::Fresh(member) = &mut *run else { return None };
        if let Some(member) = member.upgrade() {
            return Some(member);
        }
        let joined = Arc::new(self.database.statements.join(context));
        *member = Arc::downgrade(&joined);
        Some(joined)
    }

    /// This run, or the one that another partition has begun.
    fn running(
        &self,
        context: &Arc<TaskContext>,
        member: Option<Arc<Member>>,
    ) -> Result<Option<Arc<ScanRun>>, Error> {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        match &*run {
            Run::Ended => Ok(None),
            Run::Failed(failure) => Err(failure.clone().into()),
            Run::Fresh(_) => {
                let member =
                    member.unwrap_or_else(|| Arc::new(self.database.statements.join(context)));
                let (database, mut spec) = (Arc::clone(&self.database), self.spec.clone());
                let learnt = dynamic::conditions(&self.filters, &self.spec.columns, &self.schema);
                spec.conditions.extend(learnt);
                let schema = Arc::clone(&self.schema);
                let started = ScanRun::start(database, spec, schema, context, member);
                *run = Run::Started(Arc::downgrade(&started));
                Ok(Some(started))
            }
            Run::Started(started) => started.upgrade().map(Some).ok_or_else(|| {
                // Its rows would be missing.
                let relation = &self.spec.relation;
                let what =
                    format!("reading {relation} was given up before all of its rows were read");
                self.database.pool.error(ErrorKind::Unavailable, what)
            }),
        }
    }

    fn end(&self, how: Run) {
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = how;
    }
}

impl DisplayAs for RemoteSqlExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteSqlExec: catalog={}, sql={}", self.spec.catalog, self.spec.to_sql())?;
        if self.filters.is_empty() {
            return Ok(());
        }
        let filters: Vec<_> = self.filters.iter().map(ToString::to_string).collect();
        write!(f, ", dynamic_filters=[{}]", filters.join(", "))
    }
}

impl ExecutionPlan for RemoteSqlExec {
    fn name(&self) -> &str {
        "RemoteSqlExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for filter in &self.filters {
            recursion = f(filter)?;
            if recursion == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(recursion)
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> DfResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // After a limit, fewer rows are other rows.
        let takes = self.database.settings().pushdown && self.spec.tail.is_empty();
        let filters: Vec<_> = result
            .parent_filters
            .iter()
            .map(|parent| &parent.filter)
            .filter(|filter| takes && filter.downcast_ref::<DynamicFilterPhysicalExpr>().is_some())
            .cloned()
            .collect();
        // Who made a filter goes on judging: what is read may be more than what passes.
        let refused = vec![PushedDown::No; result.parent_filters.len()];
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(refused);
        if filters.is_empty() {
            return Ok(answer);
        }
        let mut node = self.with(self.metrics.clone(), Arc::clone(&self.run));
        node.filters.extend(filters);
        Ok(answer.with_updated_node(Arc::new(node)))
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn reset_state(self: Arc<Self>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with(ExecutionPlanMetricsSet::new(), Arc::default())))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        // Begun when it is first polled: what a join has learnt until then is known.
        let exec = self.with(self.metrics.clone(), Arc::clone(&self.run));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let member = self.join(&context);
        let rows = async_rows(exec, context, member).inspect_ok(move |batch| {
            metrics.record_output(batch.num_rows());
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> DfResult<Arc<Statistics>> {
        match args.partition() {
            // Which rows a partition gets is decided as it runs.
            Some(_) => Ok(Arc::new(Statistics::new_unknown(&self.schema))),
            None => Ok(Arc::clone(&self.statistics)),
        }
    }
}

fn async_rows(
    exec: RemoteSqlExec,
    context: Arc<TaskContext>,
    member: Option<Arc<Member>>,
) -> impl futures::Stream<Item = DfResult<RecordBatch>> + Send {
    enum State {
        Begin(Option<Arc<Member>>),
        Reading(Arc<ScanRun>),
    }
    let begin = (exec, context, State::Begin(member));
    futures::stream::try_unfold(begin, |(exec, context, state)| async {
        let run = match state {
            State::Reading(run) => run,
            State::Begin(member) => {
                match exec.running(&context, member).map_err(DataFusionError::from)? {
                    Some(run) => run,
                    None => return Ok(None),
                }
            }
        };
        match run.next().await {
            Ok(Some(batch)) => Ok(Some((batch, (exec, context, State::Reading(run))))),
            Ok(None) => {
                exec.end(Run::Ended);
                Ok(None)
            }
            // While the run is there: other partitions are told why, and not that it is gone.
            Err(e) => {
                exec.end(Run::Failed(Failure::from(&e)));
                Err(e.into())
            }
        }
    })
}
