//! The rows of a query on their way out: counted, limited, and ended when the query is.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use arrow::array::{Array, RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::Result as DfResult;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};

use super::record::{Outcome, Stop};
use super::running::Running;
use super::wanted::Kept;
use crate::error::{Error, ErrorKind};
use crate::query::{QueryResult, ResultKind};

/// The rows, reachable from two sides: by who reads them, and by who ends the query. The latter
/// drops them at once, whether or not anybody reads: a killed query holds nothing.
struct Source {
    rows: Mutex<Option<SendableRecordBatchStream>>,
    stop: OnceLock<Stop>,
    reader: AtomicWaker,
}

impl Source {
    fn stop(&self, stop: Stop) {
        drop(self.stop.set(stop));
        // One that is being polled is dropped by the reader, which looks for `stop` afterwards.
        if let Ok(mut rows) = self.rows.try_lock() {
            let rows = rows.take();
            drop(rows);
        }
        self.reader.wake();
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.as_mut().map_or(Poll::Ready(None), |rows| rows.poll_next_unpin(cx))
    }

    fn close(&self) {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(rows);
    }
}

struct Tracked {
    // What still works for this value when it is dropped learns of it first.
    _read: Kept,
    schema: SchemaRef,
    kind: ResultKind,
    source: Arc<Source>,
    query: Arc<Running>,
    is_over: bool,
    // Ends with this value.
    _watcher: SpawnedTask<()>,
}

/// Puts `result` under the query's limits.
pub(super) fn track(query: Arc<Running>, result: QueryResult) -> QueryResult {
    query.record.run();
    if let ResultKind::Done(_) = result.kind {
        // What it was to do is done, whether or not somebody reads that there are no rows.
        query.end(&Outcome::Finished);
        return result;
    }
    let QueryResult { kind, schema, stream, plan, relations } = result;
    let source = Arc::new(Source {
        rows: Mutex::new(Some(stream)),
        stop: OnceLock::new(),
        reader: AtomicWaker::new(),
    });
    let watcher = {
        let (source, query) = (Arc::clone(&source), Arc::clone(&query));
        SpawnedTask::spawn(async move {
            let stop = query.record.stopped().await;
            source.stop(stop.clone());
            query.end(&Outcome::Failed(&stop.error()));
        })
    };
    let read = query.record.read.while_kept();
    let tracked = Tracked {
        schema: Arc::clone(&schema),
        kind: kind.clone(),
        source,
        query,
        _read: read,
        is_over: false,
        _watcher: watcher,
    };
    QueryResult { kind, schema, stream: Box::pin(tracked), plan, relations }
}

impl Tracked {
    fn fail(&mut self, error: Error) -> Poll<Option<DfResult<RecordBatch>>> {
        self.is_over = true;
        self.source.close();
        self.query.end(&Outcome::Failed(&error));
        Poll::Ready(Some(Err(error.into())))
    }

    /// Counts a batch, and refuses one row too many.
    fn account(&self, batch: &RecordBatch) -> Result<(), Error> {
        let rows = match self.kind {
            ResultKind::Affected => affected(batch),
            _ => batch.num_rows() as u64,
        };
        let total = self.query.record.count(rows, size_bytes(batch));
        match self.query.limits().rows {
            Some(limit) if total > limit && self.kind == ResultKind::Rows => Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "the result has more than {limit} rows, which is what query_rows allows; \
                     add a LIMIT or raise the setting"
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl Stream for Tracked {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // Before anything is looked at: who stops the query after this wakes us.
        self.source.reader.register(cx.waker());
        if let Some(stop) = self.source.stop.get() {
            let error = stop.error();
            return self.fail(error);
        }
        let polled = {
            let query = Arc::clone(&self.query);
            let _entered = query.span.enter();
            self.source.poll(cx)
        };
        if let Some(stop) = self.source.stop.get() {
            let error = stop.error();
            return self.fail(error);
        }
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.is_over = true;
                self.source.close();
                self.query.end(&Outcome::Finished);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(batch))) => match self.account(&batch) {
                Ok(()) => Poll::Ready(Some(Ok(batch))),
                Err(e) => self.fail(e),
            },
            Poll::Ready(Some(Err(e))) => self.fail(Error::from(e)),
        }
    }
}

impl RecordBatchStream for Tracked {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if !self.is_over {
            self.source.close();
            let gone = Error::new(ErrorKind::Cancelled, "its client went away before it ended");
            self.query.end(&Outcome::Failed(&gone));
        }
    }
}

fn affected(batch: &RecordBatch) -> u64 {
    let counts = batch.columns().first().and_then(|c| c.as_any().downcast_ref::<UInt64Array>());
    counts.map_or(0, |counts| counts.iter().flatten().sum())
}

/// The bytes that the rows themselves take: several batches may be slices of one buffer.
fn size_bytes(batch: &RecordBatch) -> u64 {
    // A type whose layout is not known has no size.
    let sizes = batch.columns().iter().filter_map(|c| c.to_data().get_slice_memory_size().ok());
    sizes.map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
}
