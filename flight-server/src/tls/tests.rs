//! Real sockets and certificates against the accept loop.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::server::Connected;

use super::connection::{Connection, OpenConnections};
use super::incoming::{Accepting, incoming};
use super::reloading::Tls;
use crate::config::{MtlsConfig, TlsConfig};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

struct Pair {
    chain: Vec<CertificateDer<'static>>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn sign(&self, common_name: &str) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { chain: vec![certificate.der().clone()], pem: certificate.pem(), key }
    }

    fn client(&self, shown: Option<&Pair>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let builder =
            ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::try_from(pair.key.serialize_der()).unwrap();
                builder.with_client_auth_cert(pair.chain.clone(), key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

struct Server {
    directory: tempfile::TempDir,
    authority: Authority,
}

impl Server {
    fn new() -> Self {
        let server = Self { directory: tempfile::tempdir().unwrap(), authority: Authority::new() };
        server.write(&server.authority.sign("server one"));
        std::fs::write(server.path("ca.pem"), server.authority.certificate.pem()).unwrap();
        server
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, pair: &Pair) {
        std::fs::write(self.path("server.pem"), &pair.pem).unwrap();
        std::fs::write(self.path("server.key"), pair.key.serialize_pem()).unwrap();
    }

    fn tls(&self, mtls: Option<MtlsConfig>) -> anyhow::Result<Tls> {
        let client_ca = mtls.map(|_| self.path("ca.pem"));
        let config = TlsConfig {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca,
        };
        Tls::open(&config, mtls)
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn connect(
    connector: &TlsConnector,
    address: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    // In TLS 1.3 a client hears of a refused certificate after its own handshake.
    stream.write_all(b"hello").await?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await?;
    Ok(stream)
}

/// Accepts one connection and answers a byte.
async fn serve(accepting: &mut Accepting) -> Connection {
    let mut connection = accepting.next().await;
    let mut hello = [0; 5];
    connection.read_exact(&mut hello).await.unwrap();
    connection.write_all(b"!").await.unwrap();
    connection.flush().await.unwrap();
    connection
}

fn accepting(listener: TcpListener, tls: Option<Tls>) -> Accepting {
    Accepting::new(listener, tls, OpenConnections::default(), 8)
}

fn served_by(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn adbc_04_tls_speaks_h2_and_asks_for_no_certificate_unless_told() {
    let server = Server::new();
    let (listener, address) = listen().await;
    let mut accepting = accepting(listener, Some(server.tls(None).unwrap()));
    let connector = server.authority.client(None);
    let (client, connection) = tokio::join!(connect(&connector, address), serve(&mut accepting));
    assert_eq!(client.unwrap().get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let peer = connection.connect_info();
    assert!(peer.certificate.is_none() && peer.ip().unwrap().is_loopback());
}

#[tokio::test]
async fn h7_a_client_certificate_names_the_user_and_a_bad_one_is_refused() {
    let server = Server::new();
    let stranger = Authority::new();
    for required in [false, true] {
        let (listener, address) = listen().await;
        let tls = server.tls(Some(MtlsConfig { required })).unwrap();
        let mut accepting = accepting(listener, Some(tls));
        let good = server.authority.client(Some(&server.authority.sign("ada")));
        let (client, connection) = tokio::join!(connect(&good, address), serve(&mut accepting));
        client.unwrap();
        let peer = connection.connect_info();
        assert_eq!(peer.certificate.unwrap().name(), Some("ada"));

        let forged = server.authority.client(Some(&stranger.sign("ada")));
        let none = server.authority.client(None);
        for (connector, is_welcome) in [(&forged, false), (&none, !required)] {
            let outcome = tokio::select! {
                outcome = connect(connector, address) => outcome.map(drop),
                connection = serve(&mut accepting) => {
                    assert!(connection.connect_info().certificate.is_none());
                    Ok(())
                }
            };
            assert_eq!(outcome.is_ok(), is_welcome, "required: {required}");
        }
    }
}

#[tokio::test]
async fn h7_plain_text_and_unknown_authorities_get_nowhere() {
    let server = Server::new();
    let (listener, address) = listen().await;
    let mut accepting = accepting(listener, Some(server.tls(None).unwrap()));
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let stranger = Authority::new().client(None);
    tokio::select! {
        _ = accepting.next() => panic!("plain text became a connection"),
        outcome = async {
            let _closed = plain.read_to_end(&mut answer).await;
            connect(&stranger, address).await.map(drop)
        } => assert!(outcome.is_err()),
    }
    assert!(answer.len() < 64, "{answer:?}");
}

#[tokio::test]
async fn h7_a_new_certificate_is_served_without_a_restart_and_a_bad_one_is_not() {
    let server = Server::new();
    let (listener, address) = listen().await;
    let tls = server.tls(None).unwrap();
    let mut accepting = accepting(listener, Some(tls.clone()));
    let connector = server.authority.client(None);
    let mut served = Vec::new();
    let second = server.authority.sign("server two");
    let change: [&dyn Fn(); 5] = [
        &|| {},
        &|| std::fs::write(server.path("server.pem"), "not PEM").unwrap(),
        &|| server.write(&second),
        // A certificate without its key.
        &|| std::fs::write(server.path("server.pem"), &server.authority.sign("three").pem).unwrap(),
        &|| std::fs::remove_file(server.path("server.key")).unwrap(),
    ];
    for change in change {
        change();
        tls.expire();
        let (client, _) = tokio::join!(connect(&connector, address), serve(&mut accepting));
        served.push(served_by(&client.unwrap()));
    }
    assert_eq!(served[0], served[1]);
    assert_eq!(served[2], second.chain[0]);
    assert!(served[3] == served[2] && served[4] == served[2]);
}

#[test]
fn what_cannot_be_used_is_said_at_the_start() {
    let server = Server::new();
    for (file, content, expected) in [
        ("server.key", server.authority.sign("x").key.serialize_pem(), "do not fit"),
        ("server.key", "canary".to_owned(), "no private key"),
        ("server.pem", "canary".to_owned(), "no certificate"),
        ("ca.pem", "canary".to_owned(), "no certificate"),
    ] {
        let before = std::fs::read(server.path(file)).unwrap();
        std::fs::write(server.path(file), content).unwrap();
        let error = server.tls(Some(MtlsConfig { required: true })).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains(expected) && text.contains(file) && !text.contains("canary"),
            "{text}"
        );
        std::fs::write(server.path(file), before).unwrap();
    }
    std::fs::remove_file(server.path("server.pem")).unwrap();
    assert!(format!("{:#}", server.tls(None).unwrap_err()).contains("cannot be read"));
    assert!(!Path::new("server.pem").exists());
}

#[tokio::test]
async fn h6_peers_that_say_nothing_do_not_keep_others_out() {
    let (listener, address) = listen().await;
    let mut accepting = accepting(listener, None);
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let honest = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
    };
    let both = async { tokio::join!(honest, serve(&mut accepting)).1 };
    let connection = timeout(Duration::from_secs(5), both).await.unwrap();
    assert!(connection.connect_info().address.is_some());
    // Eight handshakes are left; the peers of the others were hung up on.
    let mut closed = 0;
    for stream in &mut silent {
        let ended = timeout(Duration::from_millis(20), stream.read(&mut [0])).await;
        closed += usize::from(ended.is_ok());
    }
    assert!(closed >= 40, "{closed}");
}

#[tokio::test]
async fn h6_connections_are_capped_and_counted_until_they_close() {
    let (listener, address) = listen().await;
    let open = OpenConnections::new(2);
    let mut connections = pin!(incoming(listener, None, open.clone()));
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        clients.push(stream);
    }
    let first = connections.next().await.unwrap().unwrap();
    let second = connections.next().await.unwrap().unwrap();
    assert!(timeout(Duration::from_millis(200), connections.next()).await.is_err());
    assert_eq!(open.count(), 2);
    drop((first, second));
    assert_eq!(open.count(), 0);
    clients.push(TcpStream::connect(address).await.unwrap());
    clients.last_mut().unwrap().write_all(b"hello").await.unwrap();
    assert!(connections.next().await.unwrap().is_ok());
}
