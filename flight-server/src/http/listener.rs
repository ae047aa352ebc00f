//! The listener of HTTP: so many connections at once, each under limits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::connection::Connection;

/// After an error of accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What clients of HTTP may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HttpLimits {
    /// Connections at once; others wait to be accepted.
    pub(crate) connections_max: usize,
    /// From the first byte of a request, or from the opening, to its last; and to the answer.
    pub(crate) request_time: Duration,
    /// Between an answer and the next request.
    pub(crate) idle_time: Duration,
    /// Bytes of a request, headers and body.
    pub(crate) request_bytes_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            request_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            request_bytes_max: 64 << 10,
        }
    }
}

/// Accepts connections under [`HttpLimits`].
#[derive(Debug)]
pub(super) struct LimitedListener {
    listener: TcpListener,
    limits: HttpLimits,
    free: Arc<Semaphore>,
}

impl LimitedListener {
    pub(super) fn new(listener: TcpListener, limits: HttpLimits) -> Self {
        Self { listener, limits, free: Arc::new(Semaphore::new(limits.connections_max)) }
    }
}

impl Listener for LimitedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok(permit) = Arc::clone(&self.free).acquire_owned().await else {
                // Nobody closes the semaphore.
                std::future::pending::<()>().await;
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    return (Connection::new(stream, self.limits, permit), address);
                }
                Err(e) => {
                    tracing::warn!(error = %e, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
