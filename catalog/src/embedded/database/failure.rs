//! What went wrong between us and a database, and whether anything may have come of it.

use std::time::Duration;

use crate::embedded::database::{postgres_codes, sqlite_codes};

/// A statement or transaction that failed.
#[derive(Debug)]
pub(in crate::embedded) enum Failure {
    /// The driver or the database says so.
    Sqlx(sqlx::Error),
    /// The database has not answered for so long.
    Silent(Duration),
    /// The transaction was rolled back.
    Aborted,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

impl Failure {
    /// The database has answered that nothing was done. Everything else may have been done.
    pub(in crate::embedded) fn is_definite(&self) -> bool {
        match self {
            Failure::Aborted => true,
            Failure::Silent(_) => false,
            Failure::Sqlx(error) => {
                sqlite_codes::is_definite(error) || postgres_codes::is_definite(error)
            }
        }
    }

    /// The connection ended before the answer.
    pub(super) fn is_disconnected(&self) -> bool {
        match self {
            Failure::Silent(_) | Failure::Aborted => false,
            Failure::Sqlx(sqlx::Error::Io(_)) => true,
            Failure::Sqlx(error) => postgres_codes::ends_connection(error),
        }
    }

    /// Somebody else was in the way; nothing was done, and the same may work in a moment.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Failure::Silent(_) | Failure::Aborted => false,
            Failure::Sqlx(error) => sqlite_codes::is_busy(error) || postgres_codes::is_busy(error),
        }
    }
}
