//! Finds the filters that join and scan do not share any more, and puts the operators in that do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::NullEquality;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};
use datafusion_distributed::NetworkBoundaryExt;
use url::Url;

use super::await_filter::AwaitJoinFilterExec;
use super::keep::KeepJoinKeysExec;
use super::send::SendJoinFilterExec;

/// With more workers, each telling each, a filter costs more than it saves.
const WORKERS_MAX: usize = 64;

/// A stage of a plan; 0 is the head, which runs here.
type StageNumber = usize;

/// Who makes filters and who uses them, by the filter's id.
#[derive(Default)]
struct Filters {
    stages: StageNumber,
    made: BTreeMap<u64, (StageNumber, Arc<dyn PhysicalExpr>)>,
    used: BTreeMap<u64, BTreeSet<StageNumber>>,
}

impl Filters {
    fn collect(&mut self, node: &Arc<dyn ExecutionPlan>, stage: StageNumber) -> Result<()> {
        if node.is::<HashJoinExec>() {
            for filter in node.dynamic_expressions_produced() {
                if let Some(id) = filter.expression_id() {
                    self.made.insert(id, (stage, filter));
                }
            }
        }
        let children = node.children();
        if children.is_empty() {
            for id in ids_used(node)? {
                self.used.entry(id).or_default().insert(stage);
            }
        }
        for child in children {
            let below = match node.is_network_boundary() {
                true => {
                    self.stages += 1;
                    self.stages
                }
                false => stage,
            };
            self.collect(child, below)?;
        }
        Ok(())
    }

    /// The filters of joins on workers that are used in another stage than theirs.
    fn crossing(self) -> BTreeMap<u64, Arc<dyn PhysicalExpr>> {
        let Self { made, used, .. } = self;
        let crosses = |id: &u64, stage: StageNumber| {
            stage > 0 && used.get(id).is_some_and(|stages| stages.iter().any(|one| *one != stage))
        };
        let crossing = made.into_iter().filter(|(id, (stage, _))| crosses(id, *stage));
        crossing.map(|(id, (_, filter))| (id, filter)).collect()
    }
}

/// The filters in the expressions of an operator.
fn ids_used(node: &Arc<dyn ExecutionPlan>) -> Result<BTreeSet<u64>> {
    let mut ids = BTreeSet::new();
    node.apply_expressions(&mut |root| {
        root.apply(|expr| {
            ids.extend(expr.expression_id());
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(ids)
}

/// The plan of stages, in which the filters of joins reach the scans of other stages.
pub(crate) fn link(
    plan: Arc<dyn ExecutionPlan>,
    workers: &Arc<[Url]>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if workers.len() > WORKERS_MAX {
        return Ok(plan);
    }
    let mut filters = Filters::default();
    filters.collect(&plan, 0)?;
    let crossing = filters.crossing();
    if crossing.is_empty() {
        return Ok(plan);
    }
    let linked = plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            let made = node.dynamic_expressions_produced();
            let found = made.into_iter().find_map(|made| {
                let id = made.expression_id().filter(|id| crossing.contains_key(id))?;
                Some((id, made))
            });
            let Some((id, filter)) = found else { return Ok(Transformed::no(node)) };
            let is_whole = *join.partition_mode() == PartitionMode::CollectLeft;
            let probe = Arc::clone(join.right());
            let probe = SendJoinFilterExec::new(probe, filter, is_whole, Arc::clone(workers));
            let mut build = Arc::clone(join.left());
            // Where NULL may match, a set of keys says too little.
            if !join.null_aware && join.null_equality() == NullEquality::NullEqualsNothing {
                let keys = join.on().iter().map(|(build, _)| Arc::clone(build)).collect();
                build = Arc::new(KeepJoinKeysExec::new(build, id, keys));
            }
            let children = vec![build, Arc::new(probe) as Arc<_>];
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
            return Ok(Transformed::yes(node.replace_children(children, options)?));
        }
        if !node.children().is_empty() {
            return Ok(Transformed::no(node));
        }
        let awaited: Vec<_> = ids_used(&node)?
            .into_iter()
            .filter_map(|id| crossing.get(&id).map(Arc::clone))
            .collect();
        if awaited.is_empty() {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(Arc::new(AwaitJoinFilterExec::new(node, awaited)) as _))
    })?;
    Ok(linked.data)
}
