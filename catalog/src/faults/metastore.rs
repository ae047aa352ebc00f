//! A metastore that answers commits wrongly, late or not at all, as a script says.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::create::CreateTable;
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::{Capabilities, Entry, EntryKind, History, Metastore, TableCommit, View};
use crate::name::{Namespace, TableName};
use crate::table::Table;

/// What befalls one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Nothing: it is passed on.
    None,
    /// It never arrives, and the caller is told so: `Unavailable`, not applied.
    Refuse,
    /// It never arrives, and the caller learns only that no answer came: `CommitUnknown`.
    LoseRequest,
    /// It is applied and the answer is lost: `CommitUnknown`.
    LoseAnswer,
    /// The same, and so many loads of a table fail after it (see [`FaultMetastore::fail_loads`]).
    LoseAnswerAndLoads(u64),
    /// The caller gives up (`CommitUnknown`), and the commit is applied later: during that many
    /// loads of a table, or at [`FaultMetastore::apply_late`].
    ApplyDuringLoad(u64),
    /// `Stale` although nothing was wrong; not applied.
    SpuriousStale,
    /// A proxy delivers it twice; the caller sees the first answer.
    DeliverTwice,
    /// A proxy delivers it twice; the caller sees the second answer, which may be `Stale` although
    /// the commit was applied.
    DeliverTwiceLoseFirst,
}

/// Another writer, who acts on the metastore itself.
pub type Rival = fn(Arc<dyn Metastore>) -> BoxFuture<'static, ()>;

/// Runs once, within a load.
struct Visit {
    /// Loads that pass before it.
    loads: u64,
    run: Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>,
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("loads", &self.loads).finish_non_exhaustive()
    }
}

/// Wraps a metastore; commits meet the scripted faults in order, then none.
#[derive(Debug)]
pub struct FaultMetastore {
    inner: Arc<dyn Metastore>,
    script: Mutex<VecDeque<CommitFault>>,
    rival: Mutex<Option<Rival>>,
    late: Mutex<Vec<(u64, TableCommit)>>,
    failing_loads: AtomicU64,
    commits: AtomicU64,
    loads: AtomicU64,
    visit: Mutex<Option<Visit>>,
    has_references: bool,
}

impl FaultMetastore {
    /// No faults yet.
    pub fn new(inner: Arc<dyn Metastore>) -> Self {
        Self {
            inner,
            script: Mutex::default(),
            rival: Mutex::default(),
            late: Mutex::default(),
            failing_loads: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            loads: AtomicU64::new(0),
            visit: Mutex::default(),
            has_references: false,
        }
    }

    /// As a catalog whose branches are its own, and may stand in names: `t@dev` is `t`.
    #[must_use]
    pub fn with_references(mut self) -> Self {
        self.has_references = true;
        self
    }

    /// Appends faults for the commits to come, one each.
    pub fn script(&self, faults: impl IntoIterator<Item = CommitFault>) {
        locked(&self.script).extend(faults);
    }

    /// Lets `rival` act right after the next commit whose answer is lost, before anyone looks.
    pub fn rival(&self, rival: Rival) {
        *locked(&self.rival) = Some(rival);
    }

    /// Makes the next `count` loads of a table fail with `Unavailable`.
    pub fn fail_loads(&self, count: u64) {
        self.failing_loads.store(count, Ordering::SeqCst);
    }

    /// Lets `loads` loads of a table pass, and runs `visit` within the next one, before it looks:
    /// what another writer does between two looks of one statement.
    pub fn on_load<F>(&self, loads: u64, visit: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let run = Box::new(move || visit().boxed());
        *locked(&self.visit) = Some(Visit { loads, run });
    }

    /// Commits that were asked for.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Loads of a table that were asked for.
    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    /// Applies every commit that is still under way, and tells how each ended.
    pub async fn apply_late(&self) -> Vec<Result<Table>> {
        let pending: Vec<_> = locked(&self.late).drain(..).collect();
        let mut outcomes = Vec::with_capacity(pending.len());
        for (_, commit) in pending {
            outcomes.push(self.inner.commit(commit).await);
        }
        outcomes
    }

    async fn befall(&self, fault: CommitFault, commit: TableCommit) -> Result<Table> {
        let name = commit.name.clone();
        let injected = |kind, what: &str| {
            Error::new(kind, format!("table {:?}: injected: {what}", name.to_string()))
        };
        match fault {
            CommitFault::None => self.inner.commit(commit).await,
            CommitFault::Refuse => Err(injected(ErrorKind::Unavailable, "refused")),
            CommitFault::LoseRequest => Err(unknown(&name)),
            CommitFault::SpuriousStale => Err(injected(ErrorKind::Stale, "stale")),
            CommitFault::LoseAnswer => match self.inner.commit(commit).await {
                Ok(_) => Err(unknown(&name)),
                Err(e) => Err(e),
            },
            CommitFault::LoseAnswerAndLoads(loads) => match self.inner.commit(commit).await {
                Ok(_) => {
                    self.fail_loads(loads);
                    Err(unknown(&name))
                }
                Err(e) => Err(e),
            },
            CommitFault::ApplyDuringLoad(loads) => {
                locked(&self.late).push((loads, commit));
                Err(unknown(&name))
            }
            CommitFault::DeliverTwice => {
                let first = self.inner.commit(commit.clone()).await;
                let _second = self.inner.commit(commit).await;
                first
            }
            CommitFault::DeliverTwiceLoseFirst => {
                let _first = self.inner.commit(commit.clone()).await;
                self.inner.commit(commit).await
            }
        }
    }

    fn due_visit(&self) -> Option<Visit> {
        let mut visit = locked(&self.visit);
        if let Some(waiting) = visit.as_mut()
            && waiting.loads > 0
        {
            waiting.loads -= 1;
            return None;
        }
        visit.take()
    }

    async fn apply_due(&self) {
        let due: Vec<TableCommit> = {
            let mut late = locked(&self.late);
            late.iter_mut().for_each(|(loads, _)| *loads = loads.saturating_sub(1));
            late.extract_if(.., |(loads, _)| *loads == 0).map(|(_, commit)| commit).collect()
        };
        for commit in due {
            if let Err(error) = self.inner.commit(commit).await {
                tracing::debug!(%error, "a late commit came too late");
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown(name: &TableName) -> Error {
    Error::new(
        ErrorKind::CommitUnknown,
        format!("table {:?}: injected: no answer", name.to_string()),
    )
}

#[async_trait]
impl Metastore for FaultMetastore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn commit(&self, commit: TableCommit) -> Result<Table> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let fault = locked(&self.script).pop_front().unwrap_or(CommitFault::None);
        let outcome = self.befall(fault, commit).await;
        if outcome.as_ref().is_err_and(|e| e.kind() == ErrorKind::CommitUnknown) {
            let rival = locked(&self.rival).take();
            if let Some(rival) = rival {
                rival(Arc::clone(&self.inner)).await;
            }
        }
        outcome
    }

    async fn load_table(&self, name: &TableName) -> Result<Table> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        if let Some(visit) = self.due_visit() {
            (visit.run)().await;
        }
        self.apply_due().await;
        let failing = self
            .failing_loads
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if failing.is_ok() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("table {:?}: injected: catalog unreachable", name.to_string()),
            ));
        }
        match name.name.split_once('@') {
            Some((bare, _)) if self.has_references => {
                self.inner.load_table(&TableName::new(name.namespace.clone(), bare)?).await
            }
            _ => self.inner.load_table(name).await,
        }
    }

    fn has_table_references(&self) -> bool {
        !self.has_references && self.inner.has_table_references()
    }

    async fn place_new(&self, create: &CreateTable) -> Result<Option<String>> {
        self.inner.place_new(create).await
    }

    async fn connect(&self) -> Result<()> {
        self.inner.connect().await
    }

    fn rights_to<'n>(&self, name: &'n str) -> Vec<&'n str> {
        match name.split_once('@') {
            Some((bare, _)) if self.has_references => vec![bare],
            _ => self.inner.rights_to(name),
        }
    }

    async fn history_since(&self, base: &Table) -> Result<Option<History>> {
        self.inner.history_since(base).await
    }

    async fn commit_together(&self, commits: Vec<TableCommit>) -> Result<()> {
        self.inner.commit_together(commits).await
    }

    async fn list_all(&self) -> Result<Option<Vec<Entry>>> {
        self.inner.list_all().await
    }

    async fn register_table(&self, name: &TableName, metadata_location: &str) -> Result<Table> {
        self.inner.register_table(name, metadata_location).await
    }

    async fn list_namespaces(&self) -> Result<Vec<Namespace>> {
        self.inner.list_namespaces().await
    }

    async fn create_namespace(
        &self,
        namespace: &Namespace,
        properties: BTreeMap<String, String>,
    ) -> Result<()> {
        self.inner.create_namespace(namespace, properties).await
    }

    async fn load_namespace(
        &self,
        namespace: &Namespace,
    ) -> Result<(Namespace, BTreeMap<String, String>)> {
        self.inner.load_namespace(namespace).await
    }

    async fn update_namespace(
        &self,
        namespace: &Namespace,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.inner.update_namespace(namespace, changes).await
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        self.inner.drop_namespace(namespace).await
    }

    async fn list(&self, namespace: &Namespace) -> Result<Vec<Entry>> {
        self.inner.list(namespace).await
    }

    async fn drop_table(&self, name: &TableName) -> Result<Option<Table>> {
        self.inner.drop_table(name).await
    }

    async fn rename(&self, kind: EntryKind, from: &TableName, to: &TableName) -> Result<()> {
        self.inner.rename(kind, from, to).await
    }

    async fn load_view(&self, name: &TableName) -> Result<View> {
        self.inner.load_view(name).await
    }

    async fn put_view(&self, view: View, replace: bool) -> Result<()> {
        self.inner.put_view(view, replace).await
    }

    async fn drop_view(&self, name: &TableName) -> Result<()> {
        self.inner.drop_view(name).await
    }
}
