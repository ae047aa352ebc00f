//! A server in a process of its own, and its shell.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workers::binary;

/// How long a server may take to start.
const START_TIME: Duration = Duration::from_secs(60);

/// A `fjord serve`. Killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    address: String,
    errors: PathBuf,
    shell: Vec<String>,
}

impl ServerProcess {
    /// Starts a server on `directory`; its standard error goes to `<directory>/server.err`.
    ///
    /// # Errors
    /// When it does not say within a minute where it listens.
    pub fn start(directory: &Path, set_up: impl FnOnce(&mut Command)) -> Result<Self> {
        let errors = directory.join("server.err");
        let mut command = Command::new(binary()?);
        command
            .args(["serve", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
            .arg(directory)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?);
        set_up(&mut command);
        let (child, address) = (command.spawn()?, String::new());
        let mut server = Self { child, address, errors, shell: Vec::new() };
        let begun = Instant::now();
        loop {
            if let Some(address) = server.said("flight: ")? {
                server.address = address;
                return Ok(server);
            }
            if begun.elapsed() > START_TIME || server.child.try_wait()?.is_some() {
                bail!("the server did not start: {}", server.errors()?);
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

    /// Its shells get `flags` too.
    #[must_use]
    pub fn with_shell(mut self, flags: &[&str]) -> Self {
        self.shell = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self
    }

    /// Where it serves Flight SQL: `grpc://HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it has written to standard error.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn errors(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.errors)?)
    }

    /// A shell that runs `script`.
    ///
    /// # Errors
    /// When there is no binary.
    pub fn shell(&self, script: &str) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .args(["sql", "--url", &self.address, "--format", "csv", "-c", script])
            .args(&self.shell)
            .stdin(Stdio::null());
        Ok(command)
    }

    /// What a script yields, as CSV.
    ///
    /// # Errors
    /// With what the shell says of a script that fails.
    pub fn sql(&self, script: &str) -> Result<String> {
        let output = self.shell(script)?.output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Ended already, in some tests.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}
