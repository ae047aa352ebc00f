//! Iceberg metadata, snapshots, manifests and commits; the catalogs that hold their pointers; the
//! object stores that hold their bytes. Knows nothing of DataFusion, SQL or protocols.
//!
//! Modules are listed bottom-up: each uses only those above it.

pub mod error;
pub mod statistics;
pub mod failpoint;
pub mod name;
pub mod secret;
mod address;
mod depth;
mod avro;
pub mod transform;
pub mod spec;
pub mod storage;
pub mod predicate;
pub mod table;
pub mod metadata;
pub mod manifest;
mod partition;
pub mod deletes;
pub mod plan_files;
pub mod evolve;
pub mod references;
pub mod change;
pub mod create;
pub mod metastore;
mod snapshot;
mod conflict;
pub mod table_statistics;
pub mod commit;
mod purge;
pub mod embedded;
pub mod rest;
pub mod faults;
pub mod suite;
pub mod catalog;

#[cfg(test)]
mod commit_tests;

pub use error::{Error, ErrorKind, Result};
