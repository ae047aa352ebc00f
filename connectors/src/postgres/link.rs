//! A stream to a database: encrypted as `sslmode` asks for it, and read in large pieces.
//!
//! Source: PostgreSQL's documentation, "SSL Session Encryption": the client asks with a message of
//! eight bytes, and the server answers with one byte.

use std::io;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use super::options::{Settings, SslMode};
use super::packed::Packed;
use super::tls;
use crate::error::Error;

/// Its own length, and a number that is no version of the protocol: 1234 and 5679.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const ACCEPTED: u8 = b'S';

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Makes streams to one database.
#[derive(Clone)]
pub(super) struct Link {
    mode: SslMode,
    tls: MakeRustlsConnect,
}

/// Makes one.
pub(super) struct Linking {
    mode: SslMode,
    tls: <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect,
}

/// What is below the protocol's messages.
pub(super) type Channel = Either<Socket, Encrypted>;

impl Link {
    pub(super) fn try_new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self { mode: settings.ssl_mode, tls: tls::connector(settings)? })
    }
}

impl MakeTlsConnect<Socket> for Link {
    type Stream = Packed<Channel>;
    type TlsConnect = Linking;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Linking, Self::Error> {
        let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls, host)?;
        Ok(Linking { mode: self.mode, tls })
    }
}

impl TlsConnect<Socket> for Linking {
    type Stream = Packed<Channel>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Packed<Channel>>>;

    fn connect(self, socket: Socket) -> Self::Future {
        self.channel(socket).map(|channel| channel.map(Packed::new)).boxed()
    }
}

impl Linking {
    async fn channel(self, mut socket: Socket) -> io::Result<Channel> {
        if self.mode == SslMode::Disable {
            return Ok(Either::Left(socket));
        }
        socket.write_all(&SSL_REQUEST).await?;
        // No byte more: what came before the encryption must not be taken for what came within it.
        match (socket.read_u8().await?, self.mode) {
            (ACCEPTED, _) => Ok(Either::Right(self.tls.connect(socket).await?)),
            (_, SslMode::Prefer) => Ok(Either::Left(socket)),
            _ => Err(io::Error::other("server does not support TLS")),
        }
    }
}

impl TlsStream for Packed<Channel> {
    fn channel_binding(&self) -> ChannelBinding {
        match self.inner() {
            Either::Left(_) => ChannelBinding::none(),
            Either::Right(encrypted) => encrypted.channel_binding(),
        }
    }
}
