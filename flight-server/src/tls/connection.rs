//! One accepted connection, plain or over TLS, which counts as open until it is dropped.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::peer::{ClientCertificate, Peer};
use crate::telemetry::Open;

/// Connections open at the same time, unless said otherwise.
const CONNECTIONS_MAX: usize = 8_192;

/// How many connections are open, and how many may be. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct OpenConnections {
    free: Arc<Semaphore>,
    most: usize,
}

impl Default for OpenConnections {
    fn default() -> Self {
        Self::new(CONNECTIONS_MAX)
    }
}

impl OpenConnections {
    /// Room for so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), most }
    }

    /// How many are open now.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.most.saturating_sub(self.free.available_permits())
    }

    /// How many may be.
    pub(crate) fn limit(&self) -> usize {
        self.most
    }

    pub(super) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }
}

/// A connection that is ready for HTTP/2.
#[derive(Debug)]
pub(crate) struct Connection {
    io: Io,
    peer: Peer,
    _open: OwnedSemaphorePermit,
    _counted: Option<Open>,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn plain(stream: TcpStream, from: SocketAddr, open: OwnedSemaphorePermit) -> Self {
        let peer = Peer { address: Some(from), certificate: None };
        Self { io: Io::Plain(stream), peer, _open: open, _counted: None }
    }

    pub(super) fn tls(
        stream: TlsStream<TcpStream>,
        from: SocketAddr,
        open: OwnedSemaphorePermit,
    ) -> Self {
        let shown = stream.get_ref().1.peer_certificates();
        let certificate =
            shown.and_then(|chain| chain.first()).map(|leaf| ClientCertificate::of(leaf));
        let peer = Peer { address: Some(from), certificate };
        Self { io: Io::Tls(Box::new(stream)), peer, _open: open, _counted: None }
    }
}

impl Connection {
    /// Shown among the open ones until it is dropped.
    #[must_use]
    pub(crate) fn counted(mut self, open: Open) -> Self {
        self._counted = Some(open);
        self
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
