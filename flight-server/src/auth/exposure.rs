//! What a server may be opened to: nobody's mistake should put a lakehouse on a network.

use std::net::SocketAddr;

use crate::config::{AuthConfig, ConfigError};

/// Refuses to listen beyond loopback without authentication, or with secrets in plain text, unless
/// told `--insecure`. Pure.
///
/// # Errors
/// Says what is missing and what to write.
pub(crate) fn check_exposure(
    address: SocketAddr,
    auth: &AuthConfig,
    has_tls: bool,
    is_insecure: bool,
) -> Result<(), ConfigError> {
    if address.ip().to_canonical().is_loopback() || is_insecure {
        return Ok(());
    }
    let problem = if !auth.is_on() {
        "anybody who reaches it could do anything: add [auth] to the configuration, or listen on 127.0.0.1, or say --insecure"
    } else if !has_tls {
        "passwords and tokens would travel in plain text: add [tls] to the configuration, or listen on 127.0.0.1 behind a proxy that speaks TLS, or say --insecure"
    } else {
        return Ok(());
    };
    Err(ConfigError::new("--flight (or FJORD_FLIGHT)", "", format!("found {address}; {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_beyond_loopback_takes_authentication_and_tls_or_insecure() {
        let off = AuthConfig::default();
        let on = AuthConfig { passwords: Some("users".into()), ..AuthConfig::default() };
        for (address, auth, has_tls, is_insecure, expected) in [
            ("127.0.0.1:1", &off, false, false, None),
            ("127.8.8.8:1", &off, false, false, None),
            ("[::1]:1", &off, false, false, None),
            ("[::ffff:127.0.0.1]:1", &off, false, false, None),
            ("127.0.0.1:1", &on, false, false, None),
            ("0.0.0.0:1", &off, false, false, Some("[auth]")),
            ("[::]:1", &off, false, false, Some("[auth]")),
            ("10.0.0.1:1", &off, true, false, Some("[auth]")),
            ("[::ffff:10.0.0.1]:1", &off, true, false, Some("[auth]")),
            ("10.0.0.1:1", &on, false, false, Some("[tls]")),
            ("10.0.0.1:1", &on, true, false, None),
            ("0.0.0.0:1", &off, false, true, None),
            ("0.0.0.0:1", &on, false, true, None),
        ] {
            let outcome = check_exposure(address.parse().unwrap(), auth, has_tls, is_insecure);
            match (outcome, expected) {
                (Ok(()), None) => {}
                (Err(e), Some(text)) => {
                    let e = e.to_string();
                    assert!(
                        e.contains(text) && e.contains("--insecure") && e.contains(address),
                        "{e}"
                    );
                }
                other => panic!("{address}: {other:?}"),
            }
        }
    }
}
