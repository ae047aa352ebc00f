//! What PostgreSQL's errors become.

use tokio_postgres::error::SqlState;

use crate::error::{Error, ErrorKind};

/// What to do where a statement that reads lost its connection. Whether one that writes may be run
/// again, its outcome says.
pub(super) const AGAIN: &str = "; run the statement again when the database can be reached";

/// The failure of `what`, which only reads, or has not begun.
pub(super) fn failed_reading(what: &str, e: tokio_postgres::Error) -> Error {
    let hint = if is_gone(&e) { AGAIN } else { "" };
    let e = failed(what, e);
    Error::new(e.kind(), format!("{e}{hint}"))
}

/// The failure of `what` (a phrase without a final stop), whose fault it is and all that the
/// database said of it.
pub(super) fn failed(what: &str, e: tokio_postgres::Error) -> Error {
    let Some(said) = e.as_db_error() else {
        let cause = std::error::Error::source(&e).map(|c| format!(": {c}")).unwrap_or_default();
        let message = format!("{what}: {e}{cause}");
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

/// The relation, a column or its type is not what it was: another transaction has changed it.
pub(super) fn is_changed(e: &tokio_postgres::Error) -> bool {
    const STATES: [SqlState; 4] = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::DATATYPE_MISMATCH,
    ];
    e.code().is_some_and(|code| STATES.contains(code))
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
