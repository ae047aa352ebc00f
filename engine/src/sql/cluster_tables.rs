//! `system.workers` and `system.stages`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use crate::cluster::{Cluster, spelt};
use crate::queries::{Queries, Viewer};

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn number(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Int64, nullable)
}

fn time(name: &str, nullable: bool) -> Field {
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Field::new(name, zoned, nullable)
}

fn times(values: impl Iterator<Item = Option<DateTime<Utc>>>) -> ArrayRef {
    let micros = values.map(|at| at.map(|at| at.timestamp_micros()));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn one(schema: &SchemaRef, columns: Vec<ArrayRef>) -> SendableRecordBatchStream {
    let batch: DfResult<RecordBatch> =
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(DataFusionError::from);
    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), stream::iter([batch])))
}

/// The workers of the cluster; none without one.
#[derive(Debug)]
pub(super) struct Workers {
    schema: SchemaRef,
    cluster: Option<Arc<Cluster>>,
}

impl Workers {
    pub(super) fn new(cluster: Option<Arc<Cluster>>) -> Self {
        let schema = Arc::new(Schema::new(vec![
            text("id", true),
            text("address", false),
            text("state", false),
            time("since", false),
            number("silence_ms", true),
            number("tasks", false),
            number("failures", false),
        ]));
        Self { schema, cluster }
    }
}

impl PartitionStream for Workers {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let seen = self.cluster.as_ref().map(|cluster| cluster.workers()).unwrap_or_default();
        let ids = seen.iter().map(|worker| worker.id.map(|id| id.to_string()));
        let addresses = seen.iter().map(|worker| spelt(&worker.url));
        let silences = seen.iter().map(|worker| {
            let millis = worker.silence.map(|silence| silence.as_millis());
            millis.map(|millis| i64::try_from(millis).unwrap_or(i64::MAX))
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.collect::<StringArray>()),
            Arc::new(StringArray::from_iter_values(addresses)),
            Arc::new(StringArray::from_iter_values(seen.iter().map(|w| w.state.name()))),
            times(seen.iter().map(|worker| Some(worker.since))),
            Arc::new(silences.collect::<Int64Array>()),
            Arc::new(Int64Array::from_iter_values(seen.iter().map(|w| whole(w.tasks)))),
            Arc::new(Int64Array::from_iter_values(seen.iter().map(|w| whole(w.failures)))),
        ];
        one(&self.schema, columns)
    }
}

/// The latest stages of the queries that the viewer may see.
#[derive(Debug)]
pub(super) struct Stages {
    schema: SchemaRef,
    cluster: Option<Arc<Cluster>>,
    viewer: Viewer,
    queries: Queries,
}

impl Stages {
    pub(super) fn new(cluster: Option<Arc<Cluster>>, viewer: Viewer, queries: Queries) -> Self {
        let schema = Arc::new(Schema::new(vec![
            text("query_id", true),
            number("attempt", false),
            number("stage", false),
            number("tasks", false),
            text("operator", false),
            text("state", false),
            time("started_at", false),
            time("finished_at", true),
        ]));
        Self { schema, cluster, viewer, queries }
    }
}

impl PartitionStream for Stages {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut seen = self.cluster.as_ref().map(|cluster| cluster.stages()).unwrap_or_default();
        let users: std::collections::HashMap<_, _> =
            self.queries.list().into_iter().map(|query| (query.id, query)).collect();
        seen.retain(|stage| match stage.query {
            // Of a query that nobody remembers, nobody knows whose it was.
            Some(id) => users.get(&id).is_some_and(|query| self.viewer.sees(&query.user)),
            None => true,
        });
        let ids = seen.iter().map(|stage| stage.query.map(|id| id.to_string()));
        let attempts = seen.iter().map(|stage| i64::from(stage.attempt));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.collect::<StringArray>()),
            Arc::new(Int64Array::from_iter_values(attempts)),
            Arc::new(Int64Array::from_iter_values(seen.iter().map(|s| whole(s.stage)))),
            Arc::new(Int64Array::from_iter_values(seen.iter().map(|s| whole(s.tasks)))),
            Arc::new(StringArray::from_iter_values(seen.iter().map(|s| s.operator.as_str()))),
            Arc::new(StringArray::from_iter_values(seen.iter().map(|s| s.state.name()))),
            times(seen.iter().map(|stage| Some(stage.started_at))),
            times(seen.iter().map(|stage| stage.finished_at)),
        ];
        one(&self.schema, columns)
    }
}
