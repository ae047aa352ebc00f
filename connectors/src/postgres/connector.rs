//! PostgreSQL behind the port.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::physical_plan::ExecutionPlan;

use super::database::Database;
use super::metadata;
use super::options::{KIND, Rules, Settings};
use super::relation::RemoteRelation;
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
        Capabilities { writes: false, views: false, pass_through: false }
    }

    fn shown_options(&self) -> Vec<(String, String)> {
        self.database.settings().shown.clone()
    }

    async fn check(&self) -> Result<(), Error> {
        let lease = self.database.begin_read().await?;
        self.database.end_read(lease).await
    }

    async fn schemas(&self) -> Result<Vec<String>, Error> {
        let lease = self.database.begin_read().await?;
        let found = metadata::schemas(lease.client()?)
            .await
            .map_err(|e| self.database.pool.failed("schemas cannot be listed", e))?;
        self.database.end_read(lease).await?;
        Ok(found)
    }

    async fn relations(&self, schema: &str) -> Result<Vec<RemoteEntry>, Error> {
        let lease = self.database.begin_read().await?;
        let what = format!("relations of schema {schema:?} cannot be listed");
        let found = metadata::relations(lease.client()?, schema)
            .await
            .map_err(|e| self.database.pool.failed(&what, e))?;
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

    async fn query(&self, _sql: &str) -> Result<Arc<dyn TableProvider>, Error> {
        Err(self.unsupported("queries in the database's own SQL"))
    }

    async fn create_table(&self, _table: &RemoteTable) -> Result<(), Error> {
        Err(self.unsupported("CREATE TABLE"))
    }

    fn create_table_as(
        &self,
        _table: RemoteTable,
        _input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, Error> {
        Err(self.unsupported("CREATE TABLE AS"))
    }

    async fn insert(
        &self,
        _name: &RemoteName,
        _columns: &[String],
        _input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, Error> {
        Err(self.unsupported("INSERT"))
    }

    async fn drop_relation(&self, _name: &RemoteName, _view: bool) -> Result<bool, Error> {
        Err(self.unsupported("DROP"))
    }

    async fn create_view(
        &self,
        _name: &RemoteName,
        _sql: &str,
        _replace: bool,
    ) -> Result<(), Error> {
        Err(self.unsupported("CREATE VIEW"))
    }

    async fn close(&self) {
        self.database.pool.close().await;
    }
}
