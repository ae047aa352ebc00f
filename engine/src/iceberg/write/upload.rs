//! The bytes of one new object on their way to the store: one request when small, parts when
//! large, and nothing left behind when the writer gives up.

use bytes::Bytes;
use datafusion::common::runtime::JoinSet;
use fjord_catalog::storage::{Resolved, store_error};
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use crate::error::{Error, Result};

/// Size of a part; at 10,000 parts per object this allows 80 GiB.
pub(crate) const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts of one file that may be under way at the same time.
const PARTS_IN_FLIGHT_MAX: usize = 3;

/// An object being written. It appears under its name only by [`Upload::complete`].
#[derive(Debug)]
pub(crate) struct Upload {
    target: Resolved,
    uri: String,
    name: Name,
    state: State,
    bytes: u64,
}

/// Whether somebody else may write an object of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// Nobody: it was drawn at random.
    Unique,
    /// A person chose it.
    Chosen,
    /// A person chose it, and it is ours: an object that says so stands there.
    Claimed,
}

#[derive(Debug)]
enum State {
    Held(Chunks),
    Parts(Parts),
    Ended,
}

/// Bytes that no request has taken yet.
#[derive(Debug, Default)]
struct Chunks {
    chunks: Vec<Bytes>,
    bytes: usize,
}

/// An upload in parts that the store knows of.
#[derive(Debug)]
struct Parts {
    upload: Box<dyn MultipartUpload>,
    next: Chunks,
    under_way: JoinSet<object_store::Result<()>>,
}

impl Upload {
    /// Of a name that nobody else uses.
    pub(crate) fn new(target: Resolved, uri: String) -> Self {
        Self { target, uri, name: Name::Unique, state: State::Held(Chunks::default()), bytes: 0 }
    }

    /// Of a name that others may use: the first to complete has it.
    pub(crate) fn of_chosen_name(target: Resolved, uri: String) -> Self {
        let mut upload = Self::new(target, uri);
        upload.name = Name::Chosen;
        upload
    }

    /// Bytes held in memory until a request takes them.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.state {
            State::Held(held) => held.bytes,
            // The part being filled and those under way.
            State::Parts(_) => PART_BYTES * (PARTS_IN_FLIGHT_MAX + 1),
            State::Ended => 0,
        }
    }

    fn failed(&self, e: object_store::Error) -> Error {
        store_error("write", &self.uri, e).into()
    }

    /// Takes the next bytes; waits while too many parts are under way.
    pub(crate) async fn put(&mut self, chunk: Bytes) -> Result<()> {
        self.bytes += chunk.len() as u64;
        if let State::Held(held) = &mut self.state {
            held.push(chunk);
            if held.bytes < PART_BYTES {
                return Ok(());
            }
            let upload = self.target.store.put_multipart(&self.target.path).await;
            let upload = upload.map_err(|e| self.failed(e))?;
            if let State::Held(held) = &mut self.state {
                let next = std::mem::take(held);
                self.state = State::Parts(Parts { upload, next, under_way: JoinSet::new() });
            }
        } else if let State::Parts(parts) = &mut self.state {
            parts.next.push(chunk);
        }
        if let State::Parts(parts) = &mut self.state {
            parts.send().await.map_err(|e| store_error("write", &self.uri, e))?;
        }
        Ok(())
    }

    /// Makes the object visible and returns its size.
    ///
    /// # Errors
    /// `AlreadyExists` when somebody else was first.
    pub(crate) async fn complete(&mut self) -> Result<u64> {
        match &mut self.state {
            State::Held(held) => {
                // Names are unique; should one be taken all the same, another's file is at stake.
                let payload = std::mem::take(held).into_payload();
                self.target.put_new(&self.uri, payload).await?;
            }
            State::Parts(parts) => {
                // Until this is through, a drop aborts what the store holds.
                parts.send_all().await.map_err(|e| store_error("write", &self.uri, e))?;
                if self.name == Name::Chosen {
                    // Putting parts together replaces what is there, so the name is taken by a
                    // write that does not, and held for the moment that it takes.
                    let claim = uuid::Uuid::new_v4().to_string();
                    self.target.put_new(&self.uri, claim.into()).await?;
                    self.name = Name::Claimed;
                }
                let completed = parts.upload.complete().await;
                if let Err(e) = completed
                    && !is_there(&self.target, self.bytes).await
                {
                    return Err(self.failed(e));
                }
            }
            State::Ended => {}
        }
        self.state = State::Ended;
        Ok(self.bytes)
    }
}

/// Whether the object is there after all: the store may have put it together, and the answer was
/// lost. The client then asks again, and is told that there is no such upload.
async fn is_there(target: &Resolved, bytes: u64) -> bool {
    target.store.head(&target.path).await.is_ok_and(|meta| meta.size == bytes)
}

impl Chunks {
    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
    }

    /// The first `bytes` of them.
    fn take(&mut self, mut bytes: usize) -> PutPayload {
        self.bytes -= bytes;
        let mut taken = Vec::new();
        let mut rest = std::mem::take(&mut self.chunks).into_iter();
        while bytes > 0
            && let Some(mut chunk) = rest.next()
        {
            if chunk.len() > bytes {
                let first = chunk.split_to(bytes);
                taken.push(first);
                self.chunks.push(chunk);
                break;
            }
            bytes -= chunk.len();
            taken.push(chunk);
        }
        self.chunks.extend(rest);
        taken.into_iter().collect()
    }

    fn into_payload(self) -> PutPayload {
        self.chunks.into_iter().collect()
    }
}

impl Parts {
    /// Sends full parts; all but the last must be of one size.
    async fn send(&mut self) -> object_store::Result<()> {
        while self.next.bytes >= PART_BYTES {
            let part = self.next.take(PART_BYTES);
            self.under_way.spawn(self.upload.put_part(part));
            self.wait(PARTS_IN_FLIGHT_MAX).await?;
        }
        Ok(())
    }

    /// Sends what is left, and waits for all.
    async fn send_all(&mut self) -> object_store::Result<()> {
        if self.next.bytes > 0 {
            let part = std::mem::take(&mut self.next).into_payload();
            self.under_way.spawn(self.upload.put_part(part));
        }
        self.wait(0).await
    }

    /// Waits until no more than `count` parts are under way.
    async fn wait(&mut self, count: usize) -> object_store::Result<()> {
        while self.under_way.len() > count {
            if let Some(sent) = self.under_way.join_next().await {
                sent.map_err(|e| object_store::Error::JoinError { source: e })??;
            }
        }
        Ok(())
    }

    async fn abort(mut self) -> object_store::Result<()> {
        // A part that arrived after the abort would stay.
        self.under_way.shutdown().await;
        self.upload.abort().await
    }
}

impl Drop for Upload {
    /// Parts that were sent stay in a store, and are paid for, until they are told to go.
    fn drop(&mut self) {
        if let State::Parts(parts) = std::mem::replace(&mut self.state, State::Ended) {
            let uri = std::mem::take(&mut self.uri);
            let claim = (self.name == Name::Claimed).then(|| self.target.clone());
            super::ledger::clean_up(async move {
                if let Err(e) = parts.abort().await {
                    let e = store_error("abort the upload of", &uri, e);
                    tracing::warn!(error = %e, "parts of an unfinished upload were left behind");
                }
                super::ledger::delete_files(claim.into_iter().collect()).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_at_their_size_and_keep_every_byte() {
        let mut chunks = Chunks::default();
        for length in [3_usize, 0, 5, 1, 7] {
            chunks.push(Bytes::from(vec![u8::try_from(length).unwrap(); length]));
        }
        let mut all: Vec<u8> = Vec::new();
        let mut sizes = Vec::new();
        while chunks.bytes >= 4 {
            let part = chunks.take(4);
            sizes.push(part.content_length());
            part.iter().for_each(|chunk| all.extend_from_slice(chunk));
        }
        assert_eq!((sizes, chunks.bytes), (vec![4, 4, 4, 4], 0));
        assert_eq!(all, [[3].repeat(3), [5].repeat(5), vec![1], [7].repeat(7)].concat());
    }
}
