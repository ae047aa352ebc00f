//! A keyed hash, under a key that this process makes and never shows: what is kept of a secret is of
//! use to nobody who reads it.

use std::fmt;

use argon2::password_hash::rand_core::{OsRng, RngCore};
use sha2::Sha256;
use zeroize::Zeroizing;

/// HMAC-SHA-256 under a random key of this process.
pub(super) struct Keyed {
    key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").finish_non_exhaustive()
    }
}

impl Keyed {
    pub(super) fn new() -> Self {
        Self { key: Zeroizing::new(random()) }
    }

    /// The hash of `parts`, kept apart by their lengths.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut message = Zeroizing::new(Vec::new());
        for part in parts {
            message.extend_from_slice(&(part.len() as u64).to_le_bytes());
            message.extend_from_slice(part);
        }
        let mut hash = [0; 32];
        // One round of PBKDF2 is HMAC of the message and a counter.
        pbkdf2::pbkdf2_hmac::<Sha256>(self.key.as_ref(), &message, 1, &mut hash);
        hash
    }
}

/// Bytes of the system's generator.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart_and_keys_differ() {
        let keyed = Keyed::new();
        assert_eq!(keyed.hash(&[b"ab", b"c"]), keyed.hash(&[b"ab", b"c"]));
        assert_ne!(keyed.hash(&[b"ab", b"c"]), keyed.hash(&[b"a", b"bc"]));
        assert_ne!(keyed.hash(&[b"ab"]), Keyed::new().hash(&[b"ab"]));
        assert_eq!(format!("{keyed:?}"), "Keyed { .. }");
    }
}
