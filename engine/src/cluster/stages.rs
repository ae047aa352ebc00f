//! Stages that ran on workers, the latest ones, for `system.stages`.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::NetworkBoundaryExt;
use uuid::Uuid;

/// Stages that are remembered.
const STAGES_MAX: usize = 2_000;

/// How a stage fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageState {
    /// Its query goes on.
    Running,
    /// Its query has all of its rows.
    Finished,
    /// Its attempt failed, or nobody wanted the rows any more.
    Failed,
}

impl StageState {
    /// As `system.stages` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// A stage of one attempt at a query.
#[derive(Clone, Debug)]
pub struct StageInfo {
    /// The query; `None` for one that was not admitted.
    pub query: Option<Uuid>,
    /// From 1.
    pub attempt: u32,
    /// From 1, those that read tables first.
    pub stage: u64,
    /// Tasks, each on a worker of its own.
    pub tasks: u64,
    /// The operator at its top.
    pub operator: String,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it fared.
    pub state: StageState,
}

/// The latest stages.
#[derive(Debug, Default)]
pub(super) struct Stages {
    all: Mutex<VecDeque<(u64, StageInfo)>>,
    next: std::sync::atomic::AtomicU64,
}

/// An attempt under way: its stages are running until this is told otherwise, or dropped.
#[derive(Debug)]
pub(super) struct RunningStages<'a> {
    stages: &'a Stages,
    attempt: u64,
    outcome: StageState,
}

impl Stages {
    fn all(&self) -> MutexGuard<'_, VecDeque<(u64, StageInfo)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn list(&self) -> Vec<StageInfo> {
        self.all().iter().map(|(_, stage)| stage.clone()).collect()
    }

    /// Notes the stages of `plan`.
    pub(super) fn begin(
        &self,
        plan: &dyn ExecutionPlan,
        query: Option<Uuid>,
        attempt: u32,
    ) -> RunningStages<'_> {
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let started_at = Utc::now();
        let mut found = Vec::new();
        gather(plan, &mut found);
        found.sort_unstable();
        let mut all = self.all();
        for (stage, tasks, operator) in found {
            if all.len() >= STAGES_MAX {
                drop(all.pop_front());
            }
            let state = StageState::Running;
            let info = StageInfo {
                query,
                attempt,
                stage,
                tasks,
                operator,
                started_at,
                finished_at: None,
                state,
            };
            all.push_back((id, info));
        }
        drop(all);
        RunningStages { stages: self, attempt: id, outcome: StageState::Failed }
    }
}

impl RunningStages<'_> {
    /// All rows have come.
    pub(super) fn finish(mut self) {
        self.outcome = StageState::Finished;
    }
}

impl Drop for RunningStages<'_> {
    fn drop(&mut self) {
        let now = Utc::now();
        for (attempt, stage) in self.stages.all().iter_mut() {
            if *attempt == self.attempt {
                stage.finished_at = Some(now);
                stage.state = self.outcome;
            }
        }
    }
}

fn gather(plan: &dyn ExecutionPlan, found: &mut Vec<(u64, u64, String)>) {
    if let Some(boundary) = plan.as_network_boundary() {
        let stage = boundary.input_stage();
        let top = plan.children().first().map_or("", |top| top.name()).to_owned();
        found.push((stage.num() as u64, stage.task_count() as u64, top));
    }
    for child in plan.children() {
        gather(child.as_ref(), found);
    }
}
