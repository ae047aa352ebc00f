//! Tokens of sessions: random, kept as hashes, ending when nobody uses them and at last for good.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::identity::{Principal, TokenId};
use super::keyed::random;

/// What our tokens begin with, which no token of an identity provider does.
const PREFIX: &str = "fjord_";
/// Tokens at the same time.
const TOKENS_MAX: usize = 100_000;
/// Of one user; more, and the tokens end that were used least lately.
const USER_TOKENS_MAX: usize = 20_000;

/// The tokens that are out.
pub(super) struct Tokens {
    idle: Duration,
    life: Duration,
    limits: Limits,
    table: Mutex<Table>,
}

#[derive(Clone, Copy)]
struct Limits {
    all: usize,
    of_user: usize,
}

#[derive(Default)]
struct Table {
    entries: HashMap<TokenId, Entry>,
    of_user: HashMap<Arc<str>, usize>,
}

struct Entry {
    hash: [u8; 32],
    principal: Principal,
    used: Instant,
    /// When it ends however much it is used.
    ends: Instant,
}

/// There is no room for another token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("count", &self.lock().entries.len()).finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(idle: Duration, life: Duration) -> Self {
        Self::with(idle, life, Limits { all: TOKENS_MAX, of_user: USER_TOKENS_MAX })
    }

    fn with(idle: Duration, life: Duration, limits: Limits) -> Self {
        Self { idle, life, limits, table: Mutex::default() }
    }

    /// Whether `token` could be one of ours.
    pub(super) fn is_ours(token: &str) -> bool {
        token.starts_with(PREFIX)
    }

    /// A new token for somebody who was let in.
    pub(super) fn issue(
        &self,
        principal: Principal,
        now: Instant,
    ) -> Result<(Zeroizing<String>, TokenId), Full> {
        let secret = Zeroizing::new(random::<32>());
        let token = Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&secret[..])));
        let (id, hash) = hashed(&token);
        let ends = now + self.life;
        let ends = principal.expires.map_or(ends, |expires| expires.min(ends));
        let mut table = self.lock();
        if table.entries.len() >= self.limits.all {
            table.end_all(|entry| self.has_ended(entry, now));
        }
        let user = Arc::clone(&principal.user);
        if table.of_user.get(&user).is_some_and(|count| *count >= self.limits.of_user) {
            table.end_oldest(&user, self.limits.of_user);
        }
        if table.entries.len() >= self.limits.all {
            return Err(Full);
        }
        *table.of_user.entry(user).or_default() += 1;
        table.entries.insert(id, Entry { hash, principal, used: now, ends });
        Ok((token, id))
    }

    /// Who a token was given to, if it has not ended. Using it keeps it alive.
    pub(super) fn find(&self, token: &str, now: Instant) -> Option<(Principal, TokenId)> {
        let (id, hash) = hashed(token);
        let mut table = self.lock();
        let entry = table.entries.get_mut(&id)?;
        if !bool::from(entry.hash.ct_eq(&hash)) {
            return None;
        }
        if self.has_ended(entry, now) {
            table.end(&id);
            return None;
        }
        entry.used = now;
        let mut principal = entry.principal.clone();
        // A token that is made with this one must not outlive it.
        principal.expires = Some(entry.ends);
        Some((principal, id))
    }

    /// Ends a token.
    pub(super) fn end(&self, id: &TokenId) {
        self.lock().end(id);
    }

    fn has_ended(&self, entry: &Entry, now: Instant) -> bool {
        now >= entry.ends || now.saturating_duration_since(entry.used) >= self.idle
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn end(&mut self, id: &TokenId) {
        let Some(entry) = self.entries.remove(id) else { return };
        if let Some(count) = self.of_user.get_mut(&entry.principal.user) {
            *count -= 1;
            if *count == 0 {
                self.of_user.remove(&entry.principal.user);
            }
        }
    }

    fn end_all(&mut self, has_ended: impl Fn(&Entry) -> bool) {
        let ended: Vec<TokenId> =
            self.entries.iter().filter(|(_, e)| has_ended(e)).map(|(id, _)| *id).collect();
        ended.iter().for_each(|id| self.end(id));
    }

    /// An eighth of a user's tokens, so that this is not done for every new one.
    fn end_oldest(&mut self, user: &str, count: usize) {
        let own = self.entries.iter().filter(|(_, e)| &*e.principal.user == user);
        let mut own: Vec<(Instant, TokenId)> = own.map(|(id, e)| (e.used, *id)).collect();
        own.sort_unstable();
        own.iter().take((count / 8).max(1)).for_each(|(_, id)| self.end(id));
    }
}

fn hashed(token: &str) -> (TokenId, [u8; 32]) {
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    (TokenId(id), hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::access::Access;
    use crate::auth::identity::Proof;
    use crate::config::Grant;

    const IDLE: Duration = Duration::from_secs(100);
    const LIFE: Duration = Duration::from_secs(350);

    fn principal(user: &str, expires: Option<Instant>) -> Principal {
        let user: Arc<str> = user.into();
        let access = Arc::new(Access::new(Arc::clone(&user), vec![Grant::Reader]));
        Principal { user, access, proof: Proof::Certificate, expires }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_slides_while_it_is_used_and_ends_for_good() {
        let (tokens, start) = (Tokens::new(IDLE, LIFE), Instant::now());
        let (used, _) = tokens.issue(principal("ada", None), start).unwrap();
        let (unused, _) = tokens.issue(principal("ada", None), start).unwrap();
        for seconds in [90, 180, 270, 340] {
            assert!(tokens.find(&used, after(start, seconds)).is_some(), "{seconds}");
        }
        assert!(tokens.find(&used, after(start, 350)).is_none());
        assert!(tokens.find(&unused, after(start, 100)).is_none());
        assert!(tokens.lock().entries.is_empty() && tokens.lock().of_user.is_empty());
    }

    #[test]
    fn no_token_outlives_what_it_was_given_for() {
        let (tokens, start) = (Tokens::new(IDLE, LIFE), Instant::now());
        let (token, _) = tokens.issue(principal("ada", Some(after(start, 10))), start).unwrap();
        let (found, _) = tokens.find(&token, after(start, 9)).unwrap();
        // Asked for a new token with the old one.
        let (second, _) = tokens.issue(found, after(start, 9)).unwrap();
        assert!(tokens.find(&second, after(start, 9)).is_some());
        assert!(tokens.find(&second, after(start, 10)).is_none());
        assert!(tokens.find(&token, after(start, 10)).is_none());
    }

    #[test]
    fn h3_tokens_differ_are_not_kept_and_no_alteration_is_let_in() {
        let (tokens, start) = (Tokens::new(IDLE, LIFE), Instant::now());
        let (one, id) = tokens.issue(principal("ada", None), start).unwrap();
        let (two, other) = tokens.issue(principal("ada", None), start).unwrap();
        assert!(*one != *two && id != other && one.len() == PREFIX.len() + 43);
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..10_000 {
            let mut forged = one.as_bytes().to_vec();
            let at = random.usize(PREFIX.len()..forged.len());
            forged[at] = b"ABCDEFGHabcdefgh01234567-_"[random.usize(..26)];
            let forged = String::from_utf8(forged).unwrap();
            assert!(forged == *one || tokens.find(&forged, start).is_none());
            assert!(tokens.find(&one[..random.usize(..one.len())], start).is_none());
        }
        assert!(!format!("{tokens:?} {id:?}").contains(&one[PREFIX.len()..]));
        tokens.end(&id);
        assert!(tokens.find(&one, start).is_none() && tokens.find(&two, start).is_some());
    }

    #[test]
    fn the_table_is_bounded_and_one_user_cannot_fill_it() {
        let limits = Limits { all: 100, of_user: 40 };
        let (tokens, start) = (Tokens::with(IDLE, LIFE, limits), Instant::now());
        let (first, _) = tokens.issue(principal("ada", None), start).unwrap();
        for seconds in 1..50 {
            tokens.issue(principal("ada", None), after(start, seconds)).unwrap();
        }
        assert!(tokens.find(&first, after(start, 50)).is_none(), "the oldest ends");
        assert!(tokens.lock().of_user["ada"] <= 40);
        let mut made = 0;
        while tokens.issue(principal(&format!("user{made}"), None), after(start, 50)).is_ok() {
            made += 1;
            assert!(made < 200);
        }
        assert_eq!(tokens.lock().entries.len(), 100);
        assert_eq!(tokens.issue(principal("bob", None), after(start, 50)).unwrap_err(), Full);
        // What has ended makes room.
        assert!(tokens.issue(principal("bob", None), after(start, 200)).is_ok());
        assert_eq!(tokens.lock().entries.len(), 1);
    }
}
