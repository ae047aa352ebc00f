//! Calls of the protocol: proven, repeated where that does no harm, their failures told apart.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::auth::Auth;
use super::endpoint::Endpoint;
use super::failure::{Effect, Refusal, unclear};
use super::options::RestOptions;
use super::wire::{Answer, Wire, header};
use crate::address;
use crate::depth::{DEPTH_MAX, nests_deeper};
use crate::error::{Error, ErrorKind, Result};

/// How long a read is repeated for, from its first attempt.
const READ_TIME: Duration = Duration::from_secs(8);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Attempts at a change whose repetition the server recognises.
const KEYED_ATTEMPTS_MAX: u32 = 3;

/// One call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<&'a Value>,
    pub(super) effect: Effect,
    /// What it is about, for messages: `table "a.t"`.
    pub(super) what: &'a str,
    /// What status 409 means.
    pub(super) conflict: ErrorKind,
}

impl<'a> Call<'a> {
    pub(super) fn read(url: Url, what: &'a str) -> Self {
        let (method, effect) = (Method::GET, Effect::Read);
        Self { method, url, body: None, effect, what, conflict: ErrorKind::Unavailable }
    }

    pub(super) fn change(method: Method, url: Url, body: Option<&'a Value>, what: &'a str) -> Self {
        let (effect, conflict) = (Effect::Change, ErrorKind::AlreadyExists);
        Self { method, url, body, effect, what, conflict }
    }
}

/// The client of one catalog. Cheap to clone; nothing is asked before the first call.
#[derive(Clone, Debug)]
pub(super) struct RestClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: RestOptions,
    uri: Url,
    wire: Wire,
    auth: Auth,
    headers: HeaderMap,
    endpoint: OnceCell<Endpoint>,
}

impl RestClient {
    pub(super) fn try_new(options: RestOptions) -> Result<Self> {
        let uri = address::of_server("uri", &options.uri)?;
        let wire =
            Wire::try_new(options.attempt_time, options.storage.limits().metadata_bytes_max)?;
        let auth = Auth::new(&options.auth, &wire, &uri)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in &options.headers {
            let (name, value) = header(name, value.expose())?;
            headers.insert(name, value);
        }
        let endpoint = OnceCell::new();
        Ok(Self { shared: Arc::new(Shared { options, uri, wire, auth, headers, endpoint }) })
    }

    /// What was negotiated; a failure is tried again by the next call.
    pub(super) async fn endpoint(&self) -> Result<&Endpoint> {
        self.shared.endpoint.get_or_try_init(|| self.negotiate()).await
    }

    /// The address that was configured.
    pub(super) fn uri(&self) -> &Url {
        &self.shared.uri
    }

    /// What was negotiated, if anything was asked yet.
    pub(super) fn negotiated(&self) -> Option<&Endpoint> {
        self.shared.endpoint.get()
    }

    async fn negotiate(&self) -> Result<Endpoint> {
        let Shared { options, uri, .. } = &*self.shared;
        let root = uri.as_str().trim_end_matches('/');
        let mut url = address::of_server("uri", &format!("{root}/v1/config"))?;
        if let Some(warehouse) = &options.warehouse {
            url.query_pairs_mut().append_pair("warehouse", warehouse);
        }
        let what = format!("catalog {:?}", uri.as_str());
        let answer = self.call(Call::read(url, &what)).await?;
        Endpoint::negotiate(uri, options, &answer)
    }

    /// Makes a call; the JSON of a success, `Null` for one without a body.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value> {
        let body = match call.body {
            None => None,
            Some(json) => Some(Bytes::from(serde_json::to_vec(json).map_err(|e| {
                Error::new(ErrorKind::Bug, "a request cannot be written").with_source(e)
            })?)),
        };
        let key = self.idempotency_key(&call)?;
        let deadline = Instant::now() + READ_TIME;
        let (mut attempts, mut is_renewed) = (0, false);
        loop {
            attempts += 1;
            let outcome = self.attempt(&call, body.as_ref(), key.as_ref()).await;
            let may_repeat = match call.effect {
                Effect::Read => Instant::now() < deadline,
                Effect::Change | Effect::Commit => key.is_some() && attempts < KEYED_ATTEMPTS_MAX,
            };
            let error = match outcome {
                Ok(Ok(answer)) if (200..300).contains(&answer.status) => {
                    return parse(&answer, &call);
                }
                Ok(Ok(answer)) => {
                    let refusal = Refusal::read(answer.status, &answer.body);
                    // A request without a right proof was not even looked at.
                    if matches!(refusal.status, 401 | 419)
                        && !std::mem::replace(&mut is_renewed, true)
                        && self.shared.auth.renew().await
                    {
                        continue;
                    }
                    let error = refusal.error(call.effect, call.what, call.conflict);
                    if !(refusal.is_passing() && may_repeat) {
                        return Err(error);
                    }
                    error
                }
                Ok(Err(no_answer)) => {
                    // What was never sent can be sent again, whatever it does.
                    let unsent = !no_answer.was_sent && Instant::now() < deadline;
                    let error = no_answer.into_error(call.effect, call.what);
                    if !(may_repeat || unsent) {
                        return Err(error);
                    }
                    error
                }
                Err(e) => return Err(e),
            };
            let pause = PAUSE_MIN.saturating_mul(1 << attempts.min(6)).min(PAUSE_MAX);
            let pause = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            tracing::debug!(what = call.what, error = %error, "a call of the catalog is repeated");
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        body: Option<&Bytes>,
        key: Option<&(HeaderName, HeaderValue)>,
    ) -> Result<std::result::Result<Answer, super::wire::NoAnswer>> {
        let Shared { wire, auth, headers, .. } = &*self.shared;
        let mut headers = headers.clone();
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some((name, value)) = key {
            headers.insert(name.clone(), value.clone());
        }
        auth.sign(&call.method, &call.url, &mut headers, body).await?;
        let (method, url) = (call.method.clone(), call.url.clone());
        Ok(wire.send(method, url, headers, body.cloned()).await)
    }

    /// The same for all attempts at one change, where the server knows what to do with it.
    fn idempotency_key(&self, call: &Call<'_>) -> Result<Option<(HeaderName, HeaderValue)>> {
        let takes = self.shared.endpoint.get().is_some_and(|e| e.takes_idempotency_keys);
        if call.effect == Effect::Read || !takes {
            return Ok(None);
        }
        header("idempotency-key", &Uuid::now_v7().to_string()).map(Some)
    }
}

fn parse(answer: &Answer, call: &Call<'_>) -> Result<Value> {
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    let undecodable = |problem: &str| {
        unclear(call.effect, &format!("{}: the catalog's answer {problem}", call.what))
    };
    if nests_deeper(&answer.body, DEPTH_MAX) {
        return Err(undecodable("nests too deep"));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|e| undecodable("is not the JSON of the protocol").with_source(e))
}
