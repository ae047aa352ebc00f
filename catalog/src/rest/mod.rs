//! Catalogs behind the Iceberg REST protocol, Nessie's among them.
//!
//! Nothing is asked of the server before the first call, so that one that is down keeps nobody
//! else from starting.
//!
//! Modules, bottom-up: each uses only those above it.

mod options;
mod failure;
mod origin;
mod wire;
mod auth;
mod endpoint;
mod client;
mod names;
mod told;
mod vended;
mod namespaces;
mod tables;
mod together;
mod log;
mod contents;
mod views;
#[cfg(test)]
mod counterpart_tests;
#[cfg(test)]
mod idempotency_tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::create::CreateTable;
use crate::error::Result;
use crate::metastore::{Capabilities, Entry, EntryKind, History, Metastore, TableCommit, View};
use crate::name::{Namespace, TableName};
use crate::rest::client::RestClient;
use crate::rest::contents::Wanted;
use crate::rest::endpoint::Endpoint;
pub use crate::rest::options::{OAuth2, RestAuth, RestOptions, SigV4, Vending};
use crate::rest::vended::Vendor;
use crate::secret::Secret;
use crate::table::Table;

/// A metastore behind the REST protocol. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rest {
    client: RestClient,
    /// Nessie alone: the reference to work on, in place of the configured one.
    reference: Option<Arc<str>>,
    vendor: Option<Arc<Vendor>>,
    metadata_bytes_max: u64,
}

impl Rest {
    /// A client of the server; nothing is asked of it yet.
    ///
    /// # Errors
    /// `InvalidArgument` for an address that is none, or headers that are none.
    pub fn try_new(mut options: RestOptions) -> Result<Self> {
        let vending = options.vending.take();
        if vending.is_some() {
            let (name, value) = vended::DELEGATION;
            options.headers.insert(name.to_owned(), Secret::new(value));
        }
        let metadata_bytes_max = options.storage.limits().metadata_bytes_max;
        let client = RestClient::try_new(options)?;
        let vendor = vending.map(|vending| Arc::new(Vendor::new(vending)));
        Ok(Self { client, reference: None, vendor, metadata_bytes_max })
    }

    /// What was negotiated, at the reference to work on.
    async fn endpoint(&self) -> Result<Cow<'_, Endpoint>> {
        let endpoint = self.client.endpoint().await?;
        Ok(match &self.reference {
            Some(reference) => Cow::Owned(endpoint.at(reference)?),
            None => Cow::Borrowed(endpoint),
        })
    }
}

#[async_trait]
impl Metastore for Rest {
    fn capabilities(&self) -> Capabilities {
        Capabilities { views: true, rename: true, nested_namespaces: true, together: true }
    }

    /// Nessie's references are those of the whole catalog. Known once the server was asked anything.
    fn has_table_references(&self) -> bool {
        self.client.negotiated().is_none_or(|endpoint| endpoint.nessie.is_none())
    }

    async fn connect(&self) -> Result<()> {
        self.client.endpoint().await.map(drop)
    }

    fn at_reference(&self, reference: &str) -> Option<Arc<dyn Metastore>> {
        if self.client.negotiated().is_some_and(|endpoint| endpoint.nessie.is_none()) {
            return None;
        }
        Some(Arc::new(Self { reference: Some(Arc::from(reference)), ..self.clone() }))
    }

    fn rights_to<'n>(&self, name: &'n str) -> Vec<&'n str> {
        let Some((bare, _)) = name.split_once(tables::AT) else { return vec![name] };
        match self.client.negotiated() {
            Some(endpoint) if endpoint.nessie.is_some() => vec![bare],
            Some(_) => vec![name],
            None => vec![name, bare],
        }
    }

    async fn history_since(&self, base: &Table) -> Result<Option<History>> {
        self.log_since(base).await
    }

    async fn warehouse(&self) -> Result<Option<String>> {
        Ok(self.client.endpoint().await?.warehouse.clone())
    }

    async fn needs_first_snapshot(&self) -> Result<bool> {
        Ok(self.client.endpoint().await?.nessie.is_some())
    }

    async fn list_namespaces(&self) -> Result<Vec<Namespace>> {
        self.all_namespaces().await
    }

    async fn create_namespace(
        &self,
        namespace: &Namespace,
        properties: BTreeMap<String, String>,
    ) -> Result<()> {
        self.make_namespace(namespace, properties).await
    }

    async fn load_namespace(
        &self,
        namespace: &Namespace,
    ) -> Result<(Namespace, BTreeMap<String, String>)> {
        self.stored_namespace(namespace).await
    }

    async fn update_namespace(
        &self,
        namespace: &Namespace,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.change_namespace(namespace, changes).await
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        self.remove_namespace(namespace).await
    }

    async fn list(&self, namespace: &Namespace) -> Result<Vec<Entry>> {
        self.list_entries(namespace).await
    }

    async fn list_all(&self) -> Result<Option<Vec<Entry>>> {
        let contents = self.contents_of(Wanted::Everything).await?;
        Ok(contents.map(|contents| contents.entries))
    }

    async fn load_table(&self, name: &TableName) -> Result<Table> {
        self.read_table(name).await
    }

    async fn commit(&self, commit: TableCommit) -> Result<Table> {
        self.apply_commit(commit).await
    }

    async fn commit_together(&self, commits: Vec<TableCommit>) -> Result<()> {
        self.apply_together(commits).await
    }

    async fn place_new(&self, create: &CreateTable) -> Result<Option<String>> {
        self.ask_for_new(create).await
    }

    async fn register_table(&self, name: &TableName, metadata_location: &str) -> Result<Table> {
        self.register(name, metadata_location).await
    }

    async fn drop_table(&self, name: &TableName) -> Result<Option<Table>> {
        self.forget_table(name).await
    }

    async fn rename(&self, kind: EntryKind, from: &TableName, to: &TableName) -> Result<()> {
        self.move_entry(kind, from, to).await
    }

    async fn load_view(&self, name: &TableName) -> Result<View> {
        self.read_view(name).await
    }

    async fn put_view(&self, view: View, replace: bool) -> Result<()> {
        self.store_view(view, replace).await
    }

    async fn drop_view(&self, name: &TableName) -> Result<()> {
        self.forget_view(name).await
    }
}
