//! Certificate, key and client roots: read from PEM files, checked, made into a TLS configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use crate::config::{MtlsConfig, TlsConfig};
use crate::stamp::Stamp;

/// The largest PEM file.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// Which files, and whether clients must show a certificate.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: Option<(PathBuf, MtlsConfig)>,
}

impl Files {
    pub(super) fn new(tls: &TlsConfig, mtls: Option<MtlsConfig>) -> Self {
        Self {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            client_ca: tls.client_ca.clone().zip(mtls),
        }
    }

    /// What tells that one of them has changed.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        let client_ca = self.client_ca.iter().map(|(path, _)| path);
        [&self.certificate, &self.key]
            .into_iter()
            .chain(client_ca)
            .map(|p| Stamp::of(p).ok())
            .collect()
    }

    /// Reads and checks all of them. Blocks.
    pub(super) fn load(&self) -> Result<ServerConfig> {
        // Named here, for the process may have no default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&self.certificate)?;
        warn_if_open(&self.key);
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| anyhow::anyhow!("key {:?} holds no private key in PEM", self.key))?;
        let pair = CertifiedKey::from_der(chain, key, &provider).with_context(|| {
            format!("certificate {:?} and key {:?} do not fit", self.certificate, self.key)
        })?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some((path, mtls)) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path)? {
                    roots.add(root).with_context(|| format!("client_ca {path:?}"))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier =
                    if mtls.required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Single(Arc::new(pair))));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// One certificate, whatever name the client asks for.
#[derive(Debug)]
struct Single(Arc<CertifiedKey>);

impl rustls::server::ResolvesServerCert for Single {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let named = || format!("{path:?} cannot be read");
    let bytes = std::fs::metadata(path).with_context(named)?.len();
    ensure!(bytes <= PEM_BYTES_MAX, "{path:?} has {bytes} bytes; at most {PEM_BYTES_MAX} are read");
    std::fs::read(path).with_context(named)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| anyhow::anyhow!("{path:?} holds no certificate in PEM"))?;
    ensure!(!chain.is_empty(), "{path:?} holds no certificate in PEM");
    Ok(chain)
}

fn warn_if_open(key: &Path) {
    if let Ok(stamp) = Stamp::of(key)
        && stamp.is_open_to_others()
    {
        let mode = format!("{:o}", stamp.permissions());
        tracing::warn!(file = %key.display(), %mode, "others may read the private key: chmod 600");
    }
}
