//! The rows of a COPY, taken from a connection's stream before the driver sees them.
//!
//! The driver takes each message apart, counts references to it, and wakes whoever waits for it: for
//! every 8 KiB, and on another thread. That costs as much as reading the values. So rows go from the
//! stream to their reader in large pieces (`tapped`), and the driver sees how the COPY begins and
//! ends, and why it failed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_postgres::{Client, CopyOutStream};

/// Pieces that wait for their reader.
const PIECES_MAX: usize = 2;

/// Where the rows of a connection's next COPY go, and what its stream was seen to say.
#[derive(Clone, Default)]
pub(super) struct Tap(Arc<Shared>);

#[derive(Default)]
struct Shared {
    taker: Mutex<Option<mpsc::Sender<Bytes>>>,
    /// Another encoding of texts than ours.
    encoding: OnceLock<String>,
}

impl Tap {
    /// Begins `COPY … TO STDOUT`. `client` is of the connection whose tap this is; nothing else is
    /// asked of it until the rows have ended or are dropped.
    pub(super) async fn copy_out(
        &self,
        client: &Client,
        sql: &str,
    ) -> Result<CopyRows, tokio_postgres::Error> {
        let (send, rows) = mpsc::channel(PIECES_MAX);
        self.put(Some(send));
        let begun = client.copy_out(sql).await;
        // Where it did not begin, nobody has taken it.
        self.put(None);
        Ok(CopyRows { rows, driver: Box::pin(begun?), has_ended: false })
    }

    /// The taker of the next COPY's rows.
    pub(super) fn put(&self, sender: Option<mpsc::Sender<Bytes>>) {
        *self.0.taker.lock().unwrap_or_else(PoisonError::into_inner) = sender;
    }

    /// Called where a COPY begins.
    pub(super) fn take(&self) -> Option<mpsc::Sender<Bytes>> {
        self.0.taker.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The server speaks in `encoding` from now on, because a function has said so.
    pub(super) fn note_encoding(&self, encoding: &str) {
        // The first one is told.
        let _known = self.0.encoding.set(encoding.to_owned());
    }

    /// An encoding other than ours that texts have been in, since the connection began: it is not to
    /// be used again.
    pub(super) fn other_encoding(&self) -> Option<&str> {
        self.0.encoding.get().map(String::as_str)
    }
}

/// The rows of one COPY, in pieces that are cut anywhere. Dropped before their end, the connection is
/// not to be used again.
pub(super) struct CopyRows {
    rows: mpsc::Receiver<Bytes>,
    driver: Pin<Box<CopyOutStream>>,
    has_ended: bool,
}

impl CopyRows {
    /// The next piece, `None` where the server said that there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, tokio_postgres::Error> {
        loop {
            // All of them are here when the driver learns of the end.
            if let Ok(piece) = self.rows.try_recv() {
                return Ok(Some(piece));
            }
            if self.has_ended {
                return Ok(None);
            }
            tokio::select! {
                Some(piece) = self.rows.recv() => return Ok(Some(piece)),
                of_driver = self.driver.next() => match of_driver {
                    None => self.has_ended = true,
                    // It has none; rows that it had would be refused where their order is seen.
                    Some(piece) => return piece.map(Some),
                },
            }
        }
    }
}
