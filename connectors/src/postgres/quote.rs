//! Names and texts in SQL that the database reads.

use crate::connector::RemoteName;
use crate::error::{Error, ErrorKind};

/// Bytes of a name; the database cuts a longer one, and would mean another.
const NAME_BYTES_MAX: usize = 63;

/// An identifier, whatever is in it. A NUL cannot be in one: the database has no such name.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A relation with its schema.
pub(super) fn relation(name: &RemoteName) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.name))
}

/// A text literal: what is no plain ASCII is kept as it is, backslashes mean themselves whatever
/// the server's settings. `None` where there is a NUL, which no text of the database holds.
pub(super) fn text(value: &str) -> Option<String> {
    if value.contains('\0') {
        return None;
    }
    let quoted = value.replace('\'', "''");
    Some(if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    })
}

/// An identifier that means itself.
///
/// # Errors
/// For a name that the database cannot have, or would cut.
pub(super) fn checked(name: &str) -> Result<String, Error> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.contains('\0') {
        "holds a NUL"
    } else if name.len() > NAME_BYTES_MAX {
        "is longer than 63 bytes"
    } else {
        return Ok(identifier(name));
    };
    Err(Error::new(
        ErrorKind::Invalid,
        format!("name {name:?} {problem}: PostgreSQL has no such name"),
    ))
}

/// A relation whose names mean themselves.
pub(super) fn checked_relation(name: &RemoteName) -> Result<String, Error> {
    Ok(format!("{}.{}", checked(&name.schema)?, checked(&name.name)?))
}

#[cfg(test)]
mod tests {
    use super::{checked, text};

    #[test]
    fn names_and_texts_stay_within_their_quotes() {
        assert_eq!(
            checked("a\"; DROP TABLE x; --").ok().as_deref(),
            Some("\"a\"\"; DROP TABLE x; --\"")
        );
        assert!(
            checked(&"x".repeat(64)).is_err() && checked("").is_err() && checked("\0").is_err()
        );
        assert_eq!(text("it's").as_deref(), Some("'it''s'"));
        assert_eq!(text("\\' OR 1").as_deref(), Some("E'\\\\'' OR 1'"));
        assert_eq!(text("a\0"), None);
    }
}
