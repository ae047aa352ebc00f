//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::subject::name_of;

/// The other end of a connection, as every request on it sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// `None` where a test made the connection.
    pub(crate) address: Option<SocketAddr>,
    /// The certificate that the client has shown and that was verified.
    pub(crate) certificate: Option<ClientCertificate>,
}

/// A client's certificate, verified against the configured roots.
#[derive(Clone, Debug)]
pub(crate) struct ClientCertificate {
    name: Option<Arc<str>>,
}

impl ClientCertificate {
    pub(super) fn of(certificate: &[u8]) -> Self {
        Self { name: name_of(certificate).map(Arc::from) }
    }

    /// The user that it names; `None` when it names none or several.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl Peer {
    /// The peer that sent `request`.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// The address without the port, IPv4 as IPv4.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}
