//! Secrets by reference: `{ env = "NAME" }` or `{ file = "PATH" }`, never a value in the file.

use std::io::Read;

use fjord_catalog::secret::Secret;
use toml::{Table, Value};

use super::environment;
use super::error::ConfigError;
use super::reader::Section;

/// The largest secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;
pub(super) const ACCEPTED: &str = "{ env = \"VARIABLE\" } or { file = \"PATH\" }";

impl Section<'_> {
    /// A secret that the file refers to.
    pub(super) fn secret(&mut self, key: &str) -> Result<Option<Secret>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Table(reference)) => {
                let value = resolve(&reference).map_err(|problem| self.error(key, problem))?;
                Ok(Some(Secret::new(value)))
            }
            // What was found is not repeated: it may be the secret.
            Some(_) => {
                let problem = format!(
                    "found a value, and secrets do not stand in this file; accepted: {ACCEPTED}"
                );
                Err(self.error(key, problem))
            }
        }
    }

    /// Something that is no secret by itself and often comes with one: a value or a reference.
    pub(super) fn text_or_secret(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.peek(key) {
            Some(Value::String(_)) => self.text(key),
            _ => Ok(self.secret(key)?.map(|secret| secret.expose().to_owned())),
        }
    }
}

pub(super) fn resolve(reference: &Table) -> Result<String, String> {
    let mut entries = reference.iter();
    match (entries.next(), entries.next()) {
        (Some((kind, Value::String(name))), None) if kind == "env" => {
            let value = environment::variable(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("the variable {name:?} is not set, or empty"))
        }
        (Some((kind, Value::String(path))), None) if kind == "file" => read(path),
        _ => Err(format!("found another reference; accepted: {ACCEPTED}")),
    }
}

/// The first line of a file: editors end files with a line break.
fn read(path: &str) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("the file {path:?} cannot be read: {e}");
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("the file {path:?} is larger than {SECRET_BYTES_MAX} bytes"));
    }
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(format!("the first line of the file {path:?} is empty"));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<Option<Secret>, ConfigError> {
        let table: Table = text.parse().unwrap();
        Section::new("f", "storage.x", table, &["s"]).unwrap().secret("s")
    }

    #[test]
    fn references_are_followed_and_values_refused_without_repeating_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "a secret\n").unwrap();
        let text = format!("s = {{ file = {:?} }}", path.display().to_string());
        assert_eq!(secret(&text).unwrap().unwrap().expose(), "a secret");
        let home = environment::variable("PATH").unwrap();
        assert_eq!(secret("s = { env = \"PATH\" }").unwrap().unwrap().expose(), home);
        assert!(secret("").unwrap().is_none());
        std::fs::write(&path, "\n").unwrap();
        for (text, expected) in [
            ("s = \"canary\"", "secrets do not stand in this file"),
            ("s = 7", "secrets do not stand in this file"),
            ("s = { env = \"FJORD_NO_SUCH_VARIABLE\" }", "is not set"),
            ("s = { file = \"/no/such/file\" }", "cannot be read"),
            ("s = { env = \"A\", file = \"canary\" }", "accepted: { env"),
            ("s = { value = \"canary\" }", "accepted: { env"),
            ("s = {}", "accepted: { env"),
            (text.as_str(), "is empty"),
        ] {
            let error = secret(text).unwrap_err().to_string();
            assert!(error.starts_with("f: storage.x.s: ") && error.contains(expected), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
