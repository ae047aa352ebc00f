//! Names of namespaces, tables and views, checked where they enter.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The longest level or object name in bytes: SQLite's layout declares 255.
const NAME_BYTES_MAX: usize = 255;

/// A schema in SQL's terms: one or more levels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Vec<String>);

impl Namespace {
    /// A namespace of the given levels.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty list or a level that [`check_name`] refuses. A dot inside a
    /// level is refused too: catalogs join levels with dots, so `["a.b"]` would be `["a", "b"]`.
    pub fn new(levels: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let levels: Vec<String> = levels.into_iter().map(Into::into).collect();
        if levels.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "a schema needs a name"));
        }
        for level in &levels {
            check_name("schema", level)?;
            if level.contains('.') {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!(
                        "schema level {level:?} contains a dot, which catalogs cannot keep apart from a nested schema"
                    ),
                ));
            }
        }
        Ok(Self(levels))
    }

    /// The dotted form that the SQL catalog layout and our three-part names use.
    pub fn parse(dotted: &str) -> Result<Self> {
        Self::new(dotted.split('.'))
    }

    /// The levels, outermost first.
    pub fn levels(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A table or view within one catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The schema it lives in.
    pub namespace: Namespace,
    /// Its own name, in the spelling that is stored.
    pub name: String,
}

impl TableName {
    /// A checked name.
    ///
    /// # Errors
    /// `InvalidArgument` as [`check_name`] says.
    pub fn new(namespace: Namespace, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        check_name("table", &name)?;
        Ok(Self { namespace, name })
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

/// Refuses names that could not round-trip through every catalog and file system.
///
/// # Errors
/// `InvalidArgument` for an empty name, `.`/`..`, path separators, `%`-escapes of them, control
/// characters, or more than 255 bytes.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "is longer than 255 bytes"
    } else if name == "." || name == ".." || name == "*" {
        "is reserved"
    } else if name.contains(['/', '\\']) {
        "contains a path separator"
    } else if name.chars().any(char::is_control) {
        "contains a control character"
    } else if has_escaped_separator(name) {
        "contains an encoded path separator"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(64).collect();
    Err(Error::new(ErrorKind::InvalidArgument, format!("{what} name {shown:?} {problem}")))
}

fn has_escaped_separator(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["%2f", "%5c", "%2e%2e", "%00"].iter().any(|escape| lower.contains(escape))
}
