//! What a client sends with `DoPut` and `DoExchange`: a command, then perhaps rows, read as they
//! come.

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::{FlightData, FlightDescriptor};
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::Status;

pub(crate) use super::decoder::MESSAGE_BYTES_MAX;
use super::decoder::{Decoded, Decoder};

/// What a bulk load may send; it is streamed, so this guards against a client without end.
pub(crate) const INGEST_BYTES_MAX: u64 = 1 << 40;
/// What the parameters of one execution may take; they are held in memory.
pub(crate) const PARAMETERS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A stream of a client whose first message has been read.
pub(crate) struct Incoming {
    descriptor: Option<FlightDescriptor>,
    first: Option<FlightData>,
    rest: BoxStream<'static, Result<FlightData, Status>>,
    bytes: u64,
    bytes_max: u64,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Incoming {
    /// Reads the first message, which says what the others are for. All of them together may have
    /// `bytes_max` bytes.
    pub(crate) async fn open(
        stream: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
        bytes_max: u64,
    ) -> Result<Self, Status> {
        let rest = stream.boxed();
        let mut incoming = Self { descriptor: None, first: None, rest, bytes: 0, bytes_max };
        let Some(mut first) = incoming.receive().await? else {
            // Drivers send nothing for a frame without rows, not even what it was for.
            return Err(Status::invalid_argument(
                "the stream ended before its first message: a frame without rows has nothing to load; \
                 skip it, or send its schema as a stream or a record batch without rows",
            ));
        };
        incoming.descriptor = first.flight_descriptor.take();
        incoming.first = Some(first);
        Ok(incoming)
    }

    /// Another limit for all messages together, once the command is known.
    #[must_use]
    pub(crate) fn with_bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// What the stream is for.
    pub(crate) fn descriptor(&self) -> Result<&FlightDescriptor, Status> {
        self.descriptor.as_ref().ok_or_else(|| {
            Status::invalid_argument("the first message has no descriptor: it must say the command")
        })
    }

    /// The bytes of the command, a packed message of Flight SQL.
    pub(crate) fn command(&self) -> Result<&Bytes, Status> {
        self.descriptor().map(|descriptor| &descriptor.cmd)
    }

    /// Reads up to the schema. `None` if the client sends no rows, as with a plain statement
    /// (ADBC-09).
    pub(crate) async fn rows(mut self) -> Result<Option<IncomingRows>, Status> {
        let mut decoder = Decoder::default();
        loop {
            let Some(message) = self.receive().await? else { return Ok(None) };
            match decoder.decode(message)? {
                Decoded::Nothing => {}
                Decoded::Schema(schema) => {
                    return Ok(Some(IncomingRows { schema, decoder, messages: self }));
                }
                // Not reached: without a schema the decoder refuses rows.
                Decoded::Rows(_) => {
                    return Err(Status::invalid_argument("record batches before their schema"));
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<FlightData>, Status> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(message) = self.rest.try_next().await? else { return Ok(None) };
        let bytes = message.data_header.len().saturating_add(message.data_body.len());
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > self.bytes_max {
            return Err(self.too_much());
        }
        Ok(Some(message))
    }

    fn too_much(&self) -> Status {
        let limit = self.bytes_max;
        Status::resource_exhausted(format!("the stream exceeds {limit} bytes: send it in parts"))
    }
}

/// Rows that a client sends.
#[derive(Debug)]
pub(crate) struct IncomingRows {
    schema: SchemaRef,
    decoder: Decoder,
    messages: Incoming,
}

impl IncomingRows {
    /// What the client says its rows are.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next batch.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, Status> {
        while let Some(message) = self.messages.receive().await? {
            match self.decoder.decode(message)? {
                Decoded::Rows(batch) => return Ok(Some(batch)),
                Decoded::Nothing | Decoded::Schema(_) => {}
            }
        }
        Ok(None)
    }

    /// All batches, held in memory: for parameters, not for loads. What was compressed counts as
    /// what it has become.
    pub(crate) async fn collect(mut self) -> Result<Vec<RecordBatch>, Status> {
        let mut batches = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = self.next().await? {
            bytes += batch.get_array_memory_size() as u64;
            if bytes > self.messages.bytes_max {
                return Err(self.messages.too_much());
            }
            batches.push(batch);
        }
        Ok(batches)
    }

    /// The batches as the engine takes them. A failure is a [`Status`] inside the engine's error.
    pub(crate) fn into_stream(self) -> SendableRecordBatchStream {
        let schema = SchemaRef::clone(&self.schema);
        let batches = futures::stream::try_unfold(self, |mut rows| async move {
            let batch = rows.next().await.map_err(|e| DataFusionError::External(Box::new(e)))?;
            Ok(batch.map(|batch| (batch, rows)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}
