//! The TLS configuration in force: read again when its files change, kept when the new ones are bad.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use datafusion::common::runtime::SpawnedTask;
use rustls::ServerConfig;

use super::material::Files;
use crate::config::{MtlsConfig, TlsConfig};
use crate::stamp::Stamp;

/// How long a look at the files is good for.
const CHECKED_FOR: Duration = Duration::from_secs(2);

/// Certificate and key of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    files: Files,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    stamps: Vec<Option<Stamp>>,
    checked: Instant,
}

impl Tls {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// For files that are missing, are not PEM, or do not fit together.
    pub(crate) fn open(tls: &TlsConfig, mtls: Option<MtlsConfig>) -> Result<Self> {
        let files = Files::new(tls, mtls);
        // Taken before reading: a change in between is seen as one.
        let stamps = files.stamps();
        let config = Arc::new(files.load()?);
        let current = Mutex::new(Current { config, stamps, checked: Instant::now() });
        Ok(Self { shared: Arc::new(Shared { files, current }) })
    }

    /// The configuration for the next handshake.
    pub(super) async fn current(&self) -> Arc<ServerConfig> {
        if self.is_due() {
            let shared = Arc::clone(&self.shared);
            // Its failure is only ever a shutdown.
            let _outcome = SpawnedTask::spawn_blocking(move || shared.reload()).await;
        }
        Arc::clone(&self.shared.lock().config)
    }

    /// Whether this caller is the one to look at the files.
    fn is_due(&self) -> bool {
        let mut current = self.shared.lock();
        let is_due = current.checked.elapsed() >= CHECKED_FOR;
        if is_due {
            current.checked = Instant::now();
        }
        is_due
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self) {
        let stamps = self.files.stamps();
        if stamps == self.lock().stamps {
            return;
        }
        let loaded = self.files.load();
        let mut current = self.lock();
        current.stamps = stamps;
        match loaded {
            Ok(config) => {
                current.config = Arc::new(config);
                tracing::info!("certificate and key were read again");
            }
            Err(e) => {
                let error = format!("{e:#}");
                tracing::warn!(%error, "the new certificate and key are bad: the old ones stay");
            }
        }
    }

    #[cfg(test)]
    fn forget_check(&self) {
        let mut current = self.lock();
        if let Some(before) = Instant::now().checked_sub(CHECKED_FOR) {
            current.checked = before;
        }
    }
}

#[cfg(test)]
impl Tls {
    /// Lets the next handshake look at the files.
    pub(super) fn expire(&self) {
        self.shared.forget_check();
    }
}
