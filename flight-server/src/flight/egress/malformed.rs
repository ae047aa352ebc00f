//! What is wrong with a message that a client sent.

use std::fmt;

use tonic::Status;

/// A message that is not Arrow IPC as Fjord accepts it.
#[derive(Debug)]
pub(super) struct Malformed(String);

/// What checks and decoding give.
pub(super) type Checked<T> = Result<T, Malformed>;

impl Malformed {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed Arrow data: {}", self.0)
    }
}

impl From<Malformed> for Status {
    fn from(malformed: Malformed) -> Self {
        Self::invalid_argument(malformed.to_string())
    }
}

/// Fails with `what` unless it is so.
pub(super) fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Checked<()> {
    if is_so { Ok(()) } else { Err(Malformed(what())) }
}
