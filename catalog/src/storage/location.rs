//! A URI taken apart: scheme, authority and literal path.

use object_store::path::Path;
use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// The scheme of local disk.
pub(crate) const FILE_SCHEME: &str = "file";
/// Dots, slashes and ends of strings as they look encoded, once and twice.
const ENCODED: [&str; 8] = ["%2e", "%2f", "%5c", "%00", "%252e", "%252f", "%255c", "%2500"];

/// A parsed URI. Nothing is percent-decoded: Iceberg locations are raw strings, and PyIceberg,
/// Java's `Path` and DuckDB all use their characters as they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Lowercase; `s3a` and `s3n` are `s3`.
    pub(crate) scheme: String,
    /// The bucket; empty for local disk.
    pub(crate) authority: String,
    /// Within the store.
    pub(crate) path: Path,
}

impl Location {
    /// Parses `file:///a`, `file:/a`, `/a` and `scheme://authority/a`.
    pub(crate) fn parse(uri: &str) -> Result<Self> {
        if uri.starts_with('/') {
            return Self::on_disk(uri, uri);
        }
        let Some((scheme, rest)) = uri.split_once(':') else {
            return Err(malformed(uri, "is neither a URI nor an absolute path"));
        };
        let scheme = scheme.to_ascii_lowercase();
        if !is_scheme(&scheme) {
            return Err(malformed(uri, "is neither a URI nor an absolute path"));
        }
        if scheme == FILE_SCHEME {
            return Self::parse_file(uri, rest);
        }
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(malformed(uri, "lacks \"//\" after its scheme"));
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            // Not repeated: messages are kept and shown.
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a location on {scheme:?} has credentials in it; a section [storage.NAME] of the configuration is their place"
                ),
            ));
        }
        let scheme =
            if matches!(scheme.as_str(), "s3a" | "s3n") { "s3".to_owned() } else { scheme };
        Ok(Self { scheme, authority: authority.to_owned(), path: parse_path(uri, path)? })
    }

    fn parse_file(uri: &str, rest: &str) -> Result<Self> {
        // Java writes `file:/a`, RFC 8089 allows `file://localhost/a`.
        let path = match rest.strip_prefix("//") {
            Some(after) => {
                after.strip_prefix("localhost").filter(|p| p.starts_with('/')).unwrap_or(after)
            }
            None => rest,
        };
        if !path.starts_with('/') {
            let problem = if rest.starts_with("//") {
                "names a host: write file:/// and an absolute path"
            } else {
                "is relative: write file:/// and an absolute path"
            };
            return Err(malformed(uri, problem));
        }
        Self::on_disk(uri, path)
    }

    fn on_disk(uri: &str, path: &str) -> Result<Self> {
        let mut segments: Vec<&str> = Vec::new();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => {
                    if segments.pop().is_none() {
                        return Err(malformed(uri, "climbs above the root directory"));
                    }
                }
                name => segments.push(name),
            }
        }
        let path = parse_path(uri, &segments.join("/"))?;
        Ok(Self { scheme: FILE_SCHEME.to_owned(), authority: String::new(), path })
    }

    /// The store's own URL.
    pub(crate) fn store_url(&self) -> Result<Url> {
        let text = format!("{}://{}/", self.scheme, self.authority);
        Url::parse(&text).map_err(|e| malformed(&text, "is not a URL").with_source(e))
    }
}

/// Refuses spellings that would be another place to somebody who decodes or cuts them. Nobody here
/// does: files may be called so, but a statement has no reason to.
pub(crate) fn check_plain(uri: &str) -> Result<()> {
    let lower = uri.to_ascii_lowercase();
    let is_odd = ENCODED.iter().any(|encoded| lower.contains(encoded))
        || uri.contains(|c: char| c.is_control() || matches!(c, '\\' | '?' | '#' | '*'));
    if is_odd {
        return Err(malformed(
            uri,
            "has a wildcard, a query, or a dot or slash in disguise in it: write it plainly",
        ));
    }
    Ok(())
}

fn parse_path(uri: &str, path: &str) -> Result<Path> {
    Path::parse(path)
        .map_err(|e| malformed(uri, "has a path that no store can hold").with_source(e))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn malformed(uri: &str, problem: &str) -> Error {
    let shown: String = uri.chars().take(256).collect();
    Error::new(ErrorKind::InvalidArgument, format!("location {shown:?} {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(uri: &str) -> String {
        Location::parse(uri).unwrap().path.as_ref().to_owned()
    }

    #[test]
    fn every_spelling_of_a_local_file_is_the_same_path() {
        for uri in [
            "/a/b",
            "file:/a/b",
            "file:///a/b",
            "FILE:///a/b",
            "file://localhost/a/b",
            "file:///a//b",
            "/a/./b",
            "/x/../a/b",
        ] {
            assert_eq!(path(uri), "a/b", "{uri}");
        }
    }

    #[test]
    fn characters_stand_for_themselves() {
        for name in
            ["with space", "cat=a%2Fb", "50%", "größe 表", "a+b&c", "q?x#y", "a:b", "back\\slash"]
        {
            assert_eq!(path(&format!("file:///d/{name}/f")), format!("d/{name}/f"));
            assert_eq!(path(&format!("s3://bucket/d/{name}/f")), format!("d/{name}/f"));
        }
    }

    #[test]
    fn what_climbs_out_or_is_not_absolute_is_refused() {
        for uri in [
            "/../etc",
            "/a/../../etc",
            "file:///..",
            "s3://b/a/../c",
            "s3://b/a//c",
            "a/b",
            "",
            "file:a",
            "file://host/a",
            "s3:/b/x",
            "C:\\x",
            "/a\nb",
            "s3://b/\u{0}",
        ] {
            let error = Location::parse(uri).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{uri}");
        }
    }
}
