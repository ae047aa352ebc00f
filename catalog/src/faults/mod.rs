//! Metastore and store that fail on purpose, and a writer of what Fjord does not write, for tests of whatever must survive them.
//!
//! Nothing here is used outside tests; it is public so that other crates' tests can share it.

mod deletes;
mod metastore;
mod store;

pub use deletes::commit_delete_files;
pub use metastore::{CommitFault, FaultMetastore, Rival};
pub use store::{FaultStore, Operation, StoreEffect, StoreFault};
