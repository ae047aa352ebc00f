//! From the bytes of a manifest list or manifest to its entries: the edge where hostile bytes meet
//! the format library's Avro reader.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::entry::{Entry, inherit};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{FormatVersion, Manifest, ManifestEntry, ManifestFile, ManifestList};

/// The manifests that a manifest list names.
pub(super) fn decode_list(
    uri: &str,
    bytes: &[u8],
    version: FormatVersion,
) -> Result<Vec<ManifestFile>> {
    let list = guarded("manifest list", uri, || ManifestList::parse_with_version(bytes, version))?;
    Ok(list.consume_entries().into_iter().collect())
}

/// The entries of a manifest, with inherited numbers.
pub(super) fn decode_manifest(manifest: &ManifestFile, bytes: &[u8]) -> Result<Vec<Entry>> {
    let uri = &manifest.manifest_path;
    let decoded = guarded("manifest", uri, || Manifest::parse_avro(bytes))?;
    let (entries, _) = decoded.into_parts();
    let entries: Vec<ManifestEntry> = entries.into_iter().map(Arc::unwrap_or_clone).collect();
    inherit(manifest, entries)
}

/// Runs the library's decoder; a panic inside it is damage in the file, not the end of a query.
fn guarded<T>(what: &str, uri: &str, decode: impl FnOnce() -> iceberg::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(decoded)) => Ok(decoded),
        Ok(Err(e)) => {
            let kind = match e.kind() {
                iceberg::ErrorKind::FeatureUnsupported => ErrorKind::Unsupported,
                _ => ErrorKind::Corrupt,
            };
            let message = format!("{what} {uri:?} cannot be decoded: {}", e.message());
            Err(Error::new(kind, message).with_source(e))
        }
        Err(panic) => {
            let reason = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("the decoder gave up");
            Err(Error::new(
                ErrorKind::Corrupt,
                format!("{what} {uri:?} cannot be decoded: {reason}"),
            ))
        }
    }
}
