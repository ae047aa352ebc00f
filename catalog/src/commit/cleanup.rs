//! Deleting the metadata files that an operation wrote and no table refers to.

use std::collections::HashSet;

use futures::stream;

use crate::failpoint;
use crate::storage::Storage;

/// Deletes what is in `written` and not in `used`. Failures only leave a file behind, so they are
/// logged; the commit stands as it is.
///
/// Never to be called while an outcome is unknown.
pub(crate) async fn delete_superseded(storage: &Storage, written: Vec<String>, used: &[String]) {
    failpoint::hit("K9").await;
    let used: HashSet<&str> = used.iter().map(String::as_str).collect();
    let mut superseded: Vec<String> =
        written.into_iter().filter(|uri| !used.contains(uri.as_str())).collect();
    let rest = superseded.split_off(superseded.len().min(1));
    for part in [superseded, rest] {
        if part.is_empty() {
            continue;
        }
        if let Err(e) = storage.delete_files(stream::iter(part)).await {
            tracing::warn!(error = %e, "a superseded metadata file was left behind");
        }
        failpoint::hit("K10").await;
    }
}
