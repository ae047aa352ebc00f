//! One statement under way: the session as it was at the start, and every table pinned once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::ScalarValue;
use datafusion::execution::context::SessionState;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::metastore::View;
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::table::Table;
use sqlparser::ast::ObjectName;
use tokio::sync::OnceCell;

use super::files::{FilePolicy, SessionFiles};
use super::variables::{SharedVariables, Variables};
use crate::error::{Error, ErrorKind, Result};
use crate::query::PinnedRelation;
use crate::services::Services;

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
        write!(f, "{}.{}", self.catalog.name(), self.name)
    }
}

/// What a name turned out to be.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    Table(Table),
    View(Arc<View>),
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
    /// Values of `$1`, `$2` …, when EXECUTE gave some.
    pub(crate) parameters: Vec<ScalarValue>,
    pins: Pins,
}

type Pin = Arc<OnceCell<Loaded>>;

/// Tables and views that the statement has seen; each is loaded once.
#[derive(Debug, Default)]
struct Pins {
    loaded: Mutex<HashMap<(String, TableName), Pin>>,
    tables: Mutex<HashMap<(String, TableName), Table>>,
    receipt: Mutex<Vec<PinnedRelation>>,
}

impl StatementContext {
    pub(crate) fn new(
        services: Arc<Services>,
        shared: Arc<SharedVariables>,
        policy: Arc<dyn FilePolicy>,
    ) -> Result<Self> {
        let variables = shared.snapshot();
        let state = Arc::new(services.session_state(variables.config.clone())?);
        let files = SessionFiles { storage: services.storage.clone(), policy };
        let pins = Pins::default();
        Ok(Self { services, shared, variables, state, files, parameters: Vec::new(), pins })
    }

    /// The same session, with a pin table of its own: a statement inside a statement.
    pub(crate) fn with_parameters(&self, parameters: Vec<ScalarValue>) -> Self {
        Self {
            services: Arc::clone(&self.services),
            shared: Arc::clone(&self.shared),
            variables: self.variables.clone(),
            state: Arc::clone(&self.state),
            files: self.files.clone(),
            parameters,
            pins: Pins::default(),
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
        Ok(QualifiedName { catalog: self.services.catalog(catalog)?, name })
    }

    /// Completes the name of a schema with the current catalog.
    pub(crate) fn qualify_schema(&self, parts: &[String]) -> Result<(Catalog, Namespace)> {
        match parts {
            [schema] => {
                let catalog = self.services.catalog(&self.variables.catalog)?;
                Ok((catalog, Namespace::parse(schema)?))
            }
            [catalog, schema] => Ok((self.services.catalog(catalog)?, Namespace::parse(schema)?)),
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
        let key = (name.catalog.name().to_owned(), name.name.clone());
        let pin = {
            let mut pins = self.pins.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(pins.entry(key).or_default())
        };
        let loaded = pin.get_or_try_init(|| load(name)).await?;
        let Loaded::Table(table) = loaded else { return Ok(loaded.clone()) };
        // Two spellings may lead to one table: what was loaded first is what the statement sees.
        let key = (name.catalog.name().to_owned(), table.name().clone());
        let mut tables = self.pins.tables.lock().unwrap_or_else(PoisonError::into_inner);
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
        let tables = self.pins.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = tables.iter().any(|((of, _), read)| {
            let same = read.name() == now.name() || read.metadata().uuid() == now.metadata().uuid();
            of == catalog.name() && same && read.metadata_location() != now.metadata_location()
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
        let mut receipt = self.pins.receipt.lock().unwrap_or_else(PoisonError::into_inner);
        if !receipt.contains(&pinned) {
            receipt.push(pinned);
        }
    }

    /// What the statement has read so far.
    pub(crate) fn receipt(&self) -> Vec<PinnedRelation> {
        self.pins.receipt.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
