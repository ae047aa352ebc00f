//! A query that is planned and pinned, and has not run: it may run more than once, and each run
//! reads the same.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::context::StatementContext;
use super::pins::Pins;
use super::{plan, select};
use crate::error::Result;
use crate::queries::QueryHandle;
use crate::query::{QueryResult, ResultKind};

/// A planned query. Its schema is what every run yields.
pub struct PlannedQuery {
    ctx: StatementContext,
    schema: SchemaRef,
    work: Work,
}

/// What a run does.
enum Work {
    /// Executes a plan.
    Plan {
        /// For the first run.
        made: Mutex<Option<Arc<dyn ExecutionPlan>>>,
        /// What later runs are planned from, over the same snapshots.
        logical: Box<LogicalPlan>,
    },
    /// Hands out rows that were gathered when it was planned (SHOW, DESCRIBE, EXPLAIN).
    Rows(Vec<RecordBatch>),
}

impl PlannedQuery {
    /// A query with a physical plan, which has not run.
    pub(crate) fn of_plan(
        ctx: StatementContext,
        logical: LogicalPlan,
        plan: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
    ) -> Self {
        let work = Work::Plan { made: Mutex::new(Some(plan)), logical: Box::new(logical) };
        Self { ctx, schema, work }
    }

    /// Rows that are there already.
    pub(crate) fn of_rows(
        ctx: StatementContext,
        schema: SchemaRef,
        rows: Vec<RecordBatch>,
    ) -> Self {
        Self { ctx, schema, work: Work::Rows(rows) }
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What its names stand for: with these pins another process plans the same query.
    pub fn pins(&self) -> Pins {
        self.ctx.pins()
    }

    /// What `now()` says in it.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        self.ctx.state.execution_props().query_execution_start_time
    }

    /// Starts a run. Each has a plan of its own: an operator keeps state, and yields once. A plan that
    /// is reset is none: its joins hand no filter to what they read any more, and what they read
    /// keeps the filter of the run before. With `query`, it runs under the limits of that.
    pub async fn execute(&self, query: Option<&QueryHandle>) -> Result<QueryResult> {
        match &self.work {
            Work::Plan { made, logical } => {
                let made = made.lock().unwrap_or_else(PoisonError::into_inner).take();
                let fresh = match made {
                    Some(plan) => plan,
                    None => plan::physical(&self.ctx, logical).await?,
                };
                let schema = Some(Arc::clone(&self.schema));
                let query = query.or_else(|| self.ctx.query());
                select::execute_in(&self.ctx, query, fresh, ResultKind::Rows, schema)
            }
            Work::Rows(rows) => Ok(QueryResult::rows(Arc::clone(&self.schema), rows.clone())),
        }
    }
}

impl fmt::Debug for PlannedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedQuery").field("schema", &self.schema).finish_non_exhaustive()
    }
}
