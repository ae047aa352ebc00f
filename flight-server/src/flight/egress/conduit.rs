//! A channel of messages that is bounded by their bytes.

use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_flight::FlightData;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;

/// What is encoded ahead of a reader. A few messages keep both sides busy; more would only be
/// memory that a reader who sleeps holds.
pub(super) const READ_AHEAD_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// Messages in flight; their bytes are the tighter bound, but for the smallest.
const READ_AHEAD_MESSAGES_MAX: usize = 1024;

/// A message, or how the stream fails, with its share of the bytes.
type Parcel = (Result<FlightData, Status>, Option<OwnedSemaphorePermit>);

pub(super) fn conduit() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(READ_AHEAD_MESSAGES_MAX);
    let room = Arc::new(Semaphore::new(READ_AHEAD_BYTES_MAX as usize));
    (Sender { room, parcels: sender }, Receiver { parcels: receiver })
}

/// The reader is gone: nothing is worth doing any more.
#[derive(Debug)]
pub(super) struct Gone;

pub(super) struct Sender {
    room: Arc<Semaphore>,
    parcels: mpsc::Sender<Parcel>,
}

impl Sender {
    /// Waits for room. A message that is larger than all the room waits until it is alone.
    pub(super) async fn send(&self, message: FlightData) -> Result<(), Gone> {
        let bytes = message.data_header.len() + message.data_body.len();
        let share = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, READ_AHEAD_BYTES_MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(share).await.map_err(|_| Gone)?;
        self.parcels.send((Ok(message), Some(room))).await.map_err(|_| Gone)
    }

    pub(super) async fn fail(&self, status: Status) {
        // Without a reader nobody is left to tell.
        drop(self.parcels.send((Err(status), None)).await);
    }
}

#[derive(Debug)]
pub(super) struct Receiver {
    parcels: mpsc::Receiver<Parcel>,
}

impl Receiver {
    /// The next message; its room is free from now on, for the transport has it.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<FlightData, Status>>> {
        self.parcels.poll_recv(cx).map(|parcel| parcel.map(|(message, _room)| message))
    }
}
