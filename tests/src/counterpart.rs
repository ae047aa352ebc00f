//! Real servers that `tests/counterparts/run` has started, as its variables describe them.

use std::env;

use anyhow::{Context, Result};
use fjord_catalog::secret::Secret;
use fjord_catalog::storage::Storage;
use fjord_catalog::storage::s3::{self, S3Credentials, S3Options};

/// A bucket on a real server.
#[derive(Clone, Debug)]
pub struct S3Server {
    /// How to reach it.
    pub options: S3Options,
}

impl S3Server {
    /// The server, if there is one; `None` where a test has to be skipped.
    pub fn find() -> Option<Self> {
        let variable = |name: &str| variable(&format!("FJORD_TEST_S3_{name}"));
        let credentials = S3Credentials::Keys {
            access_key_id: variable("KEY")?,
            secret_access_key: Secret::new(variable("SECRET")?),
            session_token: None,
        };
        let mut options = S3Options::new(variable("BUCKET")?, credentials);
        options.endpoint = Some(variable("ENDPOINT")?);
        Some(Self { options })
    }

    /// Local disk and the bucket.
    pub fn storage(&self) -> Result<Storage> {
        let store = s3::store(&self.options)?;
        Ok(Storage::local().with_store(&format!("s3://{}/", self.options.bucket), store)?)
    }

    /// A place in the bucket that nobody else uses: `s3://bucket/<name>-<random>`.
    pub fn place(&self, name: &str) -> String {
        format!("s3://{}/{name}-{:016x}", self.options.bucket, fastrand::u64(..))
    }
}

/// Where `FJORD_SLT_WAREHOUSE` (`s3://bucket/prefix`) sends tables; `None`: to local disk.
///
/// # Errors
/// When the variable is set, and the bucket's server is not described.
pub fn warehouse() -> Result<Option<(Storage, String)>> {
    let Some(warehouse) = variable("FJORD_SLT_WAREHOUSE") else { return Ok(None) };
    let server = S3Server::find();
    let server = server.context("FJORD_SLT_WAREHOUSE needs `tests/counterparts/run --with s3`")?;
    let place = format!("{}/{:016x}", warehouse.trim_end_matches('/'), fastrand::u64(..));
    Ok(Some((server.storage()?, place)))
}

/// A variable of the environment, if it is set.
pub fn variable(name: &str) -> Option<String> {
    env::var_os(name)?.into_string().ok()
}
