//! Live databases as catalogs: what they are called, what defines them, where definitions and
//! secrets come from, and the questions asked of a database, each within a limit of time.

pub mod reference;
pub mod definition;
pub mod home;
pub(crate) mod name;
pub(crate) mod catalog;
mod open;

use std::fmt;
use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use fjord_connectors::connector::ConnectorKind;

pub use definition::CatalogDefinition;
pub use home::CatalogHome;
pub use reference::SecretReference;

/// What the process lends to an engine that mounts live databases. The default mounts none.
#[derive(Clone, Default)]
pub struct Databases {
    /// The kinds that CREATE CATALOG may name.
    pub kinds: Vec<Arc<dyn ConnectorKind>>,
    /// Where CREATE CATALOG keeps what it made; `None`: catalogs come from the configuration alone.
    pub home: Option<Arc<dyn CatalogHome>>,
    /// What databases do to logical plans, after all other rules.
    pub optimizer_rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    /// What databases do to physical plans, after DataFusion's own rules.
    pub physical_optimizer_rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
}

impl fmt::Debug for Databases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Databases")
            .field("kinds", &self.kinds)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}
