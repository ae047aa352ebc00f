//! Messages of Flight SQL's sessions that the Arrow crate lacks, as far as a client reads them.

use std::collections::HashMap;

/// The action that asks for a session's options.
pub(super) const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
/// The action that ends a session.
pub(super) const CLOSE_SESSION: &str = "CloseSession";

/// One option. On the wire this is one of several types; the others are not read here.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SessionOptionValue {
    #[prost(string, optional, tag = "1")]
    pub(super) string_value: Option<String>,
}

/// The answer to [`GET_SESSION_OPTIONS`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    pub(super) session_options: HashMap<String, SessionOptionValue>,
}
