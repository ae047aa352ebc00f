//! Listening addresses: bound before anything else happens, so that a server that cannot be
//! reached leaves no trace.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

/// Listens at `address`; port 0 takes a free one.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("address {address} cannot be listened at: choose another"))
}
