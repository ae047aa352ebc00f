//! The binary `fjord` as a child process that a test can wait for, bound and kill.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The binary of the build that this test belongs to.
fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join("fjord");
    assert!(
        path.exists(),
        "{} is missing: build it first (cargo build --features fjord-tests/failpoints --bin fjord)",
        path.display()
    );
    path
}

/// A `fjord sql` under way. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

/// What it left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Process {
    /// Runs `script` on the lake at `lake`; `name` tells its files in `scratch` from others'.
    pub(crate) fn start(
        lake: &Path,
        scratch: &Path,
        name: &str,
        script: &str,
        set_up: impl FnOnce(&mut Command),
    ) -> Self {
        let file = |kind: &str| scratch.join(format!("{name}.{kind}"));
        let (output, errors, text) = (file("out"), file("err"), file("sql"));
        std::fs::write(&text, script).unwrap();
        let mut command = Command::new(binary());
        command
            .arg("sql")
            .arg("--data-dir")
            .arg(lake)
            .args(["--format", "csv", "-f"])
            .arg(&text)
            .current_dir(scratch)
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&errors).unwrap());
        set_up(&mut command);
        Self { child: command.spawn().unwrap(), output, errors }
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, at most `limit`.
    pub(crate) fn wait(mut self, limit: Duration) -> Ended {
        let begun = Instant::now();
        while self.is_running() {
            assert!(begun.elapsed() < limit, "still running after {limit:?}: {}", self.errors());
            sleep(Duration::from_millis(10));
        }
        self.ended()
    }

    /// SIGKILL.
    #[cfg(feature = "failpoints")]
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.ended()
    }

    /// What it has written to standard error so far.
    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.errors).unwrap()).into_owned()
    }

    fn ended(&mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let output = String::from_utf8_lossy(&std::fs::read(&self.output).unwrap()).into_owned();
        Ended { status, output, errors: self.errors() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, in most cases.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A figure for the log of `tests/run`, past the capture of the test harness.
pub(crate) fn measured(text: &str) {
    let mut stderr = std::io::stderr().lock();
    for line in text.lines() {
        writeln!(stderr, "measured: {line}").unwrap();
    }
}
