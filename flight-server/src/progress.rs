//! How far a query is, and how a server tells the client that waits for its rows.
//!
//! ```text
//! plan ─ Figures ─┬─ the shell's progress line, in process
//!                 └─ interleave ─ messages without data, between those with rows ─ the shell, elsewhere
//! ```

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::FlightData;
use datafusion::physical_plan::ExecutionPlan;
use futures::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior};
use tonic::Status;

/// The header with which a client asks to be told. Others would not understand the messages.
pub(crate) const PROGRESS_KEY: &str = "fjord-progress";
/// How often a waiting client is told.
const INTERVAL: Duration = Duration::from_millis(500);
/// What a message about progress occupies at most.
const MESSAGE_BYTES_MAX: usize = 256;

/// What the leaves of a plan have read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) rows_read: u64,
    pub(crate) bytes_read: u64,
}

impl Figures {
    pub(crate) fn of(plan: &dyn ExecutionPlan) -> Self {
        let children = plan.children();
        if !children.is_empty() {
            let parts = children.into_iter().map(|child| Self::of(child.as_ref()));
            return parts.fold(Self::default(), |a, b| Self {
                rows_read: a.rows_read.saturating_add(b.rows_read),
                bytes_read: a.bytes_read.saturating_add(b.bytes_read),
            });
        }
        let Some(metrics) = plan.metrics() else { return Self::default() };
        let bytes = metrics.sum_by_name("bytes_scanned").map_or(0, |m| m.as_usize());
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Self { rows_read: number(metrics.output_rows().unwrap_or(0)), bytes_read: number(bytes) }
    }

    /// The figures in a message that has nothing else.
    pub(crate) fn in_message(message: &FlightData) -> Option<Self> {
        let is_ours = message.data_header.is_empty()
            && message.data_body.is_empty()
            && (1..=MESSAGE_BYTES_MAX).contains(&message.app_metadata.len());
        if is_ours { serde_json::from_slice(&message.app_metadata).ok() } else { None }
    }

    fn message(self) -> FlightData {
        // Two numbers always have a spelling in JSON; without one, nothing is told.
        FlightData::new().with_app_metadata(serde_json::to_vec(&self).unwrap_or_default())
    }
}

/// `messages`, and how far `plan` is whenever there is none for a while. A client that does not
/// read is told nothing.
pub(crate) fn interleave<S>(
    messages: S,
    plan: Arc<dyn ExecutionPlan>,
) -> impl Stream<Item = Result<FlightData, Status>> + Send
where
    S: Stream<Item = Result<FlightData, Status>> + Send + Unpin,
{
    interleave_every(INTERVAL, messages, plan)
}

fn interleave_every<S>(
    interval: Duration,
    messages: S,
    plan: Arc<dyn ExecutionPlan>,
) -> impl Stream<Item = Result<FlightData, Status>> + Send
where
    S: Stream<Item = Result<FlightData, Status>> + Send + Unpin,
{
    let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((messages, ticks, plan), |(mut messages, mut ticks, plan)| async move {
        let next = tokio::select! {
            biased;
            message = messages.next() => message?,
            _ = ticks.tick() => Ok(Figures::of(plan.as_ref()).message()),
        };
        Some((next, (messages, ticks, plan)))
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::empty::EmptyExec;

    use super::*;

    #[tokio::test]
    async fn a_client_that_waits_is_told_and_every_message_arrives() {
        let data = FlightData::new().with_data_header(vec![1]).with_data_body(vec![2]);
        let slow = stream::iter([data.clone(), data.clone()]).then(|message| async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(message)
        });
        let plan = Arc::new(EmptyExec::new(Arc::new(Schema::empty())));
        let told = interleave_every(Duration::from_millis(20), Box::pin(slow), plan);
        let seen: Vec<FlightData> = told.map(Result::unwrap).collect().await;
        let told = seen.iter().filter_map(Figures::in_message).count();
        assert_eq!(seen.len() - told, 2, "{seen:?}");
        assert!(told > 2, "{seen:?}");
        assert_eq!(seen.last(), Some(&data));
    }

    #[test]
    fn figures_survive_the_way_and_data_is_not_taken_for_them() {
        let figures = Figures { rows_read: 7, bytes_read: u64::MAX };
        assert_eq!(Figures::in_message(&figures.message()), Some(figures));
        let data = figures.message().with_data_header(vec![1]);
        assert_eq!(Figures::in_message(&data), None);
        let other = FlightData::new().with_app_metadata(b"{\"x\":1}".to_vec());
        assert_eq!(Figures::in_message(&other), None);
    }
}
