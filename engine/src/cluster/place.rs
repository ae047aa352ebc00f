//! Whether a plan is spread, and how: gates first, then the stages, then a try to send them.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{internal_datafusion_err, internal_err, plan_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result as DfResult;
use datafusion::execution::TaskContext;
use datafusion::execution::context::{QueryPlanner, SessionState};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::windows::{
    BoundedWindowAggExec, WindowAggExec, get_ordered_partition_by_indices,
};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, InputOrderMode,
    ReplaceChildrenOptions,
};
use datafusion_distributed::{
    DistributedCodec, DistributedExec, DistributedExt, DistributedLeafExec, NetworkBoundary,
    NetworkBoundaryExt, NetworkCoalesceExec, SessionStateBuilderExt, Stage, WorkerResolver,
};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::DeduplicatingProtoConverter;
use fjord_connectors::codec::{self, RemoteDatabase};
use futures::FutureExt;
use url::Url;
use uuid::Uuid;

use super::join_filters::link;
use super::members::Cluster;
use super::order::spelt_out;
use super::settings::Carried;
use super::spread::{Spreading, bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::wire::{scan_of, unshippable};
use crate::iceberg::write::iceberg_transform;
use crate::session_settings::SessionSettings;

/// Letters of a reason that a library gives.
const REASON_CHARS_MAX: usize = 300;
/// What prost says of a message with more than a hundred levels.
const TOO_DEEP: &str = "recursion limit reached";

/// Where a plan runs.
#[derive(Debug)]
pub(crate) enum Placement {
    /// Here alone, and why.
    Local(String),
    /// On workers too.
    Spread(Box<Spread>),
}

/// A plan cut into stages. It runs once.
#[derive(Debug)]
pub(crate) struct Spread {
    /// A `DistributedExec`.
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// What the attempt runs in.
    pub(super) state: SessionState,
    /// The workers that the stages are dealt to.
    pub(super) workers: Arc<[Url]>,
    /// Stages that run on workers.
    pub(super) stages: usize,
}

/// Places a plan. The plan itself stays as it is.
///
/// # Errors
/// Those of the planner; what cannot be sent is no error, but stays here.
pub(crate) fn place(
    cluster: &Cluster,
    plan: &Arc<dyn ExecutionPlan>,
    state: &SessionState,
) -> Result<Placement> {
    let works = cluster.options().coordinator_works;
    if works && cluster.serving(&[]).is_empty() {
        return Ok(Placement::Local("no worker serves".to_owned()));
    }
    if let Some(reason) = kept_here(cluster, plan, state)? {
        return Ok(Placement::Local(reason));
    }
    let databases = databases_of(plan)?;
    let keys: Vec<u64> = databases.iter().map(RemoteDatabase::key).collect();
    let workers: Arc<[Url]> = cluster.serving(&keys).into();
    if workers.is_empty() {
        let names: Vec<&str> = databases.iter().map(|database| database.catalog.as_str()).collect();
        let reason = match names.as_slice() {
            [] => "no worker serves".to_owned(),
            names => format!("no worker that serves has catalog {}", names.join(", ")),
        };
        return match works {
            true => Ok(Placement::Local(reason)),
            false => Err(Error::new(
                ErrorKind::Unavailable,
                format!("{reason}, and the coordinator does not work: cluster.coordinator_works"),
            )
            .retryable()),
        };
    }
    let carried = match Carried::of(state.config_options()) {
        Ok(carried) => carried,
        Err(e) => return Ok(Placement::Local(e.strip_backtrace())),
    };
    let plan = &spelt_out(Arc::clone(plan))?;
    let state = spreading_state(cluster, plan, state, &workers, carried)?;
    let nothing = LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: false,
        schema: Arc::new(datafusion::common::DFSchema::empty()),
    });
    // Its handlers answer at once, so that it is done when it is first polled.
    let planned = state.query_planner().create_physical_plan(&nothing, &state).now_or_never();
    let planned = planned
        .ok_or_else(|| internal_datafusion_err!("the planner of stages waits for something"))??;
    let planned = match planned.is::<DistributedExec>() {
        true => planned,
        false => whole(plan)?,
    };
    let planned = link(planned, &workers)?;
    if let Err(e) = try_to_send(&planned, &state) {
        return Ok(Placement::Local(format!("it cannot be sent: {}", shortened(&e))));
    }
    let stages = count_stages(&planned);
    Ok(Placement::Spread(Box::new(Spread { plan: planned, state, workers, stages })))
}

/// The databases that a plan reads.
fn databases_of(plan: &Arc<dyn ExecutionPlan>) -> DfResult<BTreeSet<RemoteDatabase>> {
    let mut databases = BTreeSet::new();
    plan.apply(|node| {
        databases.extend(codec::database_of(node.as_ref()));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(databases)
}

/// Why a plan is not spread, if it is not.
fn kept_here(
    cluster: &Cluster,
    plan: &Arc<dyn ExecutionPlan>,
    state: &SessionState,
) -> Result<Option<String>> {
    let mut scanned: Option<u64> = None;
    let mut reason = None;
    plan.apply(|node| {
        if node.is::<RecursiveQueryExec>() {
            reason = Some("a recursive query runs in one place".to_owned());
        } else if node.is::<ScalarSubqueryExec>() {
            reason = Some("a subquery yields a value that its query reads".to_owned());
        } else if let Some((config, source)) = scan_of(node.as_ref()) {
            scanned = Some(scanned.unwrap_or(0).saturating_add(bytes(config)));
            reason = unshippable(config, source).map(str::to_owned);
        } else if let Some(source) = node.downcast_ref::<DataSourceExec>()
            && source.data_source().is::<FileScanConfig>()
        {
            // DataFusion would send it, without what it does not know of.
            reason = Some("files that are no table's are read here".to_owned());
        }
        Ok(if reason.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if reason.is_some() {
        return Ok(reason);
    }
    let Some(scanned) = scanned else {
        return Ok(Some("it reads no stored table".to_owned()));
    };
    let settings = state.config_options().extensions.get::<SessionSettings>();
    let least = settings.and_then(SessionSettings::cluster_bytes_min);
    let least = least.unwrap_or(cluster.options().bytes_min);
    if scanned < least && cluster.options().coordinator_works {
        return Ok(Some(format!(
            "it reads {scanned} bytes, less than cluster_bytes_min = {least}"
        )));
    }
    Ok(None)
}

/// A session whose planner cuts the given plan into stages.
fn spreading_state(
    cluster: &Cluster,
    plan: &Arc<dyn ExecutionPlan>,
    state: &SessionState,
    workers: &Arc<[Url]>,
    carried: Carried,
) -> DfResult<SessionState> {
    let task_bytes = cluster.options().task_bytes;
    let spreading = Spreading { workers: Arc::clone(workers), task_bytes };
    let (counting, scaling, routing) = (spreading.clone(), spreading.clone(), spreading);
    let given = Given { plan: Arc::clone(plan) };
    let state = SessionStateBuilder::new_from_existing(state.clone())
        .with_query_planner(Arc::new(given))
        .with_distributed_planner()
        .with_distributed_worker_resolver(Fixed(Arc::clone(workers)))
        .with_distributed_channel_resolver(cluster.channels().clone())
        .with_distributed_user_codec(cluster.codec())
        .with_distributed_option_extension(carried)
        .with_distributed_max_tasks_per_stage(workers.len())?
        // Without figures to bring home, the call that brings a plan would end before the query.
        .with_distributed_metrics_collection(true)?
        .with_distributed_desired_task_count_handler(
            move |event: datafusion_distributed::DesiredTaskCountEvent<'_>| {
                counting.task_count(&event)
            },
        )
        .with_distributed_scale_up_leaf_node_handler(
            move |event: datafusion_distributed::ScaleUpLeafNodeEvent<'_>| scaling.scale_up(&event),
        )
        .with_distributed_route_tasks_handler(
            move |event: datafusion_distributed::RouteTasksEvent<'_>| routing.route(&event),
        )
        .build();
    Ok(state)
}

/// A plan of a single task as the one stage of a worker: the planner puts no exchange where one task
/// follows one task, and would leave a cluster of one worker without work.
fn whole(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Arc<dyn ExecutionPlan>> {
    let mut plan = Arc::clone(plan);
    if plan.output_partitioning().partition_count() > 1 {
        plan = Arc::new(CoalescePartitionsExec::new(plan));
    }
    let boundary = NetworkCoalesceExec::try_new(plan, 1, 1)?;
    let Stage::Local(stage) = boundary.input_stage() else {
        return internal_err!("a stage that was not sent is elsewhere");
    };
    let mut stage = stage.clone();
    (stage.query_id, stage.num) = (Uuid::new_v4(), 1);
    let boundary = boundary.with_input_stage(Stage::Local(stage))?;
    // Stages are shown below an operator of the head stage.
    let head = Arc::new(CoalescePartitionsExec::new(boundary));
    Ok(Arc::new(DistributedExec::new(head).with_metrics_collection(true)))
}

/// Encodes every stage once, so that what cannot be sent is known before anything runs: later it
/// would show as a worker that waits ten seconds for its plan, and the cause would be lost. And reads
/// it again: some operators look at what is known of their input, which is less beyond an exchange.
fn try_to_send(plan: &Arc<dyn ExecutionPlan>, state: &SessionState) -> DfResult<()> {
    let codec = DistributedCodec::new_combined_with_user(state.config());
    let mut there = state.clone();
    there.register_udf(iceberg_transform())?;
    let context = TaskContext::from(&there);
    plan.apply(|node| {
        if let (true, [stage]) = (node.is_network_boundary(), node.children().as_slice()) {
            let sent = as_sent(Arc::clone(stage))?;
            let converter = DeduplicatingProtoConverter::default();
            let bytes = physical_plan_to_bytes_with_proto_converter(sent, &codec, &converter)?;
            let converter = DeduplicatingProtoConverter::default();
            let there = physical_plan_from_bytes_with_proto_converter(
                &bytes, &context, &codec, &converter,
            )?;
            check_windows(&there)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Whether every window of a stage finds its rows in order. What is known of them below an exchange
/// (that a key is the same in all rows, or equal to another) has made a sort needless here, and does
/// not travel; a worker would fail when it runs the window.
fn check_windows(plan: &Arc<dyn ExecutionPlan>) -> DfResult<()> {
    plan.apply(|node| {
        let windows = match node.downcast_ref::<BoundedWindowAggExec>() {
            Some(window) if window.input_order_mode == InputOrderMode::Sorted => {
                Some(window.window_expr())
            }
            Some(_) => None,
            None => node.downcast_ref::<WindowAggExec>().map(WindowAggExec::window_expr),
        };
        if let (Some([first, ..]), [input]) = (windows, node.children().as_slice()) {
            let keys = first.partition_by();
            if get_ordered_partition_by_indices(keys, input)?.len() < keys.len() {
                return plan_err!("the order of a window's rows is known here alone");
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Why, without the plan that the library repeats.
fn shortened(e: &datafusion::error::DataFusionError) -> String {
    let text = e.strip_backtrace();
    if text.contains(TOO_DEEP) {
        return "operators are nested too deeply".to_owned();
    }
    text.split(". Plan: ").next().unwrap_or_default().chars().take(REASON_CHARS_MAX).collect()
}

/// The plan of a stage as its first task gets it: what is below an exchange is not a part of it.
fn as_sent(node: Arc<dyn ExecutionPlan>) -> DfResult<Arc<dyn ExecutionPlan>> {
    if let Some(leaf) = node.downcast_ref::<DistributedLeafExec>() {
        let first = leaf.variants().first().unwrap_or(leaf.original());
        return Ok(Arc::clone(first));
    }
    let is_boundary = node.is_network_boundary();
    let of_child = |child: &Arc<dyn ExecutionPlan>| match is_boundary {
        true => {
            let partitions = child.output_partitioning().partition_count();
            Ok(Arc::new(EmptyExec::new(child.schema()).with_partitions(partitions)) as Arc<_>)
        }
        false => as_sent(Arc::clone(child)),
    };
    let children = node.children().into_iter().map(of_child).collect::<DfResult<Vec<_>>>()?;
    if children.is_empty() {
        return Ok(node);
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(children, options)
}

fn count_stages(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let below: usize = plan.children().into_iter().map(count_stages).sum();
    below + usize::from(plan.is_network_boundary())
}

/// Hands out the plan that is there already.
#[derive(Debug)]
struct Given {
    plan: Arc<dyn ExecutionPlan>,
}

#[async_trait]
impl QueryPlanner for Given {
    async fn create_physical_plan(
        &self,
        _logical_plan: &LogicalPlan,
        _session: &dyn Session,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::clone(&self.plan))
    }
}

/// The workers of one attempt: planning and routing must not see different ones.
struct Fixed(Arc<[Url]>);

impl WorkerResolver for Fixed {
    fn get_urls(&self) -> DfResult<Vec<Url>> {
        Ok(self.0.to_vec())
    }
}
