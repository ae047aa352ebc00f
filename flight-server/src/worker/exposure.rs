//! What a worker may be opened to. Plans and rows travel as they are.

use std::net::SocketAddr;

use crate::config::ConfigError;

/// Refuses to listen beyond loopback without encryption, unless told `--insecure`.
pub(super) fn check(
    address: SocketAddr,
    is_encrypted: bool,
    is_insecure: bool,
) -> Result<(), ConfigError> {
    if address.ip().to_canonical().is_loopback() || is_encrypted || is_insecure {
        return Ok(());
    }
    let problem = format!(
        "found {address}; without cluster.ca calls between nodes are signed and not encrypted: set it, with certificate and key of [tls], listen on 127.0.0.1, or say --insecure on a network of the cluster's own"
    );
    Err(ConfigError::new("--listen (or FJORD_WORKER_LISTEN)", "", problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_beyond_loopback_takes_certificates_or_insecure() {
        for (address, is_encrypted, is_insecure, passes) in [
            ("127.0.0.1:0", false, false, true),
            ("[::1]:0", false, false, true),
            ("0.0.0.0:0", false, false, false),
            ("10.0.0.1:7", false, false, false),
            ("10.0.0.1:7", false, true, true),
            ("10.0.0.1:7", true, false, true),
        ] {
            let checked = check(address.parse().unwrap(), is_encrypted, is_insecure);
            assert_eq!(checked.is_ok(), passes, "{address}");
        }
    }
}
