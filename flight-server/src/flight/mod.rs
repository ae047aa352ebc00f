//! Arrow Flight SQL: the service, and a file for each family of its calls.
//!
//! ```text
//! service ─ caller (identity, session, headers)
//!    ├ info ─ statement (plan and pin, or run once) ─ ticket
//!    ├ rows ─ plan of the ticket ─ egress
//!    ├ puts ─ updates, parameters, bulk loads
//!    └ actions ─ prepared statements, sessions, cancelling
//! ```
//!
//! Modules are listed bottom-up.

mod seal;
pub(crate) mod egress;
mod metadata;
mod sql_info;
mod status;
mod session_proto;
mod takes;
mod ticket;
mod sessions;
mod gauge;
mod polls;
mod parameters;
mod core;
mod caller;
mod ran;
mod statement;
mod prepared;
mod puts;
mod info;
mod poll_info;
mod rows;
mod session_options;
mod actions;
mod service;
#[cfg(test)]
mod test_lake;

pub(crate) use self::core::Core;
pub(crate) use egress::INCOMING_MESSAGE_BYTES_MAX;
pub(crate) use seal::Sealer;
pub(crate) use service::Service;
