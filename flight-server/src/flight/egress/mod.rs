//! Rows on their way out and in: profiles, casts, splitting, encoding; and decoding what clients
//! send. Knows nothing of statements, sessions or who asks.
//!
//! Modules are listed bottom-up.

mod profile;
mod types;
mod text;
mod views;
mod convert;
pub(crate) mod column_metadata;
mod schema;
mod parameters;
mod ipc;
mod weight;
mod pieces;
mod encoder;
mod conduit;
mod outgoing;
mod malformed;
mod verify_schema;
mod verify_rows;
mod decoder;
mod incoming;
#[cfg(test)]
mod tests;

pub(crate) use incoming::{
    INGEST_BYTES_MAX, Incoming, MESSAGE_BYTES_MAX as INCOMING_MESSAGE_BYTES_MAX,
    PARAMETERS_BYTES_MAX,
};
pub(crate) use ipc::{BodyCompression, schema_bytes};
pub(crate) use outgoing::{EncodeOptions, StatusOf, encode};
pub(crate) use parameters::parameter_schema;
pub(crate) use profile::Profile;
pub(crate) use schema::EgressSchema;
