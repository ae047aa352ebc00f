//! S3 and what speaks its protocol: options, credentials, and the client with bounded retries.
//!
//! Modules, bottom-up: each uses only those above it.

mod options;
mod budget;
mod client;

pub use self::client::{check_endpoint, store};
pub use self::options::{Instance, S3Credentials, S3Options};
