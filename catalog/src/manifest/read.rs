//! Reads a whole metadata file, never more of it than a limit.

use bytes::Bytes;
use object_store::ObjectStoreExt;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::Storage;
use crate::storage::fault::store_error_of;

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
    let got = resolved
        .store
        .get(&resolved.path)
        .await
        .map_err(|e| store_error_of(what, "read", uri, e))?;
    if got.meta.size > bytes_max {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("{what} {uri:?} has {} bytes; at most {bytes_max} are read", got.meta.size),
        ));
    }
    got.bytes().await.map_err(|e| store_error_of(what, "read", uri, e))
}
