//! The embedded catalog: PyIceberg's SQL layout in one SQLite file or a PostgreSQL database, and views
//! beside it.
//!
//! Any number of processes may share the database, PyIceberg among them. Its locks and the
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
mod backup;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::embedded::database::{Connection, Database, Transaction};
use crate::error::{ErrorKind, Result};
use crate::metadata::MetadataReader;
use crate::metastore::{Capabilities, Entry, EntryKind, Metastore, TableCommit, View};
use crate::name::{Namespace, TableName};
use crate::storage::Storage;
use crate::table::Table;

pub use crate::embedded::backup::{BackupContents, RestoreMode};
pub use crate::embedded::database::PostgresOptions;

/// Where the pointers are.
#[derive(Clone, Debug)]
pub enum EmbeddedDatabase {
    /// A SQLite file; made, with its directory, when absent.
    File(PathBuf),
    /// A PostgreSQL database.
    Postgres(PostgresOptions),
}

/// How to open an embedded catalog.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// Where the pointers are.
    pub database: EmbeddedDatabase,
    /// The first key column of PyIceberg's layout: several catalogs may share one database.
    pub catalog_name: String,
    /// Where new tables go.
    pub warehouse_uri: String,
    /// Where metadata files are.
    pub storage: Storage,
    /// How long another process's lock is waited out.
    pub busy_timeout: Duration,
    /// A namespace that is made when the database is first reached, unless it is there.
    pub first_namespace: Option<Namespace>,
}

impl EmbeddedOptions {
    /// The catalog `iceberg` in the file `db_path`, waiting up to 30 s for a lock.
    pub fn new(db_path: impl Into<PathBuf>, warehouse_uri: impl Into<String>) -> Self {
        Self::on(EmbeddedDatabase::File(db_path.into()), warehouse_uri)
    }

    /// The same on any database.
    pub fn on(database: EmbeddedDatabase, warehouse_uri: impl Into<String>) -> Self {
        Self {
            database,
            catalog_name: "iceberg".to_owned(),
            warehouse_uri: warehouse_uri.into(),
            storage: Storage::local(),
            busy_timeout: Duration::from_secs(30),
            first_namespace: None,
        }
    }
}

/// A metastore in a SQLite file or a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct Embedded {
    database: Database,
    catalog: Arc<str>,
    warehouse_uri: Arc<str>,
    storage: Storage,
    metadata: MetadataReader,
    first_namespace: Option<Namespace>,
    /// Whether the layout has been seen to be complete.
    ready: Arc<OnceCell<()>>,
}

impl Embedded {
    /// Opens the database, making the file or completing the layout where needed. A server that
    /// cannot be reached now is no error: each use tries anew.
    ///
    /// # Errors
    /// `Corrupt` for a damaged file or one that is no SQLite database, `Unsupported` for a layout
    /// made by a newer version, `Unavailable` when a lock outlasts the timeout, and what else a
    /// database that answers refuses.
    pub async fn open(options: EmbeddedOptions) -> Result<Self> {
        let (database, is_remote) = match &options.database {
            EmbeddedDatabase::File(path) => {
                (Database::open_file(path, options.busy_timeout).await?, false)
            }
            EmbeddedDatabase::Postgres(server) => {
                (Database::postgres(server, options.busy_timeout)?, true)
            }
        };
        let embedded = Self {
            database,
            catalog: options.catalog_name.into(),
            warehouse_uri: options.warehouse_uri.into(),
            metadata: MetadataReader::new(options.storage.clone()),
            storage: options.storage,
            first_namespace: options.first_namespace,
            ready: Arc::default(),
        };
        match embedded.make_ready().await {
            Err(e) if is_remote && e.kind() == ErrorKind::Unavailable => {
                tracing::warn!(catalog = &*embedded.catalog, error = %e, "a catalog is not available yet");
            }
            other => other?,
        }
        Ok(embedded)
    }

    /// The name of the catalog in its database.
    pub fn catalog_name(&self) -> &str {
        &self.catalog
    }

    fn busy_timeout(&self) -> Duration {
        self.database.busy_timeout()
    }

    /// Completes the layout, once.
    async fn make_ready(&self) -> Result<()> {
        let complete = async || {
            layout::ensure(&self.database).await?;
            match &self.first_namespace {
                Some(namespace) => self.ensure_namespace(namespace).await,
                None => Ok(()),
            }
        };
        self.ready.get_or_try_init(complete).await.copied()
    }

    async fn connection(&self) -> Result<Connection> {
        self.make_ready().await?;
        self.database.connection().await
    }

    /// A transaction for statements that decide by themselves.
    async fn begin(&self) -> Result<Transaction> {
        self.make_ready().await?;
        self.database.begin().await
    }

    /// A transaction that nobody else writes beside.
    async fn begin_alone(&self) -> Result<Transaction> {
        self.make_ready().await?;
        self.database.begin_alone().await
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
        Capabilities { views: true, rename: true, nested_namespaces: true, together: false }
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
