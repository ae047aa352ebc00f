//! How the nodes of a cluster know each other: by a secret that signs every call, and, where
//! `cluster.ca` names who vouches for them, by certificates on both sides of every connection.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fjord_engine::cluster::NodeAuth;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use zeroize::Zeroizing;

use super::secret::ClusterSecret;
use crate::config::{Config, MtlsConfig, TlsConfig};
use crate::tls::Tls;

/// The largest PEM file.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// What this node shows to others, and what it takes for proof.
#[derive(Debug)]
pub(crate) struct Membership {
    secret: ClusterSecret,
    certificates: Option<Certificates>,
}

/// Files in PEM.
#[derive(Debug)]
struct Certificates {
    ca: PathBuf,
    own: TlsConfig,
}

impl Membership {
    /// As the configuration says; without a secret of its own, with that of the data directory.
    ///
    /// # Errors
    /// For a secret or certificates that cannot be read.
    pub(crate) fn open(config: &Config, data_dir: &Path) -> Result<Arc<dyn NodeAuth>> {
        let secret = match &config.cluster.secret {
            Some(secret) => ClusterSecret::configured(secret)?,
            None => ClusterSecret::open_or_make(data_dir)?,
        };
        let certificates = config.cluster.ca.clone().zip(config.tls.clone());
        let certificates = certificates.map(|(ca, own)| Certificates { ca, own });
        if let Some(certificates) = &certificates {
            certificates.for_clients()?;
        }
        Ok(Arc::new(Self { secret, certificates }))
    }
}

impl NodeAuth for Membership {
    fn sign(&self) -> String {
        self.secret.sign()
    }

    fn check(&self, signature: Option<&str>) -> Result<(), String> {
        self.secret.check(signature)
    }

    fn tls(&self) -> Result<Option<ClientTlsConfig>, String> {
        let certificates = self.certificates.as_ref();
        certificates.map(Certificates::for_clients).transpose().map_err(|e| format!("{e:#}"))
    }
}

impl Certificates {
    /// Read anew for each connection, so that certificates may be renewed.
    fn for_clients(&self) -> Result<ClientTlsConfig> {
        let ca = Certificate::from_pem(read(&self.ca)?);
        let own = Identity::from_pem(read(&self.own.certificate)?, read(&self.own.key)?);
        Ok(ClientTlsConfig::new().ca_certificate(ca).identity(own))
    }
}

/// What a worker listens with: nobody connects without a certificate that `cluster.ca` vouches for.
/// `None` where connections are not encrypted.
///
/// # Errors
/// For certificates that cannot be read.
pub(crate) fn listening(config: &Config) -> Result<Option<Tls>> {
    let Some((ca, own)) = config.cluster.ca.clone().zip(config.tls.clone()) else {
        return Ok(None);
    };
    let tls = TlsConfig { client_ca: Some(ca), ..own };
    Ok(Some(Tls::open(&tls, Some(MtlsConfig { required: true }))?))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let named = || format!("{path:?} cannot be read");
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes))
        .with_context(named)?;
    ensure!(bytes.len() as u64 <= PEM_BYTES_MAX, "{path:?} is larger than {PEM_BYTES_MAX} bytes");
    Ok(bytes)
}
