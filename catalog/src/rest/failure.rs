//! What an answer that is no success means.
//!
//! Source: the Iceberg REST specification's `ErrorModel`, and what servers answer instead.

use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// Characters of a server's message that are repeated.
const MESSAGE_CHARS_MAX: usize = 500;

/// What Nessie 0.99 answers, with status 500, to an upgrade to version 3: it has not begun to commit.
const NESSIE_NO_UPGRADE: &str = "Implement format version update";

/// What was asked for, as far as a failure is read by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing changes: asking again does no harm.
    Read,
    /// Something changes, and nobody looks for it afterwards.
    Change,
    /// A table's commit: what became of it will be looked for.
    Commit,
}

/// A status, and what the server says of it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The server's name for the kind of error; empty when it has none.
    pub(super) kind: String,
    pub(super) message: String,
    /// Whether the body was the protocol's: anybody can answer 404.
    pub(super) is_protocol: bool,
}

impl Refusal {
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let json = serde_json::from_slice::<Value>(body).ok();
        let of_protocol =
            json.as_ref().and_then(|json| json.get("error")).filter(|e| e.is_object());
        // Nessie's own API has a model of its own.
        let of_nessie =
            json.as_ref().filter(|json| json.get("errorCode").is_some_and(Value::is_string));
        let (model, kind) = match of_protocol {
            Some(model) => (Some(model), "type"),
            None => (of_nessie, "errorCode"),
        };
        let text = |key: &str| model.and_then(|m| m.get(key)?.as_str()).unwrap_or_default();
        let message = text("message").chars().take(MESSAGE_CHARS_MAX).collect();
        Self { status, kind: text(kind).to_owned(), message, is_protocol: model.is_some() }
    }

    /// Whether asking again later may help, and did no harm.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502 | 503 | 504) && !self.is_beyond_server()
    }

    /// Whether the server says that it cannot do this at all.
    fn is_beyond_server(&self) -> bool {
        self.status == 501 || self.status == 500 && self.message.starts_with(NESSIE_NO_UPGRADE)
    }

    /// Whether the change may have been made all the same.
    fn is_unclear(&self) -> bool {
        !self.is_beyond_server()
            && (matches!(self.status, 408 | 500 | 502 | 503 | 504)
                || !(400..600).contains(&self.status))
    }

    /// As an error. A conflict's kind is the caller's to know.
    pub(super) fn error(&self, effect: Effect, what: &str, conflict: ErrorKind) -> Error {
        let said = match (self.message.is_empty(), self.is_protocol) {
            (false, _) => self.message.clone(),
            (true, true) => self.kind.clone(),
            (true, false) => "an answer that is not the Iceberg REST protocol's".to_owned(),
        };
        let text = format!("{what}: the catalog answers with status {}: {said}", self.status);
        if effect != Effect::Read && self.is_unclear() {
            return unclear(effect, &text);
        }
        let kind = match self.status {
            _ if self.is_beyond_server() => ErrorKind::Unsupported,
            404 if self.is_protocol => ErrorKind::NotFound,
            // Nessie says it of a branch.
            400 if self.kind.starts_with("NoSuch") => ErrorKind::NotFound,
            400 | 422 => ErrorKind::InvalidArgument,
            401 | 403 | 419 => ErrorKind::PermissionDenied,
            405 | 406 => ErrorKind::Unsupported,
            409 => conflict,
            _ => ErrorKind::Unavailable,
        };
        let text = match kind {
            ErrorKind::Unavailable if self.status == 404 => {
                format!("{text}; the uri may be another server's")
            }
            _ => text,
        };
        Error::new(kind, text)
    }
}

/// The request was sent, and its outcome could not be learnt.
pub(super) fn unclear(effect: Effect, text: &str) -> Error {
    match effect {
        Effect::Commit => Error::new(ErrorKind::CommitUnknown, text),
        Effect::Read => Error::new(ErrorKind::Unavailable, text),
        Effect::Change => {
            let text = format!("{text}; it may have been done: look before repeating it");
            Error::new(ErrorKind::Unavailable, text).with_retryable(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str, effect: Effect) -> ErrorKind {
        let refusal = Refusal::read(status, body.as_bytes());
        refusal.error(effect, "table \"a.t\"", ErrorKind::Stale).kind()
    }

    #[test]
    fn a_status_means_what_the_protocol_says_and_nothing_more() {
        let model = r#"{"error":{"message":"m","type":"NoSuchTableException","code":404}}"#;
        assert_eq!(kind(404, model, Effect::Read), ErrorKind::NotFound);
        let nessies = r#"{"status":404,"errorCode":"REFERENCE_NOT_FOUND","message":"m"}"#;
        assert_eq!(kind(404, nessies, Effect::Read), ErrorKind::NotFound);
        // A proxy that knows no such page says nothing of a table.
        assert_eq!(kind(404, "<html>not here</html>", Effect::Read), ErrorKind::Unavailable);
        assert_eq!(kind(409, model, Effect::Commit), ErrorKind::Stale);
        assert_eq!(kind(409, "", Effect::Commit), ErrorKind::Stale);
        assert_eq!(kind(400, "{}", Effect::Commit), ErrorKind::InvalidArgument);
        assert_eq!(kind(403, "", Effect::Commit), ErrorKind::PermissionDenied);
        assert_eq!(kind(429, "", Effect::Commit), ErrorKind::Unavailable);
    }

    #[test]
    fn an_upgrade_that_nessie_does_not_know_was_not_made() {
        let said = "Implement format version update, current version is 2";
        let body = format!(r#"{{"error":{{"message":"{said}","type":"","code":500}}}}"#);
        assert_eq!(kind(500, &body, Effect::Commit), ErrorKind::Unsupported);
        let body = body.replace("Implement format", "Cannot implement format");
        assert_eq!(kind(500, &body, Effect::Commit), ErrorKind::CommitUnknown);
    }

    #[test]
    fn a_commit_that_may_have_been_applied_is_unknown() {
        for status in [302, 408, 500, 502, 503, 504] {
            assert_eq!(kind(status, "", Effect::Commit), ErrorKind::CommitUnknown, "{status}");
            assert_eq!(kind(status, "", Effect::Read), ErrorKind::Unavailable, "{status}");
        }
    }
}
