//! A session: current catalog and schema, settings, prepared statements.

use std::sync::Arc;

use crate::error::Result;
use crate::query::QueryResult;
use crate::services::Services;
use crate::sql::context::StatementContext;
use crate::sql::files::{EveryFile, FilePolicy};
use crate::sql::statement::Statement;
use crate::sql::variables::{DEFAULT_SCHEMA, SharedVariables};
use crate::sql::{deep, parse, router};

/// The catalog of sessions that begin before any is mounted.
const DEFAULT_CATALOG: &str = "iceberg";

/// What a session starts with.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// `None`: the first mounted catalog.
    pub catalog: Option<String>,
    /// `None`: `default`.
    pub schema: Option<String>,
    /// Which files `read_*` and COPY may reach; `None`: all that the process can.
    pub files: Option<Arc<dyn FilePolicy>>,
}

/// One user's session. Statements of one session run one after the other.
#[derive(Clone, Debug)]
pub struct Session {
    services: Arc<Services>,
    variables: Arc<SharedVariables>,
    files: Arc<dyn FilePolicy>,
}

impl Session {
    pub(crate) fn new(services: Arc<Services>, options: SessionOptions) -> Self {
        let first = services.catalogs().first().map(|c| c.name().to_owned());
        let catalog = options.catalog.or(first).unwrap_or_else(|| DEFAULT_CATALOG.to_owned());
        let schema = options.schema.unwrap_or_else(|| DEFAULT_SCHEMA.to_owned());
        let config = services.base_config.clone();
        let variables = Arc::new(SharedVariables::new(catalog, schema, config));
        let files = options.files.unwrap_or_else(|| Arc::new(EveryFile));
        Self { services, variables, files }
    }

    /// Splits and parses a script; the error names line and column.
    pub fn parse(&self, script: &str) -> Result<Vec<Statement>> {
        parse::parse_script(script)
    }

    /// Runs one statement. DDL has run when this returns; DML has run when its result's last batch
    /// was read, and runs exactly once.
    pub async fn execute(&self, statement: &Statement) -> Result<QueryResult> {
        let ctx = StatementContext::new(
            Arc::clone(&self.services),
            Arc::clone(&self.variables),
            Arc::clone(&self.files),
        )?;
        let parsed = Arc::clone(&statement.parsed);
        deep::run_async(async move { router::run(&ctx, &parsed).await }).await
    }

    /// The current catalog and schema.
    pub fn current(&self) -> (String, String) {
        let variables = self.variables.snapshot();
        (variables.catalog, variables.schema)
    }

    /// Catalog, schema, table and column names that complete `prefix` in the shell.
    pub async fn complete(&self, prefix: &str) -> Vec<String> {
        crate::sql::complete::complete(&self.services, &self.variables.snapshot(), prefix).await
    }
}
