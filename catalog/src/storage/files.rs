//! Whole files: bounded reads, writes that never overwrite, deletes that may be repeated.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, Stream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::{Error, ErrorKind, Result};
use crate::storage::fault::store_error;
use crate::storage::location::FILE_SCHEME;
use crate::storage::{Resolved, Storage, local};

/// Deletes in flight at once.
const DELETES_MAX: usize = 32;
/// Times that a write over the network is sent when its outcome cannot be learnt.
const PUTS_MAX: u32 = 3;
/// The pause after the first of them; the next is longer.
const PUT_PAUSE: Duration = Duration::from_millis(200);

impl Storage {
    /// The whole file, or `LimitExceeded` before more than `bytes_max` bytes are held.
    ///
    /// # Errors
    /// `NotFound` with the URI, `LimitExceeded`, or what the store met.
    pub async fn read_all(&self, uri: &str, bytes_max: u64) -> Result<Bytes> {
        let at = self.resolve(uri)?;
        // Everything that plans a query waits for this somewhere: what waits should stay small.
        Box::pin(at.read_all(uri, bytes_max)).await
    }

    /// Writes a file that must not exist. When this returns, it survives a power cut.
    ///
    /// Sending the same bytes twice succeeds: a store's client may repeat a request whose answer
    /// was lost, and would otherwise be told that its own file is in the way.
    ///
    /// # Errors
    /// `AlreadyExists` if other bytes are there, or what the store met.
    pub async fn put_new(&self, uri: &str, bytes: Bytes) -> Result<()> {
        let at = self.resolve(uri)?;
        Box::pin(at.put_new(uri, PutPayload::from_bytes(bytes))).await
    }

    /// Whether the file is there.
    ///
    /// # Errors
    /// What the store met; absence is an answer.
    pub async fn exists(&self, uri: &str) -> Result<bool> {
        let at = self.resolve(uri)?;
        match at.store.head(&at.path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(store_error("read", uri, e)),
        }
    }

    /// The file's size in bytes.
    ///
    /// # Errors
    /// `NotFound` with the URI, or what the store met.
    pub async fn size(&self, uri: &str) -> Result<u64> {
        let at = self.resolve(uri)?;
        let meta = at.store.head(&at.path).await.map_err(|e| store_error("read", uri, e))?;
        Ok(meta.size)
    }

    /// Deletes a file; one that is gone already is no error. Returns whether it was there.
    ///
    /// # Errors
    /// What the store met.
    pub async fn delete_file(&self, uri: &str) -> Result<bool> {
        let at = self.resolve(uri)?;
        match at.store.delete(&at.path).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => match store_error("delete", uri, e) {
                e if e.kind() == ErrorKind::NotFound => Ok(false),
                e => Err(e),
            },
        }
    }

    /// Deletes files, a bounded number at a time, and returns how many were there. All are tried;
    /// the first failure is reported at the end.
    ///
    /// # Errors
    /// What the store met.
    pub async fn delete_files(&self, uris: impl Stream<Item = String> + Send) -> Result<u64> {
        let mut outcomes = std::pin::pin!(
            uris.map(|uri| async move { self.delete_file(&uri).await })
                .buffer_unordered(DELETES_MAX)
        );
        let (mut deleted, mut failure) = (0, None);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(was_there) => deleted += u64::from(was_there),
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        failure.map_or(Ok(deleted), Err)
    }

    /// Files below a directory, by URI as `directory` spells it, with size and age.
    ///
    /// # Errors
    /// A malformed URI at once, what the store met as an item.
    pub fn list(
        &self,
        directory: &str,
    ) -> Result<BoxStream<'static, Result<(String, ObjectMeta)>>> {
        let at = self.resolve(directory)?;
        let base = directory.trim_end_matches('/').to_owned();
        let prefix = at.path.clone();
        let listed = at.store.list(Some(&prefix));
        let shown = base.clone();
        Ok(listed
            .map_err(move |e| store_error("list", &shown, e))
            .map_ok(move |meta| (spell(&base, &prefix, &meta.location), meta))
            .boxed())
    }

    /// Removes a directory tree that holds no file any more. Object stores have no directories, so
    /// there it does nothing.
    ///
    /// # Errors
    /// What the file system met.
    pub async fn prune_directory(&self, uri: &str) -> Result<()> {
        let at = self.resolve(uri)?;
        if at.store_url.scheme() != FILE_SCHEME || at.path.is_root() {
            return Ok(());
        }
        let directory = std::path::PathBuf::from(format!("/{}", at.path));
        tokio::task::spawn_blocking(move || local::prune_directory(&directory))
            .await
            .map_err(|e| {
                Error::new(ErrorKind::Bug, "removing directories panicked").with_source(e)
            })?
            .map_err(|e| {
                Error::new(ErrorKind::Storage, format!("directory {uri:?}: cannot remove it"))
                    .with_source(e)
            })
    }
}

impl Resolved {
    /// [`Storage::read_all`] of what `uri` was resolved to.
    async fn read_all(&self, uri: &str, bytes_max: u64) -> Result<Bytes> {
        let result = self
            .store
            .get_opts(&self.path, GetOptions::default())
            .await
            .map_err(|e| store_error("read", uri, e))?;
        let size = result.meta.size;
        if size > bytes_max {
            return Err(too_large(uri, bytes_max).with_context("bytes", size.to_string()));
        }
        let mut stream = result.into_stream();
        // The store's word for the size is not trusted for more than this.
        let mut bytes = BytesMut::with_capacity(usize::try_from(size.min(1 << 20)).unwrap_or(0));
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| store_error("read", uri, e))?;
            if (bytes.len() + chunk.len()) as u64 > bytes_max {
                return Err(too_large(uri, bytes_max));
            }
            bytes.extend_from_slice(&chunk);
        }
        if (bytes.len() as u64) < size {
            return Err(Error::new(
                ErrorKind::Storage,
                format!("file {uri:?}: the store sent {} of {size} bytes", bytes.len()),
            )
            .with_retryable(true));
        }
        Ok(bytes.freeze())
    }

    /// Writes an object that must not exist; [`Storage::put_new`] of what `uri` was resolved to.
    ///
    /// # Errors
    /// `AlreadyExists` if other bytes are there, or what the store met.
    pub async fn put_new(&self, uri: &str, payload: PutPayload) -> Result<()> {
        // Local disk says for certain what happened; a request over the network may have been
        // applied although no answer came, and nobody below repeats one that is not idempotent.
        let is_remote = self.store_url.scheme() != FILE_SCHEME;
        let mut attempt = 1;
        loop {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match self.store.put_opts(&self.path, payload.clone(), options).await {
                Ok(_) => return Ok(()),
                Err(e @ object_store::Error::AlreadyExists { .. }) => {
                    // Ours, if it is the same: the answer to an earlier attempt was lost.
                    return match Box::pin(self.holds(uri, &payload)).await {
                        Ok(true) => Ok(()),
                        _ => Err(store_error("write", uri, e)),
                    };
                }
                Err(object_store::Error::Generic { .. }) if is_remote && attempt < PUTS_MAX => {
                    tokio::time::sleep(PUT_PAUSE * attempt).await;
                    attempt += 1;
                }
                Err(e) => return Err(store_error("write", uri, e)),
            }
        }
    }

    /// Whether the object's bytes are those of `payload`.
    async fn holds(&self, uri: &str, payload: &PutPayload) -> Result<bool> {
        let there = self.read_all(uri, payload.content_length() as u64).await?;
        let mut rest = there.as_ref();
        for chunk in payload {
            match rest.strip_prefix(chunk.as_ref()) {
                Some(after) => rest = after,
                None => return Ok(false),
            }
        }
        Ok(rest.is_empty())
    }
}

/// The listed object in the caller's spelling of its directory.
fn spell(base: &str, prefix: &Path, location: &Path) -> String {
    let below = location.as_ref().strip_prefix(prefix.as_ref()).unwrap_or(location.as_ref());
    format!("{base}/{}", below.trim_start_matches('/'))
}

fn too_large(uri: &str, bytes_max: u64) -> Error {
    Error::new(
        ErrorKind::LimitExceeded,
        format!("file {uri:?} is larger than {bytes_max} bytes, the most that is read whole"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(directory: &tempfile::TempDir, name: &str) -> String {
        format!("file://{}/{name}", directory.path().display())
    }

    #[tokio::test]
    async fn awkward_names_round_trip_and_land_under_their_literal_name() {
        let (storage, directory) = (Storage::local(), tempfile::tempdir().unwrap());
        for name in [
            "a b/c d",
            "cat=x%2Fy/50%",
            "größe/表.json",
            "q?a#b/x",
            "it's/\"q\"",
            "a:b/~c{}[]^|<>*`",
        ] {
            let uri = uri(&directory, name);
            storage.put_new(&uri, Bytes::from_static(b"x")).await.unwrap();
            assert!(directory.path().join(name).is_file(), "{name}");
            assert_eq!(storage.read_all(&uri, 10).await.unwrap(), "x");
        }
    }

    #[tokio::test]
    async fn a_write_never_overwrites() {
        let (storage, directory) = (Storage::local(), tempfile::tempdir().unwrap());
        let uri = uri(&directory, "deep/down/f");
        storage.put_new(&uri, Bytes::from_static(b"one")).await.unwrap();
        storage.put_new(&uri, Bytes::from_static(b"one")).await.unwrap();
        let error = storage.put_new(&uri, Bytes::from_static(b"two")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(storage.read_all(&uri, 10).await.unwrap(), "one");
    }

    #[tokio::test]
    async fn a_read_stops_at_its_limit() {
        let (storage, directory) = (Storage::local(), tempfile::tempdir().unwrap());
        let uri = uri(&directory, "f");
        storage.put_new(&uri, Bytes::from(vec![0; 1000])).await.unwrap();
        assert_eq!(storage.read_all(&uri, 999).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(storage.read_all(&uri, 1000).await.unwrap().len(), 1000);
    }

    #[tokio::test]
    async fn absence_keeps_its_kind_and_names_the_uri_through_the_format_library_too() {
        let (storage, directory) = (Storage::local(), tempfile::tempdir().unwrap());
        let uri = uri(&directory, "nowhere/f");
        let error = storage.read_all(&uri, 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let io = storage.file_io().unwrap();
        let error = Error::from(io.new_input(&uri).unwrap().read().await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(&uri), "{error}");
        assert!(!storage.exists(&uri).await.unwrap());
    }

    #[tokio::test]
    async fn deleting_twice_is_no_error_and_empty_directories_can_go() {
        let (storage, directory) = (Storage::local(), tempfile::tempdir().unwrap());
        let uris: Vec<String> = (0..100).map(|i| uri(&directory, &format!("t/d{i}/f"))).collect();
        for uri in &uris {
            storage.put_new(uri, Bytes::new()).await.unwrap();
        }
        let kept = uri(&directory, "t/kept/f");
        storage.put_new(&kept, Bytes::new()).await.unwrap();
        let all = || futures::stream::iter(uris.clone());
        assert_eq!(storage.delete_files(all()).await.unwrap(), 100);
        assert_eq!(storage.delete_files(all()).await.unwrap(), 0);
        storage.prune_directory(&uri(&directory, "t")).await.unwrap();
        assert!(storage.exists(&kept).await.unwrap());
        assert!(!directory.path().join("t/d0").exists());
        storage.delete_file(&kept).await.unwrap();
        storage.prune_directory(&uri(&directory, "t")).await.unwrap();
        assert!(!directory.path().join("t").exists() && directory.path().exists());
    }

    #[tokio::test]
    async fn a_listing_spells_uris_as_its_directory_was_spelt() {
        let (storage, directory) = (Storage::local(), tempfile::tempdir().unwrap());
        let uri = uri(&directory, "t/a b/f%20");
        storage.put_new(&uri, Bytes::from_static(b"abc")).await.unwrap();
        let base = format!("file:{}/t/", directory.path().display());
        let found: Vec<_> = storage.list(&base).unwrap().try_collect().await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, format!("{base}a b/f%20"));
        assert_eq!(found[0].1.size, 3);
    }
}
