//! What a statement may reach as a file: `read_*` and COPY, under the session's policy.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use fjord_catalog::storage::Storage;
use fjord_connectors::relation::{FileAccess, StoreLocation};
use object_store::path::Path as ObjectPath;
use url::Url;

use crate::error::{Error, Result};

/// Decides which files a session's statements may reach.
pub trait FilePolicy: fmt::Debug + Send + Sync {
    /// Refuses `location` (an absolute path or URI, normalised, wildcards and all) with
    /// `PermissionDenied`, or lets it pass.
    fn check(&self, location: &str) -> Result<()>;
}

/// Whatever the process may read: the policy of a shell.
#[derive(Clone, Copy, Debug, Default)]
pub struct EveryFile;

impl FilePolicy for EveryFile {
    fn check(&self, _location: &str) -> Result<()> {
        Ok(())
    }
}

/// A session's view of the stores.
#[derive(Clone, Debug)]
pub(crate) struct SessionFiles {
    pub(crate) storage: Storage,
    pub(crate) policy: Arc<dyn FilePolicy>,
}

impl SessionFiles {
    /// The location behind `uri`, if the policy lets the session have it.
    pub(crate) fn locate(&self, uri: &str) -> Result<StoreLocation> {
        let absolute = absolute(uri)?;
        self.policy.check(&absolute)?;
        let fixed = match absolute.find(['*', '?', '[', '{']) {
            // Back to the directory: a wildcard may begin in the middle of a name.
            Some(at) => absolute.get(..at).and_then(|p| p.rfind('/').map(|i| &p[..=i])),
            None => Some(absolute.as_str()),
        };
        let resolved = self.storage.resolve(fixed.unwrap_or(&absolute))?;
        Ok(StoreLocation {
            store: resolved.store,
            path: resolved.path,
            store_url: resolved.store_url,
        })
    }
}

impl FileAccess for SessionFiles {
    fn resolve(&self, uri: &str) -> datafusion::error::Result<StoreLocation> {
        Ok(self.locate(uri)?)
    }

    fn check_listed(&self, store_url: &Url, path: &ObjectPath) -> datafusion::error::Result<()> {
        let location = match store_url.scheme() {
            "file" => format!("/{path}"),
            _ => format!("{store_url}{path}"),
        };
        Ok(self.policy.check(&location)?)
    }
}

/// The URI of a file that a statement names.
pub(crate) fn uri(file: &str) -> Result<String> {
    let absolute = absolute(file)?;
    Ok(if absolute.starts_with('/') { format!("file://{absolute}") } else { absolute })
}

/// An absolute, normalised form: `..` is taken out before any policy looks at it.
fn absolute(uri: &str) -> Result<String> {
    if uri.is_empty() {
        return Err(Error::invalid("a file name is empty"));
    }
    if let Some((scheme, rest)) = uri.split_once("://") {
        // Neither is repeated in the message: errors are kept and shown.
        let authority = rest.split('/').next().unwrap_or_default();
        if scheme != "file" && (authority.contains('@') || rest.contains('?')) {
            return Err(Error::invalid(format!(
                "a file on {scheme:?} was named by a URI with credentials or a signature in it; \
                 configure them instead"
            )));
        }
        if rest.split('/').any(|part| part == "..") {
            return Err(Error::invalid(format!("file {uri:?}: \"..\" is not allowed in a URI")));
        }
        if scheme != "file" {
            return Ok(uri.to_owned());
        }
    }
    let path = uri.strip_prefix("file://").unwrap_or(uri);
    let path = std::path::absolute(path)
        .map_err(|e| Error::invalid(format!("file {uri:?}: {e}")).with_source(e))?;
    let normal = normalised(&path);
    match normal.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::invalid(format!("file {uri:?}: the path is not UTF-8"))),
    }
}

fn normalised(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_before_the_policy_sees_them() {
        assert_eq!(absolute("/a/b/../c/*.parquet").unwrap(), "/a/c/*.parquet");
        assert_eq!(absolute("file:///a/./b").unwrap(), "/a/b");
        assert!(absolute("x.csv").unwrap().starts_with('/'));
        assert!(absolute("s3://bucket/a/../../b").is_err());
        assert_eq!(absolute("s3://bucket/a").unwrap(), "s3://bucket/a");
    }
}
