//! A session: current catalog and schema, settings, prepared statements.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;

use crate::access::AccessPolicy;
use crate::error::{Error, Result};
use crate::queries::{QueryHandle, QueryKind, QueryRequest, Viewer, Wanted};
use crate::query::QueryResult;
use crate::services::Services;
use crate::sql::context::StatementContext;
pub use crate::sql::context::StatementOptions;
use crate::sql::ddl::ast::DdlStatement;
pub use crate::sql::describe::{Description, Parameter};
use crate::sql::files::{EveryFile, FilePolicy};
pub use crate::sql::ingest::{IfMissing, IfPresent, IngestTarget};
pub use crate::sql::pins::Pins;
pub use crate::sql::planned::PlannedQuery;
use crate::sql::statement::{Parsed, Statement};
pub use crate::sql::variables::Place;
use crate::sql::variables::{DEFAULT_SCHEMA, SharedVariables};
use crate::sql::{deep, describe, ingest, kind, router, settings};

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
    /// What the user may do; `None`: everything.
    pub access: Option<Arc<dyn AccessPolicy>>,
    /// Who asks; the default is the person at the machine.
    pub viewer: Viewer,
}

/// One user's session. Statements of one session run one after the other.
#[derive(Clone, Debug)]
pub struct Session {
    services: Arc<Services>,
    variables: Arc<SharedVariables>,
    files: Arc<dyn FilePolicy>,
    access: Option<Arc<dyn AccessPolicy>>,
    viewer: Viewer,
    id: Arc<str>,
}

impl Session {
    pub(crate) fn new(services: Arc<Services>, options: SessionOptions) -> Self {
        let first = services.catalogs().first().map(|c| c.name().to_owned());
        let catalog = options.catalog.or(first).unwrap_or_else(|| DEFAULT_CATALOG.to_owned());
        let schema = options.schema.unwrap_or_else(|| DEFAULT_SCHEMA.to_owned());
        let config = services.base_config.clone();
        let variables = Arc::new(SharedVariables::new(catalog, schema, config));
        let files = options.files.unwrap_or_else(|| Arc::new(EveryFile));
        let id = Arc::from(uuid::Uuid::now_v7().to_string());
        let (access, viewer) = (options.access, options.viewer);
        Self { services, variables, files, access, viewer, id }
    }

    /// Splits and parses a script; the error names line and column.
    pub fn parse(&self, script: &str) -> Result<Vec<Statement>> {
        self.services.scripts.parse(script)
    }

    /// Runs one statement. DDL has run when this returns; DML has run when its result's last batch
    /// was read, and runs exactly once.
    pub async fn execute(&self, statement: &Statement) -> Result<QueryResult> {
        self.execute_with(statement, StatementOptions::default()).await
    }

    /// Runs one statement as [`Session::execute`] does, with values for its parameters.
    ///
    /// # Errors
    /// Beside the statement's own: `Invalid` when the number of values is not the statement's.
    pub async fn execute_with(
        &self,
        statement: &Statement,
        options: StatementOptions,
    ) -> Result<QueryResult> {
        check_count(statement, &options)?;
        let ctx = self.context(options)?;
        let parsed = Arc::clone(&statement.parsed);
        deep::run_async(async move { router::run(&ctx, &parsed).await }).await
    }

    /// Plans a query and pins what it reads; nothing runs, except that the few rows of SHOW,
    /// DESCRIBE and EXPLAIN are gathered. For statements of kind [`QueryKind::Query`] alone.
    ///
    /// # Errors
    /// As [`Session::execute_with`]; `Conflict` and `NotFound` when what was pinned is no more.
    pub async fn plan(
        &self,
        statement: &Statement,
        options: StatementOptions,
    ) -> Result<PlannedQuery> {
        check_count(statement, &options)?;
        let ctx = self.context(options)?;
        let parsed = Arc::clone(&statement.parsed);
        deep::run_async(async move { router::plan(ctx, &parsed).await }).await
    }

    /// What a statement yields and takes. Nothing runs.
    pub async fn describe(&self, statement: &Statement) -> Result<Description> {
        check_parameters(statement)?;
        let ctx = self.context(StatementOptions::default())?;
        let (parsed, count) = (Arc::clone(&statement.parsed), statement.parameters);
        let work = async move { describe::describe(&ctx, &parsed, count).await };
        deep::run_async(Box::pin(work)).await
    }

    /// What a statement yields, from its syntax alone.
    ///
    /// # Errors
    /// `NotFound` when EXECUTE names nothing that was prepared.
    pub fn kind(&self, statement: &Statement) -> Result<QueryKind> {
        kind::of(&self.variables.snapshot(), &statement.parsed)
    }

    /// Writes rows into a table, which is made where `target` says so: all of them in one commit,
    /// none when the stream fails or is dropped. The number of rows.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`; `Invalid` for columns that do not fit; the stream's own.
    pub async fn ingest(
        &self,
        target: IngestTarget,
        rows: SendableRecordBatchStream,
        query: &QueryHandle,
    ) -> Result<u64> {
        let ctx =
            self.context(StatementOptions { query: Some(query.clone()), ..Default::default() })?;
        let result = deep::run_async(async move { ingest::run(&ctx, &target, rows).await }).await?;
        ingest::count(result).await
    }

    /// Changes the current catalog, the current schema, or both, which must exist.
    pub async fn use_schema(&self, catalog: Option<&str>, schema: Option<&str>) -> Result<()> {
        let ctx = self.context(StatementOptions::default())?;
        settings::use_schema(&ctx, catalog, schema).await
    }

    /// A session that begins as this one is, and goes its own way.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { variables: Arc::new(self.variables.fork()), ..self.clone() }
    }

    /// Where the session stands: another session at the same place understands a statement alike.
    pub fn place(&self) -> Place {
        self.variables.place()
    }

    /// Goes to a place.
    ///
    /// # Errors
    /// For a setting that this version does not have.
    pub fn go_to(&self, place: &Place) -> Result<()> {
        self.variables.go_to(place)
    }

    /// Changes a setting as SET does; `None` puts it back.
    ///
    /// # Errors
    /// `NotFound` for a name, `Invalid` for a value, `PermissionDenied` for what is the process's.
    pub fn set(&self, key: &str, value: Option<&str>) -> Result<()> {
        match value {
            Some(value) => self.variables.set(key, value).map(|_full_name| ()),
            None => self.variables.reset(Some(key)),
        }
    }

    /// Waits for the statement's turn and runs it as a query of the registry: as `execute`, under
    /// the limits of the process and the session, and seen in `system.queries`. `client` is what
    /// asks.
    pub async fn submit(&self, statement: &Statement, client: &str) -> Result<QueryResult> {
        let request = QueryRequest {
            id: None,
            user: self.viewer.name().to_owned(),
            client: client.to_owned(),
            session: self.id.to_string(),
            text: statement.text.clone(),
            kind: statement.query_kind(),
            lane: statement.lane(),
            wanted: Wanted::default(),
        };
        let query = self.services.queries.admit(request).await?;
        let options = StatementOptions { query: Some(query.clone()), ..Default::default() };
        let result = query.during(self.execute_with(statement, options)).await?;
        Ok(query.track(result))
    }

    fn context(&self, options: StatementOptions) -> Result<StatementContext> {
        let ctx = StatementContext::new(
            Arc::clone(&self.services),
            Arc::clone(&self.variables),
            Arc::clone(&self.files),
            options,
        )?;
        Ok(ctx.asked_by(self.viewer.clone(), self.access.clone()))
    }

    /// The session's id, as `system.queries` shows it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The world of a statement that begins now.
    pub(crate) fn statement_context(&self) -> Result<StatementContext> {
        self.context(StatementOptions::default())
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

fn check_count(statement: &Statement, options: &StatementOptions) -> Result<()> {
    check_parameters(statement)?;
    let given = match &options.rows {
        Some(_) if !statement.takes_rows() => {
            return Err(Error::new(crate::ErrorKind::Bug, "the statement takes one row of values"));
        }
        Some(rows) => rows.num_columns(),
        None => options.parameters.len(),
    };
    let takes = statement.parameters;
    if takes == given {
        return Ok(());
    }
    Err(Error::invalid(format!("the statement takes {takes} parameters, {given} were given")))
}

/// What is kept as text cannot keep a value beside it.
fn check_parameters(statement: &Statement) -> Result<()> {
    match statement.parsed.as_ref() {
        Parsed::Ddl(ddl)
            if statement.parameters > 0
                && matches!(
                    ddl.as_ref(),
                    DdlStatement::CreateView(_) | DdlStatement::AlterView { .. }
                ) =>
        {
            Err(Error::invalid("a view cannot hold parameters: write the values in its query"))
        }
        _ => Ok(()),
    }
}
