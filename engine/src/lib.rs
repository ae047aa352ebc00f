//! Everything between SQL text and record batches, on one node or many. Knows no protocol and names
//! no concrete connector.
//!
//! Modules are listed bottom-up.

pub mod error;
pub mod access;
pub mod query;
mod pool;
pub mod queries;
pub(crate) mod runtime;
pub mod iceberg;
pub(crate) mod unplanned;
pub(crate) mod numbers;
pub(crate) mod membership;
pub(crate) mod lateral;
pub(crate) mod hand;
mod halting;
pub(crate) mod cooperate;
mod unambiguous;
mod session_settings;
pub mod cluster;
pub mod foreign;
pub(crate) mod services;
pub mod sql;
pub mod session;
pub mod listing;
pub mod engine;

pub use error::{Error, ErrorKind, Result};
