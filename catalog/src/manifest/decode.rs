//! From the bytes of a manifest list or manifest to its entries: the edge where hostile bytes meet
//! the format library's Avro reader.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::entry::{Entry, inherit};
use crate::avro::{self, Held};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{FormatVersion, Manifest, ManifestEntry, ManifestFile, ManifestList};

/// The manifests that a manifest list names.
pub(crate) fn decode_list(
    uri: &str,
    bytes: &[u8],
    version: FormatVersion,
) -> Result<Vec<ManifestFile>> {
    let checked = avro::check("manifest list", uri, bytes, Held::File)?;
    let parse = |version| {
        let parse = || ManifestList::parse_with_version(&checked.bytes, version);
        guarded("manifest list", uri, parse)
    };
    let list = match parse(version) {
        Err(_) if version != FormatVersion::V1 && is_of_format_1(&checked.fields) => {
            parse(FormatVersion::V1)?
        }
        parsed => parsed?,
    };
    Ok(list.consume_entries().into_iter().collect())
}

/// A table that was upgraded keeps the lists of its first format, which need not count files and
/// rows: the reader for later formats refuses those.
fn is_of_format_1(fields: &[String]) -> bool {
    !fields.iter().any(|field| field == "content" || field == "sequence_number")
}

/// The entries of a manifest, with inherited numbers.
pub(crate) fn decode_manifest(manifest: &ManifestFile, bytes: &[u8]) -> Result<Vec<Entry>> {
    let uri = &manifest.manifest_path;
    let checked = avro::check("manifest", uri, bytes, Held::Entry)?;
    let decoded = guarded("manifest", uri, || Manifest::parse_avro(&checked.bytes))?;
    drop(checked);
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
