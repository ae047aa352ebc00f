//! Catalogs that statements made, in one file of the data directory, and the secrets they refer to.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use fjord_engine::foreign::{CatalogDefinition, CatalogHome, SecretReference};
use fjord_engine::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::config::environment::variable;

/// The file, below the data directory.
const FILE: &str = "catalogs.json";
/// Who holds it locked may write the file.
const LOCK: &str = "catalogs.lock";
/// The form of the file.
const VERSION: u32 = 1;
/// The largest file.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The longest secret: a password, not a document.
const SECRET_BYTES_MAX: u64 = 1_024;

/// The definitions of one data directory. Several processes may use it.
#[derive(Clone, Debug)]
pub(crate) struct KeptCatalogs {
    data_dir: PathBuf,
    /// Files of the process, which are no database's passwords.
    own: Vec<PathBuf>,
}

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    catalogs: Vec<CatalogDefinition>,
}

impl KeptCatalogs {
    /// Those of `data_dir`, which exists and is written without links on the way.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), own: Vec::new() }
    }

    /// The same, where `own` are files that the process keeps secrets of its own in.
    #[must_use]
    pub(crate) fn beside(mut self, own: Vec<PathBuf>) -> Self {
        self.own = own;
        self
    }

    fn path(&self) -> PathBuf {
        self.data_dir.join(FILE)
    }

    fn failed(&self, what: &str, e: &std::io::Error) -> Error {
        let path = self.path();
        Error::new(ErrorKind::Unavailable, format!("file {:?} {what}: {e}", path.display()))
    }

    /// Reads, changes and writes, while no other process does.
    fn change(&self, change: impl FnOnce(&mut Vec<CatalogDefinition>) -> Result<()>) -> Result<()> {
        let unlocked = |e: std::io::Error| self.failed("cannot be locked", &e);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.data_dir.join(LOCK))
            .map_err(unlocked)?;
        lock.lock().map_err(unlocked)?;
        let mut catalogs = self.definitions()?;
        change(&mut catalogs)?;
        catalogs.sort_by(|a, b| a.name.cmp(&b.name));
        self.write(catalogs).map_err(|e| self.failed("cannot be written", &e))
        // The lock ends with its file.
    }

    /// Puts a new file in the place of the old: a reader sees one or the other, whole.
    fn write(&self, catalogs: Vec<CatalogDefinition>) -> std::io::Result<()> {
        let document = Document { version: VERSION, catalogs };
        let new = self.data_dir.join(format!("{FILE}.{}.new", std::process::id()));
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(serde_json::to_string_pretty(&document)?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, self.path())?;
        File::open(&self.data_dir)?.sync_all()
    }

    /// The only line of a file that is like a secret's: small, and nobody's but its owner's and
    /// group's. Whatever else a process can read is not sent to wherever a statement says.
    fn secret_in(&self, path: &str) -> std::result::Result<String, String> {
        let failed = |e: std::io::Error| format!("the file cannot be read: {e}");
        let real = std::fs::canonicalize(path).map_err(failed)?;
        if real.starts_with(&self.data_dir) {
            return Err("it lies in the data directory".to_owned());
        }
        if self.own.iter().any(|own| std::fs::canonicalize(own).is_ok_and(|own| own == real)) {
            return Err("it is a file of this server's own".to_owned());
        }
        let file = File::open(&real).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err("it is not a file".to_owned());
        }
        if metadata.mode() & 0o007 != 0 {
            return Err("everybody may read it, and it is no secret: chmod o-rwx it".to_owned());
        }
        let mut bytes = Vec::new();
        file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > SECRET_BYTES_MAX {
            return Err(format!("it is larger than {SECRET_BYTES_MAX} bytes"));
        }
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.chars().any(char::is_control) {
            return Err("it does not hold one line of text and nothing else".to_owned());
        }
        Ok(line.to_owned())
    }
}

impl CatalogHome for KeptCatalogs {
    fn secret(&self, reference: &SecretReference) -> Result<String> {
        reference.check()?;
        let value = match reference {
            SecretReference::Env(name) => match variable(name) {
                Some(value) if value.len() as u64 > SECRET_BYTES_MAX => {
                    Err(format!("it is longer than {SECRET_BYTES_MAX} bytes"))
                }
                Some(value) if !value.is_empty() => Ok(value),
                _ => Err("the variable is not set in this process, or empty".to_owned()),
            },
            SecretReference::File(path) => self.secret_in(path),
        };
        value.map_err(|problem| Error::invalid(format!("{reference}: {problem}")))
    }

    fn definitions(&self) -> Result<Vec<CatalogDefinition>> {
        let file = match File::open(self.path()) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(self.failed("cannot be read", &e)),
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|e| self.failed("cannot be read", &e))?;
        let corrupt = |problem: String| {
            let path = self.path();
            let message = format!("file {:?}: {problem}", path.display());
            Error::new(ErrorKind::Corrupt, message)
        };
        let document: Document =
            serde_json::from_str(&text).map_err(|e| corrupt(format!("it is damaged: {e}")))?;
        if document.version != VERSION {
            let found = document.version;
            return Err(corrupt(format!("it has form {found}; this version knows {VERSION}")));
        }
        Ok(document.catalogs)
    }

    fn add(&self, definition: &CatalogDefinition) -> Result<()> {
        self.change(|catalogs| {
            if catalogs.iter().any(|c| c.name.eq_ignore_ascii_case(&definition.name)) {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!(
                        "catalog \"{}\" was made by another process of this data directory",
                        definition.name
                    ),
                ));
            }
            catalogs.push(definition.clone());
            Ok(())
        })
    }

    fn replace(&self, definition: &CatalogDefinition) -> Result<()> {
        self.change(|catalogs| {
            let same = |c: &&mut CatalogDefinition| c.name.eq_ignore_ascii_case(&definition.name);
            match catalogs.iter_mut().find(same) {
                Some(before) => {
                    *before = definition.clone();
                    Ok(())
                }
                None => Err(Error::new(
                    ErrorKind::NotFound,
                    format!("catalog \"{}\" was dropped by another process", definition.name),
                )),
            }
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.change(|catalogs| {
            catalogs.retain(|c| !c.name.eq_ignore_ascii_case(name));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn definition(name: &str) -> CatalogDefinition {
        CatalogDefinition {
            name: name.to_owned(),
            kind: "postgres".to_owned(),
            options: [("url".to_owned(), "postgres://h/d".to_owned())].into(),
            secrets: [("password".to_owned(), SecretReference::Env("X_PASSWORD".to_owned()))]
                .into(),
        }
    }

    #[test]
    fn definitions_outlive_the_process_and_hold_references_alone() {
        let directory = tempfile::tempdir().unwrap();
        let kept = KeptCatalogs::new(directory.path());
        assert!(kept.definitions().unwrap().is_empty());
        kept.add(&definition("b")).unwrap();
        kept.add(&definition("a")).unwrap();
        assert_eq!(kept.add(&definition("A")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let changed = CatalogDefinition { options: [].into(), ..definition("b") };
        kept.replace(&changed).unwrap();
        kept.remove("nothing").unwrap();
        let again = KeptCatalogs::new(directory.path());
        assert_eq!(again.definitions().unwrap(), [definition("a"), changed]);
        kept.remove("a").unwrap();
        assert_eq!(again.definitions().unwrap().len(), 1);
        assert_eq!(again.replace(&definition("a")).unwrap_err().kind(), ErrorKind::NotFound);
        let mode = std::fs::metadata(kept.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(kept.path(), "{\"version\": 1, \"catalogs\": [").unwrap();
        assert_eq!(kept.definitions().unwrap_err().kind(), ErrorKind::Corrupt);
        std::fs::write(kept.path(), "{\"version\": 9, \"catalogs\": []}").unwrap();
        assert!(kept.definitions().unwrap_err().to_string().contains("form 9"));
    }

    #[test]
    fn many_processes_lose_no_definition() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for i in 0..8 {
                let kept = KeptCatalogs::new(directory.path());
                scope.spawn(move || kept.add(&definition(&format!("c{i}"))).unwrap());
            }
        });
        assert_eq!(KeptCatalogs::new(directory.path()).definitions().unwrap().len(), 8);
    }

    #[test]
    fn a_file_that_is_not_like_a_secret_is_not_read_out() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = std::fs::canonicalize(directory.path()).unwrap().join("data");
        std::fs::create_dir(&data_dir).unwrap();
        let kept = KeptCatalogs::new(&data_dir);
        let put = |name: &str, bytes: &[u8], mode: u32| {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            SecretReference::File(path.display().to_string())
        };
        let own = put("own", b"canary", 0o600);
        let kept = kept.beside(vec![directory.path().join("own"), "/no/such/file".into()]);
        let fine = put("fine", b"a s3cret\n", 0o640);
        assert_eq!(kept.secret(&fine).unwrap(), "a s3cret");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("fine"), &link).unwrap();
        kept.secret(&SecretReference::File(link.display().to_string())).unwrap();
        for (reference, part) in [
            (put("open", b"canary", 0o644), "chmod"),
            (put("lines", b"canary\ncanary\n", 0o600), "one line"),
            (put("nul", b"canary\0x", 0o600), "one line"),
            (put("binary", b"canary\xff", 0o600), "UTF-8"),
            (put("empty", b"\n", 0o600), "one line"),
            (put("large", &[b'c'; 1_025], 0o600), "larger"),
            (own, "of this server's own"),
            (put("data/seal", b"canary", 0o600), "data directory"),
            (SecretReference::File("/dev/null".to_owned()), "not a file"),
            (SecretReference::File("/proc/self/environ".to_owned()), "/proc/self/environ"),
            (SecretReference::File("/no/such/file".to_owned()), "cannot be read"),
            (SecretReference::File(directory.path().display().to_string()), "file"),
            (SecretReference::Env("NO_SUCH_PASSWORD".to_owned()), "not set"),
            (SecretReference::Env("PATH".to_owned()), "contains PASSWORD"),
        ] {
            let e = kept.secret(&reference).unwrap_err().to_string();
            assert!(e.contains(part) && !e.contains("canary"), "{reference}: {e}");
        }
    }
}
