//! Where requests may go: to the server that was configured, whatever it answers.

use url::Url;

use crate::address;
use crate::error::{Error, ErrorKind, Result};

/// An address that the server tells: credentials go nowhere but to its own origin.
///
/// # Errors
/// `PermissionDenied` for another one.
pub(super) fn told(configured: &Url, text: &str) -> Result<Url> {
    let url = address::of_server("the address that the catalog tells", text)?;
    if url.origin() == configured.origin() {
        return Ok(url);
    }
    Err(Error::new(
        ErrorKind::PermissionDenied,
        format!(
            "the catalog at {} tells to go on at {}, which is another server; credentials are not sent there. If that is right, configure its address as uri",
            configured.origin().ascii_serialization(),
            url.origin().ascii_serialization()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D5 of the failure scenarios: an answer must not send our credentials elsewhere.
    #[test]
    fn d5_a_told_address_is_of_the_same_server() {
        let configured = address::of_server("uri", "https://catalog.example/iceberg").unwrap();
        told(&configured, "https://catalog.example/other/").unwrap();
        told(&configured, "https://catalog.example:443/").unwrap();
        for hostile in [
            "https://evil.example/iceberg",
            "http://catalog.example/iceberg",
            "https://catalog.example:8443/",
            "https://catalog.example.evil.example/",
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
            "https://key:canary@catalog.example/",
            "",
        ] {
            let error = told(&configured, hostile).unwrap_err();
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
