//! Queries from admission to history: kill, deadline, limits, drain.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{FutureExt, Stream, StreamExt};

use super::{
    Drained, Lane, Queries, QueriesOptions, QueryHandle, QueryKind, QueryLimits, QueryRequest,
    QueryState, SessionLimits, Wanted,
};
use crate::error::{Error, ErrorKind};
use crate::query::{QueryResult, ResultKind};

fn request(user: &str) -> QueryRequest {
    QueryRequest {
        id: None,
        user: user.to_owned(),
        client: "test".to_owned(),
        session: "s".to_owned(),
        text: "SELECT 1".to_owned(),
        kind: QueryKind::Query,
        lane: Lane::Heavy,
        wanted: Wanted::default(),
    }
}

fn queries(running_max: usize) -> Queries {
    Queries::new(QueriesOptions { running_max, ..QueriesOptions::default() })
}

fn batch(rows: i64) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

/// Rows, and then nothing for ever; tells when it is dropped.
struct Endless {
    rows: Option<RecordBatch>,
    dropped: Arc<AtomicBool>,
}

impl Stream for Endless {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rows.take().map_or(Poll::Pending, |rows| Poll::Ready(Some(Ok(rows))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

fn schema() -> SchemaRef {
    batch(0).schema()
}

fn endless(query: &QueryHandle) -> (QueryResult, Arc<AtomicBool>) {
    let dropped = Arc::new(AtomicBool::new(false));
    let rows = Endless { rows: Some(batch(3)), dropped: Arc::clone(&dropped) };
    let mut result = QueryResult::rows(schema(), Vec::new());
    result.stream = Box::pin(RecordBatchStreamAdapter::new(schema(), rows));
    (query.track(result), dropped)
}

async fn eventually(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap();
}

#[tokio::test]
async fn a_killed_query_wakes_its_reader_with_an_error() {
    let queries = queries(1);
    let query = queries.admit(request("a")).await.unwrap();
    let id = query.id();
    let (mut result, dropped) = endless(&query);
    assert_eq!(result.stream.next().await.unwrap().unwrap().num_rows(), 3);
    let reader = SpawnedTask::spawn(async move { (result.stream.next().await, result) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    queries.kill(id, "boss").unwrap();
    let (next, mut result) =
        tokio::time::timeout(Duration::from_secs(2), reader).await.unwrap().unwrap();
    let e = Error::from(next.unwrap().unwrap_err());
    assert_eq!(e.kind(), ErrorKind::Cancelled);
    assert!(e.to_string().contains("killed by \"boss\""), "{e}");
    assert!(dropped.load(Ordering::SeqCst));
    assert!(result.stream.next().await.is_none());
    let info = queries.find(id).unwrap();
    assert_eq!((info.state, info.rows), (QueryState::Cancelled, 3));
    assert_eq!(queries.kill(id, "boss").unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_killed_query_holds_nothing_even_when_nobody_reads_it() {
    let queries = queries(1);
    let query = queries.admit(request("a")).await.unwrap();
    let (mut result, dropped) = endless(&query);
    let next = SpawnedTask::spawn({
        let queries = queries.clone();
        async move { queries.admit(request("b")).await.map(|query| query.id()) }
    });
    queries.kill(query.id(), "boss").unwrap();
    eventually(|| dropped.load(Ordering::SeqCst)).await;
    // Its slot is free, too.
    next.await.unwrap().unwrap();
    let e = Error::from(result.stream.next().await.unwrap().unwrap_err());
    assert_eq!(e.kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_query_ends_at_its_deadline_and_a_session_may_shorten_it() {
    let queries = queries(1);
    let query = queries.admit(request("a")).await.unwrap();
    let time = Some(Duration::from_millis(30));
    query.limit(SessionLimits { time, ..SessionLimits::default() });
    let (mut result, _) = endless(&query);
    result.stream.next().await.unwrap().unwrap();
    let e = Error::from(result.stream.next().await.unwrap().unwrap_err());
    assert_eq!(e.kind(), ErrorKind::LimitExceeded);
    assert!(e.to_string().contains("0.03 s") && e.to_string().contains("query_time"), "{e}");
    assert_eq!(queries.find(query.id()).unwrap().state, QueryState::Failed);

    let planned = queries.admit(request("a")).await.unwrap();
    planned.limit(SessionLimits { time, ..SessionLimits::default() });
    let e = planned.during(std::future::pending::<Result<(), Error>>()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn a_result_of_too_many_rows_ends_with_an_error() {
    let limits = QueryLimits { rows: Some(5), ..QueryLimits::default() };
    let queries = Queries::new(QueriesOptions { limits, ..QueriesOptions::default() });
    let query = queries.admit(request("a")).await.unwrap();
    let mut result = query.track(QueryResult::rows(schema(), vec![batch(5), batch(1)]));
    result.stream.next().await.unwrap().unwrap();
    let e = Error::from(result.stream.next().await.unwrap().unwrap_err());
    assert_eq!(e.kind(), ErrorKind::LimitExceeded);
    assert!(e.to_string().contains("more than 5 rows"), "{e}");
}

#[tokio::test]
async fn every_end_is_remembered_as_what_it_was() {
    let queries = queries(8);
    let state = |id| queries.find(id).unwrap().state;

    let query = queries.admit(request("a")).await.unwrap();
    let result = query.track(QueryResult::rows(schema(), vec![batch(2), batch(3)]));
    let rows: Vec<_> = result.stream.collect().await;
    let info = queries.find(query.id()).unwrap();
    assert_eq!((rows.len(), info.state, info.rows), (2, QueryState::Finished, 5));
    assert!(info.bytes >= 40 && info.finished_at.is_some());

    let query = queries.admit(request("a")).await.unwrap();
    let (result, _) = endless(&query);
    assert_eq!(state(query.id()), QueryState::Running);
    drop(result);
    assert_eq!(state(query.id()), QueryState::Cancelled);

    let query = queries.admit(request("a")).await.unwrap();
    assert_eq!(state(query.id()), QueryState::Planning);
    let failed = query.during(async { Err::<(), _>(Error::invalid("no such column")) }).await;
    failed.unwrap_err();
    let info = queries.find(query.id()).unwrap();
    assert_eq!(info.state, QueryState::Failed);
    assert_eq!(info.error.as_deref(), Some("no such column"));
    assert_eq!(info.error_kind.as_deref(), Some("invalid"));

    let query = queries.admit(request("a")).await.unwrap();
    let id = query.id();
    drop(query);
    assert_eq!(state(id), QueryState::Cancelled);

    let query = queries.admit(request("a")).await.unwrap();
    let mut changed = QueryResult::done("created table t");
    drop(query.track(changed));
    assert_eq!(state(query.id()), QueryState::Finished);

    let query = queries.admit(request("a")).await.unwrap();
    let count: ArrayRef = Arc::new(UInt64Array::from(vec![7]));
    let count = RecordBatch::try_from_iter([("count", count)]).unwrap();
    changed = QueryResult::rows(count.schema(), vec![count]);
    changed.kind = ResultKind::Affected;
    let _rows: Vec<_> = query.track(changed).stream.collect().await;
    assert_eq!(queries.find(query.id()).unwrap().rows, 7);
    assert_eq!(queries.statistics().running, 0);
}

#[tokio::test]
async fn the_queue_is_seen_killed_in_and_left() {
    let queries = queries(1);
    let first = queries.admit(request("a")).await.unwrap();
    let mut second = Box::pin(queries.admit(request("b")));
    assert!(second.as_mut().now_or_never().is_none());
    let listed = queries.list();
    assert_eq!((listed[0].id, listed[1].state), (first.id(), QueryState::Queued));
    queries.kill(listed[1].id, "boss").unwrap();
    assert_eq!(second.await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(queries.find(listed[1].id).unwrap().state, QueryState::Cancelled);

    let mut third = Box::pin(queries.admit(request("c")));
    assert!(third.as_mut().now_or_never().is_none());
    drop(third);
    assert_eq!(queries.statistics().queued, 0);
    drop(first);
    queries.admit(request("d")).await.unwrap();
}

#[tokio::test]
async fn an_id_that_was_given_stands_for_one_query() {
    let queries = queries(8);
    let id = Some(uuid::Uuid::now_v7());
    let first = queries.admit(QueryRequest { id, ..request("a") }).await.unwrap();
    let second = queries.admit(QueryRequest { id, ..request("a") }).await.unwrap();
    assert_eq!(Some(first.id()), id);
    assert_ne!(Some(second.id()), id);
    first.finish(0);
    let third = queries.admit(QueryRequest { id, ..request("a") }).await.unwrap();
    assert_ne!(Some(third.id()), id);
}

#[tokio::test]
async fn a_queue_that_is_full_leaves_no_history() {
    let options = QueriesOptions { running_max: 1, queued_max: 0, ..QueriesOptions::default() };
    let queries = Queries::new(options);
    let _first = queries.admit(request("a")).await.unwrap();
    let e = queries.admit(request("a")).await.unwrap_err();
    assert!(e.to_string().starts_with("QUEUE_FULL:"), "{e}");
    assert_eq!((queries.list().len(), queries.statistics().refused), (1, 1));
}

#[tokio::test]
async fn draining_waits_for_the_patient_and_ends_the_rest() {
    let queries = queries(8);
    let quick = queries.admit(request("a")).await.unwrap();
    let (draining, ()) = tokio::join!(queries.drain(Duration::from_secs(5)), async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        quick.finish(0);
    });
    assert_eq!(draining, Drained { ended: 0 });
    assert_eq!(queries.admit(request("a")).await.unwrap_err().kind(), ErrorKind::Unavailable);

    let queries = self::queries(8);
    let slow = queries.admit(request("a")).await.unwrap();
    let (mut result, dropped) = endless(&slow);
    assert_eq!(queries.drain(Duration::from_millis(10)).await, Drained { ended: 1 });
    assert!(dropped.load(Ordering::SeqCst));
    let e = Error::from(result.stream.next().await.unwrap().unwrap_err());
    assert!(e.to_string().contains("shuts down"), "{e}");
}
