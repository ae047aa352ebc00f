//! `[telemetry]`: where traces go.

use toml::Table;
use url::Url;

use super::error::ConfigError;
use super::reader::Section;

/// The keys of the section.
pub(super) const KEYS: &[&str] = &["otlp_endpoint"];

/// What the section says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// An OTLP receiver that speaks gRPC; `None`: no traces are exported.
    pub otlp_endpoint: Option<String>,
}

pub(super) fn parse(file: &str, table: Table) -> Result<TelemetryConfig, ConfigError> {
    let mut section = Section::new(file, "telemetry", table, KEYS)?;
    let Some(text) = section.text("otlp_endpoint")? else { return Ok(TelemetryConfig::default()) };
    let is_plain = |url: &Url| {
        url.scheme() == "http"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
    };
    match Url::parse(&text) {
        Ok(url) if is_plain(&url) => Ok(TelemetryConfig { otlp_endpoint: Some(text) }),
        // What was found is not shown: people put tokens into such addresses.
        _ => Err(section.error(
            "otlp_endpoint",
            "found something else than the address of a gRPC receiver; accepted: \
             http://HOST:PORT, such as http://127.0.0.1:4317",
        )),
    }
}
