//! What a role allows: to read, to write somewhere, to administer.

use super::error::ConfigError;
use super::reader::Section;

/// The most entries of one `write` list.
const SCOPES_MAX: usize = 1_000;

/// What somebody may do. Everybody who is let in may read everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Reads everything, writes nothing.
    Reader,
    /// Reads everything, writes what is listed.
    Writer(Vec<WriteScope>),
    /// May do everything.
    Admin,
}

/// A catalog or schema that a writer may write; names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteScope {
    /// `"*"`: every catalog.
    Everything,
    /// `"nessie"`: every schema of a catalog.
    Catalog(String),
    /// `"iceberg.silver"`: a schema and those nested in it.
    Schema {
        /// The catalog.
        catalog: String,
        /// The schema, dotted when nested.
        schema: String,
    },
}

impl WriteScope {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "*" {
            return Some(Self::Everything);
        }
        let parts: Vec<&str> = text.split('.').collect();
        if parts.iter().any(|part| part.trim().is_empty() || part.contains('*')) {
            return None;
        }
        let lower = text.to_lowercase();
        Some(match lower.split_once('.') {
            None => Self::Catalog(lower),
            Some((catalog, schema)) => {
                Self::Schema { catalog: catalog.to_owned(), schema: schema.to_owned() }
            }
        })
    }
}

/// What a section's `role` names.
#[derive(Debug)]
pub(super) enum RoleName {
    Is(Grant),
    /// A `[role.NAME]`.
    Named(String),
}

/// Reads `role` and `write`.
pub(super) fn take(section: &mut Section<'_>) -> Result<RoleName, ConfigError> {
    const ACCEPTED: &str =
        "\"reader\", \"writer\" with a list write = […], \"admin\", or the name of a [role.NAME]";
    let role = section.text("role")?;
    let Some(role) = role else {
        return Err(section.error("role", format!("is missing; accepted: {ACCEPTED}")));
    };
    let write = section.texts("write")?;
    if role == "writer" {
        return writer(section, write).map(RoleName::Is);
    }
    if write.is_some() {
        let problem = format!(
            "goes with role = \"writer\" alone; found role = {role:?}, accepted: {ACCEPTED}"
        );
        return Err(section.error("write", problem));
    }
    Ok(match role.as_str() {
        "reader" => RoleName::Is(Grant::Reader),
        "admin" => RoleName::Is(Grant::Admin),
        _ => RoleName::Named(role),
    })
}

fn writer(section: &Section<'_>, write: Option<Vec<String>>) -> Result<Grant, ConfigError> {
    const ACCEPTED: &str = "a list of catalogs and schemas such as [\"iceberg.silver\", \"nessie\"], or [\"*\"] for all";
    let Some(write) = write else {
        return Err(section.error("write", format!("is missing; accepted: {ACCEPTED}")));
    };
    if write.len() > SCOPES_MAX {
        let problem = format!("found {} entries; accepted: at most {SCOPES_MAX}", write.len());
        return Err(section.error("write", problem));
    }
    let scopes = write.iter().map(|text| {
        WriteScope::parse(text)
            .ok_or_else(|| section.error("write", format!("found {text:?}; accepted: {ACCEPTED}")))
    });
    scopes.collect::<Result<Vec<_>, _>>().map(Grant::Writer)
}
