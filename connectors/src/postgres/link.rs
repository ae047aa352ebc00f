//! A stream to a database: encrypted as `sslmode` asks for it, and read in large pieces.
//!
//! Source: PostgreSQL's documentation, "SSL Session Encryption": the client asks with a message of
//! eight bytes, and the server answers with one byte.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use super::options::{Settings, SslMode};
use super::paced::Paced;
use super::tap::Tap;
use super::tapped::Tapped;
use super::tls;
use crate::error::Error;

/// Its own length, and a number that is no version of the protocol: 1234 and 5679.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const ACCEPTED: u8 = b'S';
/// Silence before the other side is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Paced>>::Stream;

/// What is below the protocol's messages.
pub(super) type Channel = Either<Paced, Encrypted>;

/// Where a database is, and how it is spoken to.
pub(super) struct Link {
    host: String,
    port: u16,
    mode: SslMode,
    tls: MakeRustlsConnect,
    connect_timeout: Duration,
}

/// Makes a stream one that speaks the protocol.
pub(super) struct Linking {
    mode: SslMode,
    tls: <MakeRustlsConnect as MakeTlsConnect<Paced>>::TlsConnect,
    tap: Tap,
}

impl Link {
    pub(super) fn try_new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            mode: settings.ssl_mode,
            tls: tls::connector(settings)?,
            connect_timeout: settings.connect_timeout,
        })
    }

    /// A stream to the first of the host's addresses that answers, and what to make of it.
    pub(super) async fn open(&self) -> io::Result<(Paced, Linking)> {
        let addresses: Vec<SocketAddr> =
            lookup_host((self.host.as_str(), self.port)).await?.collect();
        let mut tls = self.tls.clone();
        let tls = MakeTlsConnect::<Paced>::make_tls_connect(&mut tls, &self.host)
            .map_err(io::Error::other)?;
        let each = self.connect_timeout / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in addresses {
            match timeout(each, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    let socket = SockRef::from(&stream);
                    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
                    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
                    let tap = Tap::default();
                    return Ok((Paced::new(stream), Linking { mode: self.mode, tls, tap }));
                }
                Ok(Err(e)) => failed = e,
                Err(_) => failed = io::Error::from(io::ErrorKind::TimedOut),
            }
        }
        Err(failed)
    }
}

impl TlsConnect<Paced> for Linking {
    type Stream = Tapped<Channel>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Tapped<Channel>>>;

    fn connect(self, stream: Paced) -> Self::Future {
        let tap = self.tap.clone();
        self.channel(stream).map(|channel| channel.map(|c| Tapped::new(c, tap))).boxed()
    }
}

impl Linking {
    /// Where the rows that come by the stream can be taken.
    pub(super) fn tap(&self) -> Tap {
        self.tap.clone()
    }

    async fn channel(self, mut stream: Paced) -> io::Result<Channel> {
        if self.mode == SslMode::Disable {
            return Ok(Either::Left(stream));
        }
        stream.write_all(&SSL_REQUEST).await?;
        // No byte more: what came before the encryption must not be taken for what came within it.
        match (stream.read_u8().await?, self.mode) {
            (ACCEPTED, _) => Ok(Either::Right(self.tls.connect(stream).await?)),
            (_, SslMode::Prefer) => Ok(Either::Left(stream)),
            _ => Err(io::Error::other("server does not support TLS")),
        }
    }
}

impl TlsStream for Tapped<Channel> {
    fn channel_binding(&self) -> ChannelBinding {
        match self.inner() {
            Either::Left(_) => ChannelBinding::none(),
            Either::Right(encrypted) => encrypted.channel_binding(),
        }
    }
}
