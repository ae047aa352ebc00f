//! `[catalog.NAME]` of a live database: options as its connector takes them, secrets by reference.

use std::collections::BTreeMap;

use fjord_catalog::secret::Secret;
use fjord_engine::foreign::SecretReference;
use fjord_engine::foreign::definition::{holds_password, is_secret};
use toml::{Table, Value};

use super::error::ConfigError;
use super::reader::join;
use super::secret;

/// A database to mount, its secrets resolved. Which options there are, the connector says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// The kind: `postgres`.
    pub kind: String,
    /// The options, keys in lower case.
    pub options: BTreeMap<String, String>,
    /// The secrets, and how each is shown.
    pub secrets: BTreeMap<String, (Secret, String)>,
}

/// Takes every key of the section `path`.
///
/// # Errors
/// For a value that is neither a string, a number, a flag nor a reference; for a password that
/// stands in the file, which is not repeated.
pub(super) fn parse(
    file: &str,
    path: &str,
    kind: &str,
    table: Table,
) -> Result<DatabaseConfig, ConfigError> {
    let mut config = DatabaseConfig {
        kind: kind.to_owned(),
        options: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    for (key, value) in table {
        let error = |problem: String| ConfigError::new(file, join(path, &key), problem);
        let name = key.to_lowercase();
        let text = match value {
            Value::Table(reference) => {
                let value = secret::resolve(&reference).map_err(error)?;
                let shown = shown(&reference).to_string();
                config.secrets.insert(name, (Secret::new(value), shown));
                continue;
            }
            _ if is_secret(&name) => {
                return Err(error(format!(
                    "found a value, and secrets do not stand in this file; accepted: {}",
                    secret::ACCEPTED
                )));
            }
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            Value::Float(_) | Value::Datetime(_) | Value::Array(_) => {
                return Err(error(
                    "found another kind of value; accepted: a string, a whole number, true or false"
                        .to_owned(),
                ));
            }
        };
        if holds_password(&text) {
            return Err(error(format!(
                "it holds a password, and secrets do not stand in this file; accepted: no password \
                 here, and password = {} beside it",
                secret::ACCEPTED
            )));
        }
        config.options.insert(name, text);
    }
    Ok(config)
}

/// How a reference is shown.
fn shown(reference: &Table) -> SecretReference {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match reference.iter().next() {
        Some((kind, value)) if kind == "file" => SecretReference::File(text(value)),
        Some((_, value)) => SecretReference::Env(text(value)),
        None => SecretReference::Env(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<DatabaseConfig, String> {
        let table: Table = text.parse().unwrap();
        parse("f", "catalog.x", "postgres", table).map_err(|e| e.to_string())
    }

    #[test]
    fn options_are_texts_and_secrets_come_by_reference() {
        let config = parsed(
            "url = 'postgres://me@h/d'\nPool_Size = 4\npass_through = true\n\
             password = { env = 'PATH' }",
        )
        .unwrap();
        assert_eq!(config.options["pool_size"], "4");
        assert_eq!(config.options["pass_through"], "true");
        assert_eq!(config.secrets["password"].1, "env('PATH')");
        let path = super::super::environment::variable("PATH").unwrap();
        assert!(!format!("{config:?}").contains(&path));
        for (text, expected) in [
            ("password = 'canary'", "f: catalog.x.password: found a value, and secrets do not"),
            ("password = 7", "secrets do not stand in this file"),
            ("url = 'postgres://me:canary@h/d'", "f: catalog.x.url: it holds a password"),
            ("url = 'postgres://me@h/d?password=canary'", "it holds a password"),
            ("url = ['canary']", "another kind of value"),
            ("password = { env = 'FJORD_NO_SUCH_VARIABLE' }", "is not set"),
            ("password = { value = 'canary' }", "accepted: { env"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("canary"), "{text}: {error}");
        }
    }
}
