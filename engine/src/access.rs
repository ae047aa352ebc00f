//! The port for authorisation: who may read, write or administer what. Knows no user and no role.

use std::fmt;

use crate::error::Result;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// See rows, columns and metadata.
    Read,
    /// Change rows, or what the catalog says of tables, views and schemas.
    Write,
    /// Decide where files lie, and everything that nobody else may.
    Admin,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "administer",
        })
    }
}

/// To what: a catalog, a schema, or a table or view. Names may be in any case: a policy compares
/// them as catalogs do, by their lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessObject<'a> {
    /// The mounted catalog.
    pub catalog: &'a str,
    /// Dotted when nested; `None`: the catalog itself.
    pub schema: Option<&'a str>,
    /// A table or view; `None`: the schema itself.
    pub table: Option<&'a str>,
}

impl fmt::Display for AccessObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.catalog)?;
        for part in [self.schema, self.table].into_iter().flatten() {
            write!(f, ".{part}")?;
        }
        Ok(())
    }
}

/// One user's rights. Asked for every statement, at every execution: an answer that changes takes
/// effect at once.
pub trait AccessPolicy: fmt::Debug + Send + Sync {
    /// Refuses with `PermissionDenied`, naming the object and what is missing, or lets it pass.
    fn check(&self, privilege: Privilege, object: &AccessObject<'_>) -> Result<()>;

    /// Whether listings show it. What may not be read should be absent, not "denied".
    fn is_visible(&self, _object: &AccessObject<'_>) -> bool {
        true
    }
}
