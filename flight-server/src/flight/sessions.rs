//! Sessions of clients: found by cookie, else by token, never by connection; kept while they are
//! used.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fjord_engine::session::Session;
use moka::sync::Cache;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use super::egress::Profile;
use super::seal::{Purpose, Sealer};
use crate::auth::{Identity, TokenId};

/// The cookie that names a session.
const COOKIE: &str = "fjord_session";
/// Sessions kept at the same time; the one unused for the longest time goes first.
const SESSIONS_MAX: u64 = 10_000;
/// A session that nobody used for so long is forgotten.
const IDLE_TIME: Duration = Duration::from_hours(24);

/// What names a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SessionKey {
    /// By the cookie that we gave.
    Cookie(Uuid),
    /// By the token of a login.
    Token(TokenId),
}

/// One client's session.
#[derive(Debug)]
pub(crate) struct ClientSession {
    /// The engine's session: current schema, settings, prepared statements.
    pub(crate) engine: Session,
    /// The catalog and schema that it began with.
    pub(crate) beginning: (String, String),
    profile: Mutex<Option<Profile>>,
}

impl ClientSession {
    pub(crate) fn new(engine: Session) -> Self {
        let beginning = engine.current();
        Self { engine, beginning, profile: Mutex::new(None) }
    }

    /// The profile that the session chose, if it did.
    pub(crate) fn profile(&self) -> Option<Profile> {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn choose_profile(&self, profile: Option<Profile>) {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner) = profile;
    }
}

/// The sessions of a server.
pub(crate) struct Sessions {
    kept: Cache<(Arc<str>, SessionKey), Arc<ClientSession>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("kept", &self.kept.entry_count()).finish()
    }
}

impl Default for Sessions {
    fn default() -> Self {
        let kept = Cache::builder().max_capacity(SESSIONS_MAX).time_to_idle(IDLE_TIME).build();
        Self { kept }
    }
}

impl Sessions {
    /// The session under a key that the client has shown: kept from now on.
    pub(crate) fn find_or_keep(
        &self,
        user: &Arc<str>,
        key: &SessionKey,
        make: impl FnOnce() -> ClientSession,
    ) -> Arc<ClientSession> {
        self.kept.get_with((Arc::clone(user), key.clone()), || Arc::new(make()))
    }

    /// Keeps a session whose key the client has just been told.
    pub(crate) fn keep(&self, user: &Arc<str>, key: &SessionKey, session: &Arc<ClientSession>) {
        self.kept.insert((Arc::clone(user), key.clone()), Arc::clone(session));
    }

    /// Forgets a session and all that it held. Whether there was one.
    pub(crate) fn close(&self, user: &Arc<str>, key: &SessionKey) -> bool {
        self.kept.remove(&(Arc::clone(user), key.clone())).is_some()
    }
}

/// The key that a request shows, if any: its cookie if that is this user's, else its token.
pub(crate) fn shown_key(
    sealer: &Sealer,
    metadata: &MetadataMap,
    identity: &Identity,
) -> Option<SessionKey> {
    let cookies = metadata.get_all("cookie");
    let cookies = cookies.iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|header| header.split(';')).map(str::trim);
    let id = pairs.find_map(|pair| {
        let value = pair.strip_prefix(COOKIE)?.strip_prefix('=')?.trim_matches('"');
        opened(sealer, value, &identity.user)
    });
    id.map(SessionKey::Cookie).or_else(|| identity.token.map(SessionKey::Token))
}

fn opened(sealer: &Sealer, cookie: &str, user: &str) -> Option<Uuid> {
    let sealed = URL_SAFE_NO_PAD.decode(cookie).ok()?;
    let plain = sealer.open(Purpose::Session, &sealed)?;
    let (id, owner) = plain.split_first_chunk::<16>()?;
    (owner == user.as_bytes()).then(|| Uuid::from_bytes(*id))
}

/// The `set-cookie` header that gives a client its session.
pub(crate) fn cookie(sealer: &Sealer, id: Uuid, user: &str) -> String {
    let mut plain = id.as_bytes().to_vec();
    plain.extend_from_slice(user.as_bytes());
    let value = URL_SAFE_NO_PAD.encode(sealer.seal(Purpose::Session, &plain));
    format!("{COOKIE}={value}; Path=/; HttpOnly")
}
