//! From paths and patterns to the objects that a relation reads.

use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use super::pattern::{Pattern, expand_braces, matches_path, matches_segment};
use crate::error::{Error, ErrorKind};
use crate::relation::FileAccess;

/// The most files that one relation reads.
const FILES_MAX: usize = 200_000;

/// Files of one store, in the order of the paths given, sorted by name within each.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) store_url: ObjectStoreUrl,
    pub(super) files: Vec<ListedFile>,
}

/// A file and the part of its path that the pattern's base does not cover.
#[derive(Clone, Debug)]
pub(super) struct ListedFile {
    pub(super) meta: ObjectMeta,
    /// Directory names below the base, outermost first.
    pub(super) directories: Vec<String>,
    /// What messages call it.
    pub(super) shown: String,
}

impl ListedFile {
    pub(super) fn to_partitioned(&self) -> PartitionedFile {
        PartitionedFile::new_from_meta(self.meta.clone())
    }
}

/// Lists what `paths` name. `extensions` choose among the files of a directory; files that are
/// named or matched by a pattern are taken whatever they are called.
///
/// # Errors
/// `NotFound` naming the path that matches nothing; `Invalid` for paths on several stores.
pub(super) async fn list(
    paths: &[String],
    access: &dyn FileAccess,
    extensions: &[&str],
) -> Result<Listing> {
    let mut listing: Option<Listing> = None;
    let mut expanded = Vec::new();
    for path in paths {
        expanded.extend(expand_braces(path).ok_or_else(|| {
            let message = format!("path {path:?}: braces must be of the form {{a,b}}, not nested, at most 1000 paths in all");
            Error::new(ErrorKind::Invalid, message)
        })?);
    }
    for path in &expanded {
        let pattern = Pattern::parse(path);
        let base = access.resolve(&pattern.base)?;
        let store_url = ObjectStoreUrl::parse(store_key(&base.store_url))?;
        if let Some(first) = &listing
            && first.store_url != store_url
        {
            let message = format!(
                "path {path:?} is on another store than {:?}; read each with its own function and UNION ALL them",
                paths[0]
            );
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        let metas = if pattern.segments.is_empty() {
            list_plain(base.store.as_ref(), &base.path, extensions).await
        } else {
            expand(base.store.as_ref(), &base.path, &pattern.segments).await
        }
        .map_err(|e| Error::reading(path, e))?;
        if metas.is_empty() {
            return Err(not_found(path, &pattern, extensions).into());
        }
        for meta in &metas {
            access.check_listed(&base.store_url, &meta.location)?;
        }
        let files = metas.into_iter().map(|meta| listed(meta, &base.path, &base.store_url));
        let listing = listing.get_or_insert_with(|| Listing {
            store: Arc::clone(&base.store),
            store_url,
            files: Vec::new(),
        });
        listing.files.extend(files);
    }
    listing.ok_or_else(|| {
        Error::new(ErrorKind::Invalid, "a file relation needs at least one path").into()
    })
}

fn not_found(path: &str, pattern: &Pattern, extensions: &[&str]) -> Error {
    let message = if pattern.segments.is_empty() {
        format!(
            "no file {path:?}, and no directory of that name with files that end in {}",
            extensions.join(", ")
        )
    } else {
        format!("no file matches {path:?}")
    };
    Error::new(ErrorKind::NotFound, message)
}

/// DataFusion's registry keys stores by scheme and authority.
fn store_key(url: &Url) -> &str {
    &url[url::Position::BeforeScheme..url::Position::BeforePath]
}

fn listed(meta: ObjectMeta, base: &Path, store_url: &Url) -> ListedFile {
    let below: Vec<String> = match meta.location.prefix_match(base) {
        Some(parts) => parts.map(|p| decode(p.as_ref())).collect(),
        None => Vec::new(),
    };
    let directories = below[..below.len().saturating_sub(1)].to_vec();
    let shown = if store_url.scheme() == "file" {
        format!("/{}", decode(meta.location.as_ref()))
    } else {
        format!("{}/{}", store_key(store_url), meta.location)
    };
    ListedFile { meta, directories, shown }
}

/// A file, or every file with one of `extensions` below a directory.
async fn list_plain(
    store: &dyn ObjectStore,
    path: &Path,
    extensions: &[&str],
) -> Result<Vec<ObjectMeta>> {
    match store.head(path).await {
        Ok(meta) => return Ok(vec![meta]),
        Err(object_store::Error::NotFound { .. }) => {}
        // A local directory is not NotFound: it is something that cannot be read as a file.
        Err(e) => {
            if store.list_with_delimiter(Some(path)).await.is_err() {
                return Err(e.into());
            }
        }
    }
    let mut files = Vec::new();
    let mut listed = store.list(Some(path));
    while let Some(meta) = listed.try_next().await? {
        let hidden = meta.location.prefix_match(path).is_none_or(|mut parts| {
            parts.any(|part| part.as_ref().starts_with(['.', '_']) && !part.as_ref().contains('='))
        });
        let name = meta.location.filename().unwrap_or_default().to_ascii_lowercase();
        if !hidden && has_extension(&name, extensions) {
            push_bounded(&mut files, meta)?;
        }
    }
    files.sort_unstable_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// Whether `name` ends in one of `extensions`, perhaps followed by that of a compression.
fn has_extension(name: &str, extensions: &[&str]) -> bool {
    let stem = [".gz", ".zst", ".bz2", ".xz"].iter().find_map(|e| name.strip_suffix(e));
    extensions.iter().any(|e| name.ends_with(e) || stem.is_some_and(|s| s.ends_with(e)))
}

/// Walks a directory level for each segment, so that `/data/*.csv` does not visit all below.
async fn expand(
    store: &dyn ObjectStore,
    base: &Path,
    segments: &[String],
) -> Result<Vec<ObjectMeta>> {
    let mut frontier = vec![base.clone()];
    let mut files = Vec::new();
    for (depth, segment) in segments.iter().enumerate() {
        if segment == "**" {
            for directory in &frontier {
                expand_deep(store, directory, &segments[depth..], &mut files).await?;
            }
            break;
        }
        let is_last = depth + 1 == segments.len();
        let mut next = Vec::new();
        for directory in frontier {
            let level = store.list_with_delimiter(Some(&directory)).await?;
            if is_last {
                for meta in level.objects {
                    if meta
                        .location
                        .filename()
                        .is_some_and(|n| matches_segment(segment, &decode(n)))
                    {
                        push_bounded(&mut files, meta)?;
                    }
                }
            } else {
                next.extend(level.common_prefixes.into_iter().filter(|prefix| {
                    prefix.filename().is_some_and(|n| matches_segment(segment, &decode(n)))
                }));
            }
        }
        frontier = next;
    }
    files.sort_unstable_by(|a, b| a.location.cmp(&b.location));
    files.dedup_by(|a, b| a.location == b.location);
    Ok(files)
}

async fn expand_deep(
    store: &dyn ObjectStore,
    directory: &Path,
    segments: &[String],
    files: &mut Vec<ObjectMeta>,
) -> Result<()> {
    let mut listed = store.list(Some(directory));
    while let Some(meta) = listed.try_next().await? {
        let names: Vec<String> = match meta.location.prefix_match(directory) {
            Some(parts) => parts.map(|p| decode(p.as_ref())).collect(),
            None => continue,
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if matches_path(segments, &names) {
            push_bounded(files, meta)?;
        }
    }
    Ok(())
}

fn push_bounded(files: &mut Vec<ObjectMeta>, meta: ObjectMeta) -> Result<()> {
    if files.len() == FILES_MAX {
        let message = format!("more than {FILES_MAX} files match; narrow the path");
        return Err(Error::new(ErrorKind::LimitExceeded, message).into());
    }
    files.push(meta);
    Ok(())
}

/// Undoes the percent-encoding of a store's path, so that users match names as they see them.
pub(super) fn decode(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%' && tail.len() >= 2)
            .then(|| std::str::from_utf8(&tail[..2]).ok())
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| part.to_owned())
}
