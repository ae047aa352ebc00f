//! Foreign systems as relations: files today, databases next. Knows nothing of catalogs, the
//! engine or protocols.

pub mod relation;

use std::sync::Arc;

/// Every file relation that is built in.
pub fn file_relations() -> Vec<Arc<dyn relation::FileRelation>> {
    Vec::new()
}
