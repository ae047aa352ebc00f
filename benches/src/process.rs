//! A `fjord serve` process: how soon it is ready and what it holds when nobody asks anything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

const READY_TIME_MAX: Duration = Duration::from_secs(60);
const ASK_INTERVAL: Duration = Duration::from_millis(1);

/// A running server; it ends with the value.
#[derive(Debug)]
pub struct ServerProcess {
    process: Child,
    said: BufReader<ChildStderr>,
    ready: Duration,
}

impl ServerProcess {
    /// Starts `binary` on a data directory and waits until it says that it is ready.
    pub fn start(binary: &Path, data_dir: &Path) -> Result<Self> {
        let started = Instant::now();
        let mut process = Command::new(binary)
            .args(["serve", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let said = BufReader::new(process.stderr.take().context("no standard error")?);
        let mut server = Self { process, said, ready: Duration::ZERO };
        let http = server.announced_http()?;
        while !is_ready(&http) {
            ensure!(started.elapsed() < READY_TIME_MAX, "{} never got ready", binary.display());
            std::thread::sleep(ASK_INTERVAL);
        }
        server.ready = started.elapsed();
        Ok(server)
    }

    /// From the start of the process to `/readyz` being 200.
    pub fn time_to_ready(&self) -> Duration {
        self.ready
    }

    /// Its resident memory now, in bytes (only Linux tells).
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    fn announced_http(&mut self) -> Result<String> {
        for line in (&mut self.said).lines() {
            if let Some(address) = line?.strip_prefix("http: http://") {
                return Ok(address.to_owned());
            }
        }
        anyhow::bail!("the server ended before it said where it listens")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn is_ready(address: &str) -> bool {
    let ask = || -> Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(READY_TIME_MAX))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: fjord\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
