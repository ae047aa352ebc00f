//! The password file: read again when it changes, kept as it was when the new one is malformed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use datafusion::common::runtime::SpawnedTask;

use super::users::Users;
use crate::stamp::Stamp;

/// How long a look at the file is good for.
const CHECKED_FOR: Duration = Duration::from_secs(2);
/// The largest file.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// A password file under watch. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct PasswordFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    users: Arc<Users>,
    stamp: Option<Stamp>,
    checked: Instant,
}

impl PasswordFile {
    /// Reads the file. Blocks.
    ///
    /// # Errors
    /// For a file that cannot be read or is malformed.
    pub(super) fn open(path: &Path) -> Result<Self> {
        // Taken before reading: a change in between is seen as one.
        let stamp = Stamp::of(path).ok();
        let users = Arc::new(load(path)?);
        if users.len() == 0 {
            tracing::warn!(file = %path.display(), "the password file names nobody");
        }
        let current = Mutex::new(Current { users, stamp, checked: Instant::now() });
        Ok(Self { shared: Arc::new(Shared { path: path.to_owned(), current }) })
    }

    /// The users as the file has them, at most a few seconds ago.
    pub(super) async fn current(&self) -> Arc<Users> {
        if self.is_due() {
            let shared = Arc::clone(&self.shared);
            // Its failure is only ever a shutdown.
            let _outcome = SpawnedTask::spawn_blocking(move || shared.reload()).await;
        }
        Arc::clone(&self.shared.lock().users)
    }

    /// Whether this caller is the one to look at the file.
    fn is_due(&self) -> bool {
        let mut current = self.shared.lock();
        let is_due = current.checked.elapsed() >= CHECKED_FOR;
        if is_due {
            current.checked = Instant::now();
        }
        is_due
    }

    #[cfg(test)]
    pub(super) fn reload_now(&self) {
        self.shared.reload();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self) {
        let stamp = Stamp::of(&self.path).ok();
        if stamp == self.lock().stamp {
            return;
        }
        let loaded = load(&self.path);
        let mut current = self.lock();
        current.stamp = stamp;
        match loaded {
            Ok(users) => {
                tracing::info!(users = users.len(), "the password file was read again");
                current.users = Arc::new(users);
            }
            Err(e) => {
                let error = format!("{e:#}");
                tracing::warn!(%error, "the new password file is bad: the old one stays in force");
            }
        }
    }
}

fn load(path: &Path) -> Result<Users> {
    let named = || format!("password file {:?}", path.display());
    let stamp = Stamp::of(path).with_context(named)?;
    if stamp.is_open_to_others() {
        let mode = format!("{:o}", stamp.permissions());
        tracing::warn!(file = %path.display(), %mode, "others may read the password file: chmod 600");
    }
    let bytes = std::fs::metadata(path).with_context(named)?.len();
    ensure!(
        bytes <= FILE_BYTES_MAX,
        "{} has {bytes} bytes; at most {FILE_BYTES_MAX} are read",
        named()
    );
    let text = zeroize::Zeroizing::new(std::fs::read(path).with_context(named)?);
    let text =
        std::str::from_utf8(&text).ok().with_context(|| format!("{} is not UTF-8", named()))?;
    Users::parse(text).map_err(|problem| anyhow::anyhow!("{}: {problem}", named()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn j3_a_malformed_file_keeps_the_old_users_and_a_good_one_replaces_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let hash = bcrypt::hash("x", 8).unwrap();
        std::fs::write(&path, format!("ada:{hash}")).unwrap();
        let file = PasswordFile::open(&path).unwrap();
        for broken in ["ada:plain", "ada", "\u{0}:"] {
            std::fs::write(&path, broken).unwrap();
            file.reload_now();
            assert!(file.current().await.find("ada").is_some(), "{broken}");
        }
        std::fs::remove_file(&path).unwrap();
        file.reload_now();
        assert!(file.current().await.find("ada").is_some());
        std::fs::write(&path, format!("bob:{hash}")).unwrap();
        file.reload_now();
        let users = file.current().await;
        assert!(users.find("ada").is_none() && users.find("bob").is_some());
        assert!(PasswordFile::open(&directory.path().join("nothing")).is_err());
    }
}
