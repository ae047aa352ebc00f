//! TLS to a database, as far as `sslmode` asks for it.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::options::{Settings, SslMode};
use crate::error::{Error, ErrorKind};

/// How connections are secured; for `disable` too, where it is not used.
pub(super) fn connector(settings: &Settings) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(ring::default_provider());
    let bad = |message: String| Error::new(ErrorKind::Invalid, message);
    let context = format!("catalog {:?}", settings.catalog);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(format!("{context}: TLS cannot be set up")).with_source(e))?;
    let lenient = |chain| Arc::new(Lenient { provider: Arc::clone(&provider), chain });
    let config = match settings.ssl_mode {
        SslMode::Disable | SslMode::Prefer | SslMode::Require => builder
            .dangerous()
            .with_custom_certificate_verifier(lenient(None))
            .with_no_client_auth(),
        SslMode::VerifyFull => {
            builder.with_root_certificates(roots(settings)?).with_no_client_auth()
        }
        SslMode::VerifyCa => {
            let roots = Arc::new(roots(settings)?);
            let chain = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|e| bad(format!("{context}: `sslrootcert`")).with_source(e))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(lenient(Some(chain)))
                .with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Who is trusted: those of `sslrootcert`, or those whom the system trusts.
fn roots(settings: &Settings) -> Result<RootCertStore, Error> {
    let context = format!("catalog {:?}: option `sslrootcert`", settings.catalog);
    let bad = |message: String| Error::new(ErrorKind::Invalid, format!("{context}: {message}"));
    let mut store = RootCertStore::empty();
    let Some(path) = &settings.ssl_root_cert else {
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        return match (store.is_empty(), found.errors.first()) {
            (false, _) => Ok(store),
            (true, why) => {
                let why = why.map(|e| format!(" ({e})")).unwrap_or_default();
                Err(bad(format!(
                    "missing, and the system trusts nobody{why}; accepted is a file of certificates \
                     that are trusted"
                )))
            }
        };
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|e| bad(format!("{path:?} cannot be read")).with_source(e))?;
    for certificate in certificates {
        let certificate =
            certificate.map_err(|e| bad(format!("{path:?} is damaged")).with_source(e))?;
        store
            .add(certificate)
            .map_err(|e| bad(format!("{path:?} holds what is not accepted")).with_source(e))?;
    }
    if store.is_empty() {
        return Err(bad(format!("{path:?} holds no certificate")));
    }
    Ok(store)
}

/// Asks less than everything, as libpq does.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    /// `verify-ca`: a certificate must lead to a trusted one, whatever name it is for. `None`:
    /// `require` encrypts and asks nobody who is there.
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The chain is judged before the name.
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
