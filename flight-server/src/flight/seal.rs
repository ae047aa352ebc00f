//! Sealed bytes: what a client carries for us and can neither read, alter nor make up.
//!
//! ```text
//! sealed = version (1 byte) ─ nonce (24) ─ XChaCha20-Poly1305(plain; purpose) ─ tag (16)
//! ```

use std::fmt;
use std::path::Path;

use anyhow::{Result, anyhow};
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::key_file::KeyFile;

const KEY: KeyFile = KeyFile {
    name: "seal.key",
    what: "seal key",
    remedy: "delete it, and every ticket and handle that is out there ends",
};
const NONCE_BYTES: usize = 24;
/// What sealed bytes begin with; another layout would get another.
const VERSION: u8 = 1;
/// The most that is opened: more than any ticket holds.
const SEALED_BYTES_MAX: usize = 32 << 20;

/// What sealed bytes are for: bytes that were sealed for one purpose open for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A ticket of `DoGet`.
    Ticket,
    /// The handle of a prepared statement.
    Prepared,
    /// The descriptor with which `PollFlightInfo` and `CancelFlightInfo` name a query.
    Query,
    /// The cookie of a session.
    Session,
}

impl Purpose {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [Self::Ticket, Self::Prepared, Self::Query, Self::Session];

    /// Authenticated with the bytes, never written to them.
    fn associated_data(self) -> &'static [u8] {
        match self {
            Self::Ticket => b"fjord/1/ticket",
            Self::Prepared => b"fjord/1/prepared",
            Self::Query => b"fjord/1/query",
            Self::Session => b"fjord/1/session",
        }
    }
}

/// Seals and opens. Servers that share a data directory open each other's bytes.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// With the key of a data directory; makes it at the first use. Blocks.
    ///
    /// # Errors
    /// For a key that cannot be read, made, or has been damaged.
    pub(crate) fn open_or_make(data_dir: &Path) -> Result<Self> {
        let key = KEY.open_or_make(data_dir)?;
        let cipher = XChaCha20Poly1305::new_from_slice(&key)
            .map_err(|_| anyhow!("the seal key does not fit"))?;
        Ok(Self { cipher })
    }

    /// Seals `plain` for one purpose.
    pub(crate) fn seal(&self, purpose: Purpose, plain: &[u8]) -> Vec<u8> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload { msg: plain, aad: purpose.associated_data() };
        // Encryption fails beyond 256 GiB alone; what comes out then opens nowhere.
        let sealed = self.cipher.encrypt(&nonce, payload).unwrap_or_default();
        let mut out = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// What was sealed for `purpose`; `None` for everything else, whatever is wrong with it.
    pub(crate) fn open(&self, purpose: Purpose, sealed: &[u8]) -> Option<Vec<u8>> {
        if sealed.len() > SEALED_BYTES_MAX {
            return None;
        }
        let (version, rest) = sealed.split_first()?;
        let (nonce, msg) = rest.split_at_checked(NONCE_BYTES)?;
        if *version != VERSION {
            return None;
        }
        let payload = Payload { msg, aad: purpose.associated_data() };
        self.cipher.decrypt(XNonce::from_slice(nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_purpose_and_in_every_server_of_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let sealer = Sealer::open_or_make(directory.path()).unwrap();
        let again = Sealer::open_or_make(directory.path()).unwrap();
        for plain in [&b""[..], b"x", &[7; 100_000]] {
            for purpose in Purpose::ALL {
                let sealed = sealer.seal(purpose, plain);
                assert_eq!(again.open(purpose, &sealed).as_deref(), Some(plain));
                assert_ne!(sealed, sealer.seal(purpose, plain), "a nonce was used twice");
                assert!(plain.len() < 16 || !sealed.windows(16).any(|w| w == &plain[..16]));
            }
        }
        let mode = std::fs::metadata(directory.path().join(KEY.name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "a partial key is left"
        );
    }

    /// H3: forged, flipped, truncated, of another purpose, of another server.
    #[test]
    fn h3_none_of_30_000_forgeries_opens() {
        let directory = tempfile::tempdir().unwrap();
        let other_directory = tempfile::tempdir().unwrap();
        let sealer = Sealer::open_or_make(directory.path()).unwrap();
        let other = Sealer::open_or_make(other_directory.path()).unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        let mut tried = 0;
        let mut refuse = |purpose: Purpose, forged: &[u8]| {
            tried += 1;
            assert_eq!(sealer.open(purpose, forged), None, "{purpose:?} {forged:?}");
        };
        for _ in 0..500 {
            let plain: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
            let purpose = Purpose::ALL[random.usize(..Purpose::ALL.len())];
            let sealed = sealer.seal(purpose, &plain);
            for wrong in Purpose::ALL.into_iter().filter(|p| *p != purpose) {
                refuse(wrong, &sealed);
            }
            refuse(purpose, &other.seal(purpose, &plain));
            for _ in 0..20 {
                let mut flipped = sealed.clone();
                let at = random.usize(..flipped.len());
                flipped[at] ^= 1 << random.u8(..8);
                refuse(purpose, &flipped);
                refuse(purpose, &sealed[..random.usize(..sealed.len())]);
                let mut longer = sealed.clone();
                longer.insert(random.usize(..=sealed.len()), random.u8(..));
                // A byte that repeats its neighbour gives the same bytes, one longer.
                refuse(purpose, &longer);
            }
            let made_up: Vec<u8> = (0..random.usize(0..300)).map(|_| random.u8(..)).collect();
            refuse(purpose, &made_up);
        }
        // Halves of two sealed values.
        let [one, two] = [b"user=ada", b"user=bob"].map(|p| sealer.seal(Purpose::Ticket, p));
        // Not at the ends, where the halves may happen to be one of the two.
        for cut in 12..one.len() - 8 {
            refuse(Purpose::Ticket, &[&one[..cut], &two[cut..]].concat());
        }
        assert!(tried > 30_000, "{tried}");
    }

    #[test]
    fn a_damaged_key_is_an_error_and_no_key_is_ever_replaced() {
        let directory = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"short", &[1; 33]] {
            std::fs::write(directory.path().join(KEY.name), bytes).unwrap();
            let error = Sealer::open_or_make(directory.path()).unwrap_err().to_string();
            assert!(error.contains("delete it"), "{error}");
        }
        assert!(
            !format!("{:?}", Sealer { cipher: XChaCha20Poly1305::new(&[9; 32].into()) })
                .contains('9')
        );
    }

    #[test]
    fn servers_that_start_together_agree_on_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let sealers: Vec<Sealer> = std::thread::scope(|scope| {
            let make = || Sealer::open_or_make(directory.path()).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let sealed = sealers[0].seal(Purpose::Query, b"q");
        assert!(sealers.iter().all(|s| s.open(Purpose::Query, &sealed).is_some()));
    }
}
