//! Who calls: an identity, a session, and what the headers ask for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fjord_engine::queries::Wanted;
use fjord_engine::session::Session;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::core::Core;
use super::egress::{BodyCompression, Profile};
use super::gauge::Gauge;
use super::sessions::{self, ClientSession, SessionKey};
use super::status::{deadline_exceeded, status_of};
use crate::auth::Identity;
use crate::progress::PROGRESS_KEY;
use crate::tls::Peer;

/// Headers that set something for one call.
const PROFILE: &str = "fjord-output-profile";
const CATALOG: &str = "fjord-catalog";
const SCHEMA: &str = "fjord-schema";
const COMPRESSION: &str = "fjord-compression";
/// Bytes of a client's name for itself that are kept.
const CLIENT_BYTES_MAX: usize = 200;

/// Who calls, and how.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    /// The engine's session of this call: the client's own, or a copy that headers changed.
    pub(crate) session: Session,
    pub(crate) kept: Arc<ClientSession>,
    pub(crate) profile: Profile,
    pub(crate) compression: Option<BodyCompression>,
    /// The client's name for itself.
    pub(crate) client: String,
    pub(crate) deadline: Option<Instant>,
    pub(crate) key: SessionKey,
    /// Whether the client reads messages about progress between those with rows.
    pub(crate) is_told_progress: bool,
    /// How far the statement of this call is.
    pub(crate) gauge: Gauge,
    /// Whether the client still waits.
    pub(crate) wanted: Wanted,
    /// The cookie to give, when the client has shown no key.
    cookie: Option<String>,
}

impl Caller {
    /// # Errors
    /// `UNAUTHENTICATED` and its like; `INVALID_ARGUMENT` for a header that means nothing.
    pub(crate) async fn of<T>(
        core: &Core,
        request: &Request<T>,
        wanted: Wanted,
    ) -> Result<Self, Status> {
        let peer = Peer::of(request);
        let metadata = request.metadata();
        let identity = core.authenticator.authenticate(metadata, &peer).await?;
        let make = || ClientSession::new(core.open_session(&identity));
        let shown = sessions::shown_key(&core.sealer, metadata, &identity);
        let (key, kept, cookie) = match shown {
            Some(key) => {
                let kept = core.sessions.find_or_keep(&identity.user, &key, make);
                (key, kept, None)
            }
            None => {
                let id = Uuid::new_v4();
                let cookie = sessions::cookie(&core.sealer, id, &identity.user);
                (SessionKey::Cookie(id), Arc::new(make()), Some(cookie))
            }
        };
        let mut session = kept.engine.clone();
        let (catalog, schema) = (text(metadata, CATALOG)?, text(metadata, SCHEMA)?);
        if catalog.is_some() || schema.is_some() {
            session = session.fork();
            session.use_schema(catalog, schema).await.map_err(|e| status_of(&e, None))?;
        }
        let agent = metadata.get("user-agent").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let profile = match (kept.profile(), text(metadata, PROFILE)?) {
            (_, Some(name)) => Profile::by_name(name).ok_or_else(|| unknown(PROFILE, name))?,
            (Some(chosen), None) => chosen,
            (None, None) => Profile::for_user_agent(agent),
        };
        let compression = match text(metadata, COMPRESSION)? {
            None => None,
            Some(name) => {
                Some(BodyCompression::by_name(name).ok_or_else(|| unknown(COMPRESSION, name))?)
            }
        };
        // The library that the Grafana plugin is built with misreads compressed bodies.
        let compression = compression.filter(|_| profile != Profile::Grafana);
        let client = agent.chars().take(CLIENT_BYTES_MAX).collect();
        let deadline = deadline(metadata);
        let is_told_progress = metadata.contains_key(PROGRESS_KEY);
        let gauge = Gauge::default();
        Ok(Self {
            identity,
            session,
            kept,
            profile,
            compression,
            client,
            deadline,
            key,
            is_told_progress,
            gauge,
            wanted,
            cookie,
        })
    }

    /// The session's state is worth keeping: without this, a session whose key the client has not
    /// shown yet ends with the call.
    pub(crate) fn keep(&self, core: &Core) {
        if self.cookie.is_some() {
            core.sessions.keep(&self.identity.user, &self.key, &self.kept);
        }
    }

    /// Whether the client has shown no key of a session.
    pub(crate) fn is_new(&self) -> bool {
        self.cookie.is_some()
    }

    /// The answer, with the cookie where one is to be given.
    pub(crate) fn answer<T>(&self, body: T) -> Response<T> {
        let mut response = Response::new(body);
        if let Some(cookie) = &self.cookie
            && let Ok(value) = MetadataValue::try_from(cookie.as_str())
        {
            response.metadata_mut().insert("set-cookie", value);
        }
        response
    }

    /// Does `work` within the call's deadline; past it, the work is dropped.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        match self.deadline {
            None => work.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), work)
                .await
                .unwrap_or_else(|_| Err(deadline_exceeded())),
        }
    }
}

fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Result<Option<&'a str>, Status> {
    let Some(value) = metadata.get(name) else { return Ok(None) };
    value
        .to_str()
        .map(Some)
        .map_err(|_| Status::invalid_argument(format!("header {name}: is not text")))
}

fn unknown(header: &str, found: &str) -> Status {
    let accepted = match header {
        PROFILE => Profile::NAMES.join(", "),
        _ => "lz4, zstd".to_owned(),
    };
    Status::invalid_argument(format!("header {header}: found {found:?}; accepted: {accepted}"))
}

/// When the call is over for its client (`grpc-timeout`, at most eight digits and a unit).
fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let value = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|n| *n < 100_000_000)?;
    let time = match unit {
        "H" => Duration::from_secs(number.checked_mul(3_600)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Instant::now().checked_add(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adbc_25_the_deadline_of_a_call_is_read() {
        let mut metadata = MetadataMap::new();
        for (value, millis) in [("250m", 250), ("2S", 2_000), ("1H", 3_600_000)] {
            metadata.insert("grpc-timeout", value.parse().unwrap());
            let left = deadline(&metadata).unwrap() - Instant::now();
            assert!(left <= Duration::from_millis(millis), "{value}");
            assert!(left + Duration::from_millis(200) > Duration::from_millis(millis), "{value}");
        }
        for value in ["", "m", "99x", "-1S", "123456789S"] {
            metadata.insert("grpc-timeout", value.parse().unwrap());
            assert!(deadline(&metadata).is_none(), "{value}");
        }
    }
}
