//! The one table from the engine's errors to gRPC codes.

use std::sync::Arc;

use fjord_engine::{Error, ErrorKind};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status};
use uuid::Uuid;

use super::egress::StatusOf;

/// The trailer that names the query.
pub(crate) const QUERY_ID: &str = "fjord-query-id";
/// The trailer that says what kind of error it is.
const ERROR_KIND: &str = "fjord-error-kind";
/// The trailer that says whether the same statement may succeed later.
const RETRYABLE: &str = "fjord-retryable";

/// Bytes of a message: trailers travel in one frame of HTTP/2 headers.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// The gRPC code of a kind of error. Clients switch on it: `InvalidArgument` is the author's to
/// mend, `Aborted` and `Unavailable` may be tried again, `Unknown` may have happened.
fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Syntax | ErrorKind::Invalid | ErrorKind::Execution => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::CommitUnknown => Code::Unknown,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::LimitExceeded => Code::ResourceExhausted,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Unavailable => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// The status of an engine's error; `query` is named in the trailers.
pub(crate) fn status_of(error: &Error, query: Option<Uuid>) -> Status {
    // A status that travelled through the engine, as rows of a client that do not decode.
    if let Some(status) = carried(error) {
        return status;
    }
    let mut message = error.to_string();
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|i| message.is_char_boundary(*i));
        message.truncate(end.unwrap_or(0));
        message.push('…');
    }
    let mut status = Status::new(code(error.kind()), message);
    let trailers = status.metadata_mut();
    if let Ok(kind) = format!("{:?}", error.kind()).parse::<MetadataValue<Ascii>>() {
        trailers.insert(ERROR_KIND, kind);
    }
    if error.is_retryable() {
        trailers.insert(RETRYABLE, MetadataValue::from_static("true"));
    }
    if let Some(id) = query
        && let Ok(id) = id.to_string().parse::<MetadataValue<Ascii>>()
    {
        trailers.insert(QUERY_ID, id);
    }
    status
}

/// How the errors of one query's rows are told.
pub(crate) fn status_for(query: Uuid) -> StatusOf {
    Arc::new(move |error| status_of(&error, Some(query)))
}

/// The query ran longer than its client gave it.
pub(crate) fn deadline_exceeded() -> Status {
    Status::deadline_exceeded("the deadline of the call passed; its work was stopped")
}

fn carried(error: &Error) -> Option<Status> {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(status) = inner.downcast_ref::<Status>() {
            return Some(status.clone());
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adbc_30_codes_are_precise_and_the_query_is_in_the_trailers() {
        for (kind, expected) in [
            (ErrorKind::Syntax, Code::InvalidArgument),
            (ErrorKind::NotFound, Code::NotFound),
            (ErrorKind::AlreadyExists, Code::AlreadyExists),
            (ErrorKind::Unsupported, Code::Unimplemented),
            (ErrorKind::LimitExceeded, Code::ResourceExhausted),
            (ErrorKind::PermissionDenied, Code::PermissionDenied),
            (ErrorKind::Cancelled, Code::Cancelled),
            (ErrorKind::Conflict, Code::Aborted),
            (ErrorKind::Bug, Code::Internal),
        ] {
            let id = Uuid::now_v7();
            let status = status_of(&Error::new(kind, "what happened"), Some(id));
            assert_eq!(status.code(), expected);
            assert_eq!(status.message(), "what happened");
            let named = status.metadata().get(QUERY_ID).unwrap().to_str().unwrap();
            assert_eq!(named, id.to_string());
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let status = status_of(&Error::invalid("ü".repeat(10_000)), None);
        assert!(status.message().len() <= MESSAGE_BYTES_MAX + 4);
        assert!(status.message().ends_with("ü…"));
    }
}
