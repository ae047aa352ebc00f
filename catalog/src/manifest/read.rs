//! Reads a whole metadata file, never more of it than a limit.

use bytes::Bytes;
use object_store::ObjectStoreExt;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::Storage;

/// The bytes of `uri`.
///
/// # Errors
/// `LimitExceeded` above `bytes_max`, `NotFound` when it is missing, `Storage` otherwise; each
/// names the file.
pub(super) async fn read_file(
    storage: &Storage,
    what: &str,
    uri: &str,
    bytes_max: u64,
) -> Result<Bytes> {
    let resolved = storage.resolve(uri)?;
    let got = resolved.store.get(&resolved.path).await.map_err(|e| failed(what, uri, e))?;
    if got.meta.size > bytes_max {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("{what} {uri:?} has {} bytes; at most {bytes_max} are read", got.meta.size),
        ));
    }
    got.bytes().await.map_err(|e| failed(what, uri, e))
}

fn failed(what: &str, uri: &str, e: object_store::Error) -> Error {
    let (kind, problem) = match &e {
        object_store::Error::NotFound { .. } => (ErrorKind::NotFound, "does not exist"),
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => {
            (ErrorKind::PermissionDenied, "may not be read")
        }
        _ => (ErrorKind::Storage, "cannot be read"),
    };
    Error::new(kind, format!("{what} {uri:?} {problem}")).with_source(e)
}
