//! The bytes of one data file on their way to the object store: one request when small, parts when
//! large, and nothing left behind when the writer gives up.

use bytes::Bytes;
use fjord_catalog::storage::Resolved;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart};

use crate::error::{Error, ErrorKind, Result};

/// Size of a part; at 10,000 parts per object this allows 80 GiB.
pub(crate) const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts of one file that may be under way at the same time.
const PARTS_IN_FLIGHT_MAX: usize = 3;

/// An object being written. It appears under its name only by [`Upload::complete`].
#[derive(Debug)]
pub(crate) struct Upload {
    target: Resolved,
    uri: String,
    state: State,
    bytes: u64,
}

#[derive(Debug)]
enum State {
    Held { chunks: Vec<Bytes>, bytes: usize },
    Parts(WriteMultipart),
    Ended,
}

impl Upload {
    pub(crate) fn new(target: Resolved, uri: String) -> Self {
        Self { target, uri, state: State::Held { chunks: Vec::new(), bytes: 0 }, bytes: 0 }
    }

    /// Bytes held in memory until a request takes them.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.state {
            State::Held { bytes, .. } => *bytes,
            // The part being filled and those under way.
            State::Parts(_) => PART_BYTES * (PARTS_IN_FLIGHT_MAX + 1),
            State::Ended => 0,
        }
    }

    fn failed(&self, e: object_store::Error) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!("data file \"{}\" cannot be written: {e}", self.uri),
        )
        .with_source(e)
    }

    /// Takes the next bytes; waits while too many parts are under way.
    pub(crate) async fn put(&mut self, chunk: Bytes) -> Result<()> {
        self.bytes += chunk.len() as u64;
        if let State::Held { chunks, bytes } = &mut self.state {
            *bytes += chunk.len();
            chunks.push(chunk);
            if *bytes < PART_BYTES {
                return Ok(());
            }
            let chunks = std::mem::take(chunks);
            let upload = self.target.store.put_multipart(&self.target.path).await;
            let mut parts = WriteMultipart::new_with_chunk_size(
                upload.map_err(|e| self.failed(e))?,
                PART_BYTES,
            );
            chunks.into_iter().for_each(|chunk| parts.put(chunk));
            self.state = State::Parts(parts);
        } else if let State::Parts(parts) = &mut self.state {
            parts.put(chunk);
        }
        if let State::Parts(parts) = &mut self.state {
            let waited = parts.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await;
            waited.map_err(|e| self.failed(e))?;
        }
        Ok(())
    }

    /// Makes the object visible and returns its size.
    pub(crate) async fn complete(&mut self) -> Result<u64> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Held { chunks, .. } => {
                let payload = chunks.into_iter().collect::<PutPayload>();
                // Names are unique; should one be taken all the same, another's file is at stake.
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                let put = self.target.store.put_opts(&self.target.path, payload, options).await;
                put.map_err(|e| self.failed(e))?;
            }
            State::Parts(parts) => {
                parts.finish().await.map_err(|e| self.failed(e))?;
            }
            State::Ended => {}
        }
        Ok(self.bytes)
    }
}

impl Drop for Upload {
    /// Parts that were sent stay in a store, and are paid for, until they are told to go.
    fn drop(&mut self) {
        if let State::Parts(parts) = std::mem::replace(&mut self.state, State::Ended) {
            let uri = std::mem::take(&mut self.uri);
            super::ledger::clean_up(async move {
                if let Err(e) = parts.abort().await {
                    tracing::warn!(file = %uri, error = %e, "unfinished upload not aborted");
                }
            });
        }
    }
}
