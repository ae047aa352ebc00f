//! Connections: accepted, plain or over TLS, and who is at the other end.
//!
//! ```text
//! accept ─ first byte or TLS handshake (bounded, timed) ─ Connection ─ tonic
//! ```
//!
//! Modules are listed bottom-up.

mod subject;
mod peer;
mod material;
mod reloading;
mod connection;
mod incoming;
#[cfg(test)]
mod tests;

pub(crate) use connection::OpenConnections;
pub(crate) use incoming::incoming;
pub(crate) use peer::Peer;
pub(crate) use reloading::Tls;
