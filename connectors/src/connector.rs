//! The port for live databases: a database is mounted as a catalog, its schemas and tables keep
//! their names.
//!
//! A connector speaks of names as the database stores them; what a statement calls them, however
//! spelt, the engine has resolved before.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

use crate::error::Error;

/// What a kind of database can do beyond reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// CREATE TABLE, DROP TABLE, INSERT and CREATE TABLE AS.
    pub writes: bool,
    /// CREATE VIEW and DROP VIEW.
    pub views: bool,
    /// Running a query in the database's own SQL.
    pub pass_through: bool,
}

/// A relation of the database, as the database stores its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteName {
    /// The schema.
    pub schema: String,
    /// The relation in it.
    pub name: String,
}

impl fmt::Display for RemoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteKind {
    /// A table, partitioned or not.
    Table,
    /// A view, materialized or not.
    View,
    /// A table that lives in yet another system.
    Foreign,
}

/// A relation in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEntry {
    /// Its name in its schema.
    pub name: String,
    /// What it is.
    pub kind: RemoteKind,
}

/// A column of a table to be made.
#[derive(Clone, Debug)]
pub struct RemoteTable {
    /// Its name.
    pub name: RemoteName,
    /// Its columns, in order; which of their types the database has is the connector's to say.
    pub schema: SchemaRef,
    /// Succeed without doing anything where a relation of that name is there.
    pub if_not_exists: bool,
}

/// A live database.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// The kind, as configuration spells it: `postgres`.
    fn kind(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The options it was opened with, as SHOW CREATE CATALOG may show them: never a secret, only
    /// where it is taken from.
    fn shown_options(&self) -> Vec<(String, String)>;

    /// Which database this is, without a secret: the same for connectors that read the same rows by
    /// the same names with the same rights, and for no others.
    fn identity(&self) -> String {
        let shown: Vec<String> =
            self.shown_options().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{}: {}", self.kind(), shown.join(", "))
    }

    /// Connects once: what CREATE CATALOG does before it succeeds.
    ///
    /// # Errors
    /// Within ten seconds, where the database is not there or refuses us.
    async fn check(&self) -> Result<(), Error>;

    /// The names of the schemas a user would look for, sorted; the database's own are not among them.
    async fn schemas(&self) -> Result<Vec<String>, Error>;

    /// The relations of a schema, sorted by name; empty where there is no such schema.
    async fn relations(&self, schema: &str) -> Result<Vec<RemoteEntry>, Error>;

    /// A relation as it is now, `None` where there is none. What a statement reads of it, it reads
    /// from the provider of that statement alone.
    ///
    /// # Errors
    /// For a column whose type cannot be read, naming it.
    async fn table(&self, name: &RemoteName) -> Result<Option<Arc<dyn TableProvider>>, Error>;

    /// Forgets what is cached about schemas and tables.
    fn refresh(&self);

    /// A query in the database's own SQL, read-only, as a relation.
    async fn query(&self, sql: &str) -> Result<Arc<dyn TableProvider>, Error>;

    /// Makes an empty table.
    async fn create_table(&self, table: &RemoteTable) -> Result<(), Error>;

    /// A plan that makes a table of its input's rows in one transaction and yields one row: their
    /// count, as a column `count` of type `UInt64`.
    fn create_table_as(
        &self,
        table: RemoteTable,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, Error>;

    /// A plan that appends its input's rows in one transaction and yields their count, as above.
    /// The input has the columns of `columns`, in their order; the database fills the others.
    async fn insert(
        &self,
        name: &RemoteName,
        columns: &[String],
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, Error>;

    /// Drops a table, a view if `view`; whether there was one.
    async fn drop_relation(&self, name: &RemoteName, view: bool) -> Result<bool, Error>;

    /// Makes a view of a query in the database's own SQL.
    async fn create_view(&self, name: &RemoteName, sql: &str, replace: bool) -> Result<(), Error>;

    /// A scan of this connector that another process has planned; `bytes` are what
    /// [`crate::codec`] sends, without a secret.
    ///
    /// # Errors
    /// For bytes that are no scan of this kind.
    fn decode_scan(&self, _bytes: &[u8]) -> Result<Arc<dyn ExecutionPlan>, Error> {
        let message = format!("scans of kind {} do not travel", self.kind());
        Err(Error::new(crate::error::ErrorKind::Unsupported, message))
    }

    /// Closes every connection.
    async fn close(&self);
}

/// What a catalog is opened with, its secrets resolved.
#[derive(Clone, Debug)]
pub struct ConnectorOptions {
    /// The catalog's name, for messages.
    pub catalog: String,
    /// The options of the configuration or of CREATE CATALOG, but for secrets, keys in lower case.
    pub options: BTreeMap<String, String>,
    /// The secrets by option, each with how it is shown: `env('SALES_PASSWORD')`.
    pub secrets: BTreeMap<String, Secret>,
    /// How long what is known of schemas and tables may be old.
    pub metadata_ttl: Duration,
}

/// A secret, and where it was taken from.
#[derive(Clone)]
pub struct Secret {
    /// The value.
    pub value: String,
    /// Where it came from.
    pub reference: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reference)
    }
}

/// A kind of database that configuration and CREATE CATALOG may name.
pub trait ConnectorKind: fmt::Debug + Send + Sync {
    /// The name: `postgres`.
    fn name(&self) -> &'static str;

    /// Opens a catalog; nothing is asked of the database before something is needed.
    ///
    /// # Errors
    /// For an unknown, malformed or missing option, naming it and what is accepted.
    fn open(&self, options: ConnectorOptions) -> Result<Arc<dyn Connector>, Error>;
}

/// Where a plan that was sent to another process finds its databases: by the name of a catalog,
/// with that process's own secrets.
pub trait Connectors: fmt::Debug + Send + Sync {
    /// The connector mounted as `catalog`, whose [`Connector::identity`] is `identity`.
    ///
    /// # Errors
    /// Where there is none, or another database of that name.
    fn connector(
        &self,
        catalog: &str,
        identity: &str,
        context: &TaskContext,
    ) -> Result<Arc<dyn Connector>, Error>;
}
