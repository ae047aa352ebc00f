//! A cluster as its coordinator has it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use fjord_catalog::storage::Storage;
use fjord_connectors::connector::Connectors;
use futures::future::join_all;
use url::Url;

use super::channel::Channels;
use super::codec::FjordCodec;
use super::node::NodeAuth;
use super::registry::{Registration, Registry, WorkerInfo};
use super::stages::{StageInfo, Stages};
use crate::error::{Error, ErrorKind, Result};

/// How long a worker may take to answer when somebody asks whether it is lost.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// How a cluster works. Every limit has a finite default.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The cluster's secret.
    pub auth: Arc<dyn NodeAuth>,
    /// Workers that are known without registering.
    pub workers: Vec<Url>,
    /// Queries that read less run here alone, unless a session says otherwise; in bytes.
    pub bytes_min: u64,
    /// What one task reads, in bytes: a scan of twice as much has two tasks.
    pub task_bytes: u64,
    /// Whether the coordinator does by itself what workers could do: small queries, and all of it
    /// where no worker serves.
    pub coordinator_works: bool,
}

impl ClusterOptions {
    /// Bytes below which a query runs in one place.
    pub const BYTES_MIN: u64 = 64 << 20;
    /// Bytes of a task.
    pub const TASK_BYTES: u64 = 32 << 20;

    /// With a secret, no workers yet, and the defaults.
    pub fn new(auth: Arc<dyn NodeAuth>) -> Self {
        let (bytes_min, task_bytes) = (Self::BYTES_MIN, Self::TASK_BYTES);
        Self { auth, workers: Vec::new(), bytes_min, task_bytes, coordinator_works: true }
    }
}

/// The workers of a coordinator.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    fingerprint: Arc<str>,
    storage: Storage,
    /// Whoever has them has the cluster.
    databases: Weak<dyn Connectors>,
    registry: Registry,
    channels: Channels,
    stages: Stages,
}

impl Cluster {
    pub(crate) fn new(
        options: ClusterOptions,
        fingerprint: Arc<str>,
        storage: Storage,
        databases: Weak<dyn Connectors>,
    ) -> Self {
        let registry = Registry::new(&options.workers);
        let channels = Channels::new(Arc::clone(&options.auth), Arc::clone(&fingerprint));
        let stages = Stages::default();
        Self { options, fingerprint, storage, databases, registry, channels, stages }
    }

    /// Version, codec, functions and settings, which nodes compare.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Takes what a worker says of itself; whether it is new. Whoever calls has checked that it
    /// belongs to the cluster.
    ///
    /// # Errors
    /// `Invalid` for another version, `LimitExceeded` for one worker too many.
    pub fn hear(&self, registration: Registration) -> Result<bool> {
        if registration.fingerprint != self.fingerprint.as_ref() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "worker {} is another version: it is \"{}\", this is \"{}\"",
                    registration.url, registration.fingerprint, self.fingerprint
                ),
            ));
        }
        let url = registration.url.clone();
        let is_new = self.registry.hear(registration)?;
        if is_new {
            self.channels.forget(&url);
        }
        Ok(is_new)
    }

    /// Every worker that is known.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.registry.list()
    }

    /// The latest stages that ran on workers.
    pub fn stages(&self) -> Vec<StageInfo> {
        self.stages.list()
    }

    pub(super) fn running_stages(&self) -> &Stages {
        &self.stages
    }

    pub(super) fn options(&self) -> &ClusterOptions {
        &self.options
    }

    pub(super) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The operators of a plan as messages, and back.
    pub(super) fn codec(&self) -> FjordCodec {
        let codec = FjordCodec::new(self.storage.clone());
        match self.databases.upgrade() {
            Some(databases) => codec.with_databases(databases),
            None => codec,
        }
    }

    /// The workers that take tasks and have `databases` mounted.
    pub(crate) fn serving(&self, databases: &[u64]) -> Vec<Url> {
        self.registry.serving(databases)
    }

    /// What every worker that takes tasks has for its operators, in bytes; `None` where none says it.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        self.registry.memory_bytes()
    }

    /// Asks the workers of a failed attempt whether they are there, and takes out those that are not.
    pub(super) async fn suspend_lost(&self, workers: &[Url]) -> Vec<Url> {
        let asked = workers.iter().map(|url| async move {
            let answer = tokio::time::timeout(ANSWER_TIME, self.channels.is_there(url)).await;
            (!answer.unwrap_or(false)).then(|| url.clone())
        });
        let lost: Vec<Url> = join_all(asked).await.into_iter().flatten().collect();
        for url in &lost {
            self.channels.forget(url);
            self.registry.suspend(url);
        }
        lost
    }
}
