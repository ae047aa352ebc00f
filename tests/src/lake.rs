//! A lakehouse in a temporary directory, in this process.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::RecordBatch;
use fjord_engine::engine::Engine;
use fjord_engine::session::{Session, SessionOptions};
use futures::TryStreamExt;
use tempfile::TempDir;

/// A fresh data directory with an engine on it; gone when dropped.
#[derive(Debug)]
pub struct Lake {
    directory: Arc<TempDir>,
    engine: Engine,
}

impl Lake {
    /// A new, empty lake.
    pub async fn new() -> Result<Self> {
        let directory = Arc::new(tempfile::tempdir()?);
        bail!("not built yet {:?}", directory);
    }

    /// The data directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A new session with the defaults.
    pub fn session(&self) -> Session {
        self.engine.session(SessionOptions::default())
    }

    /// Runs a script and returns the rows of its last statement.
    pub async fn run(&self, script: &str) -> fjord_engine::Result<Vec<RecordBatch>> {
        let session = self.session();
        let mut last = Vec::new();
        for statement in session.parse(script)? {
            last = session.execute(&statement).await?.stream.try_collect().await?;
        }
        Ok(last)
    }
}
