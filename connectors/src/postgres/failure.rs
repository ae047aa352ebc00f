//! What PostgreSQL's errors become.

use tokio_postgres::error::SqlState;

use crate::error::{Error, ErrorKind};

/// The failure of `what` (a phrase without a final stop), whose fault it is and all that the
/// database said of it.
pub(super) fn failed(what: &str, e: tokio_postgres::Error) -> Error {
    let Some(said) = e.as_db_error() else {
        let message = match std::error::Error::source(&e) {
            Some(cause) => format!("{what}: {e}: {cause}"),
            None => format!("{what}: {e}"),
        };
        return Error::new(ErrorKind::Unavailable, message);
    };
    let mut message = format!("{what}: {} (SQLSTATE {})", said.message(), said.code().code());
    for (title, more) in [("detail", said.detail()), ("hint", said.hint())] {
        if let Some(more) = more {
            message.push_str(&format!("; {title}: {more}"));
        }
    }
    Error::new(kind(said.code()), message)
}

/// The connection is gone, or was ended by somebody: what was asked on it has not happened.
pub(super) fn is_gone(e: &tokio_postgres::Error) -> bool {
    match e.code() {
        None => true,
        Some(code) => code.code().starts_with("57P") || code.code().starts_with("08"),
    }
}

fn kind(state: &SqlState) -> ErrorKind {
    if *state == SqlState::INSUFFICIENT_PRIVILEGE {
        return ErrorKind::PermissionDenied;
    }
    if [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME].contains(state) {
        return ErrorKind::NotFound;
    }
    if [SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT].contains(state) {
        return ErrorKind::AlreadyExists;
    }
    if *state == SqlState::QUERY_CANCELED {
        return ErrorKind::LimitExceeded;
    }
    match state.code().get(..2) {
        // Connections, resources, intervention of an operator, authorization, system.
        Some("08" | "53" | "57" | "28" | "58" | "XX") => ErrorKind::Unavailable,
        // Values, constraints.
        Some("22" | "23") => ErrorKind::Value,
        _ => ErrorKind::Invalid,
    }
}
