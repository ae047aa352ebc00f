//! The embedded catalog: PyIceberg's SQL layout in one SQLite file, and views beside it.
//!
//! Any number of processes may share the file, PyIceberg among them. SQLite's lock and the
//! compare-and-set of the metadata location are the only coordination; no transaction is open
//! while bytes go to or come from an object store.
//!
//! Modules, bottom-up: each uses only those above it.

mod database;
mod layout;
mod names;
mod namespaces;
mod tables;
mod views;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::embedded::database::Database;
use crate::error::Result;
use crate::metadata::MetadataReader;
use crate::metastore::{Capabilities, Entry, EntryKind, Metastore, TableCommit, View};
use crate::name::{Namespace, TableName};
use crate::storage::Storage;
use crate::table::Table;

/// How to open an embedded catalog.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The SQLite file; made, with its directory, when absent.
    pub db_path: PathBuf,
    /// The first key column of PyIceberg's layout: several catalogs may share one file.
    pub catalog_name: String,
    /// Where new tables go.
    pub warehouse_uri: String,
    /// Where metadata files are.
    pub storage: Storage,
    /// How long another process's lock is waited out.
    pub busy_timeout: Duration,
}

impl EmbeddedOptions {
    /// The catalog `iceberg` in `db_path` on local disk, waiting up to 30 s for a lock.
    pub fn new(db_path: impl Into<PathBuf>, warehouse_uri: impl Into<String>) -> Self {
        Self {
            db_path: db_path.into(),
            catalog_name: "iceberg".to_owned(),
            warehouse_uri: warehouse_uri.into(),
            storage: Storage::local(),
            busy_timeout: Duration::from_secs(30),
        }
    }
}

/// A metastore in a SQLite file.
#[derive(Clone, Debug)]
pub struct Embedded {
    database: Database,
    catalog: Arc<str>,
    warehouse_uri: Arc<str>,
    storage: Storage,
    metadata: MetadataReader,
}

impl Embedded {
    /// Opens the file, making it or completing its layout where needed.
    ///
    /// # Errors
    /// `Corrupt` for a damaged file or one that is no SQLite database, `Unsupported` for a layout
    /// made by a newer version, `Unavailable` when a lock outlasts the timeout.
    pub async fn open(options: EmbeddedOptions) -> Result<Self> {
        let database = Database::open(&options.db_path, options.busy_timeout).await?;
        layout::ensure(&database).await?;
        Ok(Self {
            database,
            catalog: options.catalog_name.into(),
            warehouse_uri: options.warehouse_uri.into(),
            metadata: MetadataReader::new(options.storage.clone()),
            storage: options.storage,
        })
    }

    /// Where new tables go.
    pub fn warehouse_uri(&self) -> &str {
        &self.warehouse_uri
    }

    /// Closes the connections; SQLite then folds its log into the file. Dropping does the same,
    /// but does not wait for it.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[async_trait]
impl Metastore for Embedded {
    fn capabilities(&self) -> Capabilities {
        Capabilities { views: true, rename: true, nested_namespaces: true }
    }

    async fn list_namespaces(&self) -> Result<Vec<Namespace>> {
        self.list_all_namespaces().await
    }

    async fn create_namespace(
        &self,
        namespace: &Namespace,
        properties: BTreeMap<String, String>,
    ) -> Result<()> {
        self.insert_namespace(namespace, properties).await
    }

    async fn load_namespace(
        &self,
        namespace: &Namespace,
    ) -> Result<(Namespace, BTreeMap<String, String>)> {
        self.read_namespace(namespace).await
    }

    async fn update_namespace(
        &self,
        namespace: &Namespace,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.change_namespace(namespace, changes).await
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        self.delete_namespace(namespace).await
    }

    async fn list(&self, namespace: &Namespace) -> Result<Vec<Entry>> {
        self.list_entries(namespace).await
    }

    async fn load_table(&self, name: &TableName) -> Result<Table> {
        self.read_table(name).await
    }

    async fn register_table(&self, name: &TableName, metadata_location: &str) -> Result<Table> {
        self.register(name, metadata_location).await
    }

    async fn commit(&self, commit: TableCommit) -> Result<Table> {
        self.apply_commit(commit).await
    }

    async fn drop_table(&self, name: &TableName) -> Result<Option<Table>> {
        self.delete_table(name).await
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
        self.delete_view(name).await
    }
}
