//! PostgreSQL's SQLSTATEs: what each means to a catalog, and whether anything was done.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::error::ErrorKind;

/// Never `NotFound`, which says of a table that it is gone.
pub(super) fn kind_of(code: &str) -> ErrorKind {
    match code {
        "23505" => ErrorKind::AlreadyExists,
        "22001" => ErrorKind::LimitExceeded,
        "25006" | "42501" => ErrorKind::PermissionDenied,
        "3D000" | "53100" => ErrorKind::Storage,
        _ => match code.get(..2) {
            Some("28") => ErrorKind::PermissionDenied,
            Some("22") => ErrorKind::InvalidArgument,
            Some("42" | "3F" | "XX") => ErrorKind::Corrupt,
            // Connections, resources, locks, shutdowns: another time it may work.
            Some("08" | "40" | "53" | "55" | "57") => ErrorKind::Unavailable,
            _ => ErrorKind::Storage,
        },
    }
}

/// Somebody else was in the way: a lock, a deadlock, a serialization failure. Nothing was done.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    server_error(error)
        .is_some_and(|e| e.severity() == PgSeverity::Error && matches!(e.code(), "40001" | "40P01"))
}

/// The server ends the connection: a shutdown, a crash, an administrator.
pub(super) fn ends_connection(error: &sqlx::Error) -> bool {
    server_error(error)
        .is_some_and(|e| e.severity() == PgSeverity::Fatal && e.code().starts_with("57P"))
}

/// The server has answered that nothing was done. A fatal error is no such answer, for it can
/// follow a commit; nor are errors of connections and of the server's own insides.
pub(super) fn is_definite(error: &sqlx::Error) -> bool {
    const CLASSES: [&str; 11] = ["0A", "21", "22", "23", "25", "28", "3D", "3F", "42", "54", "55"];
    const CODES: [&str; 5] = ["40001", "40P01", "53100", "53200", "57014"];
    server_error(error).is_some_and(|e| {
        let is_known = e.code().get(..2).is_some_and(|class| CLASSES.contains(&class))
            || CODES.contains(&e.code());
        e.severity() == PgSeverity::Error && is_known
    })
}

/// The server's own error.
pub(super) fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}
