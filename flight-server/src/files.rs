//! Which files the statements of a server may name: those below a `[storage.NAME]` with
//! `files = true`, wherever links lead, and never what belongs to a catalog or to the server.

use std::path::{Path, PathBuf};

use fjord_catalog::storage::real_path;
use fjord_engine::sql::files::FilePolicy;
use fjord_engine::{Error, ErrorKind, Result};

use crate::config::{ConfigError, StorageConfig, StoragePlace};

/// Characters of a location that messages repeat.
const SHOWN_CHARS_MAX: usize = 256;
/// Entries of a directory called `metadata` that are looked at for a table's.
const ENTRIES_MAX: usize = 10_000;
/// What would be a path to somebody who decodes: nobody here does, and nobody later should.
const ENCODED: [&str; 8] = ["%2e", "%2f", "%5c", "%00", "%252e", "%252f", "%255c", "%2500"];

/// The file policy of a server's sessions: nothing, unless configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerFiles {
    allowed: Vec<PathBuf>,
    forbidden: Vec<PathBuf>,
    /// Prefixes of buckets, each with its last slash.
    buckets: Vec<String>,
}

impl ServerFiles {
    /// What `storage` allows. `forbidden` are the data directory, the warehouses and every file of
    /// the configuration that holds a secret; `warehouses` are those in buckets.
    ///
    /// # Errors
    /// For a prefix around or within what is forbidden: a listing would walk into it.
    pub(crate) fn try_new(
        origin: &str,
        storage: &[StorageConfig],
        forbidden: Vec<PathBuf>,
        warehouses: Vec<String>,
    ) -> std::result::Result<Self, ConfigError> {
        let mut files = Self { forbidden, ..Self::default() };
        for store in storage.iter().filter(|store| store.files) {
            let key = format!("storage.{}.prefix", store.name);
            let overlapping = match &store.place {
                StoragePlace::Directory(directory) => {
                    let overlapping = files.overlapping_directory(directory);
                    files.allowed.push(directory.clone());
                    overlapping
                }
                StoragePlace::S3 { prefix, .. } => {
                    let tables = storage.iter().filter(|other| !other.files);
                    let tables = tables.map(StorageConfig::prefix);
                    let overlapping = warehouses
                        .iter()
                        .map(|uri| format!("{}/", uri.trim_end_matches('/')))
                        .chain(tables)
                        .find(|other| other.starts_with(prefix) || prefix.starts_with(other));
                    files.buckets.push(prefix.clone());
                    overlapping
                }
            };
            if let Some(other) = overlapping {
                let problem = format!(
                    "{:?} and {other:?}, which belongs to the server, overlap; accepted: a place of its own",
                    store.prefix()
                );
                return Err(ConfigError::new(origin, key, problem));
            }
        }
        Ok(files)
    }

    fn overlapping_directory(&self, directory: &Path) -> Option<String> {
        let directory = real_path(directory).unwrap_or_else(|| directory.to_path_buf());
        let overlapping = self.forbidden.iter().find(|path| {
            let path = real_path(path).unwrap_or_else(|| (*path).clone());
            path.starts_with(&directory) || directory.starts_with(&path)
        });
        overlapping.map(|path| path.display().to_string())
    }

    fn admits(&self, location: &str) -> bool {
        let lower = location.to_ascii_lowercase();
        let is_plain = !location.contains(|c: char| c.is_control() || c == '\\')
            && !ENCODED.iter().any(|encoded| lower.contains(encoded))
            && location.split('/').all(|part| !matches!(part, "." | ".."));
        if !is_plain {
            return false;
        }
        if !location.starts_with('/') {
            // In a bucket names are compared as they stand: there are no links, and the spellings
            // `s3a://` and `S3://` have no need to be known here. A listing needs the whole prefix.
            return self.buckets.iter().any(|prefix| {
                location.strip_prefix(prefix.as_str()).is_some_and(|rest| !rest.starts_with('/'))
                    || location.strip_suffix('/').unwrap_or(location)
                        == prefix.trim_end_matches('/')
            });
        }
        // A file may have a wildcard's character in its name; a wildcard is answered for by the
        // directory that it begins in, and what it finds is checked again.
        let literal = Path::new(location);
        let Some(fixed) = before_wildcards(location) else { return self.admits_path(literal) };
        let is_there = literal.symlink_metadata().is_ok();
        self.admits_path(fixed) && (!is_there || self.admits_path(literal))
    }

    fn admits_path(&self, path: &Path) -> bool {
        let Some(path) = real_path(path) else { return false };
        let Some(base) =
            self.allowed.iter().filter_map(|d| real_path(d)).find(|d| path.starts_with(d))
        else {
            return false;
        };
        let is_forbidden = self.forbidden.iter().any(|forbidden| {
            let forbidden = real_path(forbidden).unwrap_or_else(|| forbidden.clone());
            path.starts_with(&forbidden) || forbidden.starts_with(&path)
        });
        // A pipe would be waited for, a device read without end.
        let is_ordinary =
            std::fs::metadata(&path).map_or(true, |found| found.is_file() || found.is_dir());
        !is_forbidden && is_ordinary && !is_in_table(&path, &base)
    }
}

impl FilePolicy for ServerFiles {
    fn check(&self, location: &str) -> Result<()> {
        if self.admits(location) {
            return Ok(());
        }
        // The same for what is there and what is not.
        let shown: String = location.chars().take(SHOWN_CHARS_MAX).collect();
        let accepted = if self.allowed.is_empty() && self.buckets.is_empty() {
            "statements reach no files on this server; a [storage.NAME] with files = true lets them"
                .to_owned()
        } else {
            let allowed = self.allowed.iter().map(|d| format!("file://{}/", d.display()));
            let allowed: Vec<String> = allowed.chain(self.buckets.iter().cloned()).collect();
            format!("statements on this server reach files below {} alone", allowed.join(", "))
        };
        Err(Error::new(ErrorKind::PermissionDenied, format!("file {shown:?}: {accepted}")))
    }
}

/// The directory in which the first wildcard stands; `None` without one.
fn before_wildcards(location: &str) -> Option<&Path> {
    let at = location.find(['*', '?', '[', '{'])?;
    let directory = location.get(..at)?.rfind('/')?;
    location.get(..=directory).map(Path::new)
}

/// Whether a directory between `base` and `path` is the location of an Iceberg table.
fn is_in_table(path: &Path, base: &Path) -> bool {
    path.ancestors().take_while(|directory| directory.starts_with(base)).any(|directory| {
        let Ok(entries) = std::fs::read_dir(directory.join("metadata")) else { return false };
        entries.take(ENTRIES_MAX).flatten().any(|entry| {
            entry.file_name().to_str().is_some_and(|name| name.contains(".metadata.json"))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Fixture {
        directory: tempfile::TempDir,
        files: ServerFiles,
    }

    impl Fixture {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path();
            for made in [
                "in/sub",
                "in/table/metadata",
                "in/table/data",
                "lake/warehouse",
                "other",
                "inside",
            ] {
                std::fs::create_dir_all(root.join(made)).unwrap();
            }
            for made in [
                "in/a.csv",
                "in/sub/b.csv",
                "in/odd*name.csv",
                "in/table/metadata/00000-x.metadata.json",
                "in/table/data/x.parquet",
                "lake/seal.key",
                "lake/warehouse/w.parquet",
                "other/canary.csv",
                "inside/canary.csv",
            ] {
                std::fs::write(root.join(made), "canary").unwrap();
            }
            for (to, link) in [
                ("../other/canary.csv", "in/link.csv"),
                ("/etc/passwd", "in/passwd"),
                ("/etc", "in/etc"),
                ("/", "in/root"),
                ("..", "in/up"),
                ("../lake", "in/lake"),
                ("../lake/warehouse", "in/warehouse"),
                ("nothing", "in/dangling"),
                ("circle", "in/circle"),
                ("passwd", "in/second"),
                ("../other", "in/odd?directory"),
                ("sub/b.csv", "in/good-link.csv"),
                ("table", "in/alias-of-table"),
                ("in", "alias"),
            ] {
                symlink(to, root.join(link)).unwrap();
            }
            let files = Self::files(root, &["in"]).unwrap();
            Self { directory, files }
        }

        fn files(root: &Path, allowed: &[&str]) -> std::result::Result<ServerFiles, ConfigError> {
            let storage: Vec<StorageConfig> = allowed
                .iter()
                .map(|d| StorageConfig {
                    name: "x".into(),
                    place: StoragePlace::Directory(root.join(d)),
                    files: true,
                })
                .collect();
            ServerFiles::try_new("fjord.toml", &storage, vec![root.join("lake")], Vec::new())
        }

        fn at(&self, location: &str) -> String {
            location.replace('$', self.directory.path().to_str().unwrap())
        }
    }

    #[test]
    fn g5_no_nasty_location_is_admitted_and_every_refusal_is_alike() {
        let f = Fixture::new();
        let nasty = [
            "/",
            "/etc/passwd",
            "/etc/../etc/passwd",
            "/proc/self/environ",
            "/dev/zero",
            "/dev/stdin",
            "/root/.ssh/id_rsa",
            "$",
            "$/",
            "$/other/canary.csv",
            "$/other/*.csv",
            "$/inside/canary.csv",
            "$/inside",
            "$/in*",
            "$/in?",
            "$/i[n]/a.csv",
            "$/{in,other}/a.csv",
            "$/in/../other/canary.csv",
            "$/in/./a.csv",
            "$/in/..",
            "$/in/.",
            "$/in/sub/../../other/canary.csv",
            "$/in/*/../../other/canary.csv",
            "$/in/link.csv",
            "$/in/passwd",
            "$/in/second",
            "$/in/etc/passwd",
            "$/in/etc/*",
            "$/in/etc",
            "$/in/root/etc/passwd",
            "$/in/root$/in/../other/canary.csv",
            "$/in/up/other/canary.csv",
            "$/in/up",
            "$/in/up/*",
            "$/in/up/in/up/other/canary.csv",
            "$/in/lake/seal.key",
            "$/in/lake",
            "$/in/lake/new.csv",
            "$/in/warehouse/w.parquet",
            "$/in/warehouse/*",
            "$/in/dangling",
            "$/in/dangling/x.csv",
            "$/in/circle",
            "$/in/circle/x",
            "$/in/a.csv/x",
            "$/in/odd?directory",
            "$/in/odd?directory/canary.csv",
            "$/in/table/data/x.parquet",
            "$/in/table",
            "$/in/table/data/new.parquet",
            "$/in/table/metadata/*",
            "$/in/table/metadata/00000-x.metadata.json",
            "$/in/alias-of-table/data/x.parquet",
            "$/lake/warehouse/w.parquet",
            "$/lake/seal.key",
            "$/lake",
            "$/lake/warehouse/**",
            "$/in/%2e%2e/other/canary.csv",
            "$/in/..%2fother/canary.csv",
            "$/in/%2E%2E%2Fother",
            "$/in/..%5cother",
            "$/in/a.csv%00.parquet",
            "$/in/a.csv\0",
            "$/in/a.csv\n",
            "$/in\\..\\other",
            "\\\\host\\share\\x",
            "C:\\x",
            "file:///etc/passwd",
            "file://$/in/a.csv",
            "FILE:///etc/passwd",
            "FILE://$/in/a.csv",
            "file:/etc/passwd",
            "s3://bucket/key",
            "s3a://bucket/key",
            "gs://b/k",
            "http://169.254.169.254/latest/meta-data/",
            "https://example.com/x.csv",
            "ftp://h/x",
            "in/a.csv",
            "../in/a.csv",
            "",
            "~/x.csv",
            "$/IN/a.csv",
            "$/in /a.csv",
            "$/in\u{2044}a.csv",
            "$/in\u{2215}..\u{2215}other",
            "//etc/passwd",
            "$//other//canary.csv",
        ];
        assert!(nasty.len() >= 70, "{}", nasty.len());
        for location in nasty {
            let location = f.at(location);
            let error =
                f.files.check(&location).map(|()| panic!("{location:?} is admitted")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let text = error.to_string();
            let repeated: String = location.chars().take(SHOWN_CHARS_MAX).collect();
            let rest = text.replacen(&format!("{repeated:?}"), "", 1);
            let expected =
                f.at("file : statements on this server reach files below file://$/in/ alone");
            assert_eq!(rest, expected, "{location:?}");
        }
        let long = f.at(&format!("$/in/{}", "x/".repeat(5_000)));
        assert!(f.files.check(&long).is_err() && f.files.check(&"/x".repeat(100_000)).is_err());
    }

    #[test]
    fn what_is_below_a_marked_prefix_is_admitted() {
        let f = Fixture::new();
        for location in [
            "$/in",
            "$/in/",
            "$/in/a.csv",
            "$/in/sub/b.csv",
            "$/in/*.csv",
            "$/in/sub/**",
            "$/in/**/b.csv",
            "$/in/new.csv",
            "$/in/new/directory/x.parquet",
            "$/in/odd*name.csv",
            "$/in/good-link.csv",
            "$/alias/a.csv",
            "$/in//a.csv",
            "$/in/größe 表.csv",
            "$/in/50%.csv",
            "$/in/k=v/x.csv",
        ] {
            let location = f.at(location);
            assert!(f.files.check(&location).is_ok(), "{location}");
        }
    }

    #[test]
    fn nothing_is_admitted_unless_configured() {
        let f = Fixture::new();
        let error = ServerFiles::default().check(&f.at("$/in/a.csv")).unwrap_err().to_string();
        assert!(error.contains("[storage.NAME] with files = true"), "{error}");
        let store = StorageConfig {
            name: "x".into(),
            place: StoragePlace::Directory(f.directory.path().join("in")),
            files: false,
        };
        let files = ServerFiles::try_new("f", &[store], Vec::new(), Vec::new()).unwrap();
        assert!(files.check(&f.at("$/in/a.csv")).is_err());
    }

    #[test]
    fn a_prefix_around_or_within_the_servers_own_is_refused_at_the_start() {
        let f = Fixture::new();
        for prefix in ["lake", "lake/warehouse", "lake/new", "", "in/lake", "in/up"] {
            let error = Fixture::files(f.directory.path(), &[prefix]).unwrap_err().to_string();
            assert!(
                error.starts_with("fjord.toml: storage.x.prefix: ") && error.contains("overlap")
            );
        }
        let files = Fixture::files(f.directory.path(), &["other", "not-there-yet"]).unwrap();
        // What becomes a link into the lake later is refused when it is used.
        symlink("lake", f.directory.path().join("not-there-yet")).unwrap();
        for location in ["$/not-there-yet/seal.key", "$/not-there-yet", "$/not-there-yet/x.csv"] {
            assert!(files.check(&f.at(location)).is_err(), "{location}");
        }
    }

    fn bucket(name: &str, prefix: &str, files: bool) -> StorageConfig {
        let credentials = fjord_catalog::storage::s3::S3Credentials::Anonymous;
        let options = fjord_catalog::storage::s3::S3Options::new("lake", credentials);
        let place = StoragePlace::S3 { prefix: prefix.into(), options: Box::new(options) };
        StorageConfig { name: name.into(), place, files }
    }

    #[test]
    fn g5_of_a_bucket_only_what_is_below_a_marked_prefix_is_admitted() {
        let storage = [bucket("in", "s3://lake/in/", true), bucket("w", "s3://lake/w/", false)];
        let files = ServerFiles::try_new("f", &storage, Vec::new(), Vec::new()).unwrap();
        for location in
            ["s3://lake/in/", "s3://lake/in", "s3://lake/in/a.csv", "s3://lake/in/k=v/*.csv"]
        {
            files.check(location).unwrap();
        }
        for location in [
            "s3://lake/w/t/data/x.parquet",
            "s3://lake/",
            "s3://lake",
            "s3://lake/*",
            "s3://lake/in*",
            "s3://lake/i[n]/a.csv",
            "s3://*/in/a.csv",
            "s3://lake/inside/a.csv",
            "s3://lake/in/../w/x",
            "s3://lake/in/./a",
            "s3://lake/in/%2e%2e/w/x",
            "s3://lake/in/..%2fw",
            "s3://lake/in\\..\\w",
            "s3://lake/in/a\0",
            "s3://lake/in//w/x",
            "s3a://lake/in/a.csv",
            "S3://lake/in/a.csv",
            "s3://LAKE/in/a.csv",
            "s3://lake.in/a.csv",
            "s3://key:secret@lake/in/a.csv",
            "s3://lake:9000/in/a.csv",
            "s3://other/in/a.csv",
            "http://lake/in/a.csv",
            "https://lake.s3.amazonaws.com/in/a.csv",
            "http://169.254.169.254/latest/meta-data/",
            "/lake/in/a.csv",
        ] {
            let error = files.check(location).map(|()| panic!("{location} is admitted"));
            assert_eq!(error.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn a_prefix_of_a_bucket_that_overlaps_tables_is_refused_at_the_start() {
        for (exchange, tables) in
            [("s3://lake/", "s3://lake/w"), ("s3://lake/w/in/", "s3://lake/w/")]
        {
            let marked = bucket("x", exchange, true);
            let warehouse = vec![tables.to_owned()];
            let storage = [marked.clone()];
            assert!(ServerFiles::try_new("f", &storage, Vec::new(), warehouse).is_err());
            let storage =
                [marked, bucket("y", &format!("{}/", tables.trim_end_matches('/')), false)];
            let error = ServerFiles::try_new("f", &storage, Vec::new(), Vec::new()).unwrap_err();
            assert!(error.to_string().contains("storage.x.prefix"), "{error}");
        }
        let storage = [bucket("x", "s3://lake/in/", true), bucket("y", "s3://lake/inside/", false)];
        ServerFiles::try_new("f", &storage, Vec::new(), Vec::new()).unwrap();
    }

    #[test]
    fn a_pipe_is_not_a_file() {
        let f = Fixture::new();
        let socket = f.directory.path().join("in/socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(f.files.check(&f.at("$/in/socket")).is_err());
    }
}
