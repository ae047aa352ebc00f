//! How the addresses of nodes are spelt.

use anyhow::{Context, Result, bail};
use url::Url;

/// A node's address as HTTP/2 has it.
///
/// # Errors
/// For anything but `grpc://HOST:PORT`.
pub fn http_url(address: &str) -> Result<Url> {
    let named = || format!("found {address:?}; accepted: grpc://HOST:PORT");
    let Some(rest) = address.strip_prefix("grpc://") else { bail!(named()) };
    let url = Url::parse(&format!("http://{rest}")).with_context(named)?;
    if url.host_str().is_none() || url.port_or_known_default().is_none() || url.path() != "/" {
        bail!(named());
    }
    Ok(url)
}
