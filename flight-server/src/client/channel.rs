//! A connection to a server, and why there is none.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::CertificateError;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::address::Address;
use super::arguments::{RemoteOptions, TlsOptions};
use super::failure::{Failure, FailureKind, find_cause, root_text};
use super::probe;

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A connection through a firewall is forgotten when nothing passes; a statement may be silent
/// for much longer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_ANSWER_MAX: Duration = Duration::from_secs(20);
/// What may be under way to us: enough for a fast network, little enough for any machine.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Connects.
///
/// # Errors
/// When nobody listens, or somebody who speaks another protocol or cannot prove who he is.
pub(super) async fn connect(options: &RemoteOptions) -> Result<Channel, Failure> {
    let address = &options.address;
    let unusable = |e: tonic::transport::Error| {
        Failure::new(FailureKind::Connection, format!("{address}: {}", root_text(&e)))
    };
    let mut endpoint = Endpoint::from_shared(address.http_uri())
        .and_then(|e| e.user_agent(concat!("fjord/", env!("CARGO_PKG_VERSION"))))
        .map_err(unusable)?
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER_MAX)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    if address.is_tls {
        endpoint = endpoint.tls_config(tls_config(&options.tls)).map_err(|e| {
            let text = format!(
                "TLS for {address} cannot be set up: {}; --tls-ca FILE names the authorities to \
                 trust",
                root_text(&e)
            );
            Failure::new(FailureKind::Connection, text)
        })?;
    }
    match endpoint.connect().await {
        Ok(channel) => Ok(channel),
        Err(e) => Err(Failure::new(FailureKind::Connection, why(address, &e).await)),
    }
}

fn tls_config(options: &TlsOptions) -> ClientTlsConfig {
    let mut config = ClientTlsConfig::new().timeout(CONNECT_MAX);
    config = match &options.authorities {
        Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
        None => config.with_native_roots(),
    };
    if let Some((certificate, key)) = &options.identity {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    match &options.server_name {
        Some(name) => config.domain_name(name),
        None => config,
    }
}

/// Why there is no connection, and what to do about it.
pub(super) async fn why(address: &Address, error: &(dyn Error + Send + Sync + 'static)) -> String {
    if let Some(problem) = find_cause::<rustls::Error>(error)
        && let Some(advice) = distrust(problem)
    {
        return format!("{address}: {advice}");
    }
    if address.is_tls && probe::speaks_plain(address).await {
        let plain = address.with_tls(false);
        return format!("{address} does not speak TLS; its plain address is {plain}");
    }
    if !address.is_tls && probe::speaks_tls(address).await {
        let tls = address.with_tls(true);
        return format!("{address} speaks TLS only: use {tls}");
    }
    let cause = root_text(error);
    match find_cause::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => {
            format!("nobody listens at {address} ({cause}): is `fjord serve` running there?")
        }
        Some(io::ErrorKind::TimedOut) => format!("{address} does not answer ({cause})"),
        _ => format!("{address} cannot be reached: {cause}"),
    }
}

/// What a certificate was refused for, by them or by us.
fn distrust(problem: &rustls::Error) -> Option<String> {
    let text = match problem {
        // A bad signature: an authority of the same name, with another key.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "the server's certificate is signed by nobody whom this machine trusts: give its \
             authority with --tls-ca FILE"
            .to_owned(),
        rustls::Error::InvalidCertificate(
            e @ (CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }),
        ) => format!(
            "the server's certificate is for another name ({e}): use that name in the URL, or \
             give it with --tls-server-name"
        ),
        rustls::Error::InvalidCertificate(e) => {
            format!("the server's certificate is not valid: {e}")
        }
        rustls::Error::AlertReceived(alert) => format!(
            "the server refused the TLS handshake ({alert:?}); where it asks for a certificate, \
             give --tls-client-cert and --tls-client-key"
        ),
        _ => return None,
    };
    Some(text)
}
