//! Where a secret is taken from: a variable or a file, never the statement itself.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::sql::quote::quote_text;

/// The longest name of a variable, and the longest path, in bytes.
const REFERENCE_BYTES_MAX: usize = 1_024;

/// What the name of a variable that a statement may read contains.
const VARIABLE_PART: &str = "PASSWORD";

/// What the names of the process's own variables begin with.
const OWN_PREFIX: &str = "FJORD_";

/// Where a secret is taken from, as SQL writes it: `env('SALES_PASSWORD')`, `file('/run/secrets/x')`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretReference {
    /// A variable of the process.
    Env(String),
    /// The only line of a file.
    File(String),
}

impl SecretReference {
    /// A reference that a statement may make. A statement's author chooses where the secret is sent,
    /// so it must not reach whatever the process knows: variables are passwords by their name, and
    /// files are named from the root. What a file must be like, [`CatalogHome::secret`] says.
    ///
    /// [`CatalogHome::secret`]: super::CatalogHome::secret
    ///
    /// # Errors
    /// `Invalid`, saying what is accepted.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Env(name) => {
                let is_name = name.len() <= REFERENCE_BYTES_MAX
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    && !name.starts_with(|c: char| c.is_ascii_digit());
                let upper = name.to_ascii_uppercase();
                if !is_name || !upper.contains(VARIABLE_PART) || upper.starts_with(OWN_PREFIX) {
                    return Err(Error::invalid(format!(
                        "{self}: a statement may take a secret from variables whose name contains \
                         {VARIABLE_PART} and does not begin with {OWN_PREFIX}, as \
                         env('SALES_PASSWORD'); any other is for the configuration file"
                    )));
                }
                Ok(())
            }
            Self::File(path) => {
                let is_plain = path.len() <= REFERENCE_BYTES_MAX
                    && Path::new(path).is_absolute()
                    && !path.split('/').any(|part| part == "..")
                    && !path.chars().any(char::is_control);
                if !is_plain {
                    return Err(Error::invalid(format!(
                        "{self}: write the whole path of the file, from / on and without .."
                    )));
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shorten = |text: &str| text.chars().take(REFERENCE_BYTES_MAX).collect::<String>();
        match self {
            Self::Env(name) => write!(f, "env({})", quote_text(&shorten(name))),
            Self::File(path) => write!(f, "file({})", quote_text(&shorten(path))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_reads_variables_that_are_passwords_and_files_by_their_whole_path() {
        let env = |name: &str| SecretReference::Env(name.to_owned());
        let file = |path: &str| SecretReference::File(path.to_owned());
        for fine in [env("SALES_PASSWORD"), env("pgpassword"), file("/run/secrets/sales")] {
            fine.check().unwrap();
        }
        for refused in [
            env("PATH"),
            env("AWS_SECRET_ACCESS_KEY"),
            env("FJORD_PASSWORD"),
            env("fjord_password"),
            env("A PASSWORD"),
            env("PASSWORD=x"),
            env(""),
            file("secret"),
            file("../secret"),
            file("/run/../etc/shadow"),
            file("/run/a\0b"),
            file(""),
        ] {
            let e = refused.check().unwrap_err().to_string();
            assert!(e.contains("env('SALES_PASSWORD')") || e.contains("whole path"), "{e}");
        }
        assert_eq!(file("/a'b").to_string(), "file('/a''b')");
    }
}
