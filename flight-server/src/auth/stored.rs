//! A password's hash as a password file holds it: which kinds are accepted, and what they cost.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordVerifier};
use pbkdf2::Pbkdf2;
use zeroize::Zeroizing;

/// Cheaper bcrypt is guessed too fast; dearer would let one login hold a thread for minutes.
const BCRYPT_COST_MIN: u32 = 8;
const BCRYPT_COST_MAX: u32 = 16;
const BCRYPT_BYTES: usize = 60;
/// bcrypt looks at no more, its terminating zero included.
const BCRYPT_PASSWORD_BYTES_MAX: usize = 71;
const ARGON2_KIB_MIN: u32 = 7 << 10;
const ARGON2_KIB_MAX: u32 = 1 << 20;
const ARGON2_PASSES_MAX: u32 = 32;
const ARGON2_LANES_MAX: u32 = 16;
const PBKDF2_ROUNDS_MIN: u32 = 10_000;
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;
const HASH_BYTES_MAX: usize = 512;

/// What the file may hold, for messages.
pub(super) const ACCEPTED: &str =
    "bcrypt ($2a$, $2b$, $2y$ of cost 8 to 16), $argon2id$…, $pbkdf2-sha256$… or $pbkdf2-sha512$…";

/// A hash that was checked to be of an accepted kind and cost.
#[derive(Clone)]
pub(super) enum StoredHash {
    Bcrypt(Zeroizing<String>),
    Argon2(Zeroizing<String>),
    Pbkdf2(Zeroizing<String>),
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bcrypt(_) => "Bcrypt(…)",
            Self::Argon2(_) => "Argon2(…)",
            Self::Pbkdf2(_) => "Pbkdf2(…)",
        })
    }
}

impl StoredHash {
    /// `None` for a kind or cost that is not accepted.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > HASH_BYTES_MAX {
            return None;
        }
        let kept = || Zeroizing::new(text.to_owned());
        if text.starts_with("$2") {
            return is_bcrypt(text).then(|| Self::Bcrypt(kept()));
        }
        let hash = PasswordHash::new(text).ok()?;
        hash.hash?;
        hash.salt?;
        match hash.algorithm.as_str() {
            "argon2id" => {
                let params = argon2::Params::try_from(&hash).ok()?;
                let is_bounded = (ARGON2_KIB_MIN..=ARGON2_KIB_MAX).contains(&params.m_cost())
                    && params.t_cost() <= ARGON2_PASSES_MAX
                    && params.p_cost() <= ARGON2_LANES_MAX;
                is_bounded.then(|| Self::Argon2(kept()))
            }
            "pbkdf2-sha256" | "pbkdf2-sha512" => {
                let params = pbkdf2::Params::try_from(&hash).ok()?;
                let is_bounded = (PBKDF2_ROUNDS_MIN..=PBKDF2_ROUNDS_MAX).contains(&params.rounds);
                is_bounded.then(|| Self::Pbkdf2(kept()))
            }
            _ => None,
        }
    }

    /// A hash of no password, which takes as long as one.
    pub(super) fn decoy() -> Self {
        Self::Bcrypt(Zeroizing::new(format!("$2b$12${}", ".".repeat(53))))
    }

    /// What tells it from other hashes.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Bcrypt(text) | Self::Argon2(text) | Self::Pbkdf2(text) => text,
        }
    }

    /// Whether `password` is behind it. Takes long on purpose: never on an async thread.
    pub(super) fn verify(&self, password: &str) -> bool {
        match self {
            Self::Bcrypt(hash) => {
                // All of the work first: the time must not tell of the length.
                let is_same = bcrypt::verify(password, hash).unwrap_or(false);
                is_same && password.len() <= BCRYPT_PASSWORD_BYTES_MAX
            }
            Self::Argon2(hash) => PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
            }),
            Self::Pbkdf2(hash) => PasswordHash::new(hash)
                .is_ok_and(|hash| Pbkdf2.verify_password(password.as_bytes(), &hash).is_ok()),
        }
    }
}

fn is_bcrypt(text: &str) -> bool {
    let Some(rest) = ["$2a$", "$2b$", "$2y$"].iter().find_map(|kind| text.strip_prefix(kind))
    else {
        return false;
    };
    let Some((cost, digits)) = rest.split_once('$') else { return false };
    text.len() == BCRYPT_BYTES
        && cost.len() == 2
        && cost.parse().is_ok_and(|cost| (BCRYPT_COST_MIN..=BCRYPT_COST_MAX).contains(&cost))
        && digits.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/'))
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, SaltString};

    use super::*;

    const SALT: &str = "c2FsdHNhbHRzYWx0";

    #[test]
    fn every_accepted_kind_verifies_its_password_and_no_other() {
        let salt = SaltString::from_b64(SALT).unwrap();
        let argon2 = Argon2::default().hash_password(b"s3cret:x", &salt).unwrap().to_string();
        let params = pbkdf2::Params { rounds: 10_000, output_length: 32 };
        let pbkdf2 = Pbkdf2
            .hash_password_customized(b"s3cret:x", None, None, params, &salt)
            .unwrap()
            .to_string();
        let bcrypt = bcrypt::hash_with_result("s3cret:x", 8).unwrap();
        let bcrypt = [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoY]
            .map(|version| bcrypt.format_for_version(version));
        for text in bcrypt.into_iter().chain([argon2, pbkdf2]) {
            let hash = StoredHash::parse(&text).unwrap_or_else(|| panic!("{text}"));
            assert!(hash.verify("s3cret:x"), "{text}");
            for wrong in ["", "s3cret:", "s3cret:xx", "S3cret:x"] {
                assert!(!hash.verify(wrong), "{text} {wrong:?}");
            }
            assert!(!format!("{hash:?}").contains(SALT));
        }
        assert!(!StoredHash::decoy().verify(""));
    }

    #[test]
    fn what_follows_the_72nd_byte_of_a_password_counts() {
        let long = "x".repeat(80);
        let text = bcrypt::hash(&long, 8).unwrap();
        let hash = StoredHash::parse(&text).unwrap();
        assert!(!hash.verify(&long) && !hash.verify(&format!("{}y", "x".repeat(75))));
    }

    #[test]
    fn weak_costly_and_unknown_hashes_are_refused() {
        let good = bcrypt::hash("x", 8).unwrap();
        for text in [
            "".to_owned(),
            "plain".to_owned(),
            good.replace("$08$", "$07$"),
            good.replace("$08$", "$31$"),
            good.replace("$2b$", "$2x$"),
            good.replace("$2b$", "$1$"),
            format!("{good}x"),
            good.replace("$08$", "$8$"),
            "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0"
                .into(),
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0".into(),
            "$argon2id$v=19$m=4000000,t=2,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0"
                .into(),
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0".into(),
            "$pbkdf2-sha256$i=100,l=32$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0".into(),
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".into(),
            "$apr1$abc$def".into(),
        ] {
            assert!(StoredHash::parse(&text).is_none(), "{text}");
        }
    }
}
