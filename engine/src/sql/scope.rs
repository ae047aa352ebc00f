//! What names of DDL and SHOW mean: the mounted catalogs, and the current catalog and schema.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::metastore::View;
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::table::Table;
use sqlparser::ast::Query;

use crate::access::{AccessObject, AccessPolicy, Privilege};
use crate::error::{Error, ErrorKind, Result};
use crate::services::{not_mounted, not_of_ours};
use crate::sql::ddl::ast::ObjectPath;

/// The schema that every catalog has and none stores.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// A function, as SHOW FUNCTIONS lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionEntry {
    /// Its name.
    pub name: String,
    /// `scalar`, `aggregate`, `window` or `table`.
    pub kind: &'static str,
    /// Whether equal arguments give equal results.
    pub deterministic: bool,
    /// What it does; may be empty.
    pub description: String,
}

/// What DDL and SHOW ask of the planner of queries.
#[async_trait]
pub trait Queries: std::fmt::Debug + Send + Sync {
    /// The columns that a query of the session yields.
    async fn query_schema(&self, query: &Query) -> Result<SchemaRef>;

    /// The columns of a view's query, planned where the view says; `catalog` holds the view. One
    /// that reads itself, be it through others, is an error.
    async fn view_schema(&self, catalog: &str, view: &View) -> Result<SchemaRef>;

    /// Every function that queries may call.
    fn functions(&self) -> Vec<FunctionEntry>;
}

/// Mounted catalogs, and what unqualified names mean.
#[derive(Clone, Debug)]
pub struct SqlScope {
    catalogs: Vec<Catalog>,
    /// Names and kinds of live databases, which are known here to be told apart.
    databases: Vec<(String, String)>,
    catalog: String,
    schema: String,
    queries: Arc<dyn Queries>,
    access: Option<Arc<dyn AccessPolicy>>,
}

/// A table or view with its catalog; the name may still be in the user's spelling.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The catalog.
    pub catalog: Catalog,
    /// The name in it.
    pub name: TableName,
}

impl std::fmt::Display for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.catalog.name(), self.name)
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Found {
    /// A table.
    Table(Table),
    /// A view.
    View(View),
    /// Neither.
    Nothing,
}

impl SqlScope {
    /// A scope over `catalogs` with the session's current catalog and schema (dotted when nested).
    pub fn new(
        catalogs: Vec<Catalog>,
        catalog: impl Into<String>,
        schema: impl Into<String>,
        queries: Arc<dyn Queries>,
    ) -> Self {
        let (catalog, schema, databases) = (catalog.into(), schema.into(), Vec::new());
        Self { catalogs, databases, catalog, schema, queries, access: None }
    }

    /// With live databases beside the catalogs, by name and kind.
    #[must_use]
    pub fn with_databases(mut self, databases: Vec<(String, String)>) -> Self {
        self.databases = databases;
        self
    }

    /// The names of everything that is mounted.
    pub fn mounted(&self) -> Vec<String> {
        let lakes = self.catalogs.iter().map(|catalog| catalog.name().to_owned());
        lakes.chain(self.databases.iter().map(|(name, _)| name.clone())).collect()
    }

    /// As somebody sees it who may do what `access` says.
    #[must_use]
    pub fn with_access(mut self, access: Option<Arc<dyn AccessPolicy>>) -> Self {
        self.access = access;
        self
    }

    /// Whether listings show it.
    pub fn is_visible(&self, catalog: &str, schema: Option<&str>, table: Option<&str>) -> bool {
        is_visible(self.access.as_deref(), catalog, schema, table)
    }

    /// Refuses to change a table or view that the user may not write.
    pub(crate) fn permit_change(&self, path: &ObjectPath) -> Result<()> {
        let Some(access) = &self.access else { return Ok(()) };
        let resolved = self.resolve(path)?;
        let schema = resolved.name.namespace.to_string();
        let catalog = resolved.catalog.name();
        let metastore = resolved.catalog.metastore();
        metastore.rights_to(&resolved.name.name).into_iter().try_for_each(|table| {
            let object = AccessObject { catalog, schema: Some(&schema), table: Some(table) };
            access.check(Privilege::Write, &object)
        })
    }

    /// Every mounted catalog, in the order of mounting.
    pub fn catalogs(&self) -> &[Catalog] {
        &self.catalogs
    }

    /// The current catalog's name.
    pub fn current_catalog(&self) -> &str {
        &self.catalog
    }

    /// The current schema's name.
    pub fn current_schema(&self) -> &str {
        &self.schema
    }

    /// The planner of queries.
    pub fn queries(&self) -> &Arc<dyn Queries> {
        &self.queries
    }

    /// A mounted catalog, regardless of case.
    ///
    /// # Errors
    /// `NotFound`, listing the catalogs there are.
    pub fn catalog(&self, name: &str) -> Result<Catalog> {
        let same = |c: &&Catalog| c.name().eq_ignore_ascii_case(name);
        self.catalogs.iter().find(same).cloned().ok_or_else(|| {
            match self.databases.iter().find(|(of, _)| of.eq_ignore_ascii_case(name)) {
                Some((name, kind)) => not_of_ours(name, kind),
                None => not_mounted(name, &self.mounted()),
            }
        })
    }

    /// Completes the name of a table or view.
    pub fn resolve(&self, path: &ObjectPath) -> Result<Resolved> {
        let (catalog, schema, name) = match path.0.as_slice() {
            [name] => (self.catalog.as_str(), self.schema.as_str(), name),
            [schema, name] => (self.catalog.as_str(), schema.as_str(), name),
            [catalog, schema, name] => (catalog.as_str(), schema.as_str(), name),
            parts => {
                return Err(Error::invalid(format!(
                    "name \"{path}\" has {} parts; write catalog.schema.table, and a nested schema \
                     as one quoted name: catalog.\"a.b\".table",
                    parts.len()
                )));
            }
        };
        let catalog = self.catalog(catalog)?;
        Ok(Resolved { catalog, name: TableName::new(Namespace::parse(schema)?, name)? })
    }

    /// Completes the name of a table that is to be changed: the information schema holds none.
    pub fn resolve_for_change(&self, path: &ObjectPath) -> Result<Resolved> {
        let resolved = self.resolve(path)?;
        refuse_information_schema(&resolved.name.namespace)?;
        Ok(resolved)
    }

    /// Completes the name of a table or view to be made.
    ///
    /// # Errors
    /// As [`Self::resolve_for_change`]; `Invalid` for a name that could never be read.
    pub async fn resolve_new(&self, path: &ObjectPath) -> Result<Resolved> {
        let resolved = self.resolve_for_change(path)?;
        refuse_versioned_name(&resolved.catalog, &resolved.name).await?;
        Ok(resolved)
    }

    /// Completes the name of a schema; `None` means the current one.
    pub fn resolve_schema(&self, path: Option<&ObjectPath>) -> Result<(Catalog, Namespace)> {
        let (catalog, schema) = match path.map(|path| path.0.as_slice()) {
            None => (self.catalog.as_str(), self.schema.as_str()),
            Some([schema]) => (self.catalog.as_str(), schema.as_str()),
            Some([catalog, schema]) => (catalog.as_str(), schema.as_str()),
            Some(parts) => {
                return Err(Error::invalid(format!(
                    "schema name \"{}\" has {} parts; write catalog.schema, and a nested schema as \
                     one quoted name: catalog.\"a.b\"",
                    parts.join("."),
                    parts.len()
                )));
            }
        };
        Ok((self.catalog(catalog)?, Namespace::parse(schema)?))
    }
}

/// Whether listings for somebody with `access` show it; `None` sees everything.
pub(crate) fn is_visible(
    access: Option<&dyn AccessPolicy>,
    catalog: &str,
    schema: Option<&str>,
    table: Option<&str>,
) -> bool {
    access.is_none_or(|access| access.is_visible(&AccessObject { catalog, schema, table }))
}

/// Refuses to make a table or view whose name reads as that of a metadata table, or of a branch or tag
/// of another table. Where branches and tags are the catalog's, the name says at which of them it is.
pub(crate) async fn refuse_versioned_name(catalog: &Catalog, name: &TableName) -> Result<()> {
    let refused = |what: &str| {
        let name = &name.name;
        Err(Error::invalid(format!("\"{name}\" cannot be the name of a table or view: {what}")))
    };
    if name.name.contains('$') {
        return refused("what follows $ names a metadata table, as in \"t$snapshots\"");
    }
    if at_reference(&name.name).is_some() {
        catalog.metastore().connect().await?;
        if catalog.metastore().has_table_references() {
            return refused(
                "what follows @ names a branch or tag of a table, as in \"t@main\"; ALTER TABLE t \
                 CREATE BRANCH makes one",
            );
        }
    }
    Ok(())
}

/// The table, and the branch or tag, that a name with an `@` reads as.
pub(crate) fn at_reference(name: &str) -> Option<(&str, &str)> {
    name.split_once('@').filter(|(table, reference)| !table.is_empty() && !reference.is_empty())
}

/// Refuses changes of the information schema.
pub(crate) fn refuse_information_schema(namespace: &Namespace) -> Result<()> {
    if namespace.levels().first().is_some_and(|l| l.eq_ignore_ascii_case(INFORMATION_SCHEMA)) {
        return Err(Error::invalid(format!(
            "schema \"{INFORMATION_SCHEMA}\" is read-only: it shows what the catalog holds"
        )));
    }
    Ok(())
}

/// Looks a name up as a table, then as a view.
pub async fn find(resolved: &Resolved) -> Result<Found> {
    use fjord_catalog::ErrorKind::NotFound;
    match resolved.catalog.load_table(&resolved.name).await {
        Ok(table) => return Ok(Found::Table(table)),
        Err(e) if e.kind() != NotFound => return Err(e.into()),
        Err(_) => {}
    }
    let metastore = resolved.catalog.metastore();
    if !metastore.capabilities().views {
        return Ok(Found::Nothing);
    }
    match metastore.load_view(&resolved.name).await {
        Ok(view) => Ok(Found::View(view)),
        Err(e) if e.kind() == NotFound => Ok(Found::Nothing),
        Err(e) => Err(e.into()),
    }
}

/// The error for a name that stands for nothing of the wanted kind.
pub(crate) fn not_found(kind: &str, resolved: &Resolved) -> Error {
    let hint = match at_reference(&resolved.name.name) {
        None => String::new(),
        Some((table, reference)) if resolved.catalog.metastore().has_table_references() => format!(
            "; {reference:?} reads as a branch or tag of table {table}, which queries, INSERT, DELETE \
             and TRUNCATE take: all else is of the table, by its own name"
        ),
        Some((table, reference)) => {
            format!(": there is no branch or tag {reference:?}, or no {kind} {table:?} at it")
        }
    };
    Error::new(ErrorKind::NotFound, format!("{kind} \"{resolved}\" not found{hint}"))
}

/// The error for a name that stands for the other kind.
pub(crate) fn wrong_kind(resolved: &Resolved, is: &str, instead: &str) -> Error {
    Error::invalid(format!("\"{resolved}\" is a {is}: use {instead}"))
}
