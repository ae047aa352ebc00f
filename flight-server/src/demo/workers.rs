//! Workers beside the demo, in processes of their own.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use datafusion::common::runtime::SpawnedTask;
use fjord_engine::cluster::{ClusterOptions, NodeAuth};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cluster::{ClusterSecret, http_url};
use crate::compose::Lakehouse;

/// How long a worker may take to start.
const START_TIME: Duration = Duration::from_secs(30);
/// What a task reads: the tables of the demo are small.
const TASK_BYTES: u64 = 64 << 10;

/// Workers that end with this value.
pub(super) struct LocalWorkers {
    addresses: Vec<String>,
    _processes: Vec<Child>,
    _read: Vec<SpawnedTask<()>>,
}

impl LocalWorkers {
    /// Starts `count` workers, and lets the engine of `lakehouse` send them everything that it can.
    ///
    /// # Errors
    /// When one does not start.
    pub(super) async fn start(lakehouse: &Lakehouse, count: u8) -> Result<Self> {
        let auth: Arc<dyn NodeAuth> = Arc::new(ClusterSecret::open_or_make(lakehouse.data_dir())?);
        let (mut processes, mut addresses, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for _worker in 0..count {
            let mut process = Command::new(std::env::current_exe()?)
                .arg("worker")
                .arg("--unregistered")
                .arg("--data-dir")
                .arg(lakehouse.data_dir())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("a worker cannot be started")?;
            let said = tokio::time::timeout(START_TIME, address(&mut process)).await??;
            addresses.push(said.0);
            read.push(said.1);
            processes.push(process);
        }
        let mut options = ClusterOptions::new(auth);
        options.workers =
            addresses.iter().map(|address| http_url(address)).collect::<Result<_>>()?;
        (options.bytes_min, options.task_bytes) = (0, TASK_BYTES);
        lakehouse.engine().coordinate(options)?;
        Ok(Self { addresses, _processes: processes, _read: read })
    }

    /// Where they take plans.
    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

/// Where a worker listens, as it says first; and what reads on, so that what it says later does not
/// fill the pipe.
async fn address(process: &mut Child) -> Result<(String, SpawnedTask<()>)> {
    let Some(said) = process.stderr.take() else { bail!("a worker says nothing") };
    let mut lines = BufReader::new(said).lines();
    let mut heard = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix("worker: ") {
            let address = address.to_owned();
            let rest = async move { while let Ok(Some(_)) = lines.next_line().await {} };
            return Ok((address, SpawnedTask::spawn(rest)));
        }
        heard.push(line);
    }
    bail!("a worker did not start: {}", heard.join("; "))
}
