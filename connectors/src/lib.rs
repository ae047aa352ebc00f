//! Foreign systems as relations: files today, databases next. Knows nothing of catalogs, the
//! engine or protocols.

pub mod error;
pub mod relation;
pub mod connector;
pub mod files;
pub mod postgres;

use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;
use datafusion::physical_optimizer::PhysicalOptimizerRule;

pub use error::{Error, ErrorKind};

/// Every file relation that is built in.
pub fn file_relations() -> Vec<Arc<dyn relation::FileRelation>> {
    vec![Arc::new(files::ReadParquet), Arc::new(files::ReadCsv), Arc::new(files::ReadJson)]
}

/// Every kind of database that is built in.
pub fn connector_kinds() -> Vec<Arc<dyn connector::ConnectorKind>> {
    vec![Arc::new(postgres::Postgres)]
}

/// What connectors do to logical plans, after DataFusion's own rules.
pub fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    Vec::new()
}

/// What connectors do to physical plans, after DataFusion's own rules.
pub fn physical_optimizer_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    Vec::new()
}
