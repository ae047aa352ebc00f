//! Object-store failures as errors of this crate, with the full URI.

use std::error::Error as StdError;
use std::io;

use crate::error::{Error, ErrorKind};

/// What `doing` (`"read"`, `"write"` …) to `uri` met.
pub(crate) fn store_error(doing: &str, uri: &str, error: object_store::Error) -> Error {
    use object_store::Error as Store;
    let (kind, problem) = match &error {
        Store::NotFound { .. } => (ErrorKind::NotFound, "not found".to_owned()),
        Store::AlreadyExists { .. } => (ErrorKind::AlreadyExists, "exists already".to_owned()),
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            (ErrorKind::PermissionDenied, format!("cannot {doing} it: permission denied"))
        }
        Store::InvalidPath { .. } => {
            (ErrorKind::InvalidArgument, "no store can hold such a path".to_owned())
        }
        Store::NotSupported { .. } | Store::NotImplemented { .. } => {
            (ErrorKind::Unsupported, format!("the store cannot {doing} it"))
        }
        other => from_cause(doing, other),
    };
    Error::new(kind, format!("file {uri:?}: {problem}")).with_source(error)
}

/// Local disk reports everything but absence as generic; the operating system's reason is inside.
fn from_cause(doing: &str, error: &object_store::Error) -> (ErrorKind, String) {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::NotFound => (ErrorKind::NotFound, "not found".to_owned()),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    (ErrorKind::PermissionDenied, format!("cannot {doing} it: {io}"))
                }
                _ => (ErrorKind::Storage, format!("cannot {doing} it: {io}")),
            };
        }
        cause = e.source();
    }
    (ErrorKind::Storage, format!("cannot {doing} it"))
}
