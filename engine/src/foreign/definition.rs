//! What defines a catalog: its kind, its options, and where its secrets are taken from.

use std::collections::BTreeMap;
use std::time::Duration;

use fjord_connectors::connector::{Connector, ConnectorKind, ConnectorOptions, Secret};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::reference::SecretReference;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::quote::{quote_name, quote_text};

/// How old what is known of schemas and tables may be, unless an option of the connector says so.
pub const METADATA_TTL: Duration = Duration::from_secs(60);

/// The most options of a catalog.
const OPTIONS_MAX: usize = 64;

/// The longest value of an option in bytes.
const OPTION_BYTES_MAX: usize = 4_096;

/// Parts of an option's name that make it a secret.
const SECRET_PARTS: [&str; 4] = ["password", "passwd", "secret", "token"];

/// A catalog as CREATE CATALOG defines it. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogDefinition {
    /// The first part of three-part names.
    pub name: String,
    /// The kind of database: `postgres`.
    pub kind: String,
    /// The options, keys in lower case.
    pub options: BTreeMap<String, String>,
    /// Where its secrets are, by option.
    pub secrets: BTreeMap<String, SecretReference>,
}

impl CatalogDefinition {
    /// Refuses what is no catalog's name, and secrets that stand where they would be kept.
    ///
    /// # Errors
    /// `Invalid`, saying what to write; it never repeats a value.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        let named =
            |problem: String| Error::invalid(format!("catalog \"{}\": {problem}", self.name));
        if self.options.len() + self.secrets.len() > OPTIONS_MAX {
            return Err(named(format!("it has more than {OPTIONS_MAX} options")));
        }
        for (key, value) in &self.options {
            if is_secret(key) {
                return Err(named(format!(
                    "a value of {key} would be kept as it is: write {key} = env('SALES_PASSWORD') \
                     or {key} = file('/path/of/a/file') instead"
                )));
            }
            if value.len() > OPTION_BYTES_MAX {
                return Err(named(format!("{key} is longer than {OPTION_BYTES_MAX} bytes")));
            }
            if holds_password(value) {
                return Err(named(format!(
                    "{key} holds a password, which would be kept as it is: take it out and write \
                     password = env('SALES_PASSWORD') or password = file('/path/of/a/file') beside it"
                )));
            }
        }
        self.secrets.values().try_for_each(SecretReference::check)
    }

    /// Opens it; nothing is asked of the database.
    ///
    /// # Errors
    /// The connector's own, for options that it does not know or misses.
    pub(crate) fn open(
        &self,
        kind: &dyn ConnectorKind,
        secret: impl Fn(&SecretReference) -> Result<String>,
    ) -> Result<Arc<dyn Connector>> {
        let options = self.options.clone();
        let mut secrets = BTreeMap::new();
        for (key, reference) in &self.secrets {
            let secret = Secret { value: secret(reference)?, reference: reference.to_string() };
            secrets.insert(key.clone(), secret);
        }
        let catalog = self.name.clone();
        let options = ConnectorOptions { catalog, options, secrets, metadata_ttl: METADATA_TTL };
        kind.open(options).map_err(|e| Error::from(&e))
    }

    /// The statement that makes it again.
    pub fn to_sql(&self) -> String {
        let options = self.options.iter().map(|(key, value)| (key, quote_text(value)));
        let secrets = self.secrets.iter().map(|(key, reference)| (key, reference.to_string()));
        create_sql(&self.name, &self.kind, options.chain(secrets))
    }
}

/// `CREATE CATALOG` with options whose values are SQL already.
pub(crate) fn create_sql<'a>(
    name: &str,
    kind: &str,
    options: impl Iterator<Item = (&'a String, String)>,
) -> String {
    let options: Vec<String> =
        options.map(|(key, value)| format!("   {} = {value}", quote_name(key))).collect();
    let sql = format!("CREATE CATALOG {} USING {}", quote_name(name), quote_name(kind));
    match options.as_slice() {
        [] => sql,
        options => format!("{sql} WITH (\n{}\n)", options.join(",\n")),
    }
}

/// Refuses what no statement could name, or what is a catalog's name already.
fn check_name(name: &str) -> Result<()> {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 64;
    let is_taken = ["information_schema", "system"].iter().any(|s| name.eq_ignore_ascii_case(s));
    if is_plain && !is_taken {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "{shown:?} cannot be a catalog's name: it is up to 64 letters, digits and underscores, \
             a letter first, and neither information_schema nor system"
        ),
    ))
}

/// Whether the option of that name is a secret, whatever database it is for.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_PARTS.iter().any(|part| key.contains(part))
}

/// Whether a URL or a list of parameters holds a password.
pub fn holds_password(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    // As a query parameter, or in a list such as `host=h password=p`, be it percent-encoded.
    let named = lower.replace("%3d", "=").replace([' ', '\t'], "");
    if named.contains("password=") || named.contains("passwd=") {
        return true;
    }
    let Some((_, rest)) = text.split_once("://") else { return false };
    // What stands between ':' and the last '@' before the path; a password may hold a slash itself.
    let Some(at) = rest.rfind('@') else { return false };
    rest.get(..at).is_some_and(|user| user.contains(':') && !user.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(key: &str, value: &str) -> CatalogDefinition {
        CatalogDefinition {
            name: "sales".to_owned(),
            kind: "postgres".to_owned(),
            options: [(key.to_owned(), value.to_owned())].into(),
            secrets: [("password".to_owned(), SecretReference::Env("S_PASSWORD".to_owned()))]
                .into(),
        }
    }

    #[test]
    fn a_secret_that_would_be_kept_is_refused_and_not_repeated() {
        for (key, value) in [
            ("password", "canary"),
            ("PASSWORD", "canary"),
            ("ssl_secret", "canary"),
            ("url", "postgres://u:canary@h/d"),
            ("url", "postgres://u:can/ary@h/d"),
            ("url", "postgres://h/d?password=canary"),
            ("url", "postgres://h/d?PASSWORD%3Dcanary"),
            ("url", "host=h password = canary"),
        ] {
            let e = definition(key, value).check().unwrap_err().to_string();
            assert!(e.contains("env('SALES_PASSWORD')") && !e.contains("canary"), "{e}");
        }
        definition("url", "postgres://u@h:5432/d?sslmode=verify-full").check().unwrap();
        definition("url", "postgres://h:5432/d").check().unwrap();
    }

    #[test]
    fn what_is_shown_makes_the_same_catalog_again() {
        assert_eq!(
            definition("url", "postgres://o'hara@h/d").to_sql(),
            "CREATE CATALOG sales USING postgres WITH (\n   url = 'postgres://o''hara@h/d',\n   \
             password = env('S_PASSWORD')\n)"
        );
    }
}
