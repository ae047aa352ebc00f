//! Foreign systems as relations: files and live databases. Knows nothing of catalogs, the
//! engine or protocols.

pub mod error;
pub mod parquet_text;
pub mod relation;
pub mod connector;
pub mod files;
pub mod postgres;
pub mod codec;

use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;
use datafusion::physical_optimizer::PhysicalOptimizerRule;

pub use error::{Error, ErrorKind};

/// Every file relation that is built in.
pub fn file_relations() -> Vec<Arc<dyn relation::FileRelation>> {
    vec![Arc::new(files::ReadParquet), Arc::new(files::ReadCsv), Arc::new(files::ReadJson)]
}

/// The kinds of databases that are built in.
pub fn connector_kinds() -> Vec<Arc<dyn connector::ConnectorKind>> {
    vec![Arc::new(postgres::Postgres::default())]
}

/// The rules that move work into databases; they run after DataFusion's own.
pub fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![Arc::new(postgres::Federate)]
}

/// Rules on physical plans; they run after DataFusion's own.
pub fn physical_optimizer_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    Vec::new()
}
