//! One statement under way: the session as it was at the start, and every table pinned once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::execution::TaskContext;
use datafusion::execution::context::SessionState;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::metastore::View;
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::table::Table;
use fjord_connectors::connector::RemoteName;
use sqlparser::ast::ObjectName;
use tokio::sync::OnceCell;

use super::files::{FilePolicy, SessionFiles};
use super::foreign::object::ObjectName3;
use super::pins::{Pins, pinned_view};
use super::variables::{SharedVariables, Variables};
use crate::access::AccessPolicy;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::catalog::ForeignCatalog;
use crate::queries::{QueryHandle, Viewer};
use crate::query::PinnedRelation;
use crate::services::Services;
use crate::session_settings::SessionSettings;

/// What unqualified names mean, and which views are being expanded.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) catalog: String,
    pub(crate) schema: String,
    /// Full names of the views around this query, outermost first.
    pub(crate) views: Vec<String>,
}

/// A name with the catalog that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct QualifiedName {
    pub(crate) catalog: Catalog,
    pub(crate) name: TableName,
}

impl std::fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.catalog.name(), self.name)?;
        match self.catalog.reference() {
            Some(reference) => write!(f, "@{reference}"),
            None => Ok(()),
        }
    }
}

impl QualifiedName {
    /// The catalog at the reference where the name is looked up: another one may have another table.
    fn place(&self) -> String {
        place(&self.catalog)
    }
}

fn place(catalog: &Catalog) -> String {
    let name = catalog.name();
    catalog.reference().map_or_else(|| name.to_owned(), |at| format!("{name}@{at}"))
}

/// What a name turned out to be.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    Table(Table),
    View(Arc<View>),
}

/// With what a statement runs beside its text.
#[derive(Clone, Debug, Default)]
pub struct StatementOptions {
    /// Values of `$1`, `$2` …
    pub parameters: Vec<ScalarValue>,
    /// What names stood for when the statement was planned before; `None`: what they do now.
    pub pins: Option<Pins>,
    /// What `now()` says; `None`: the time at which planning begins.
    pub now: Option<DateTime<Utc>>,
    /// The admitted query that the statement is a part of: its limits hold from planning on. The
    /// caller puts the work into [`QueryHandle::during`] and the result into
    /// [`QueryHandle::track`].
    pub query: Option<QueryHandle>,
    /// Many rows of values at once, in place of `parameters`, for a statement that
    /// [takes them](super::statement::Statement::takes_rows): column n is `$n`.
    pub rows: Option<RecordBatch>,
}

/// One statement's world.
#[derive(Debug)]
pub(crate) struct StatementContext {
    pub(crate) services: Arc<Services>,
    /// The session's variables, for statements that change them.
    pub(crate) shared: Arc<SharedVariables>,
    /// The variables as they were when the statement began.
    pub(crate) variables: Variables,
    /// DataFusion's session for this statement.
    pub(crate) state: Arc<SessionState>,
    pub(crate) files: SessionFiles,
    /// What the user may do; `None`: everything.
    pub(crate) access: Option<Arc<dyn AccessPolicy>>,
    /// Values of `$1`, `$2` …, when EXECUTE or a client gave some.
    pub(crate) parameters: Vec<ScalarValue>,
    /// Many rows of such values, for an INSERT that takes them at once.
    pub(crate) rows: Option<RecordBatch>,
    /// What is known of the types of `$1`, `$2` … while a statement is only described.
    pub(crate) parameter_types: Option<Vec<Option<FieldRef>>>,
    /// Who asks.
    pub(crate) viewer: Viewer,
    /// The query as the registry knows it; `None` for statements that were not admitted.
    query: Option<QueryHandle>,
    /// What names stood for when the statement was planned before, if it was.
    earlier: Option<Arc<Pins>>,
    seen: Seen,
}

type Once = Arc<OnceCell<Loaded>>;
type OnceRelation = Arc<OnceCell<Arc<dyn TableProvider>>>;

/// Tables and views that the statement has seen; each is loaded once.
#[derive(Debug, Default)]
struct Seen {
    loaded: Mutex<HashMap<(String, TableName), Once>>,
    foreign: Mutex<HashMap<(String, RemoteName), OnceRelation>>,
    pins: Mutex<Pins>,
    tables: Mutex<HashMap<(String, TableName), Table>>,
    receipt: Mutex<Vec<PinnedRelation>>,
}

impl StatementContext {
    pub(crate) fn new(
        services: Arc<Services>,
        shared: Arc<SharedVariables>,
        policy: Arc<dyn FilePolicy>,
        options: StatementOptions,
    ) -> Result<Self> {
        let StatementOptions { parameters, pins, now, query, rows } = options;
        let variables = shared.snapshot();
        let state = Arc::new(services.session_state(variables.config.clone(), now)?);
        let files = SessionFiles { storage: services.storage.clone(), policy };
        Ok(Self {
            services,
            shared,
            variables,
            state,
            files,
            access: None,
            parameters,
            rows,
            parameter_types: None,
            viewer: Viewer::default(),
            query,
            earlier: pins.map(Arc::new),
            seen: Seen::default(),
        })
    }

    /// The same statement, asked by `viewer`, who may do what `access` says.
    #[must_use]
    pub(crate) fn asked_by(
        mut self,
        viewer: Viewer,
        access: Option<Arc<dyn AccessPolicy>>,
    ) -> Self {
        self.viewer = viewer;
        self.access = access;
        self
    }

    fn limit(&self, query: &QueryHandle) {
        if let Some(settings) = self.state.config_options().extensions.get::<SessionSettings>() {
            query.limit(settings.limits());
        }
    }

    /// The query that the statement is a part of.
    pub(crate) fn query(&self) -> Option<&QueryHandle> {
        self.query.as_ref()
    }

    /// What operators run with, in the query that the statement is a part of, if it is.
    pub(crate) fn task(&self) -> Arc<TaskContext> {
        match &self.query {
            Some(query) => self.task_of(query),
            None => Arc::new(TaskContext::from(self.state.as_ref())),
        }
    }

    /// The same in another query, for a plan that is run again: the process's runtime, in which
    /// the query has memory of its own.
    pub(crate) fn task_of(&self, query: &QueryHandle) -> Arc<TaskContext> {
        self.limit(query);
        let task = TaskContext::from(self.state.as_ref());
        let partitions = self.state.config().target_partitions();
        Arc::new(task.with_runtime(query.runtime(self.state.runtime_env(), partitions)))
    }

    /// The same session, with a pin table of its own: a statement inside a statement.
    pub(crate) fn with_parameters(&self, parameters: Vec<ScalarValue>) -> Self {
        Self {
            services: Arc::clone(&self.services),
            shared: Arc::clone(&self.shared),
            variables: self.variables.clone(),
            state: Arc::clone(&self.state),
            files: self.files.clone(),
            access: self.access.clone(),
            parameters,
            rows: None,
            parameter_types: None,
            earlier: self.earlier.clone(),
            seen: Seen::default(),
            viewer: self.viewer.clone(),
            query: self.query.clone(),
        }
    }

    /// The same session, of whose parameters only types are known, and not of all.
    pub(crate) fn with_parameter_types(&self, types: Vec<Option<FieldRef>>) -> Self {
        Self { parameter_types: Some(types), ..self.with_parameters(Vec::new()) }
    }

    /// A mounted catalog by name, regardless of case, at the reference that the session works on.
    pub(crate) fn catalog(&self, name: &str) -> Result<Catalog> {
        Ok(self.at_reference(self.services.catalog(name)?))
    }

    /// Every mounted catalog, likewise, in the order of mounting.
    pub(crate) fn catalogs(&self) -> Vec<Catalog> {
        self.services.catalogs().into_iter().map(|catalog| self.at_reference(catalog)).collect()
    }

    fn at_reference(&self, catalog: Catalog) -> Catalog {
        match self.variables.nessie_reference() {
            Some(reference) => catalog.at_reference(&reference),
            None => catalog,
        }
    }

    /// The session's current catalog and schema.
    pub(crate) fn scope(&self) -> Scope {
        Scope {
            catalog: self.variables.catalog.clone(),
            schema: self.variables.schema.clone(),
            views: Vec::new(),
        }
    }

    /// Completes a name with the session's current catalog and schema.
    pub(crate) fn qualify(&self, name: &ObjectName) -> Result<QualifiedName> {
        self.qualify_in(name, &self.scope())
    }

    /// Completes a name with `scope`.
    pub(crate) fn qualify_in(&self, name: &ObjectName, scope: &Scope) -> Result<QualifiedName> {
        self.qualify_parts(&name_parts(name)?, scope)
    }

    /// Completes the parts of a name with `scope`.
    pub(crate) fn qualify_parts(&self, parts: &[String], scope: &Scope) -> Result<QualifiedName> {
        let (catalog, schema, table) = match parts {
            [table] => (scope.catalog.as_str(), scope.schema.as_str(), table),
            [schema, table] => (scope.catalog.as_str(), schema.as_str(), table),
            [catalog, schema, table] => (catalog.as_str(), schema.as_str(), table),
            _ => {
                return Err(Error::invalid(format!(
                    "name \"{}\" has {} parts; write catalog.schema.table, and a nested schema \
                     as one quoted name: catalog.\"a.b\".table",
                    parts.join("."),
                    parts.len()
                )));
            }
        };
        let name = TableName::new(Namespace::parse(schema)?, table)?;
        Ok(QualifiedName { catalog: self.catalog(catalog)?, name })
    }

    /// The catalog that the parts of a name lead to, where one of the last two may be a branch.
    pub(crate) fn catalog_of(&self, parts: &[String], scope: &Scope) -> Result<Catalog> {
        match parts {
            [catalog, _, _] | [catalog, _, _, _] if self.services.catalog(catalog).is_ok() => {
                self.catalog(catalog)
            }
            _ => self.catalog(&scope.catalog),
        }
    }

    /// A database's relation, opened once for the whole statement; `None` where it is gone.
    pub(crate) async fn foreign_table(
        &self,
        catalog: &ForeignCatalog,
        name: &RemoteName,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let key = (catalog.name().to_owned(), name.clone());
        let once = {
            let mut foreign = self.seen.foreign.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(foreign.entry(key).or_default())
        };
        if let Some(table) = once.get() {
            return Ok(Some(Arc::clone(table)));
        }
        let Some(table) = catalog.table(name).await? else { return Ok(None) };
        let kept = once.get_or_init(|| std::future::ready(table)).await;
        Ok(Some(Arc::clone(kept)))
    }

    /// The stored name of a database's relation that the statement reads, if `name` means one alone.
    pub(crate) fn foreign_origin(&self, name: &ObjectName3) -> Option<[String; 3]> {
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        let foreign = self.seen.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        let mut alike = foreign.iter().filter(|((catalog, relation), opened)| {
            opened.get().is_some()
                && *catalog == name.catalog
                && same(&relation.schema, &name.schema)
                && same(&relation.name, &name.table)
        });
        let ((catalog, relation), _) = alike.next()?;
        let origin = [catalog.clone(), relation.schema.clone(), relation.name.clone()];
        alike.next().is_none().then_some(origin)
    }

    /// Completes the name of a schema with the current catalog.
    pub(crate) fn qualify_schema(&self, parts: &[String]) -> Result<(Catalog, Namespace)> {
        match parts {
            [schema] => {
                let catalog = self.catalog(&self.variables.catalog)?;
                Ok((catalog, Namespace::parse(schema)?))
            }
            [catalog, schema] => Ok((self.catalog(catalog)?, Namespace::parse(schema)?)),
            _ => Err(Error::invalid(format!(
                "schema name \"{}\" has {} parts; write catalog.schema, and a nested schema as \
                 one quoted name: catalog.\"a.b\"",
                parts.join("."),
                parts.len()
            ))),
        }
    }

    /// The table or view behind a name, loaded once for the whole statement.
    pub(crate) async fn load(&self, name: &QualifiedName) -> Result<Loaded> {
        let key = (name.place(), name.name.clone());
        let once = {
            let mut loaded = self.seen.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(loaded.entry(key).or_default())
        };
        let loaded = once.get_or_try_init(|| self.load_pinned(name)).await?;
        let Loaded::Table(table) = loaded else { return Ok(loaded.clone()) };
        // Two spellings may lead to one table: what was loaded first is what the statement sees.
        let key = (name.place(), table.name().clone());
        let mut tables = self.seen.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Loaded::Table(tables.entry(key).or_insert_with(|| table.clone()).clone()))
    }

    /// The table behind a name; a view there is an error that says so.
    pub(crate) async fn load_table(&self, name: &QualifiedName) -> Result<Table> {
        match self.load(name).await? {
            Loaded::Table(table) => Ok(table),
            Loaded::View(_) => Err(Error::invalid(format!("\"{name}\" is a view, not a table"))),
        }
    }

    /// Refuses to replace `now` when the statement has read an older state of it: the rows that
    /// came in between are in neither.
    pub(crate) fn check_as_read(&self, catalog: &Catalog, now: &Table) -> Result<()> {
        let place = place(catalog);
        let tables = self.seen.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = tables.iter().any(|((of, _), read)| {
            let same = read.name() == now.name() || read.metadata().uuid() == now.metadata().uuid();
            *of == place && same && read.metadata_location() != now.metadata_location()
        });
        if moved {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "table \"{}.{}\": it changed while its replacement was being made; run the \
                     statement again",
                    catalog.name(),
                    now.name()
                ),
            ));
        }
        Ok(())
    }

    /// Notes that the statement reads `table` at `snapshot_id`.
    pub(crate) fn note_read(&self, catalog: &Catalog, table: &Table, snapshot_id: Option<i64>) {
        let pinned = PinnedRelation {
            table_uuid: table.metadata().uuid(),
            name: format!("{}.{}", catalog.name(), table.name()),
            snapshot_id,
        };
        let mut receipt = self.seen.receipt.lock().unwrap_or_else(PoisonError::into_inner);
        if !receipt.contains(&pinned) {
            receipt.push(pinned);
        }
    }

    /// What the statement has read so far.
    pub(crate) fn receipt(&self) -> Vec<PinnedRelation> {
        self.seen.receipt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the statement's names have stood for so far.
    pub(crate) fn pins(&self) -> Pins {
        self.seen.pins.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads a table or view: as it was when the statement was planned before, else as it is now.
    async fn load_pinned(&self, name: &QualifiedName) -> Result<Loaded> {
        let key = name.to_string();
        let earlier = self.earlier.as_ref().and_then(|pins| pins.of(&key));
        let loaded = match earlier {
            Some(pin) if pin.is_table() => {
                let table = name.catalog.load_table_at(&pin.table_name()?, &pin.version).await;
                Loaded::Table(table.map_err(|e| pin.expired(e))?)
            }
            Some(pin) => match load(name).await? {
                Loaded::View(view) if pinned_view(&view) == pin.version => Loaded::View(view),
                _ => return Err(pin.changed()),
            },
            None => load(name).await?,
        };
        let mut pins = self.seen.pins.lock().unwrap_or_else(PoisonError::into_inner);
        match &loaded {
            Loaded::Table(table) => pins.add_table(key, table),
            Loaded::View(view) => pins.add_view(key, view),
        }
        Ok(loaded)
    }
}

async fn load(name: &QualifiedName) -> Result<Loaded> {
    let missing = match name.catalog.load_table(&name.name).await {
        Ok(table) => return Ok(Loaded::Table(table)),
        Err(e) if e.kind() == fjord_catalog::ErrorKind::NotFound => e,
        Err(e) => return Err(e.into()),
    };
    if !name.catalog.metastore().capabilities().views {
        return Err(missing.into());
    }
    match name.catalog.metastore().load_view(&name.name).await {
        Ok(view) => Ok(Loaded::View(Arc::new(view))),
        Err(e) if e.kind() == fjord_catalog::ErrorKind::NotFound => {
            Err(Error::new(ErrorKind::NotFound, format!("table or view \"{name}\" not found"))
                .with_source(missing))
        }
        Err(e) => Err(e.into()),
    }
}

/// The parts of a name as they were written: catalogs match as given first, then regardless of case.
pub(crate) fn name_parts(name: &ObjectName) -> Result<Vec<String>> {
    name.0
        .iter()
        .map(|part| match part.as_ident() {
            Some(ident) => Ok(ident.value.clone()),
            None => Err(Error::unsupported(format!("name \"{name}\" contains a function call"))),
        })
        .collect()
}
