//! Metastore and store that fail on purpose, for tests of whatever must survive them.
//!
//! Nothing here is used outside tests; it is public so that other crates' tests can share it.

mod metastore;
mod store;

pub use metastore::{CommitFault, FaultMetastore, Rival};
pub use store::{FaultStore, Operation, StoreEffect, StoreFault};
