//! What a worker may be opened to. Plans and rows travel as they are.

use std::net::SocketAddr;

use crate::config::ConfigError;

/// Refuses to listen beyond loopback unless told `--insecure`: calls are signed, not encrypted.
pub(super) fn check(address: SocketAddr, is_insecure: bool) -> Result<(), ConfigError> {
    if address.ip().to_canonical().is_loopback() || is_insecure {
        return Ok(());
    }
    let problem = format!(
        "found {address}; between nodes calls are signed and not encrypted: listen on 127.0.0.1, or say --insecure on a network of the cluster's own"
    );
    Err(ConfigError::new("--listen (or FJORD_WORKER_LISTEN)", "", problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_beyond_loopback_takes_insecure() {
        for (address, is_insecure, passes) in [
            ("127.0.0.1:0", false, true),
            ("[::1]:0", false, true),
            ("0.0.0.0:0", false, false),
            ("10.0.0.1:7", false, false),
            ("10.0.0.1:7", true, true),
        ] {
            assert_eq!(check(address.parse().unwrap(), is_insecure).is_ok(), passes, "{address}");
        }
    }
}
