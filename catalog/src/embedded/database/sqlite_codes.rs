//! SQLite's result codes, and whether a statement that ended with one did anything.

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

// SQLite's primary result codes.
pub(super) const SQLITE_ERROR: i32 = 1;
pub(super) const SQLITE_PERM: i32 = 3;
pub(super) const SQLITE_BUSY: i32 = 5;
pub(super) const SQLITE_LOCKED: i32 = 6;
pub(super) const SQLITE_READONLY: i32 = 8;
pub(super) const SQLITE_CORRUPT: i32 = 11;
pub(super) const SQLITE_FULL: i32 = 13;
pub(super) const SQLITE_CANTOPEN: i32 = 14;
pub(super) const SQLITE_CONSTRAINT: i32 = 19;
pub(super) const SQLITE_AUTH: i32 = 23;
pub(super) const SQLITE_NOTADB: i32 = 26;

/// Another process or connection holds the lock; the statement did nothing.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(SQLITE_BUSY | SQLITE_LOCKED))
}

/// SQLite has answered that the statement did nothing. An I/O error says no such thing: the
/// write-ahead log may hold the commit.
pub(super) fn is_definite(error: &sqlx::Error) -> bool {
    matches!(
        primary_code(error),
        Some(
            SQLITE_ERROR
                | SQLITE_PERM
                | SQLITE_BUSY
                | SQLITE_LOCKED
                | SQLITE_READONLY
                | SQLITE_FULL
                | SQLITE_CANTOPEN
                | SQLITE_CONSTRAINT
                | SQLITE_AUTH
                | SQLITE_NOTADB
        )
    )
}

/// The code without what SQLite adds to it in its upper bits.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    let code: i32 = DatabaseError::code(error)?.parse().ok()?;
    Some(code & 0xff)
}
