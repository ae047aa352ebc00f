//! What the names of a statement stood for when it was planned: planned again, by this or another
//! process, it reads the same.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use fjord_catalog::metastore::View;
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::table::Table;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The tables and views of a statement, each at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins {
    by_name: BTreeMap<String, PinnedVersion>,
}

/// One table at one metadata file, or one view at one text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedVersion {
    /// `catalog.schema.table`, for messages.
    name: String,
    /// Levels of the schema and the table's name, in stored spelling; empty for a view.
    path: Vec<String>,
    /// A table's metadata location, or the fingerprint of a view.
    pub(crate) version: String,
}

impl Pins {
    pub(crate) fn of(&self, name: &str) -> Option<&PinnedVersion> {
        self.by_name.get(name)
    }

    pub(crate) fn add_table(&mut self, name: String, table: &Table) {
        // A table without a location is staged: nobody can have planned it before.
        let Some(location) = table.metadata_location() else { return };
        let mut path = table.name().namespace.levels().to_vec();
        path.push(table.name().name.clone());
        let pin = PinnedVersion { name: name.clone(), path, version: location.to_owned() };
        self.by_name.insert(name, pin);
    }

    pub(crate) fn add_view(&mut self, name: String, view: &View) {
        let version = pinned_view(view);
        let pin = PinnedVersion { name: name.clone(), path: Vec::new(), version };
        self.by_name.insert(name, pin);
    }
}

impl PinnedVersion {
    pub(crate) fn is_table(&self) -> bool {
        !self.path.is_empty()
    }

    pub(crate) fn table_name(&self) -> Result<TableName> {
        let (name, levels) = self.path.split_last().ok_or_else(|| self.changed())?;
        Ok(TableName::new(Namespace::new(levels.to_vec())?, name)?)
    }

    pub(crate) fn changed(&self) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!("view \"{}\" changed since the query was planned; run it again", self.name),
        )
    }

    pub(crate) fn expired(&self, e: fjord_catalog::Error) -> Error {
        if e.kind() != fjord_catalog::ErrorKind::NotFound {
            return e.into();
        }
        let problem = format!(
            "table \"{}\": the version that the query was planned on was cleared away; run it again",
            self.name
        );
        Error::new(ErrorKind::NotFound, problem).with_source(e)
    }
}

/// A fingerprint of what a view says.
pub(crate) fn pinned_view(view: &View) -> String {
    let mut hasher = DefaultHasher::new();
    (&view.sql, &view.columns, &view.default_catalog).hash(&mut hasher);
    view.default_namespace.levels().hash(&mut hasher);
    format!("view-{:016x}", hasher.finish())
}
