//! Workers in processes of their own, for a lake in this one.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fjord_engine::cluster::{ClusterOptions, NodeAuth};
use fjord_flight_server::cluster::{ClusterSecret, http_url};
use tempfile::TempDir;
use url::Url;

/// How long a worker may take to start.
const START_TIME: Duration = Duration::from_secs(60);

/// The binary of the build that this test belongs to.
///
/// # Errors
/// When it was not built.
pub fn binary() -> Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let path = tests.parent().and_then(Path::parent).context("no target directory")?.join("fjord");
    if !path.exists() {
        bail!("{} is missing: build it first (cargo build --bin fjord)", path.display());
    }
    Ok(path)
}

/// A worker. Killed when dropped.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    url: Url,
    errors: PathBuf,
}

impl WorkerProcess {
    /// Starts a worker that registers nowhere, on the secret in `directory`.
    ///
    /// # Errors
    /// When it does not say within a minute where it listens.
    pub fn start(directory: &Path, name: &str) -> Result<Self> {
        Self::start_with(directory, name, |command| {
            command.arg("--unregistered");
        })
    }

    /// The same with other flags; its standard error goes to `<directory>/<name>.err`.
    ///
    /// # Errors
    /// As [`WorkerProcess::start`].
    pub fn start_with(
        directory: &Path,
        name: &str,
        set_up: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let errors = directory.join(format!("{name}.err"));
        let mut command = Command::new(binary()?);
        command
            .arg("worker")
            .arg("--data-dir")
            .arg(directory)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?);
        set_up(&mut command);
        let child = command.spawn()?;
        let mut process = Self { child, url: Url::parse("http://127.0.0.1:1")?, errors };
        let begun = Instant::now();
        loop {
            if let Some(address) = process.said("worker: ")? {
                process.url = http_url(&address)?;
                return Ok(process);
            }
            if begun.elapsed() > START_TIME || process.child.try_wait()?.is_some() {
                bail!("the worker did not start: {}", std::fs::read_to_string(&process.errors)?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn said(&self, head: &str) -> Result<Option<String>> {
        for line in BufReader::new(File::open(&self.errors)?).lines() {
            let line = line?;
            let line = line.strip_prefix("fjord: ").unwrap_or(&line);
            if let Some(rest) = line.strip_prefix(head) {
                return Ok(Some(rest.trim().to_owned()));
            }
        }
        Ok(None)
    }

    /// Where it takes plans.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn errors(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.errors)?)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it a signal by name: `STOP`, `CONT`, `TERM`.
    ///
    /// # Errors
    /// When there is no such signal or process.
    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), id.as_str()]).status()?;
        if !status.success() {
            bail!("signal {name} was not sent");
        }
        Ok(())
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // Ended already, in some tests.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Workers of one secret.
#[derive(Debug)]
pub struct Workers {
    processes: Vec<WorkerProcess>,
    auth: Arc<dyn NodeAuth>,
    _directory: TempDir,
}

impl Workers {
    /// Starts `count` workers.
    ///
    /// # Errors
    /// As [`WorkerProcess::start`].
    pub fn start(count: usize) -> Result<Self> {
        Self::start_with(count, |_, _| Ok(()))
    }

    /// The same, each with other flags; they share the directory.
    ///
    /// # Errors
    /// As [`WorkerProcess::start`], and those of `set_up`.
    pub fn start_with(
        count: usize,
        set_up: impl Fn(&Path, &mut Command) -> Result<()>,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let auth: Arc<dyn NodeAuth> = Arc::new(ClusterSecret::open_or_make(directory.path())?);
        let processes = (0..count)
            .map(|i| {
                let mut outcome = Ok(());
                let name = format!("worker-{i}");
                let worker = WorkerProcess::start_with(directory.path(), &name, |command| {
                    command.arg("--unregistered");
                    outcome = set_up(directory.path(), command);
                });
                outcome.and(worker)
            })
            .collect::<Result<_>>()?;
        Ok(Self { processes, auth, _directory: directory })
    }

    /// A cluster of them in which everything is spread: no query is too small, and every task reads
    /// little.
    pub fn options(&self) -> ClusterOptions {
        let mut options = ClusterOptions::new(Arc::clone(&self.auth));
        options.workers = self.processes.iter().map(|worker| worker.url().clone()).collect();
        (options.bytes_min, options.task_bytes) = (0, 64);
        options
    }

    /// The processes.
    pub fn processes(&mut self) -> &mut [WorkerProcess] {
        &mut self.processes
    }
}
