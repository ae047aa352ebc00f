//! The port for what catalogs made by statements need from the process: a place that outlives it,
//! and secrets by reference.

use std::fmt;

use super::definition::CatalogDefinition;
use super::reference::SecretReference;
use crate::error::Result;

/// Keeps the definitions of catalogs and reads secrets. Several processes may share one.
pub trait CatalogHome: fmt::Debug + Send + Sync {
    /// The value behind a reference that [`SecretReference::check`] has passed.
    ///
    /// # Errors
    /// `Invalid` where it is missing, empty, too large, or not what a secret's file is like; the
    /// message never holds any of the value.
    fn secret(&self, reference: &SecretReference) -> Result<String>;

    /// Every definition, sorted by name.
    ///
    /// # Errors
    /// `Corrupt` or `Unavailable`, naming the file.
    fn definitions(&self) -> Result<Vec<CatalogDefinition>>;

    /// Keeps a new definition.
    ///
    /// # Errors
    /// `AlreadyExists` where another process was faster.
    fn add(&self, definition: &CatalogDefinition) -> Result<()>;

    /// Puts a definition in the place of the one of that name.
    ///
    /// # Errors
    /// `NotFound` where another process has dropped it.
    fn replace(&self, definition: &CatalogDefinition) -> Result<()>;

    /// Forgets a definition; one that is not there is no error.
    ///
    /// # Errors
    /// As [`CatalogHome::definitions`].
    fn remove(&self, name: &str) -> Result<()>;
}
