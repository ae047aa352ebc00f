//! `[tls]`: the certificate that a server shows, and those that it verifies clients with.

use std::path::PathBuf;

use toml::Table;

use super::error::ConfigError;
use super::reader::Section;

/// Files in PEM; read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Roots of the certificates that clients show.
    pub client_ca: Option<PathBuf>,
}

pub(super) fn parse(file: &str, table: Option<Table>) -> Result<Option<TlsConfig>, ConfigError> {
    let Some(table) = table else { return Ok(None) };
    let mut section = Section::new(file, "tls", table, &["certificate", "client_ca", "key"])?;
    let certificate = required(&mut section, "certificate")?;
    let key = required(&mut section, "key")?;
    let client_ca = section.text("client_ca")?.map(PathBuf::from);
    Ok(Some(TlsConfig { certificate, key, client_ca }))
}

fn required(section: &mut Section<'_>, key: &str) -> Result<PathBuf, ConfigError> {
    match section.text(key)? {
        Some(path) => Ok(PathBuf::from(path)),
        None => Err(section.error(key, "is missing; accepted: the name of a PEM file")),
    }
}
