//! The users of a password file, as one value.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::keyed::Keyed;
use super::stored::{ACCEPTED, StoredHash};

/// The most users of one file.
const USERS_MAX: usize = 100_000;
/// The longest name.
const USER_BYTES_MAX: usize = 256;

/// A user's hash, and what tells it from the one before it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) hash: StoredHash,
    pub(super) fingerprint: Fingerprint,
}

/// Changes when the password does. Not the hash, so that it may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 16]);

impl Fingerprint {
    fn of(hash: &StoredHash) -> Self {
        let digest = Sha256::digest(hash.text().as_bytes());
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&digest[..16]);
        Self(fingerprint)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Everybody in a password file.
#[derive(Clone, Debug, Default)]
pub(super) struct Users {
    places: HashMap<String, usize>,
    entries: Vec<Entry>,
}

impl Users {
    /// Parses lines of `user:hash`; blank ones and those that begin with `#` are left out.
    ///
    /// # Errors
    /// A sentence that names the line, never what is in it after the name.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut users = Self::default();
        for (number, line) in (1_usize..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            users.add(line).map_err(|problem| format!("line {number}: {problem}"))?;
        }
        Ok(users)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let (user, hash) =
            line.split_once(':').ok_or("found no ':'; accepted: user:hash".to_owned())?;
        let user = user.trim();
        if user.is_empty() || user.len() > USER_BYTES_MAX || user.contains(char::is_control) {
            let accepted = "accepted: 1 to 256 bytes without control characters";
            return Err(format!("found a name of {} bytes; {accepted}", user.len()));
        }
        let hash = StoredHash::parse(hash.trim()).ok_or_else(|| {
            format!("the hash of user {user:?} is not of an accepted kind; accepted: {ACCEPTED}")
        })?;
        if self.places.insert(user.to_owned(), self.entries.len()).is_some() {
            return Err(format!("user {user:?} has a line already"));
        }
        if self.entries.len() >= USERS_MAX {
            return Err(format!("found more than {USERS_MAX} users"));
        }
        self.entries.push(Entry { fingerprint: Fingerprint::of(&hash), hash });
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of a known user.
    pub(super) fn find(&self, user: &str) -> Option<&Entry> {
        self.places.get(user).and_then(|place| self.entries.get(*place))
    }

    /// The entry of `user`; for somebody unknown that of anybody, always the same, so that the time
    /// of a login tells nobody who is known.
    pub(super) fn find_or_decoy(&self, user: &str, keyed: &Keyed) -> (Entry, IsKnown) {
        if let Some(entry) = self.find(user) {
            return (entry.clone(), IsKnown::Yes);
        }
        let [a, b, c, d, ..] = keyed.hash(&[b"decoy", user.as_bytes()]);
        let place = u32::from_le_bytes([a, b, c, d]) as usize % self.entries.len().max(1);
        let entry = self.entries.get(place).cloned().unwrap_or_else(|| {
            let hash = StoredHash::decoy();
            Entry { fingerprint: Fingerprint::of(&hash), hash }
        });
        (entry, IsKnown::No)
    }
}

/// Whether an entry is the user's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IsKnown {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_mistakes_name_them_without_the_hash() {
        let hash = bcrypt::hash("x", 8).unwrap();
        let users = Users::parse(&format!("# people\n\nada:{hash}\r\n bob : {hash}\n")).unwrap();
        assert_eq!(users.len(), 2);
        assert!(users.find("ada").is_some() && users.find("bob").is_some());
        assert!(users.find("Ada").is_none());
        for (text, expected) in [
            ("ada".to_owned(), "line 1: found no ':'"),
            (format!("\nada:{hash}\nada:{hash}"), "line 3: user \"ada\" has a line already"),
            (":x".into(), "line 1: found a name of 0 bytes"),
            ("ada:canary".into(), "line 1: the hash of user \"ada\" is not of an accepted kind"),
            (format!("ada:{}", hash.replace("$08$", "$04$")), "accepted: bcrypt"),
        ] {
            let error = Users::parse(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("canary") && !error.contains(&hash[10..]));
        }
    }

    #[test]
    fn h2_an_unknown_user_costs_what_a_known_one_does() {
        let (bcrypt, other) = (bcrypt::hash("x", 8).unwrap(), bcrypt::hash("y", 9).unwrap());
        let users = Users::parse(&format!("ada:{bcrypt}\nbob:{other}")).unwrap();
        let keyed = Keyed::new();
        let mut costs = std::collections::BTreeSet::new();
        for i in 0..200 {
            let user = format!("nobody{i}");
            let (entry, known) = users.find_or_decoy(&user, &keyed);
            let (again, _) = users.find_or_decoy(&user, &keyed);
            assert_eq!(known, IsKnown::No);
            assert_eq!(entry.fingerprint, again.fingerprint, "a user's cost changes");
            costs.insert(entry.hash.text()[..7].to_owned());
        }
        assert_eq!(costs.len(), 2, "unknown users all cost the same while known ones do not");
        let (_, known) = Users::default().find_or_decoy("ada", &keyed);
        assert_eq!(known, IsKnown::No);
    }
}
