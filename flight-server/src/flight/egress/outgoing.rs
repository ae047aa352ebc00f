//! A query's rows as a stream of Flight messages.
//!
//! ```text
//! engine ─ batch ─ cut ─ cast ─ cut ─ (gather small ones) ─ encode ─ conduit ─ transport
//!          └───────────────── one task, aborted with the stream ────┘
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow_flight::FlightData;
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::SendableRecordBatchStream;
use fjord_engine::{Error, ErrorKind};
use futures::{FutureExt, Stream, StreamExt};
use tonic::Status;

use super::conduit::{Gone, Receiver, Sender, conduit};
use super::encoder::Encoder;
use super::ipc::BodyCompression;
use super::pieces::{Piece, Pieces, ROW_BYTES_MAX};
use super::schema::EgressSchema;

/// Batches below this are gathered, if the next one is there already.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// What small batches are gathered to.
const GATHERED_BYTES_TARGET: usize = 512 * 1024;

/// How an engine's error is told to the client.
pub(crate) type StatusOf = Arc<dyn Fn(Error) -> Status + Send + Sync>;

/// What a stream of rows needs besides the rows.
#[derive(Clone)]
pub(crate) struct EncodeOptions {
    /// Bodies are compressed if the client asked for it.
    pub(crate) compression: Option<BodyCompression>,
    /// Makes a status of an error.
    pub(crate) status: StatusOf,
}

impl fmt::Debug for EncodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodeOptions").field("compression", &self.compression).finish()
    }
}

/// Sends `rows` as `egress` says: the schema first and at once, even when no row follows, then
/// messages of at most 3 MiB, or of one row. Dropping the stream stops the query.
pub(crate) fn encode(
    rows: SendableRecordBatchStream,
    egress: EgressSchema,
    options: EncodeOptions,
) -> Outgoing {
    let (sender, messages) = conduit();
    let status = Arc::clone(&options.status);
    let task = SpawnedTask::spawn(async move {
        match Producer::try_new(egress, options.compression, &sender) {
            Err(e) => sender.fail((options.status)(encode_error(&e))).await,
            Ok(mut producer) => match producer.run(rows).await {
                Ok(()) | Err(Halt::Gone) => {}
                Err(Halt::Failed(e)) => sender.fail((options.status)(e)).await,
            },
        }
    });
    Outgoing { messages, task: Some(task), status }
}

/// The stream that [`encode`] makes.
pub(crate) struct Outgoing {
    messages: Receiver,
    task: Option<SpawnedTask<()>>,
    status: StatusOf,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

impl Stream for Outgoing {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(message) = ready!(this.messages.poll(cx)) {
            return Poll::Ready(Some(message));
        }
        // A channel also ends when its task panics: only the task knows whether all was sent.
        let Some(task) = &mut this.task else { return Poll::Ready(None) };
        let ended = ready!(task.poll_unpin(cx));
        this.task = None;
        Poll::Ready(ended.err().map(|e| {
            let e =
                Error::new(ErrorKind::Bug, "the query's task ended before its rows").with_source(e);
            Err((this.status)(e))
        }))
    }
}

/// Why a producer stops early.
enum Halt {
    Gone,
    Failed(Error),
}

impl From<Gone> for Halt {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Error> for Halt {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

struct Producer<'a> {
    egress: EgressSchema,
    encoder: Encoder,
    sender: &'a Sender,
    /// Small batches that wait for company, while there is more without waiting.
    gathered: Vec<RecordBatch>,
    gathered_bytes: usize,
    can_gather: bool,
    is_first: bool,
}

impl<'a> Producer<'a> {
    fn try_new(
        egress: EgressSchema,
        compression: Option<BodyCompression>,
        sender: &'a Sender,
    ) -> Result<Self, ArrowError> {
        // To concatenate dictionaries is to merge them, and to send them all again.
        let is_dictionary = |dt: &DataType| matches!(dt, DataType::Dictionary(_, _));
        let can_gather = !egress.wire().fields().iter().any(|f| is_dictionary(f.data_type()));
        Ok(Self {
            egress,
            encoder: Encoder::try_new(compression)?,
            sender,
            gathered: Vec::new(),
            gathered_bytes: 0,
            can_gather,
            is_first: true,
        })
    }

    async fn run(&mut self, mut rows: SendableRecordBatchStream) -> Result<(), Halt> {
        let schema = self.encoder.schema(self.egress.wire());
        self.sender.send(schema).await?;
        loop {
            let next = if self.gathered.is_empty() {
                rows.next().await
            } else if let Some(next) = rows.next().now_or_never() {
                next
            } else {
                self.flush().await?;
                continue;
            };
            match next {
                Some(Ok(batch)) => self.accept(batch).await?,
                Some(Err(e)) => {
                    self.flush().await?;
                    return Err(Error::from(e).into());
                }
                None => return self.flush().await,
            }
        }
    }

    async fn accept(&mut self, batch: RecordBatch) -> Result<(), Halt> {
        // A batch without rows says nothing, and Grafana's plugin dies of it (GRAF-06).
        if batch.num_rows() == 0 {
            return Ok(());
        }
        // Cut before the cast: a dictionary or a view may be many times larger when spelt out.
        for piece in Pieces::of(batch) {
            let Piece { batch, bytes } = piece?;
            let batch = self.egress.cast(&batch)?;
            if self.egress.is_identity() {
                self.pass(Piece { batch, bytes }).await?;
                continue;
            }
            for piece in Pieces::of(batch) {
                self.pass(piece?).await?;
            }
        }
        Ok(())
    }

    /// Sends a piece, or keeps it for the next ones. The very first leaves at once.
    async fn pass(&mut self, piece: Piece) -> Result<(), Halt> {
        if self.is_first || !self.can_gather || piece.bytes >= SMALL_BYTES_MAX {
            self.flush().await?;
            self.is_first = false;
            return self.send(&piece.batch, piece.bytes).await;
        }
        self.gathered_bytes += piece.bytes;
        self.gathered.push(piece.batch);
        if self.gathered_bytes >= GATHERED_BYTES_TARGET { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Halt> {
        let bytes = std::mem::take(&mut self.gathered_bytes);
        match std::mem::take(&mut self.gathered).as_slice() {
            [] => Ok(()),
            [batch] => self.send(batch, bytes).await,
            batches => {
                let batch = concat_batches(self.egress.wire(), batches);
                self.send(&batch.map_err(|e| encode_error(&e))?, bytes).await
            }
        }
    }

    async fn send(&mut self, batch: &RecordBatch, bytes: usize) -> Result<(), Halt> {
        let messages = self.encoder.batch(batch, bytes).map_err(|e| encode_error(&e))?;
        for message in messages {
            // Rows have been weighed; what a dictionary weighs is known only here.
            if message.data_body.len() > ROW_BYTES_MAX + SMALL_BYTES_MAX {
                return Err(dictionary_too_heavy(message.data_body.len()).into());
            }
            self.sender.send(message).await?;
        }
        Ok(())
    }
}

fn dictionary_too_heavy(bytes: usize) -> Error {
    Error::new(
        ErrorKind::LimitExceeded,
        format!(
            "a dictionary of {bytes} bytes is too large for a message: use profile \"default\""
        ),
    )
}

fn encode_error(e: &ArrowError) -> Error {
    Error::new(ErrorKind::Bug, format!("cannot encode rows: {e}"))
}
