//! A socket that is not woken up for every piece of a long answer.
//!
//! A server writes 8 KiB at a time. To be told of each of them costs both sides more than what is in
//! it: where the reader waits, every write wakes it up. So where an answer has become long, the socket
//! is taken away from the reactor and looked at once in a while, as long as something is found.
//!
//! ```text
//! watched ─ BULK_BYTES without a write of ours => unwatched ─ looked at, PAUSE, looked at …
//!    └────── nothing was found after a pause, or there is something to write ──────┘
//! ```

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// So much of an answer is read before: a short one never waits.
const BULK_BYTES: usize = 1 << 20;
/// What comes in the meantime fits into a socket's buffer.
const PAUSE: Duration = Duration::from_millis(3);

/// A stream to a server that answers.
pub(super) struct Paced {
    socket: Socket,
    /// Bytes that were read since the last that were written.
    answered: usize,
    pause: Pin<Box<Sleep>>,
    is_pausing: bool,
}

enum Socket {
    Watched(TcpStream),
    Unwatched(std::net::TcpStream),
    /// It could not be given from one to the other.
    Lost,
}

impl Socket {
    fn watch(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Unwatched(stream) => Self::Watched(TcpStream::from_std(stream)?),
            other => other,
        };
        Ok(())
    }

    fn unwatch(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Watched(stream) => Self::Unwatched(stream.into_std()?),
            other => other,
        };
        Ok(())
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket was lost")
}

impl Paced {
    pub(super) fn new(stream: TcpStream) -> Self {
        let pause = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { socket: Socket::Watched(stream), answered: 0, pause, is_pausing: false }
    }

    /// The stream, to write to.
    fn watched(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket.watch()?;
        self.is_pausing = false;
        match &mut self.socket {
            Socket::Watched(stream) => Ok(Pin::new(stream)),
            _ => Err(lost()),
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.socket {
                Socket::Watched(stream) => {
                    let before = to.filled().len();
                    ready!(Pin::new(stream).poll_read(context, to))?;
                    this.answered = this.answered.saturating_add(to.filled().len() - before);
                    if this.answered >= BULK_BYTES {
                        this.socket.unwatch()?;
                    }
                    return Poll::Ready(Ok(()));
                }
                Socket::Unwatched(stream) => {
                    if this.is_pausing {
                        ready!(this.pause.as_mut().poll(context));
                    }
                    match stream.read(to.initialize_unfilled()) {
                        Ok(count) => {
                            this.is_pausing = false;
                            to.advance(count);
                            return Poll::Ready(Ok(()));
                        }
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                            return Poll::Ready(Err(e));
                        }
                        Err(_) if this.is_pausing => {
                            this.is_pausing = false;
                            this.socket.watch()?;
                        }
                        Err(_) => {
                            this.pause.as_mut().reset(Instant::now() + PAUSE);
                            this.is_pausing = true;
                        }
                    }
                }
                Socket::Lost => return Poll::Ready(Err(lost())),
            }
        }
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.answered = 0;
        this.watched()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Watched(stream) => Pin::new(stream).poll_flush(context),
            // Nothing that was written is kept here.
            Socket::Unwatched(_) => Poll::Ready(Ok(())),
            Socket::Lost => Poll::Ready(Err(lost())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().watched()?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::runtime::SpawnedTask;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;

    /// Long answers with silence in them, short ones, and questions in between.
    #[tokio::test]
    async fn every_byte_arrives_whatever_the_pace() {
        const PIECE: usize = 8 << 10;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = SpawnedTask::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 2];
            while stream.read_exact(&mut question).await.is_ok() {
                let pieces = usize::from(u16::from_be_bytes(question));
                for piece in 0..pieces {
                    stream.write_all(&[piece as u8; PIECE]).await.unwrap();
                    if piece % 400 == 399 {
                        sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        });
        let mut paced = Paced::new(TcpStream::connect(address).await.unwrap());
        for pieces in [1_u16, 1000, 2, 0, 700, 129, 1] {
            paced.write_all(&pieces.to_be_bytes()).await.unwrap();
            let mut bytes = vec![0; usize::from(pieces) * PIECE];
            paced.read_exact(&mut bytes).await.unwrap();
            let right = bytes.iter().enumerate().all(|(at, byte)| *byte == (at / PIECE) as u8);
            assert!(right, "{pieces} pieces");
            let is_unwatched = matches!(paced.socket, Socket::Unwatched(_));
            assert!(pieces < 400 || is_unwatched, "{pieces} pieces, and every one woke us up");
            assert!(pieces > 2 || !is_unwatched, "{pieces} pieces");
        }
        paced.shutdown().await.unwrap();
        assert_eq!(paced.read(&mut [0; 8]).await.unwrap(), 0);
        serving.join().await.unwrap();
    }

    #[tokio::test]
    async fn an_end_in_the_middle_of_a_long_answer_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = SpawnedTask::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&vec![7; 5 << 20]).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        });
        let mut paced = Paced::new(TcpStream::connect(address).await.unwrap());
        let mut bytes = Vec::new();
        assert_eq!(paced.read_to_end(&mut bytes).await.unwrap(), 5 << 20);
        serving.join().await.unwrap();
    }
}
