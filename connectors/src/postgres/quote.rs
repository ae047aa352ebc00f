//! Names and texts in SQL that the database reads.

use std::fmt::Write;

use crate::connector::RemoteName;

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

/// A literal of bytes.
pub(super) fn bytes(value: &[u8]) -> String {
    let mut hex = String::with_capacity(value.len() * 2 + 16);
    hex.push_str("decode('");
    for byte in value {
        // Writing to a String does not fail.
        if write!(hex, "{byte:02x}").is_err() {
            break;
        }
    }
    hex.push_str("', 'hex')");
    hex
}
