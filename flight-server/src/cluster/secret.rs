//! The secret of a cluster. It never travels: every call carries the time, a random number, and a keyed
//! hash of both.
//!
//! ```text
//! x-fjord-node = v1 ─ seconds since 1970 ─ 16 random bytes ─ HMAC-SHA-256(secret; both), in hex
//! ```

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use argon2::password_hash::rand_core::{OsRng, RngCore};
use fjord_catalog::secret::Secret;
use fjord_engine::cluster::NodeAuth;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::key_file::KeyFile;

const SECRET: KeyFile = KeyFile {
    name: "cluster.secret",
    what: "cluster secret",
    remedy: "delete it on all nodes and start them again",
};
/// A configured secret has so many characters at least.
const SECRET_CHARS_MIN: usize = 16;
const NONCE_BYTES: usize = 16;
/// How far the clocks of two nodes may be apart, in seconds.
const SKEW_SECONDS_MAX: u64 = 300;
const VERSION: &str = "v1";

/// What the nodes of a cluster know and nobody else does.
pub struct ClusterSecret {
    key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSecret").finish_non_exhaustive()
    }
}

impl ClusterSecret {
    /// The secret of a data directory; makes it at the first use. Blocks.
    ///
    /// # Errors
    /// For a secret that cannot be read or made, or that was damaged.
    pub fn open_or_make(data_dir: &Path) -> Result<Self> {
        Ok(Self { key: SECRET.open_or_make(data_dir)? })
    }

    /// A secret that the configuration names.
    ///
    /// # Errors
    /// For one that is too short to be a secret.
    pub(crate) fn configured(secret: &Secret) -> Result<Self> {
        let text = secret.expose();
        ensure!(
            text.chars().count() >= SECRET_CHARS_MIN,
            "cluster.secret: found {} characters; accepted: at least {SECRET_CHARS_MIN}",
            text.chars().count()
        );
        Ok(Self { key: Zeroizing::new(text.as_bytes().to_vec()) })
    }

    fn hash(&self, seconds: u64, nonce: &[u8]) -> [u8; 32] {
        let mut message = b"fjord/1/node".to_vec();
        message.extend_from_slice(&seconds.to_le_bytes());
        message.extend_from_slice(nonce);
        let mut hash = [0; 32];
        // One round of PBKDF2 is HMAC of the message and a counter.
        pbkdf2::pbkdf2_hmac::<Sha256>(&self.key, &message, 1, &mut hash);
        hash
    }

    fn sign_at(&self, seconds: u64) -> String {
        let mut nonce = [0; NONCE_BYTES];
        OsRng.fill_bytes(&mut nonce);
        let hash = self.hash(seconds, &nonce);
        format!("{VERSION} {seconds} {} {}", hex(&nonce), hex(&hash))
    }

    fn check_at(&self, signature: Option<&str>, now: u64) -> Result<(), String> {
        let signature = signature.ok_or("the call is not signed by a node of a cluster")?;
        let mut parts = signature.split(' ');
        let parts = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        let (Some(VERSION), Some(seconds), Some(nonce), Some(hash), None) = parts else {
            return Err("the call is signed in another way".to_owned());
        };
        let seconds: u64 = seconds.parse().map_err(|_| "the call is signed at no time")?;
        let (nonce, hash) = (unhex(nonce), unhex(hash));
        let (Some(nonce), Some(hash)) = (nonce.filter(|n| n.len() == NONCE_BYTES), hash) else {
            return Err("the call is signed in another way".to_owned());
        };
        if !bool::from(self.hash(seconds, &nonce).as_slice().ct_eq(hash.as_slice())) {
            return Err(
                "the call comes from another cluster: the secrets differ; nodes share a data \
                        directory, or cluster.secret in their configuration"
                    .to_owned(),
            );
        }
        if seconds.abs_diff(now) > SKEW_SECONDS_MAX {
            return Err(format!(
                "the call was signed {} seconds from now: set the clocks of the nodes",
                seconds.abs_diff(now)
            ));
        }
        Ok(())
    }
}

impl NodeAuth for ClusterSecret {
    fn sign(&self) -> String {
        self.sign_at(now())
    }

    fn check(&self, signature: Option<&str>) -> Result<(), String> {
        self.check_at(signature, now())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Random bytes in hex.
pub(super) fn random_hex() -> String {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() > 256 {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nodes_of_a_directory_know_each_other_and_nobody_else() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = ClusterSecret::open_or_make(ours.path()).unwrap();
        let again = ClusterSecret::open_or_make(ours.path()).unwrap();
        let other = ClusterSecret::open_or_make(theirs.path()).unwrap();
        let signature = secret.sign();
        assert_eq!(again.check(Some(&signature)), Ok(()));
        assert!(other.check(Some(&signature)).unwrap_err().contains("another cluster"));
        assert!(again.check(None).unwrap_err().contains("not signed"));
        let path = ours.path().join(SECRET.name);
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(ours.path()).unwrap().count(), 1, "a partial secret is left");
    }

    #[test]
    fn no_change_of_a_signature_passes() {
        let directory = tempfile::tempdir().unwrap();
        let secret = ClusterSecret::open_or_make(directory.path()).unwrap();
        let signature = secret.sign_at(1_000);
        assert_eq!(secret.check_at(Some(&signature), 1_299), Ok(()));
        assert!(secret.check_at(Some(&signature), 1_301).unwrap_err().contains("clocks"));
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..5_000 {
            let mut bytes = signature.clone().into_bytes();
            let at = random.usize(..bytes.len());
            let before = bytes[at];
            bytes[at] = random.alphanumeric() as u8;
            // Hex is read regardless of case, and a space is no letter.
            if bytes[at].eq_ignore_ascii_case(&before) {
                continue;
            }
            let forged = String::from_utf8(bytes).unwrap();
            assert!(secret.check_at(Some(&forged), 1_000).is_err(), "{forged}");
        }
        for forged in ["", "v1", "v1 1000", "v1 1000 00 00", "v1 x y z", "v2 1 2 3"] {
            assert!(secret.check_at(Some(forged), 1_000).is_err(), "{forged}");
        }
    }

    #[test]
    fn a_configured_secret_is_long_enough() {
        assert!(ClusterSecret::configured(&Secret::new("short".to_owned())).is_err());
        let secret = Secret::new("sixteen letters!".to_owned());
        let (one, two) = (ClusterSecret::configured(&secret), ClusterSecret::configured(&secret));
        assert_eq!(two.unwrap().check(Some(&one.unwrap().sign())), Ok(()));
    }
}
