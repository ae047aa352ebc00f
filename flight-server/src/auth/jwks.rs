//! A key set behind a URL: fetched when needed, kept, and asked for again when an issuer rotates.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::Mutex as AsyncMutex;
use url::Url;

use super::jwt_key::{JwtKey, parse_set};

/// How long a key set is taken as it is.
const FRESH_FOR: Duration = Duration::from_secs(300);
/// How long it serves when no newer one can be had.
const STALE_FOR: Duration = Duration::from_secs(3_600);
/// The least between two requests, whatever tokens come.
const REQUESTS_EVERY: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest key set.
const SET_BYTES_MAX: usize = 1 << 20;

/// Keys that an issuer publishes.
#[derive(Debug)]
pub(super) struct Jwks {
    url: Url,
    client: reqwest::Client,
    kept: Mutex<Kept>,
    /// One request at a time.
    fetching: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: Arc<Vec<JwtKey>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl Kept {
    fn age(&self) -> Option<Duration> {
        self.fetched.map(|at| at.elapsed())
    }

    fn has(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.keys.iter().any(|key| key.id.as_deref() == Some(id)))
    }

    fn is_tried_lately(&self) -> bool {
        self.tried.is_some_and(|at| at.elapsed() < REQUESTS_EVERY)
    }

    /// What there is, if it may still be used.
    fn usable(&self) -> Option<Arc<Vec<JwtKey>>> {
        self.age().is_some_and(|age| age < STALE_FOR).then(|| Arc::clone(&self.keys))
    }
}

impl Jwks {
    pub(super) fn new(url: Url) -> Result<Self> {
        // The HTTP client takes the process's own; a second caller finds it in place.
        let _in_place = rustls::crypto::ring::default_provider().install_default().is_err();
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // Keys come from where the configuration says, from nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("the HTTP client for key sets cannot be made")?;
        Ok(Self { url, client, kept: Mutex::default(), fetching: AsyncMutex::new(()) })
    }

    /// The keys, among them the one called `id` if the issuer has it; `None` when none can be had.
    pub(super) async fn keys(&self, id: Option<&str>) -> Option<Arc<Vec<JwtKey>>> {
        let known = {
            let kept = self.lock();
            let is_fresh = kept.age().is_some_and(|age| age < FRESH_FOR);
            let is_enough = is_fresh && kept.has(id);
            if is_enough || (kept.fetched.is_some() && kept.is_tried_lately()) {
                return kept.usable();
            }
            kept.usable().filter(|_| kept.has(id))
        };
        let _turn = match (self.fetching.try_lock(), known) {
            (Ok(turn), _) => turn,
            // Somebody is asking: what is known will do.
            (Err(_), Some(known)) => return Some(known),
            (Err(_), None) => self.fetching.lock().await,
        };
        {
            // Somebody may have fetched while we waited.
            let mut kept = self.lock();
            if kept.is_tried_lately() {
                return kept.usable();
            }
            kept.tried = Some(Instant::now());
        }
        match self.fetch().await {
            Ok(keys) => {
                let mut kept = self.lock();
                kept.keys = Arc::new(keys);
                kept.fetched = Some(Instant::now());
            }
            Err(e) => {
                let error = format!("{e:#}");
                tracing::warn!(url = %self.url, %error, "the key set cannot be fetched");
            }
        }
        self.lock().usable()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Result<Vec<JwtKey>> {
        // Errors of the client repeat the URL, which is logged beside them.
        let mut response =
            self.client.get(self.url.clone()).send().await.map_err(reqwest::Error::without_url)?;
        ensure!(response.status().is_success(), "the answer is {}", response.status());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
            ensure!(
                body.len() + chunk.len() <= SET_BYTES_MAX,
                "it has more than {SET_BYTES_MAX} bytes"
            );
            body.extend_from_slice(&chunk);
        }
        parse_set(&body)
    }

    #[cfg(test)]
    pub(super) fn let_time_pass(&self) {
        let mut kept = self.lock();
        kept.tried = None;
    }
}
