//! Definitions become catalogs: by the kinds of databases that are known, with secrets from the
//! process's home for them.

use std::sync::Arc;

use fjord_connectors::connector::ConnectorKind;

use super::catalog::{ForeignCatalog, Origin};
use super::{CatalogDefinition, CatalogHome, Databases};
use crate::error::{Error, Result};

/// Kinds that hold tables of ours.
const OWN_KINDS: [&str; 5] = ["embedded", "rest", "nessie", "iceberg", "hive"];

impl Databases {
    /// Where catalogs that statements make are kept.
    ///
    /// # Errors
    /// `Unsupported` where there is no such place.
    pub(crate) fn home(&self) -> Result<&dyn CatalogHome> {
        self.home.as_deref().ok_or_else(|| {
            Error::unsupported(
                "catalogs made by statements have no place to be kept here: describe them in the \
                 configuration",
            )
        })
    }

    /// A kind by the name that CREATE CATALOG gives it.
    ///
    /// # Errors
    /// For one that is not known, naming those that are.
    pub(crate) fn kind(&self, kind: &str) -> Result<&Arc<dyn ConnectorKind>> {
        self.kinds.iter().find(|k| k.name().eq_ignore_ascii_case(kind)).ok_or_else(|| {
            let known: Vec<&str> = self.kinds.iter().map(|k| k.name()).collect();
            if OWN_KINDS.iter().any(|own| own.eq_ignore_ascii_case(kind)) {
                return Error::unsupported(format!(
                    "catalogs of kind {kind} are described in the configuration file, as \
                     [catalog.NAME] type = …; CREATE CATALOG makes those of {}",
                    known.join(", ")
                ));
            }
            let shown: String = kind.chars().take(40).collect();
            Error::invalid(format!(
                "{shown:?} is not a kind of database; there are {}",
                known.join(", ")
            ))
        })
    }

    /// The catalog that a definition describes; nothing is asked of its database.
    ///
    /// # Errors
    /// For options or secrets that it cannot be opened with, naming the catalog.
    pub(crate) fn open(&self, definition: &CatalogDefinition) -> Result<ForeignCatalog> {
        let (kind, home) = (self.kind(&definition.kind)?, self.home()?);
        let connector = definition
            .open(kind.as_ref(), |reference| home.secret(reference))
            .map_err(|e| e.within(&format!("catalog \"{}\"", definition.name)))?;
        Ok(ForeignCatalog::new(&definition.name, Origin::Statement(definition.clone()), connector))
    }

    /// What is kept, but for the names that `is_taken` knows. One that cannot be opened is there all
    /// the same, and says why to whoever uses it.
    ///
    /// # Errors
    /// Where the definitions cannot be read.
    pub(crate) fn kept(&self, is_taken: impl Fn(&str) -> bool) -> Result<Vec<ForeignCatalog>> {
        let Some(home) = self.home.as_deref() else { return Ok(Vec::new()) };
        let mut definitions = home.definitions()?;
        definitions.retain(|definition| !is_taken(&definition.name));
        Ok(definitions.into_iter().map(|definition| self.open_kept(definition)).collect())
    }

    /// The catalog of a definition that was kept; a broken one where it cannot be opened any more.
    pub(crate) fn open_kept(&self, definition: CatalogDefinition) -> ForeignCatalog {
        let checked = definition.check().and_then(|()| self.open(&definition));
        checked.unwrap_or_else(|e| {
            let name = &definition.name;
            tracing::warn!(catalog = name, error = %e, "a catalog could not be opened");
            ForeignCatalog::broken(definition, e.to_string())
        })
    }
}
