//! The accept loop: bounded, timed, and never at the mercy of one peer.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::stream::{self, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connection::{Connection, OpenConnections};
use super::reloading::Tls;

/// The time for a TLS handshake, or for the first byte of a plain connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes under way at the same time. One more ends the oldest: honest ones take milliseconds,
/// so that one is waiting for a peer that says nothing.
const HANDSHAKES_MAX: usize = 1_024;
/// The first and the longest pause when the process has no file descriptor left.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connections as they become ready. Never ends; dropping it stops listening and every handshake.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Tls>,
    open: OpenConnections,
) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold(
        Accepting::new(listener, tls, open, HANDSHAKES_MAX),
        |mut accepting| async move {
            let connection = accepting.next().await;
            Some((Ok(connection), accepting))
        },
    )
}

pub(super) struct Accepting {
    listener: TcpListener,
    tls: Option<Tls>,
    open: OpenConnections,
    handshakes: JoinSet<Option<Connection>>,
    /// Handshakes in the order in which they began.
    oldest: VecDeque<AbortHandle>,
    handshakes_max: usize,
    /// How long to wait after the next failure to accept.
    pause: Duration,
}

impl Accepting {
    pub(super) fn new(
        listener: TcpListener,
        tls: Option<Tls>,
        open: OpenConnections,
        handshakes_max: usize,
    ) -> Self {
        let (handshakes, oldest) = (JoinSet::new(), VecDeque::new());
        Self { listener, tls, open, handshakes, oldest, handshakes_max, pause: PAUSE_MIN }
    }

    pub(super) async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                Some(ended) = self.handshakes.join_next() => {
                    // A handshake that was aborted or has failed is nobody's error but its peer's.
                    if let Ok(Some(connection)) = ended {
                        return connection;
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        self.pause = PAUSE_MIN;
                        self.begin(stream, from);
                    }
                    Err(e) if is_peers_fault(&e) => {}
                    Err(e) => self.wait_after(&e).await,
                }
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, from: SocketAddr) {
        let Some(permit) = self.open.admit() else {
            tracing::warn!(%from, limit = self.open.limit(), "too many connections: one was refused");
            return;
        };
        if self.oldest.len() >= self.handshakes_max {
            self.oldest.retain(|handshake| !handshake.is_finished());
        }
        if self.oldest.len() >= self.handshakes_max
            && let Some(oldest) = self.oldest.pop_front()
        {
            oldest.abort();
        }
        let handshake = handshake(stream, from, permit, self.tls.clone());
        self.oldest.push_back(self.handshakes.spawn(handshake));
    }

    /// Out of file descriptors, most likely: trying again at once would only burn the processor.
    async fn wait_after(&mut self, error: &io::Error) {
        tracing::warn!(%error, pause = ?self.pause, "no connection can be accepted");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
    )
}

async fn handshake(
    stream: TcpStream,
    from: SocketAddr,
    permit: OwnedSemaphorePermit,
    tls: Option<Tls>,
) -> Option<Connection> {
    // Small messages must not wait for acknowledgements; one that cannot be set costs only time.
    let _set = stream.set_nodelay(true);
    let outcome = timeout(HANDSHAKE_TIMEOUT, async {
        match tls {
            None => {
                // Clients of HTTP/2 speak first: whoever says nothing would hold a place for ever.
                let first = stream.peek(&mut [0]).await?;
                let is_open = first > 0;
                Ok::<_, io::Error>(is_open.then(|| Connection::plain(stream, from, permit)))
            }
            Some(tls) => {
                let acceptor = TlsAcceptor::from(tls.current().await);
                let stream = acceptor.accept(stream).await?;
                Ok::<_, io::Error>(Some(Connection::tls(stream, from, permit)))
            }
        }
    });
    match outcome.await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%from, %error, "connection failed before its first request");
            None
        }
        Err(_) => {
            tracing::debug!(%from, "connection timed out before its first request");
            None
        }
    }
}
