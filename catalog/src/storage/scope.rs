//! What a confined storage may reach: places, checked after links have been followed.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path as FsPath, PathBuf};

use moka::sync::Cache;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::location::{FILE_SCHEME, Location};

/// Directories of local disk that are known to lie inside.
const DIRECTORIES_MAX: u64 = 10_000;
/// Characters of a location that messages repeat.
const SHOWN_CHARS_MAX: usize = 256;

/// Places that may be reached, with everything below them.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    places: Vec<Location>,
    /// Every file of a scan is checked, and they share directories.
    inside: Cache<PathBuf, ()>,
}

impl Scope {
    pub(crate) fn try_new<'a>(uris: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let places = uris.into_iter().map(Location::parse).collect::<Result<Vec<_>>>()?;
        Ok(Self { places, inside: Cache::new(DIRECTORIES_MAX) })
    }

    /// The same, and `uri` as well.
    pub(crate) fn admitting(&self, uri: &str) -> Result<Self> {
        let mut places = self.places.clone();
        places.push(Location::parse(uri)?);
        Ok(Self { places, inside: Cache::new(DIRECTORIES_MAX) })
    }

    /// # Errors
    /// `PermissionDenied`, alike for what is there and what is not.
    pub(crate) fn check(&self, uri: &str, location: &Location) -> Result<()> {
        let is_inside = if location.scheme == FILE_SCHEME {
            self.admits_file(location)
        } else {
            self.places.iter().any(|place| covers(place, location))
        };
        if is_inside {
            return Ok(());
        }
        let shown: String = uri.chars().take(SHOWN_CHARS_MAX).collect();
        Err(Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "location {shown:?} lies outside of what this catalog may reach: its warehouse, and the prefixes of the sections [storage.NAME]"
            ),
        ))
    }

    /// By text alone `dir/link/x` is below `dir`; the file may be anywhere.
    fn admits_file(&self, location: &Location) -> bool {
        let path = PathBuf::from(format!("/{}", location.path));
        if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            return self.admits_directory(&path);
        }
        let Some(directory) = path.parent() else { return false };
        if self.inside.contains_key(directory) {
            return true;
        }
        // A place itself may be asked for, and its parent lies outside.
        if self.admits_directory(directory) {
            self.inside.insert(directory.to_path_buf(), ());
            return true;
        }
        self.admits_directory(&path)
    }

    fn admits_directory(&self, path: &FsPath) -> bool {
        let Some(path) = real_path(path) else { return false };
        self.places.iter().filter(|place| place.scheme == FILE_SCHEME).any(|place| {
            let root = PathBuf::from(format!("/{}", place.path));
            real_path(&root).is_some_and(|root| path.starts_with(root))
        })
    }
}

fn covers(place: &Location, location: &Location) -> bool {
    place.scheme == location.scheme
        && place.authority == location.authority
        && location.path.prefix_matches(&place.path)
}

/// The path without links; of what is not there, the part that is. `None` for what leads nowhere.
pub fn real_path(path: &FsPath) -> Option<PathBuf> {
    let mut there = path;
    let mut missing: Vec<&OsStr> = Vec::new();
    loop {
        match there.symlink_metadata() {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let Some(Component::Normal(name)) = there.components().next_back() else {
                    return None;
                };
                missing.push(name);
                there = there.parent()?;
            }
            // A file where a directory should be, or one that may not be looked into.
            Err(_) => return None,
        }
    }
    // Fails for a link to nothing, and for links in a circle.
    let mut real = there.canonicalize().ok()?;
    real.extend(missing.into_iter().rev());
    Some(real)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn is_admitted(scope: &Scope, uri: &str) -> bool {
        match scope.check(uri, &Location::parse(uri).unwrap()) {
            Ok(()) => true,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{uri}");
                false
            }
        }
    }

    #[test]
    fn buckets_and_their_prefixes_are_told_apart() {
        let scope = Scope::try_new(["s3://lake/warehouse/", "s3://other"]).unwrap();
        for uri in ["s3://lake/warehouse/a", "s3a://lake/warehouse", "s3://other/x/y"] {
            assert!(is_admitted(&scope, uri), "{uri}");
        }
        for uri in [
            "s3://lake/warehouse2/a",
            "s3://lake/a",
            "s3://lakes/warehouse/a",
            "s3://lake.warehouse/a",
            "gs://lake/warehouse/a",
            "file:///lake/warehouse/a",
            "s3:///lake/warehouse/a",
        ] {
            assert!(!is_admitted(&scope, uri), "{uri}");
        }
        assert!(is_admitted(&scope.admitting("s3://lake/a").unwrap(), "s3://lake/a/b"));
    }

    #[test]
    fn links_are_followed_before_local_files_are_judged() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for made in ["in/t/data", "out/t", "inside"] {
            std::fs::create_dir_all(root.join(made)).unwrap();
        }
        std::fs::write(root.join("out/secret"), "x").unwrap();
        std::fs::write(root.join("in/t/data/f"), "x").unwrap();
        symlink(root.join("out"), root.join("in/link")).unwrap();
        symlink(root.join("out/secret"), root.join("in/t/data/linked")).unwrap();
        symlink(root.join("nowhere"), root.join("in/dangling")).unwrap();
        symlink(root.join("in"), root.join("alias")).unwrap();
        let scope = Scope::try_new([format!("file://{}/in", root.display()).as_str()]).unwrap();
        let admitted =
            |path: &str| is_admitted(&scope, &format!("file://{}/{path}", root.display()));
        for path in
            ["in", "in/t/data/f", "in/t/data/new", "in/new/deep/f", "in/x/../t", "alias/t/f"]
        {
            assert!(admitted(path), "{path}");
        }
        for path in [
            "out/secret",
            "in/link/secret",
            "in/link/new",
            "in/t/data/linked",
            "in/dangling",
            "in/dangling/x",
            "in/../out/secret",
            "inside/f",
            "",
            "..",
        ] {
            assert!(!admitted(path), "{path}");
        }
    }
}
