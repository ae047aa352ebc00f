//! A `fjord serve` of a test: on free ports, ready when this returns, killed when dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    child: Child,
    /// As `--url` takes it.
    pub(crate) url: String,
}

impl Server {
    /// `arguments` come after those that every server of a test has.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fjord"))
            .current_dir(folder)
            .args(["serve", "--data-dir", "served", "--flight", "127.0.0.1:0"])
            .args(["--http", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stderr.take().unwrap());
        let mut server = Self { child, url: String::new() };
        let mut told = Vec::new();
        server.url = announced("flight: ", &lines, &mut told);
        let http = announced("http: http://", &lines, &mut told);
        let begun = Instant::now();
        while !is_ready(&http) {
            assert!(begun.elapsed() < START_MAX, "never ready: {told:?}");
            sleep(Duration::from_millis(20));
        }
        server
    }

    /// SIGKILL: every connection breaks.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads to the end, so that the server never waits for us.
fn lines_of(errors: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            drop(sender.send(line));
        }
    });
    lines
}

fn announced(what: &str, lines: &Receiver<String>, told: &mut Vec<String>) -> String {
    loop {
        if let Some(found) = told.iter().find_map(|line| line.strip_prefix(what)) {
            return found.trim().to_owned();
        }
        match lines.recv_timeout(START_MAX) {
            Ok(line) => told.push(line),
            Err(_) => panic!("the server never said `{what}…`: {told:?}"),
        }
    }
}

fn is_ready(http: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(http)?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<bool, std::io::Error>(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}
