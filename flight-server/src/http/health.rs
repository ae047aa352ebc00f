//! Whether a server can serve: in which phase of its life it is, and whether its catalogs answer.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use fjord_catalog::catalog::Catalog;
use fjord_engine::engine::Engine;
use futures::future::join_all;
use tokio::sync::Mutex as AsyncMutex;

/// How long a catalog may take to answer.
const CATALOG_TIME: Duration = Duration::from_secs(2);

/// For how long an answer holds: however many ask, catalogs are asked once in this time.
const ANSWER_AGE: Duration = Duration::from_secs(1);

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does not listen yet.
    #[default]
    Starting,
    /// It serves.
    Serving,
    /// It was told to end.
    Draining,
}

/// The answer to "can you serve?".
#[derive(Debug, Default)]
pub(crate) struct Health {
    phase: Mutex<Phase>,
    catalogs: AsyncMutex<Option<(Instant, Result<(), String>)>>,
}

impl Health {
    /// The server has come to `phase`.
    pub(crate) fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the server cannot serve, if it cannot.
    pub(super) async fn check(&self, engine: &Engine) -> Result<(), String> {
        match self.phase() {
            Phase::Starting => return Err("starting".to_owned()),
            Phase::Draining => return Err("draining".to_owned()),
            Phase::Serving => {}
        }
        // Held while catalogs are asked, so that one asks for all.
        let mut answer = self.catalogs.lock().await;
        if let Some((at, known)) = answer.as_ref()
            && at.elapsed() < ANSWER_AGE
        {
            return known.clone();
        }
        let asked = check_catalogs(&engine.catalogs()).await;
        *answer = Some((Instant::now(), asked.clone()));
        asked
    }
}

/// Asks all catalogs at once; what they say in detail is for the log, not for whoever asks.
async fn check_catalogs(catalogs: &[Catalog]) -> Result<(), String> {
    let answers = join_all(catalogs.iter().map(|catalog| async move {
        let asked = catalog.metastore().list_namespaces();
        match tokio::time::timeout(CATALOG_TIME, asked).await {
            Ok(Ok(_)) => None,
            Ok(Err(e)) => {
                tracing::warn!(catalog = catalog.name(), error = %e, "a catalog does not answer");
                Some(catalog.name())
            }
            Err(_) => {
                tracing::warn!(catalog = catalog.name(), "a catalog does not answer in time");
                Some(catalog.name())
            }
        }
    }))
    .await;
    let down: Vec<String> = answers.into_iter().flatten().map(|name| format!("{name:?}")).collect();
    if down.is_empty() {
        Ok(())
    } else {
        Err(format!("catalog {} does not answer", down.join(", ")))
    }
}
