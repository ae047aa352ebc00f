//! How the addresses of nodes are spelt.

use anyhow::{Context, Result, bail};
use url::Url;

/// A node's address as HTTP/2 has it.
///
/// # Errors
/// For anything but `grpc://HOST:PORT` and `grpc+tls://HOST:PORT`.
pub fn http_url(address: &str) -> Result<Url> {
    let named = || format!("found {address:?}; accepted: grpc://HOST:PORT, grpc+tls://HOST:PORT");
    let (scheme, rest) = match address.split_once("://") {
        Some(("grpc", rest)) => ("http", rest),
        Some(("grpc+tls", rest)) => ("https", rest),
        _ => bail!(named()),
    };
    let url = Url::parse(&format!("{scheme}://{rest}")).with_context(named)?;
    if url.host_str().is_none() || url.port_or_known_default().is_none() || url.path() != "/" {
        bail!(named());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use fjord_engine::cluster::spelt;

    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for address in ["grpc://127.0.0.1:32010", "grpc+tls://worker-1:7", "grpc://[::1]:9"] {
            assert_eq!(spelt(&http_url(address).unwrap()), address);
        }
        for address in ["127.0.0.1:1", "http://h:1", "grpc://", "grpc://h:1/x", "grpc+tls:/h"] {
            assert!(http_url(address).is_err(), "{address}");
        }
    }
}
