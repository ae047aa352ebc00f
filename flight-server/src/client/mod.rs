//! A client of a Fjord server, for `fjord sql --url`: one session over Flight SQL.
//!
//! ```text
//! arguments ─ channel ─ session ─ statement: what it came to ─ rows
//!               └ probe: why not     └ names (completion)
//! ```

mod address;
mod credentials;
mod arguments;
mod failure;
mod probe;
mod channel;
mod cookies;
mod messages;
mod outcome;
mod received;
mod session;
mod statement;
mod names;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub(crate) use arguments::{RemoteArgs, RemoteOptions};
pub(crate) use received::Received;
pub(crate) use session::RemoteSession;
pub(crate) use statement::Reply;
