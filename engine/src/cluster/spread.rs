//! How a scan is spread over workers: how many tasks, which bytes to whom, and which worker is which
//! task.
//!
//! A file goes to the worker that a rendezvous hash names, again and again: what was cached of it is
//! there. Where that would give one worker much more than the others, the next in line takes it.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::Distribution;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode,
};
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedLeafExec, RouteTasksEvent,
    RouteTasksEventResponse, ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
};
use url::Url;

use super::pieces::{joined, pieces};
use crate::iceberg::table::balance;
use crate::iceberg::wire::scan_of;

/// How much more than its share a worker may get for the sake of its caches, in percent.
const OVERLOAD_PERCENT: u64 = 5;

/// The workers of one attempt, and how much a task reads.
#[derive(Clone, Debug)]
pub(super) struct Spreading {
    pub(super) workers: Arc<[Url]>,
    pub(super) task_bytes: u64,
}

impl Spreading {
    /// How many tasks the stage of an operator may have.
    pub(super) fn task_count(
        &self,
        event: &DesiredTaskCountEvent<'_>,
    ) -> Option<Result<DesiredTaskCountEventResponse>> {
        let node = event.plan;
        let one = || Some(Ok(DesiredTaskCountEventResponse::maximum(1)));
        if let Some((config, _)) = scan_of(node.as_ref()) {
            // A limit of a single partition is the query's: nobody above may count again.
            if config.limit.is_some() && node.output_partitioning().partition_count() == 1 {
                return one();
            }
            let tasks = bytes(config).div_ceil(self.task_bytes.max(1));
            let tasks = usize::try_from(tasks).unwrap_or(usize::MAX);
            let tasks = tasks.clamp(1, self.workers.len().max(1));
            return Some(Ok(DesiredTaskCountEventResponse::desired(tasks)));
        }
        if node.children().is_empty() || needs_all(node) { one() } else { None }
    }

    /// A scan for each of the tasks of its stage.
    pub(super) fn scale_up(
        &self,
        event: &ScaleUpLeafNodeEvent<'_>,
    ) -> Option<Result<ScaleUpLeafNodeEventResponse>> {
        let scan = scan_of(event.plan.as_ref()).filter(|_| event.task_count > 1);
        let Some((config, _)) = scan else {
            let same = Arc::clone(event.plan);
            return Some(Ok(ScaleUpLeafNodeEventResponse::new(same)));
        };
        let partitions = event.plan.output_partitioning().partition_count().max(1);
        let workers = self.ranked(config, event.task_count);
        let pieces = pieces(&config.file_groups, event.task_count * partitions, self.task_bytes);
        let variants = deal(pieces, &workers).into_iter().map(|files| {
            let mut groups: Vec<_> = balance(files, partitions).iter().map(joined).collect();
            groups.resize(partitions, FileGroup::new(Vec::new()));
            let mut variant = config.clone();
            variant.file_groups = groups;
            DataSourceExec::from_data_source(variant) as Arc<dyn ExecutionPlan>
        });
        let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), variants);
        Some(leaf.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
    }

    /// The workers of a stage that reads files, so that each task is where its files are.
    pub(super) fn route(
        &self,
        event: &RouteTasksEvent<'_>,
    ) -> Option<Result<RouteTasksEventResponse>> {
        let mut workers = None;
        let walked = event.plan.apply(|node| {
            let scan = match node.downcast_ref::<DistributedLeafExec>() {
                Some(leaf) if leaf.variants().len() == event.task_count => leaf.original(),
                // A single task has the scan as it was.
                None if event.task_count == 1 => node,
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            if let Some((config, _)) = scan_of(scan.as_ref()) {
                workers = Some(self.ranked(config, event.task_count));
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        match (walked, workers) {
            (Err(e), _) => Some(Err(e)),
            (Ok(_), Some(workers)) if workers.len() == event.task_count => {
                Some(Ok(RouteTasksEventResponse::new(workers)))
            }
            (Ok(_), _) => None,
        }
    }

    /// The workers for `tasks` tasks that read what `config` says, always in the same order.
    fn ranked(&self, config: &FileScanConfig, tasks: usize) -> Vec<Url> {
        let first = config.file_groups.iter().flat_map(FileGroup::files).next();
        let key = first.map(|file| file.object_meta.location.as_ref()).unwrap_or_default();
        let mut workers = self.workers.to_vec();
        workers.sort_by_key(|worker| Reverse(score(worker, key, 0)));
        workers.truncate(tasks);
        workers
    }
}

/// Bytes that a scan reads at most.
pub(super) fn bytes(config: &FileScanConfig) -> u64 {
    let files = config.file_groups.iter().flat_map(FileGroup::files);
    files.map(PartitionedFile::effective_size).sum()
}

/// Whether an operator means all of the rows of an input that is a single partition: cut into tasks,
/// each of them would take its share for the whole. What gathers partitions has an exchange below
/// itself, and what a join collects is sent to every task.
fn needs_all(node: &Arc<dyn ExecutionPlan>) -> bool {
    if node.is::<CoalescePartitionsExec>() || node.is::<SortPreservingMergeExec>() {
        return false;
    }
    let collects_left = node.is::<CrossJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node
            .downcast_ref::<HashJoinExec>()
            .is_some_and(|join| *join.partition_mode() == PartitionMode::CollectLeft);
    let wanted = node.input_distribution_requirements();
    let needs_all_of = |(i, child): (usize, &&Arc<dyn ExecutionPlan>)| {
        let wants = wanted.child_distribution(i);
        let wants = wants.is_some_and(|d| !matches!(d, Distribution::UnspecifiedDistribution));
        wants && !(collects_left && i == 0) && child.output_partitioning().partition_count() == 1
    };
    let counts = node.fetch().is_some() && node.output_partitioning().partition_count() == 1;
    counts || node.children().iter().enumerate().any(needs_all_of)
}

/// Deals pieces to workers: each to the one that its hash names, while that has not got too much.
fn deal(mut pieces: Vec<PartitionedFile>, workers: &[Url]) -> Vec<Vec<PartitionedFile>> {
    let total: u64 = pieces.iter().map(PartitionedFile::effective_size).sum();
    let share = total.div_ceil(workers.len().max(1) as u64);
    let most = share.saturating_add(share.saturating_mul(OVERLOAD_PERCENT) / 100);
    let mut dealt: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); workers.len()];
    pieces.sort_by_key(|piece| Reverse(piece.effective_size()));
    for piece in pieces {
        let size = piece.effective_size();
        let path = piece.object_meta.location.as_ref();
        let start = piece.range.as_ref().map_or(0, |range| range.start);
        let mut line: Vec<usize> = (0..workers.len()).collect();
        line.sort_by_key(|i| Reverse(score(&workers[*i], path, start)));
        let fits = |i: &usize| dealt[*i].0.saturating_add(size) <= most;
        let least = || (0..dealt.len()).min_by_key(|i| dealt[*i].0);
        if let Some(chosen) = line.into_iter().find(fits).or_else(least) {
            dealt[chosen].0 = dealt[chosen].0.saturating_add(size);
            dealt[chosen].1.push(piece);
        }
    }
    dealt.into_iter().map(|(_, files)| files).collect()
}

fn score(worker: &Url, path: &str, start: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (worker.as_str(), path, start).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(names: &[&str]) -> Vec<Url> {
        names.iter().map(|name| format!("http://{name}:1").parse().unwrap()).collect()
    }

    fn files(count: usize, size: u64) -> Vec<PartitionedFile> {
        (0..count).map(|i| PartitionedFile::new(format!("t/{i}.parquet"), size)).collect()
    }

    #[test]
    fn every_file_is_dealt_once_and_nobody_gets_much_more() {
        let workers = urls(&["a", "b", "c"]);
        let dealt = deal(files(100, 10), &workers);
        assert_eq!(dealt.iter().map(Vec::len).sum::<usize>(), 100);
        assert!(dealt.iter().all(|files| files.len() <= 39), "{dealt:?}");
    }

    #[test]
    fn most_files_stay_where_they_are_when_a_worker_leaves() {
        let place = |workers: &[Url]| {
            let dealt = deal(files(300, 10), workers);
            let mut at = std::collections::BTreeMap::new();
            for (worker, files) in workers.iter().zip(dealt) {
                for file in files {
                    at.insert(file.object_meta.location.to_string(), worker.clone());
                }
            }
            at
        };
        let before = place(&urls(&["a", "b", "c", "d"]));
        let after = place(&urls(&["a", "b", "c"]));
        let gone = urls(&["d"]).remove(0);
        let moved = before
            .iter()
            .filter(|(file, worker)| **worker != gone && after[*file] != **worker)
            .count();
        assert!(moved < 60, "{moved}");
    }
}
