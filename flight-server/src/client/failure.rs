//! What goes wrong between a client and a server, in words that its user can act on.

use std::error::Error;
use std::io;

use arrow_flight::error::FlightError;
use tonic::{Code, Status};

use super::address::Address;

/// Where a server says which query an answer belongs to.
pub(crate) const QUERY_ID_KEY: &str = "fjord-query-id";

/// What to do about a login that is missing or has ended.
pub(super) const HOW_TO_LOG_IN: &str = "log in with --user NAME (the password is asked for, or \
    comes from FJORD_PASSWORD or --password-file) or with FJORD_TOKEN";

/// Where in a conversation something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// There is no connection, or it broke.
    Connection,
    /// The server wants to know who it is talking with, or does not believe it.
    Login,
    /// The server answered with an error.
    Refused,
    /// The server answered with something that makes no sense.
    Protocol,
}

/// A failure of a call.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    message: String,
    query_id: Option<String>,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), query_id: None }
    }

    /// An answer that makes no sense.
    pub(super) fn protocol(address: &Address, problem: impl std::fmt::Display) -> Self {
        let text = format!("{address} answered with something that is not understood: {problem}");
        Self::new(FailureKind::Protocol, text)
    }

    /// A call that ended with a status.
    pub(super) fn of_status(address: &Address, status: &Status) -> Self {
        let query_id = status.metadata().get(QUERY_ID_KEY);
        let query_id = query_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        if let Some(cause) = broken(status) {
            let text = format!("the connection to {address} broke: {cause}");
            return Self { kind: FailureKind::Connection, message: text, query_id };
        }
        let (kind, message) = match status.code() {
            Code::Unauthenticated => (FailureKind::Login, login_text(address, status.message())),
            code if status.message().is_empty() => {
                (FailureKind::Refused, code.description().to_lowercase())
            }
            _ => (FailureKind::Refused, status.message().to_owned()),
        };
        Self { kind, message, query_id }
    }

    /// A result that cannot be read to its end.
    pub(super) fn of_stream(address: &Address, error: &FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self::of_status(address, status),
            other => Self::protocol(address, other),
        }
    }

    /// The same, of the query that the server had named before.
    #[must_use]
    pub(super) fn of_query(mut self, id: Option<&str>) -> Self {
        self.query_id = self.query_id.or_else(|| id.map(str::to_owned));
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.query_id {
            Some(id) => write!(f, " (query {id})"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}

fn login_text(address: &Address, said: &str) -> String {
    let said = if said.is_empty() { "no reason was given" } else { said };
    format!("{address} does not accept the login: {said}; {HOW_TO_LOG_IN}")
}

/// What broke, where the status was made on this side because no answer came.
fn broken(status: &Status) -> Option<String> {
    // tonic's own words: a result that ends without a status is not a complete one.
    const NO_STATUS: &str = "missing grpc-status";
    const NOT_READY: &str = "Service was not ready";
    const CUT_SHORT: &str = "Unexpected EOF decoding stream";
    if let Some(source) = status.source() {
        return Some(root_text(source));
    }
    let message = status.message();
    if message.contains(NO_STATUS) || message.starts_with(CUT_SHORT) {
        return Some("the answer stopped before its end".to_owned());
    }
    let is_local = message.starts_with(NOT_READY) || message.starts_with("h2 protocol error");
    is_local.then(|| message.to_owned())
}

/// The last cause that says something.
pub(super) fn root_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let shown = inner.to_string();
        if !shown.is_empty() {
            text = shown;
        }
        cause = inner.source();
    }
    text
}

/// The cause of type `T`, also where an I/O error carries it.
pub(super) fn find_cause<'a, T: Error + 'static>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<T>() {
            return Some(found);
        }
        // What an I/O error was made of is not its source, but what it shows.
        let carried = inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = carried.and_then(|c| c.downcast_ref::<T>()) {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(status: &Status) -> String {
        let address = Address::parse("grpc://h:1").unwrap();
        Failure::of_status(&address, status).to_string()
    }

    #[test]
    fn a_statement_that_failed_says_what_and_which() {
        let mut status = Status::not_found("table \"iceberg.s.t\" does not exist");
        status.metadata_mut().insert(QUERY_ID_KEY, "42".parse().unwrap());
        assert_eq!(shown(&status), "table \"iceberg.s.t\" does not exist (query 42)");
        assert_eq!(
            shown(&Status::new(Code::Aborted, "")),
            Code::Aborted.description().to_lowercase()
        );
    }

    #[test]
    fn no_login_says_how_to_log_in() {
        let text = shown(&Status::unauthenticated("token expired"));
        assert!(text.contains("grpc://h:1 does not accept the login: token expired"), "{text}");
        assert!(text.contains("--user") && text.contains("FJORD_TOKEN"), "{text}");
    }

    #[test]
    fn a_connection_that_broke_is_told_from_an_answer() {
        let io = io::Error::new(io::ErrorKind::ConnectionReset, "reset by peer");
        let text = shown(&Status::from_error(Box::new(io)));
        assert_eq!(text, "the connection to grpc://h:1 broke: reset by peer");
    }
}
