//! `[storage.NAME]`: directories, and whether a server's statements may name files there.

use std::path::PathBuf;

use toml::Table;

use super::error::ConfigError;
use super::reader::{Section, join};

/// The most sections.
const STORAGE_MAX: usize = 256;
const ACCEPTED: &str = "an absolute directory that ends in '/', such as \"file:///srv/exchange/\"";

/// One `[storage.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// The section's name.
    pub name: String,
    /// A local directory, absolute, without `.` and `..`.
    pub directory: PathBuf,
    /// May `read_*` and COPY use it?
    pub files: bool,
}

pub(super) fn parse(
    file: &str,
    sections: Vec<(String, Table)>,
) -> Result<Vec<StorageConfig>, ConfigError> {
    if sections.len() > STORAGE_MAX {
        let problem = format!("found {} sections; accepted: at most {STORAGE_MAX}", sections.len());
        return Err(ConfigError::new(file, "storage", problem));
    }
    sections.into_iter().map(|(name, table)| parse_one(file, name, table)).collect()
}

fn parse_one(file: &str, name: String, table: Table) -> Result<StorageConfig, ConfigError> {
    let path = join("storage", &name);
    if let Some(toml::Value::String(prefix)) = table.get("prefix")
        && let Some((scheme, _)) = prefix.split_once("://")
        && scheme != "file"
    {
        let problem = format!(
            "object stores are not in this version: found a prefix on {scheme:?}; accepted: {ACCEPTED}"
        );
        return Err(ConfigError::new(file, path, problem));
    }
    let mut section = Section::new(file, path, table, &["files", "prefix"])?;
    let prefix = section.text("prefix")?;
    let Some(prefix) = prefix else {
        return Err(section.error("prefix", format!("is missing; accepted: {ACCEPTED}")));
    };
    let Some(directory) = directory(&prefix) else {
        return Err(section.error("prefix", format!("found {prefix:?}; accepted: {ACCEPTED}")));
    };
    let files = section.boolean("files")?.unwrap_or(false);
    Ok(StorageConfig { name, directory, files })
}

fn directory(prefix: &str) -> Option<PathBuf> {
    let path = prefix.strip_prefix("file://").unwrap_or(prefix);
    // Not the root: that would be every file of the machine.
    let inside = path.strip_prefix('/')?.strip_suffix('/')?;
    let is_plain = inside.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !inside.contains(|c: char| c.is_control() || matches!(c, '*' | '?' | '[' | '{'));
    is_plain.then(|| PathBuf::from(format!("/{inside}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn local_directories_are_accepted_and_everything_else_says_why_not() {
        let config =
            parse(b"[storage.x]\nprefix = \"file:///srv/in/\"\nfiles = true", "f").unwrap();
        let expected = StorageConfig { name: "x".into(), directory: "/srv/in".into(), files: true };
        assert_eq!(config.storage, [expected]);
        let config = parse(b"[storage.x]\nprefix = \"/srv/in/\"", "f").unwrap();
        assert!(!config.storage[0].files);
        for prefix in
            ["/", "file:///", "/a", "a/", "/a/../b/", "/a//b/", "/a/*/", "file://host/", "/a\u{0}/"]
        {
            let text = format!("[storage.x]\nprefix = {}", toml::Value::from(prefix));
            let error = parse(text.as_bytes(), "f").unwrap_err().to_string();
            assert!(error.contains("storage.x.prefix: found"), "{prefix}: {error}");
        }
        for (text, expected) in [
            ("[storage.x]", "storage.x.prefix: is missing"),
            ("[storage.x]\nprefix = \"/a/\"\nfiles = 1", "storage.x.files: found the number 1"),
            ("[storage.x]\nprefix = \"/a/\"\nendpoint = \"e\"", "storage.x.endpoint: unknown key"),
            (
                "[storage.x]\nprefix = \"s3://b/\"\nendpoint = \"e\"",
                "object stores are not in this version",
            ),
        ] {
            let error = parse(text.as_bytes(), "f").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
