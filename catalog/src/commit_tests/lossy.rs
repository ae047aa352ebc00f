//! A metastore whose commits go wrong on request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::metastore::{Capabilities, Entry, EntryKind, Metastore, TableCommit, View};
use crate::name::{Namespace, TableName};
use crate::table::Table;

/// What happens to the next commit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// It is applied, and the answer is lost.
    Answer,
    /// It is kept back, and the answer is lost; [`Lossy::deliver`] applies it.
    Delayed,
    /// It is applied, the answer is lost, and another writer commits on top before anyone looks.
    AnswerThen(Rival),
    /// It never arrives, and another writer commits before anyone looks.
    RequestThen(Rival),
}

/// The other writer: a function that can be stored in a value that is `Copy`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rival(
    pub(super) fn(Arc<dyn Metastore>) -> futures::future::BoxFuture<'static, ()>,
);

#[derive(Debug)]
pub(super) struct Lossy {
    inner: Arc<dyn Metastore>,
    next: Mutex<Option<Loss>>,
    kept_back: Mutex<Option<TableCommit>>,
}

impl Lossy {
    pub(super) fn new(inner: Arc<dyn Metastore>, loss: Loss) -> Arc<Self> {
        Arc::new(Self { inner, next: Mutex::new(Some(loss)), kept_back: Mutex::new(None) })
    }

    /// Applies what was kept back.
    pub(super) async fn deliver(&self) -> Result<Table> {
        let commit = self.kept_back.lock().unwrap().take().unwrap();
        self.inner.commit(commit).await
    }
}

#[async_trait]
impl Metastore for Lossy {
    async fn commit(&self, commit: TableCommit) -> Result<Table> {
        let loss = self.next.lock().unwrap().take();
        match loss {
            None => return self.inner.commit(commit).await,
            Some(Loss::Answer) => {
                self.inner.commit(commit).await?;
            }
            Some(Loss::Delayed) => *self.kept_back.lock().unwrap() = Some(commit),
            Some(Loss::AnswerThen(rival)) => {
                self.inner.commit(commit).await?;
                (rival.0)(Arc::clone(&self.inner)).await;
            }
            Some(Loss::RequestThen(rival)) => (rival.0)(Arc::clone(&self.inner)).await,
        }
        Err(Error::new(ErrorKind::CommitUnknown, "the answer was lost on purpose"))
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
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
    async fn load_table(&self, name: &TableName) -> Result<Table> {
        self.inner.load_table(name).await
    }
    async fn drop_table(&self, name: &TableName) -> Result<Table> {
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
