//! Which protocol a port speaks: asked only when a connection made no sense, to say why.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::failure::find_cause;

/// Long enough for a server that is there.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// What an HTTP/2 client says first: the preface and an empty SETTINGS frame.
const HTTP2_GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A frame's header, and where in it the type is.
const FRAME_HEADER_BYTES: usize = 9;
const FRAME_TYPE_AT: usize = 3;
const SETTINGS: u8 = 4;

/// Whether the port answers an unencrypted HTTP/2 greeting.
pub(super) async fn speaks_plain(address: &Address) -> bool {
    let answer = async {
        let mut stream = open(address).await?;
        stream.write_all(HTTP2_GREETING).await?;
        let mut header = [0; FRAME_HEADER_BYTES];
        stream.read_exact(&mut header).await?;
        Ok::<bool, io::Error>(header[FRAME_TYPE_AT] == SETTINGS)
    };
    matches!(tokio::time::timeout(PROBE_MAX, answer).await, Ok(Ok(true)))
}

/// Whether the port answers a TLS greeting. Nobody is trusted for this: that the server showed a
/// certificate at all is the answer.
pub(super) async fn speaks_tls(address: &Address) -> bool {
    let answer = async {
        let stream = open(address).await?;
        let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    match tokio::time::timeout(PROBE_MAX, answer).await {
        Ok(Ok(_)) => true,
        Ok(Err(e)) => matches!(
            find_cause::<rustls::Error>(&e),
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
        ),
        Err(_) => false,
    }
}

async fn open(address: &Address) -> io::Result<TcpStream> {
    TcpStream::connect((address.host.as_str(), address.port)).await
}
