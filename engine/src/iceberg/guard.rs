//! What goes wrong in a data file names the file: errors get its URI, panics become errors.
//!
//! A damaged file may trip an assertion in a decoder. The query that reads it fails; the process,
//! and the other queries in it, do not.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::{DataFusionError, Result};
use datafusion_datasource::morsel::{
    Morsel, MorselPlan, MorselPlanner, Morselizer, PendingMorselPlanner,
};
use futures::future::FutureExt;
use futures::stream::{BoxStream, Stream, StreamExt};

use crate::error::{Error, ErrorKind};

/// How the row filter says that an expression failed, not the file: it keeps no source.
const FILTER_FAILED: &str = "evaluating filter predicate";

/// Plans and reads files by another morselizer, and says of which file an error is.
#[derive(Debug)]
pub(super) struct GuardedMorselizer {
    inner: Box<dyn Morselizer>,
    store_url: Arc<str>,
}

impl GuardedMorselizer {
    /// Guards `inner`, whose files are in the store of `store_url`.
    pub(super) fn new(inner: Box<dyn Morselizer>, store_url: &str) -> Self {
        Self { inner, store_url: Arc::from(store_url) }
    }
}

impl Morselizer for GuardedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let file_path: Arc<str> = Arc::from(file.object_meta.location.as_ref());
        let place = Place { store_url: Arc::clone(&self.store_url), file_path };
        let inner = place.guard(|| self.inner.plan_file(file))?;
        Ok(Box::new(GuardedPlanner { inner, place }))
    }
}

/// A data file.
#[derive(Clone, Debug)]
struct Place {
    store_url: Arc<str>,
    file_path: Arc<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store_url = self.store_url.strip_suffix('/').unwrap_or(&self.store_url);
        write!(f, "data file \"{store_url}/{}\"", self.file_path)
    }
}

impl Place {
    fn guard<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        // What the closure leaves behind half done is dropped with the stream, never used again.
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(result) => result.map_err(|e| self.name(e)),
            Err(panic) => Err(self.panicked(panic.as_ref())),
        }
    }

    fn name(&self, e: DataFusionError) -> DataFusionError {
        if let Some(failed) = failed_cast(&e) {
            return failed.into();
        }
        let stored = stored_error(&e);
        let error = match stored {
            Some(object_store::Error::NotFound { .. }) => {
                Error::new(ErrorKind::NotFound, "it is in the table, but not in the store")
                    .with_source(e)
            }
            Some(cause) => {
                Error::new(ErrorKind::Unavailable, format!("it cannot be read: {cause}"))
                    .with_source(e)
            }
            None => {
                let kind = match e.find_root() {
                    root if root.to_string().contains(FILTER_FAILED) => Some(ErrorKind::Execution),
                    DataFusionError::ArrowError(e, _) if is_parquet(e) => Some(ErrorKind::Corrupt),
                    _ => None,
                };
                match kind {
                    Some(kind) => Error::new(kind, e.strip_backtrace()).with_source(e),
                    None => Error::from(e),
                }
            }
        };
        error.within(&self.to_string()).into()
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> DataFusionError {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        tracing::error!(file = %self, panic = text, "reading a data file panicked");
        Error::new(ErrorKind::Corrupt, format!("{self}: reading it failed an assertion: {text}"))
            .into()
    }
}

/// A filter that casts a text which is no value of the other side's type: the statement's fault, not
/// the file's.
fn failed_cast(e: &DataFusionError) -> Option<Error> {
    let text = e.find_root().to_string();
    let (_, why) = text.split_once(FILTER_FAILED)?;
    // The text of an error as its debug form quotes it.
    let (_, quoted) = why.split_once("(\"")?;
    let (why, _) = quoted.split_once("\")")?;
    why.starts_with("Cannot cast string").then(|| {
        let why = why.replace("\\\"", "\"");
        let hint =
            "where a text meets a value of another type, CAST one of them to the other's type";
        Error::new(ErrorKind::Execution, format!("a condition of the query fails: {why}; {hint}"))
    })
}

fn is_parquet(e: &arrow::error::ArrowError) -> bool {
    use arrow::error::ArrowError as A;
    matches!(e, A::ParquetError(_) | A::ExternalError(_))
}

/// What the store said, wherever in the error it is.
pub(super) fn stored_error(e: &DataFusionError) -> Option<&object_store::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<object_store::Error>() {
            return Some(found);
        }
        // `Arc<E>` and `Box<E>` are errors of their own that hide `E` from the next downcast.
        if let Some(found) = inner.downcast_ref::<Box<object_store::Error>>() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

#[derive(Debug)]
struct GuardedPlanner {
    inner: Box<dyn MorselPlanner>,
    place: Place,
}

impl MorselPlanner for GuardedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, place } = *self;
        let Some(mut plan) = place.guard(|| inner.plan())? else { return Ok(None) };
        let planner = |inner| -> Box<dyn MorselPlanner> {
            Box::new(GuardedPlanner { inner, place: place.clone() })
        };
        let mut guarded = MorselPlan::new()
            .with_planners(plan.take_ready_planners().into_iter().map(planner).collect());
        let morsel =
            |inner| -> Box<dyn Morsel> { Box::new(GuardedMorsel { inner, place: place.clone() }) };
        guarded = guarded.with_morsels(plan.take_morsels().into_iter().map(morsel).collect());
        if let Some(pending) = plan.take_pending_planner() {
            guarded.set_pending_planner(when_ready(pending, place));
        }
        Ok(Some(guarded))
    }
}

async fn when_ready(pending: PendingMorselPlanner, place: Place) -> Result<Box<dyn MorselPlanner>> {
    match AssertUnwindSafe(pending.into_future()).catch_unwind().await {
        Ok(Ok(inner)) => Ok(Box::new(GuardedPlanner { inner, place })),
        Ok(Err(e)) => Err(place.name(e)),
        Err(panic) => Err(place.panicked(panic.as_ref())),
    }
}

#[derive(Debug)]
struct GuardedMorsel {
    inner: Box<dyn Morsel>,
    place: Place,
}

impl Morsel for GuardedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, place } = *self;
        match place.guard(|| Ok(inner.into_stream())) {
            Ok(inner) => GuardedStream { inner: Some(inner), place }.boxed(),
            Err(e) => futures::stream::iter([Err(e)]).boxed(),
        }
    }
}

struct GuardedStream {
    /// `None` once it ended or panicked: it must not be polled again.
    inner: Option<BoxStream<'static, Result<RecordBatch>>>,
    place: Place,
}

impl Stream for GuardedStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| inner.poll_next_unpin(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Some(batch))) => {
                Poll::Ready(Some(batch.map_err(|e| this.place.name(e))))
            }
            Ok(Poll::Ready(None)) => {
                this.inner = None;
                Poll::Ready(None)
            }
            Err(panic) => {
                this.inner = None;
                Poll::Ready(Some(Err(this.place.panicked(panic.as_ref()))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::exec_datafusion_err;

    use super::*;

    /// Where the reader goes wrong.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum At {
        File,
        Plan,
        Pending,
        Morsel,
        Stream,
    }

    #[derive(Clone, Debug)]
    struct Faulty {
        at: At,
        panics: bool,
        polled: usize,
    }

    impl Faulty {
        fn fail<T>(&self, here: At, otherwise: T) -> Result<T> {
            match (self.at == here, self.panics) {
                (false, _) => Ok(otherwise),
                (true, true) => panic!("index out of bounds"),
                (true, false) => Err(exec_datafusion_err!("index out of bounds")),
            }
        }
    }

    impl Morselizer for Faulty {
        fn plan_file(&self, _file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
            self.fail(At::File, Box::new(self.clone()) as _)
        }
    }

    impl MorselPlanner for Faulty {
        fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
            self.fail(At::Plan, ())?;
            if self.polled > 0 {
                return Ok(Some(MorselPlan::new().with_morsels(vec![self])));
            }
            let next = Self { polled: 1, ..self.as_ref().clone() };
            let pending = async move { next.fail(At::Pending, Box::new(next.clone()) as _) };
            Ok(Some(MorselPlan::new().with_pending_planner(pending)))
        }
    }

    impl Morsel for Faulty {
        fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
            let _failed = self.fail(At::Morsel, ());
            futures::stream::once(async move {
                self.fail(
                    At::Stream,
                    RecordBatch::new_empty(arrow::datatypes::Schema::empty().into()),
                )
            })
            .boxed()
        }
    }

    async fn read(faulty: Faulty) -> Result<usize> {
        let guarded = GuardedMorselizer::new(Box::new(faulty), "s3://bucket/");
        let mut planner = guarded.plan_file(PartitionedFile::new("a/f.parquet", 10))?;
        loop {
            let Some(mut plan) = planner.plan()? else { return Ok(0) };
            if let Some(pending) = plan.take_pending_planner() {
                planner = pending.await?;
                continue;
            }
            let mut batches = 0;
            for morsel in plan.take_morsels() {
                let mut stream = morsel.into_stream();
                while let Some(batch) = stream.next().await {
                    if batch.is_err() {
                        assert!(stream.next().await.is_none(), "polled after its end");
                    }
                    batch?;
                    batches += 1;
                }
            }
            return Ok(batches);
        }
    }

    #[tokio::test]
    async fn a_panic_or_an_error_at_any_stage_names_the_file() {
        for at in [At::File, At::Plan, At::Pending, At::Morsel, At::Stream] {
            for panics in [true, false] {
                if at == At::Morsel && !panics {
                    continue;
                }
                let error = read(Faulty { at, panics, polled: 0 }).await.unwrap_err();
                let error = Error::from(error);
                let text = error.to_string();
                assert!(text.starts_with("data file \"s3://bucket/a/f.parquet\": "), "{text}");
                assert!(text.contains("index out of bounds"), "{text}");
                let expected = if panics { ErrorKind::Corrupt } else { ErrorKind::Execution };
                assert_eq!(error.kind(), expected, "{at:?}");
            }
        }
        assert!(read(Faulty { at: At::Stream, panics: false, polled: 0 }).await.is_err());
    }

    #[tokio::test]
    async fn a_failed_store_is_unavailable_and_a_missing_object_not_found() {
        let place = Place { store_url: "s3://b/".into(), file_path: "f".into() };
        let missing = || object_store::Error::NotFound { path: "f".into(), source: "gone".into() };
        let down = || object_store::Error::Generic { store: "S3", source: "timed out".into() };
        let parquet = |e| parquet::errors::ParquetError::External(Box::new(e));
        for (error, kind) in [
            (DataFusionError::from(missing()), ErrorKind::NotFound),
            (DataFusionError::from(parquet(missing())), ErrorKind::NotFound),
            (DataFusionError::from(parquet(down())), ErrorKind::Unavailable),
            (DataFusionError::ResourcesExhausted("no".into()), ErrorKind::LimitExceeded),
        ] {
            let text = error.to_string();
            assert_eq!(Error::from(place.name(error)).kind(), kind, "{text}");
        }
    }
}
