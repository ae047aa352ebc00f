//! What a task has for filters of joins: whom it belongs to, where parts arrive, how they are sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, lit};
use datafusion_distributed::{DistributedCodec, DistributedTaskContext};
use futures::future::join_all;
use prost::Message;
use url::Url;

use super::desk::{Heard, Presence};
use super::keys::KeysBuilder;
use super::message::{FilterMessage, decode_parts, encode_part};
use super::service::PUT_PATH;
use crate::cluster::channel::Channels;

/// Bytes of a part at most; a filter of more is sent as one that lets everything pass.
const PART_BYTES_MAX: usize = 12 << 20;
/// How long a part may take to another worker.
const SEND_TIME: Duration = Duration::from_secs(10);

/// Of one task, in the configuration of its session.
#[derive(Debug)]
pub(crate) struct Exchange {
    presence: Presence,
    channels: Channels,
    /// What the joins of the task have built so far, by the id of their filter.
    kept: Mutex<HashMap<u64, Kept>>,
}

/// The keys of the partitions of a build side.
#[derive(Debug)]
struct Kept {
    partitions: usize,
    ended: usize,
    keys: Vec<Option<KeysBuilder>>,
}

impl Exchange {
    pub(crate) fn new(presence: Presence, channels: Channels) -> Self {
        Self { presence, channels, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<u64, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the keys of a partition of a build side, whose rows have all been seen.
    pub(super) fn keep(&self, filter: u64, partitions: usize, keys: Vec<Option<KeysBuilder>>) {
        let mut all = self.kept();
        let Some(known) = all.get_mut(&filter) else {
            drop(all.insert(filter, Kept { partitions, ended: 1, keys }));
            return;
        };
        known.ended += 1;
        for (known, more) in known.keys.iter_mut().zip(keys) {
            let both = known.take().zip(more);
            *known = both.and_then(|(mut known, more)| known.merge(more).ok().map(|()| known));
        }
    }

    /// The keys of a whole build side.
    fn take_kept(&self, filter: u64) -> Vec<Option<KeysBuilder>> {
        let kept = self.kept().remove(&filter);
        kept.filter(|kept| kept.ended == kept.partitions).map(|kept| kept.keys).unwrap_or_default()
    }

    /// The exchange of a task; `None` in a process that is no worker.
    pub(super) fn of(context: &TaskContext) -> Option<Arc<Self>> {
        context.session_config().get_extension::<Self>()
    }

    /// Waits for the join to have built, and tells `workers` what it knows then. With `is_whole`,
    /// each of its tasks has the whole build side.
    pub(super) async fn send(
        &self,
        filter: &DynamicFilterPhysicalExpr,
        id: u64,
        is_whole: bool,
        (workers, schema): (&[Url], SchemaRef),
        context: &Arc<TaskContext>,
    ) {
        filter.wait_complete().await;
        let codec = DistributedCodec::new_combined_with_user(context.session_config());
        let kept = self.take_kept(id);
        let part = filter.current().and_then(|now| encode_part(&now, &kept, &schema, &codec));
        let open = || encode_part(&lit(true), &[], &schema, &codec).unwrap_or_default();
        let part = match part {
            Ok(part) if part.len() <= PART_BYTES_MAX => part,
            Ok(_) => open(),
            Err(error) => {
                tracing::debug!(%error, "a join's filter cannot be sent");
                open()
            }
        };
        let task = DistributedTaskContext::from_ctx(context);
        let (task, tasks) = match is_whole {
            true => (0, 1),
            false => (task.task_index, task.task_count),
        };
        let message = FilterMessage {
            attempt: self.presence.attempt().to_owned(),
            filter: id,
            task: u32::try_from(task).unwrap_or(u32::MAX),
            tasks: u32::try_from(tasks).unwrap_or(u32::MAX),
            part,
        };
        let message = bytes::Bytes::from(message.encode_to_vec());
        let told = workers.iter().map(|worker| self.tell(worker, message.clone()));
        drop(join_all(told).await);
    }

    async fn tell(&self, worker: &Url, message: bytes::Bytes) {
        for is_last in [false, true] {
            let sent = self.channels.post(worker, PUT_PATH, message.clone());
            let problem = match tokio::time::timeout(SEND_TIME, sent).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_elapsed) => "no answer".to_owned(),
            };
            self.channels.forget(worker);
            if is_last {
                tracing::warn!(%worker, problem, "a join's filter did not arrive");
            }
        }
    }

    /// Waits for every task of a join, and puts together what they have built.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn fulfil(
        &self,
        filter: &DynamicFilterPhysicalExpr,
        id: u64,
        context: &TaskContext,
    ) -> Result<()> {
        let heard = self.presence.desk().wait(self.presence.attempt(), id).await;
        if let Heard::Parts(parts) = heard {
            let codec = DistributedCodec::new_combined_with_user(context.session_config());
            let keys: Vec<_> = filter.children().into_iter().map(Arc::clone).collect();
            filter.update(decode_parts(&parts, &keys, context, &codec)?)?;
        }
        filter.mark_complete();
        Ok(())
    }
}
