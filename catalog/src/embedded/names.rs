//! Finding stored names: as given first, regardless of case second, ambiguity is an error.

use std::collections::BTreeSet;

use crate::embedded::Embedded;
use crate::embedded::database::{Connection, Statement};
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::EntryKind;
use crate::name::{Namespace, TableName};

/// Candidates that an ambiguity or "not empty" message names at most.
const SHOWN_MAX: usize = 5;

/// A stored name in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) kind: EntryKind,
    /// A view that another engine keeps in PyIceberg's table; we know its name only.
    pub(super) foreign: bool,
}

/// Names that differ by case alone have the same fold.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// `table "a.b": not found`.
pub(super) fn not_found(kind: EntryKind, name: &TableName) -> Error {
    Error::new(ErrorKind::NotFound, format!("{} {:?}: not found", word(kind), name.to_string()))
}

/// The kind in messages.
pub(super) fn word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Table => "table",
        EntryKind::View => "view",
    }
}

/// The first few of many.
pub(super) fn shown(names: impl IntoIterator<Item = String>) -> String {
    let mut names: Vec<String> =
        names.into_iter().take(SHOWN_MAX + 1).map(|n| format!("{n:?}")).collect();
    if names.len() > SHOWN_MAX {
        names.truncate(SHOWN_MAX);
        names.push("…".to_owned());
    }
    names.join(", ")
}

impl Embedded {
    /// Every namespace that has a property, a table, a view or a child, as PyIceberg sees it.
    pub(super) async fn stored_namespaces(
        &self,
        connection: &mut Connection,
    ) -> Result<BTreeSet<Namespace>> {
        let statement = Statement::new(
            "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = $1
             UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = $1
             UNION SELECT view_namespace FROM fjord_views WHERE catalog_name = $1",
        );
        let dotted = connection.texts::<1>(statement.text(&*self.catalog)).await?;
        let mut namespaces = BTreeSet::new();
        for [name] in dotted {
            let Ok(namespace) = Namespace::parse(&name) else {
                tracing::warn!(namespace = name, "schema name cannot be used here; left out");
                continue;
            };
            for depth in 1..namespace.levels().len() {
                namespaces.insert(Namespace::new(namespace.levels().iter().take(depth).cloned())?);
            }
            namespaces.insert(namespace);
        }
        Ok(namespaces)
    }

    /// The stored spelling of a namespace, if there is one.
    pub(super) async fn find_namespace(
        &self,
        connection: &mut Connection,
        namespace: &Namespace,
    ) -> Result<Option<Namespace>> {
        if self.has_namespace(connection, namespace).await? {
            return Ok(Some(namespace.clone()));
        }
        let wanted = fold(&namespace.to_string());
        let mut alike = self.stored_namespaces(connection).await?;
        alike.retain(|stored| fold(&stored.to_string()) == wanted);
        if alike.len() > 1 {
            return Err(ambiguous(
                "schema",
                &namespace.to_string(),
                alike.iter().map(ToString::to_string),
            ));
        }
        Ok(alike.pop_first())
    }

    /// Like [`Embedded::find_namespace`], but absence is an error.
    pub(super) async fn require_namespace(
        &self,
        connection: &mut Connection,
        namespace: &Namespace,
    ) -> Result<Namespace> {
        self.find_namespace(connection, namespace).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("schema {:?}: not found", namespace.to_string()),
            )
        })
    }

    async fn has_namespace(
        &self,
        connection: &mut Connection,
        namespace: &Namespace,
    ) -> Result<bool> {
        let name = namespace.to_string();
        // Most namespaces hold something themselves, which an index tells.
        let itself = Statement::new(
            "SELECT 'yes' WHERE
                EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = $1 AND namespace = $2)
                OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2)
                OR EXISTS (SELECT 1 FROM fjord_views WHERE catalog_name = $1 AND view_namespace = $2)",
        );
        if !connection.rows(itself.text(&*self.catalog).text(&name)).await?.is_empty() {
            return Ok(true);
        }
        let children = Statement::new(
            "SELECT 'yes' WHERE
                EXISTS (SELECT 1 FROM iceberg_namespace_properties
                        WHERE catalog_name = $1 AND substr(namespace, 1, length($2)) = $2)
                OR EXISTS (SELECT 1 FROM iceberg_tables
                           WHERE catalog_name = $1 AND substr(table_namespace, 1, length($2)) = $2)
                OR EXISTS (SELECT 1 FROM fjord_views
                           WHERE catalog_name = $1 AND substr(view_namespace, 1, length($2)) = $2)",
        );
        let children = children.text(&*self.catalog).text(format!("{name}."));
        Ok(!connection.rows(children).await?.is_empty())
    }

    /// Tables and views whose name equals `name` regardless of case, in a stored namespace.
    pub(super) async fn alike(
        &self,
        connection: &mut Connection,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Vec<Stored>> {
        // The database folds ASCII only: it discards what cannot match, Unicode is decided here.
        let dialect = self.database.dialect();
        let candidates = |column: &str| {
            let (stored, wanted) = (dialect.ascii_lower(column), dialect.ascii_lower("$3"));
            format!("($4 OR {stored} = {wanted} OR {})", dialect.is_not_ascii(column))
        };
        let statement = Statement::new(format!(
            "SELECT table_name, coalesce(iceberg_type, 'TABLE') FROM iceberg_tables
             WHERE catalog_name = $1 AND table_namespace = $2 AND {}
             UNION ALL
             SELECT view_name, 'fjord' FROM fjord_views
             WHERE catalog_name = $1 AND view_namespace = $2 AND {}",
            candidates("table_name"),
            candidates("view_name"),
        ));
        let statement = statement.text(&*self.catalog).text(namespace.to_string());
        let rows = connection.texts::<2>(statement.text(name).boolean(!name.is_ascii())).await?;
        let wanted = fold(name);
        Ok(rows
            .into_iter()
            .filter(|[stored, _]| fold(stored) == wanted)
            .map(|[name, iceberg_type]| stored(name, &iceberg_type))
            .collect())
    }

    /// The stored spelling of a table or view.
    pub(super) async fn find_entry(
        &self,
        connection: &mut Connection,
        kind: EntryKind,
        name: &TableName,
    ) -> Result<TableName> {
        let namespace = self.require_namespace(connection, &name.namespace).await?;
        let alike = self.alike(connection, &namespace, &name.name).await?;
        let choose = |candidates: Vec<&Stored>| -> Result<Option<TableName>> {
            let of_kind: Vec<_> = candidates.iter().filter(|s| s.kind == kind).collect();
            match of_kind.as_slice() {
                [one] if one.foreign => Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "view {:?} was made by another engine, which alone can read it",
                        name.to_string()
                    ),
                )),
                [one] => {
                    Ok(Some(TableName { namespace: namespace.clone(), name: one.name.clone() }))
                }
                [] if candidates.is_empty() => Ok(None),
                [] => Err(not_found(kind, name)
                    .with_context("found", format!("a {} of that name", word(other(kind))))),
                several => {
                    let names = several.iter().map(|s| format!("{namespace}.{}", s.name));
                    Err(ambiguous(word(kind), &name.to_string(), names))
                }
            }
        };
        let exact = alike.iter().filter(|s| s.name == name.name).collect();
        if let Some(found) = choose(exact)? {
            return Ok(found);
        }
        choose(alike.iter().collect())?.ok_or_else(|| not_found(kind, name))
    }

    /// The name to store for a new entry: the namespace as it is stored, the name as given.
    ///
    /// # Errors
    /// `AlreadyExists` when a table or view has the name in any case, other than `except`.
    pub(super) async fn require_free(
        &self,
        connection: &mut Connection,
        name: &TableName,
        except: Option<&TableName>,
    ) -> Result<TableName> {
        let namespace = self.require_namespace(connection, &name.namespace).await?;
        let target = TableName { namespace, name: name.name.clone() };
        for stored in self.alike(connection, &target.namespace, &name.name).await? {
            let taken = TableName { namespace: target.namespace.clone(), name: stored.name };
            if except != Some(&taken) {
                return Err(taken_by(stored.kind, &taken));
            }
        }
        Ok(target)
    }
}

/// `table "a.b" exists already`.
pub(super) fn taken_by(kind: EntryKind, name: &TableName) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("{} {:?} exists already", word(kind), name.to_string()),
    )
}

pub(super) fn stored(name: String, iceberg_type: &str) -> Stored {
    let (kind, foreign) = match iceberg_type {
        "TABLE" => (EntryKind::Table, false),
        "fjord" => (EntryKind::View, false),
        _ => (EntryKind::View, true),
    };
    Stored { name, kind, foreign }
}

fn other(kind: EntryKind) -> EntryKind {
    match kind {
        EntryKind::Table => EntryKind::View,
        EntryKind::View => EntryKind::Table,
    }
}

fn ambiguous(what: &str, name: &str, candidates: impl IntoIterator<Item = String>) -> Error {
    let candidates = shown(candidates);
    Error::new(
        ErrorKind::InvalidArgument,
        format!(
            "{what} {name:?} is ambiguous: {candidates} differ by case alone; quote the one you mean"
        ),
    )
}
