//! Which workers there are, and which of them are alive.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use url::Url;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};

/// Workers of one coordinator at most.
const WORKERS_MAX: usize = 1_000;
/// A worker that registered is lost when it has not been heard of for so long; it speaks every
/// second.
const SILENCE_MAX: Duration = Duration::from_secs(6);
/// How long a worker that failed a query gets no other.
const SUSPENSION: Duration = Duration::from_secs(10);
/// Lost workers are forgotten after so long.
const MEMORY_OF_LOST: Duration = Duration::from_secs(600);

/// What a worker says of itself, every second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Made at its start.
    pub id: Uuid,
    /// Where it takes plans.
    pub url: Url,
    /// [`super::WorkerNode::fingerprint`].
    pub fingerprint: String,
    /// It ends what it has, and takes nothing new.
    pub is_draining: bool,
    /// Tasks that it runs now.
    pub tasks: u64,
    /// Bytes that its operators may hold together.
    pub memory_bytes: u64,
    /// The databases that it has mounted, by [`fjord_connectors::codec::RemoteDatabase::key`].
    pub databases: Vec<u64>,
}

/// What a worker is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Takes tasks.
    Serving,
    /// Ends what it has.
    Draining,
    /// Failed a query a moment ago.
    Suspended,
    /// Has not been heard of.
    Lost,
}

impl WorkerState {
    /// As `system.workers` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Suspended => "suspended",
            Self::Lost => "lost",
        }
    }
}

/// A worker as its coordinator sees it.
#[derive(Clone, Debug)]
pub struct WorkerInfo {
    /// `None` for one that is configured and did not register.
    pub id: Option<Uuid>,
    /// Where it takes plans.
    pub url: Url,
    /// What it is up to.
    pub state: WorkerState,
    /// When it was first heard of.
    pub since: DateTime<Utc>,
    /// How long ago it was last heard of; `None` for one that is configured.
    pub silence: Option<Duration>,
    /// Tasks that it runs, as it last said.
    pub tasks: u64,
    /// Queries that failed because of it.
    pub failures: u64,
}

#[derive(Debug)]
struct Member {
    id: Option<Uuid>,
    url: Url,
    since: DateTime<Utc>,
    /// `None`: configured; nobody says that it lives, a failure says that it does not.
    heard: Option<Instant>,
    is_draining: bool,
    suspended: Option<Instant>,
    tasks: u64,
    failures: u64,
    /// `None`: configured, and not known.
    memory_bytes: Option<u64>,
    /// `None`: configured; what it has mounted shows when a plan needs it.
    databases: Option<Vec<u64>>,
}

impl Member {
    fn state(&self) -> WorkerState {
        if self.heard.is_some_and(|heard| heard.elapsed() > SILENCE_MAX) {
            WorkerState::Lost
        } else if self.is_draining {
            WorkerState::Draining
        } else if self.suspended.is_some_and(|since| since.elapsed() < SUSPENSION) {
            WorkerState::Suspended
        } else {
            WorkerState::Serving
        }
    }
}

/// The workers of a coordinator, by URL.
#[derive(Debug, Default)]
pub(super) struct Registry {
    members: Mutex<BTreeMap<String, Member>>,
}

impl Registry {
    /// With workers that are configured.
    pub(super) fn new(configured: &[Url]) -> Self {
        let members = configured.iter().map(|url| {
            let member = Member {
                id: None,
                url: url.clone(),
                since: Utc::now(),
                heard: None,
                is_draining: false,
                suspended: None,
                tasks: 0,
                failures: 0,
                memory_bytes: None,
                databases: None,
            };
            (url.to_string(), member)
        });
        Self { members: Mutex::new(members.collect()) }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<String, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a worker says of itself; whether it is new.
    ///
    /// # Errors
    /// `LimitExceeded` for one worker too many.
    pub(super) fn hear(&self, registration: Registration) -> Result<bool> {
        let Registration { id, url, is_draining, tasks, memory_bytes, databases, .. } =
            registration;
        let mut members = self.members();
        members.retain(|_, member| {
            member.heard.is_none_or(|heard| heard.elapsed() < SILENCE_MAX + MEMORY_OF_LOST)
        });
        let key = url.to_string();
        if members.len() >= WORKERS_MAX && !members.contains_key(&key) {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("worker {url}: there are {WORKERS_MAX} workers already"),
            ));
        }
        let known = members.get(&key).filter(|known| known.id == Some(id));
        let is_new = known.is_none();
        let member = Member {
            id: Some(id),
            url,
            since: known.map_or_else(Utc::now, |known| known.since),
            heard: Some(Instant::now()),
            is_draining,
            suspended: known.and_then(|known| known.suspended),
            tasks,
            failures: known.map_or(0, |known| known.failures),
            memory_bytes: Some(memory_bytes),
            databases: Some(databases),
        };
        drop(members.insert(key, member));
        Ok(is_new)
    }

    /// The workers that take tasks and have `databases` mounted, in an order that changes with them
    /// alone.
    pub(super) fn serving(&self, databases: &[u64]) -> Vec<Url> {
        let members = self.members();
        let has_all = |member: &&Member| {
            let mounted = member.databases.as_ref();
            mounted.is_none_or(|mounted| databases.iter().all(|wanted| mounted.contains(wanted)))
        };
        let serving = members.values().filter(|member| member.state() == WorkerState::Serving);
        let serving = serving.filter(has_all);
        serving.map(|member| member.url.clone()).collect()
    }

    /// What every worker that takes tasks has for its operators, in bytes; `None` where none says it.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        let members = self.members();
        let serving = members.values().filter(|member| member.state() == WorkerState::Serving);
        serving.filter_map(|member| member.memory_bytes).min()
    }

    /// Gives a worker that failed a query no other for a while.
    pub(super) fn suspend(&self, url: &Url) {
        if let Some(member) = self.members().get_mut(url.as_str()) {
            member.suspended = Some(Instant::now());
            member.failures += 1;
        }
    }

    /// Every worker that is known.
    pub(super) fn list(&self) -> Vec<WorkerInfo> {
        let members = self.members();
        let seen = members.values().map(|member| WorkerInfo {
            id: member.id,
            url: member.url.clone(),
            state: member.state(),
            since: member.since,
            silence: member.heard.map(|heard| heard.elapsed()),
            tasks: member.tasks,
            failures: member.failures,
        });
        seen.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(url: &str, is_draining: bool) -> Registration {
        Registration {
            id: Uuid::nil(),
            url: url.parse().unwrap(),
            fingerprint: String::new(),
            is_draining,
            tasks: 0,
            memory_bytes: 64 << 20,
            databases: vec![7, 9],
        }
    }

    #[test]
    fn plans_go_to_workers_that_have_their_databases() {
        let registry = Registry::new(&["http://z:1/".parse().unwrap()]);
        registry.hear(registration("http://a:1/", false)).unwrap();
        registry
            .hear(Registration { databases: vec![9], ..registration("http://b:1/", false) })
            .unwrap();
        let found = |databases: &[u64]| {
            registry
                .serving(databases)
                .iter()
                .filter_map(|url| Some(url.host_str()?.to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), ["a", "b", "z"]);
        assert_eq!(found(&[9]), ["a", "b", "z"]);
        // What a configured one has is not known before it is asked.
        assert_eq!(found(&[9, 7]), ["a", "z"]);
        assert_eq!(found(&[1]), ["z"]);
    }

    #[test]
    fn workers_that_drain_or_failed_get_no_tasks() {
        let registry = Registry::default();
        for url in ["http://a:1/", "http://b:1/", "http://c:1/"] {
            assert!(registry.hear(registration(url, false)).unwrap());
        }
        assert!(!registry.hear(registration("http://b:1/", true)).unwrap());
        registry.suspend(&"http://c:1/".parse().unwrap());
        let serving: Vec<String> = registry.serving(&[]).iter().map(Url::to_string).collect();
        assert_eq!(serving, ["http://a:1/"]);
        // What it says afterwards does not lift that.
        registry.hear(registration("http://c:1/", false)).unwrap();
        assert_eq!(registry.serving(&[]).len(), 1);
        let states: Vec<&str> = registry.list().iter().map(|w| w.state.name()).collect();
        assert_eq!(states, ["serving", "draining", "suspended"]);
    }
}
