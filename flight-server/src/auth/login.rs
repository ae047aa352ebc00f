//! A login with user and password: the file, the allowance, the work, and what is remembered of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use tonic::Status;
use zeroize::Zeroizing;

use super::failures::Failures;
use super::hashing::{Busy, Hashing};
use super::keyed::Keyed;
use super::password_file::PasswordFile;
use super::users::{Entry, Fingerprint, IsKnown};
use crate::tls::Peer;

/// How long a password that was right is not verified again: clients that send it with every call
/// would cost a hash each.
const VERIFIED_FOR: Duration = Duration::from_secs(60);
/// Passwords that are remembered as right.
const VERIFIED_MAX: u64 = 10_000;

/// Verifies passwords.
#[derive(Debug)]
pub(super) struct Login {
    file: PasswordFile,
    failures: Failures,
    hashing: Hashing,
    keyed: Keyed,
    /// Keyed hashes of user, stored hash and password.
    verified: Cache<[u8; 32], ()>,
}

/// Why a login failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Wrong,
    TooMany(Duration),
    Busy,
}

impl Login {
    /// With the users of a file. Blocks.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            file: PasswordFile::open(path)?,
            failures: Failures::new(),
            hashing: Hashing::new(),
            keyed: Keyed::new(),
            verified: Cache::builder()
                .max_capacity(VERIFIED_MAX)
                .time_to_live(VERIFIED_FOR)
                .build(),
        })
    }

    /// Lets `user` in, and says by which password.
    pub(super) async fn verify(
        &self,
        user: &str,
        password: Zeroizing<String>,
        peer: &Peer,
    ) -> Result<Fingerprint, Status> {
        let users = self.file.current().await;
        let (entry, known) = users.find_or_decoy(user, &self.keyed);
        let fingerprint = entry.fingerprint;
        let key = self.keyed.hash(&[user.as_bytes(), fingerprint.as_bytes(), password.as_bytes()]);
        // Who guesses too often is not let in by what is remembered either: it would tell a guess that
        // is right from one that is wrong.
        match self.failures.begin(&self.keyed, user, peer.ip(), Instant::now()) {
            Ok(allowed) => allowed.succeeded(),
            Err(wait) => return Err(status(Refusal::TooMany(wait))),
        }
        // The same login many times at once, as from a pool of connections, is verified once.
        let verifying = self.attempt(user, entry, known, password, peer);
        let outcome = self.verified.try_get_with(key, verifying).await;
        outcome.map(|()| fingerprint).map_err(|refusal: Arc<Refusal>| {
            let from = peer.address;
            tracing::info!(user = %shown(user), ?from, refusal = ?*refusal, "login refused");
            status(*refusal)
        })
    }

    async fn attempt(
        &self,
        user: &str,
        entry: Entry,
        known: IsKnown,
        password: Zeroizing<String>,
        peer: &Peer,
    ) -> Result<(), Refusal> {
        let attempt = self
            .failures
            .begin(&self.keyed, user, peer.ip(), Instant::now())
            .map_err(Refusal::TooMany)?;
        let is_right = match self.hashing.verify(entry.hash, password).await {
            Ok(is_right) => is_right,
            Err(Busy) => {
                // Nothing was tried.
                attempt.succeeded();
                return Err(Refusal::Busy);
            }
        };
        // Somebody unknown was verified against another's hash, for the time it takes.
        if is_right && known == IsKnown::Yes {
            attempt.succeeded();
            return Ok(());
        }
        Err(Refusal::Wrong)
    }

    /// Whether `user` still has the password that they came in with.
    pub(super) async fn is_current(&self, user: &str, fingerprint: Fingerprint) -> bool {
        let users = self.file.current().await;
        users.find(user).is_some_and(|entry| entry.fingerprint == fingerprint)
    }

    #[cfg(test)]
    pub(super) fn reload_now(&self) {
        self.file.reload_now();
    }
}

fn status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Wrong => Status::unauthenticated("wrong user or password"),
        Refusal::TooMany(wait) => Status::resource_exhausted(format!(
            "too many failed logins: try again in {} s",
            wait.as_secs() + 1
        )),
        Refusal::Busy => {
            Status::resource_exhausted("too many logins at the same time: try again in a moment")
        }
    }
}

/// A name that somebody claims, for a log.
fn shown(user: &str) -> String {
    user.chars().take(64).flat_map(char::escape_default).collect()
}
