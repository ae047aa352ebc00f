//! Random keys in the data directory, each made once and read by every process that shares it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use argon2::password_hash::rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

use crate::stamp::Stamp;

const KEY_BYTES: usize = 32;

/// A file that holds a key.
pub(crate) struct KeyFile {
    /// Its name in the data directory.
    pub(crate) name: &'static str,
    /// What it is, for messages.
    pub(crate) what: &'static str,
    /// What to do with one that is damaged, and what comes of it.
    pub(crate) remedy: &'static str,
}

impl KeyFile {
    /// The key; makes it at the first use. Blocks.
    ///
    /// # Errors
    /// For a key that cannot be read or made, or that was damaged.
    pub(crate) fn open_or_make(&self, data_dir: &Path) -> Result<Zeroizing<Vec<u8>>> {
        let path = data_dir.join(self.name);
        let named = || format!("{} {:?}", self.what, path.display());
        let key = match read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.make(data_dir, &path).with_context(named)?;
                // Another process may have been first: what is in place is the key.
                read(&path).with_context(named)?
            }
            read => read.with_context(named)?,
        };
        ensure!(
            key.len() == KEY_BYTES,
            "{} has {} bytes where {KEY_BYTES} were written: {}",
            named(),
            key.len(),
            self.remedy
        );
        if let Ok(stamp) = Stamp::of(&path)
            && stamp.is_open_to_others()
        {
            let (what, mode) = (self.what, format!("{:o}", stamp.permissions()));
            tracing::warn!(file = %path.display(), %mode, "others may read the {what}: chmod 600");
        }
        Ok(key)
    }

    /// Writes a key beside its place and links it there, which fails when somebody was first: nobody
    /// ever reads half a key.
    fn make(&self, data_dir: &Path, path: &Path) -> io::Result<()> {
        let partial = data_dir.join(format!("{}.{}.partial", self.name, uuid::Uuid::new_v4()));
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        OsRng.fill_bytes(key.as_mut());
        let written = (|| {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
            file.write_all(key.as_ref())?;
            file.sync_all()?;
            match std::fs::hard_link(&partial, path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
                _ => File::open(data_dir)?.sync_all(),
            }
        })();
        // It may not be there; the first error is the one to tell.
        let _removed = std::fs::remove_file(&partial);
        written
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut key = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    // One byte more, so that a longer file is noticed.
    File::open(path)?.take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
    Ok(key)
}
