//! Foreign systems as relations: files today, databases next. Knows nothing of catalogs, the
//! engine or protocols.

pub mod error;
pub mod relation;
pub mod connector;
pub mod files;
pub mod postgres;

use std::sync::Arc;

pub use error::{Error, ErrorKind};

/// Every file relation that is built in.
pub fn file_relations() -> Vec<Arc<dyn relation::FileRelation>> {
    vec![Arc::new(files::ReadParquet), Arc::new(files::ReadCsv), Arc::new(files::ReadJson)]
}
