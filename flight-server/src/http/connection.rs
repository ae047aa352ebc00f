//! One connection under limits: a request has to arrive in time and be small, an answer has to be
//! taken in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::listener::HttpLimits;

/// A connection that closes itself when its client takes too long, or sends too much.
///
/// ```text
/// opened ─ request_time ─► receiving ─ request_time ─► answered ─ idle_time ─► receiving …
/// ```
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    limits: HttpLimits,
    is_receiving: bool,
    received_bytes: usize,
    deadline: Pin<Box<Sleep>>,
    // Held, not read: it counts among the connections.
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, limits: HttpLimits, permit: OwnedSemaphorePermit) -> Self {
        let deadline = Box::pin(tokio::time::sleep(limits.request_time));
        Self { stream, limits, is_receiving: false, received_bytes: 0, deadline, _permit: permit }
    }

    fn within(&mut self, time: Duration) {
        self.deadline.as_mut().reset(Instant::now() + time);
    }

    fn check_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "too slow")),
            Poll::Pending => Ok(()),
        }
    }

    fn received(&mut self, bytes: usize) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        if !self.is_receiving {
            self.is_receiving = true;
            self.received_bytes = 0;
            self.within(self.limits.request_time);
        }
        self.received_bytes = self.received_bytes.saturating_add(bytes);
        if self.received_bytes > self.limits.request_bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "request too large"));
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_time(cx)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(self.received(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_time(cx)?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        if written > 0 {
            self.is_receiving = false;
            let idle = self.limits.idle_time;
            self.within(idle);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
