//! PostgreSQL behind the port.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::physical_plan::ExecutionPlan;

use super::create::{Creation, Nullable};
use super::database::Database;
use super::exec::RemoteSqlExec;
use super::metadata;
use super::options::{KIND, Rules, Settings};
use super::relation::RemoteRelation;
use super::transaction::Transaction;
use super::write::{RemoteWriteExec, Target};
use super::{pass_through, quote};
use crate::connector::{
    Capabilities, Connector, ConnectorOptions, RemoteEntry, RemoteName, RemoteTable,
};
use crate::error::{Error, ErrorKind};

#[derive(Debug)]
pub(super) struct PostgresConnector {
    database: Arc<Database>,
}

impl PostgresConnector {
    pub(super) fn try_new(options: ConnectorOptions, rules: Rules) -> Result<Self, Error> {
        let database = Arc::new(Database::try_new(Settings::try_new(options, rules)?)?);
        Ok(Self { database })
    }

    fn invalid(&self, what: impl std::fmt::Display) -> Error {
        let catalog = &self.database.settings().catalog;
        Error::new(ErrorKind::Invalid, format!("catalog {catalog:?}: {what}"))
    }

    fn check_writes(&self, what: &str) -> Result<(), Error> {
        if self.database.settings().writes {
            return Ok(());
        }
        Err(self.unsupported(&format!("{what}: the option `writes = 'false'` forbids it")))
    }

    fn unsupported(&self, what: &str) -> Error {
        let catalog = &self.database.settings().catalog;
        Error::new(ErrorKind::Unsupported, format!("catalog {catalog:?}: {what}"))
    }
}

#[async_trait]
impl Connector for PostgresConnector {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        let Settings { writes, pass_through, .. } = *self.database.settings();
        Capabilities { writes, views: writes, pass_through }
    }

    fn shown_options(&self) -> Vec<(String, String)> {
        self.database.settings().shown.clone()
    }

    fn identity(&self) -> String {
        self.database.settings().identity()
    }

    async fn check(&self) -> Result<(), Error> {
        let lease = self.database.begin_lookup().await?;
        self.database.end_read(lease).await
    }

    async fn schemas(&self) -> Result<Vec<String>, Error> {
        let lease = self.database.begin_lookup().await?;
        let found = metadata::schemas(lease.client()?)
            .await
            .map_err(|e| self.database.pool.failed_reading("schemas cannot be listed", e))?;
        self.database.end_read(lease).await?;
        Ok(found)
    }

    async fn relations(&self, schema: &str) -> Result<Vec<RemoteEntry>, Error> {
        let lease = self.database.begin_lookup().await?;
        let what = format!("relations of schema {schema:?} cannot be listed");
        let found = metadata::relations(lease.client()?, schema)
            .await
            .map_err(|e| self.database.pool.failed_reading(&what, e))?;
        self.database.end_read(lease).await?;
        Ok(found)
    }

    async fn table(&self, name: &RemoteName) -> Result<Option<Arc<dyn TableProvider>>, Error> {
        let Some(described) = self.database.describe(name).await? else { return Ok(None) };
        let relation = RemoteRelation::of_table(Arc::clone(&self.database), &described);
        Ok(Some(Arc::new(relation)))
    }

    fn refresh(&self) {
        self.database.forget();
    }

    async fn query(&self, sql: &str) -> Result<Arc<dyn TableProvider>, Error> {
        if !self.database.settings().pass_through {
            return Err(self.unsupported(
                "queries in the database's own SQL are off; the option `pass_through = 'true'` \
                 allows them",
            ));
        }
        Ok(Arc::new(pass_through::relation(&self.database, sql).await?))
    }

    async fn create_table(&self, table: &RemoteTable) -> Result<(), Error> {
        self.check_writes("CREATE TABLE")?;
        let Creation { sql, .. } = Creation::try_new(table, Nullable::AsDeclared)?;
        let work = Transaction::begin(&self.database, "CREATE TABLE").await?;
        work.execute(&sql).await?;
        work.commit().await
    }

    fn create_table_as(
        &self,
        table: RemoteTable,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, Error> {
        self.check_writes("CREATE TABLE AS")?;
        let Creation { sql, columns } = Creation::try_new(&table, Nullable::All)?;
        let unless_there = table.if_not_exists.then(|| table.name.clone());
        let target = Target { name: table.name, columns, before: Some(sql), unless_there };
        Ok(Arc::new(RemoteWriteExec::new(Arc::clone(&self.database), target, input)))
    }

    async fn insert(
        &self,
        name: &RemoteName,
        columns: &[String],
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, Error> {
        self.check_writes("INSERT")?;
        let described = self.database.describe(name).await?.ok_or_else(|| {
            let catalog = &self.database.settings().catalog;
            Error::new(ErrorKind::NotFound, format!("table {catalog}.{name} does not exist"))
        })?;
        let columns = columns
            .iter()
            .map(|column| described.written(column))
            .collect::<Result<Vec<_>, _>>()?;
        let target = Target { name: name.clone(), columns, before: None, unless_there: None };
        Ok(Arc::new(RemoteWriteExec::new(Arc::clone(&self.database), target, input)))
    }

    async fn drop_relation(&self, name: &RemoteName, view: bool) -> Result<bool, Error> {
        self.check_writes("DROP")?;
        let work = Transaction::begin(&self.database, "DROP").await?;
        let Some(letter) = work.relation_kind(name).await? else {
            work.roll_back().await?;
            return Ok(false);
        };
        let words = match (letter.as_str(), view) {
            ("r" | "p", false) => "TABLE",
            ("f", false) => "FOREIGN TABLE",
            ("v", true) => "VIEW",
            ("m", true) => "MATERIALIZED VIEW",
            (_, true) => return Err(self.invalid(format!("{name} is a table; use DROP TABLE"))),
            (_, false) => return Err(self.invalid(format!("{name} is a view; use DROP VIEW"))),
        };
        work.execute(&format!("DROP {words} {}", quote::checked_relation(name)?)).await?;
        work.commit().await?;
        Ok(true)
    }

    async fn create_view(&self, name: &RemoteName, sql: &str, replace: bool) -> Result<(), Error> {
        self.check_writes("CREATE VIEW")?;
        let work = Transaction::begin(&self.database, "CREATE VIEW").await?;
        // Names without a schema are those of the view's own.
        let schema = quote::identifier(&name.schema);
        work.execute(&format!("SET LOCAL search_path = {schema}, pg_catalog")).await?;
        let or_replace = if replace { "OR REPLACE " } else { "" };
        let name = quote::checked_relation(name)?;
        work.execute(&format!("CREATE {or_replace}VIEW {name} AS {sql}")).await?;
        work.commit().await
    }

    fn decode_scan(&self, bytes: &[u8]) -> Result<Arc<dyn ExecutionPlan>, Error> {
        Ok(Arc::new(RemoteSqlExec::decode(Arc::clone(&self.database), bytes)?))
    }

    async fn close(&self) {
        self.database.pool.close().await;
    }
}
