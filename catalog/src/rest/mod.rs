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
mod namespaces;
mod tables;
mod views;
#[cfg(test)]
mod counterpart_tests;

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::error::Result;
use crate::metastore::{Capabilities, Entry, EntryKind, Metastore, TableCommit, View};
use crate::name::{Namespace, TableName};
use crate::rest::client::RestClient;
pub use crate::rest::options::{OAuth2, RestAuth, RestOptions, SigV4};
use crate::table::Table;

/// A metastore behind the REST protocol. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rest {
    client: RestClient,
    metadata_bytes_max: u64,
}

impl Rest {
    /// A client of the server; nothing is asked of it yet.
    ///
    /// # Errors
    /// `InvalidArgument` for an address that is none, or headers that are none.
    pub fn try_new(options: RestOptions) -> Result<Self> {
        let metadata_bytes_max = options.storage.limits().metadata_bytes_max;
        Ok(Self { client: RestClient::try_new(options)?, metadata_bytes_max })
    }
}

#[async_trait]
impl Metastore for Rest {
    fn capabilities(&self) -> Capabilities {
        Capabilities { views: true, rename: true, nested_namespaces: true }
    }

    /// Nessie's references are those of the whole catalog. Known once the server was asked anything.
    fn has_table_references(&self) -> bool {
        self.client.negotiated().is_none_or(|endpoint| endpoint.nessie.is_none())
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

    async fn load_table(&self, name: &TableName) -> Result<Table> {
        self.read_table(name).await
    }

    async fn commit(&self, commit: TableCommit) -> Result<Table> {
        self.apply_commit(commit).await
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
