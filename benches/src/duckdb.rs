//! DuckDB beside us: a Python process that runs one statement a line and answers with its time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const DRIVER: &str = r#"
import duckdb, sys, time
c = duckdb.connect(config={"threads": int(sys.argv[1])})
c.execute("SET enable_progress_bar = false")
for line in sys.stdin:
    sql = line.rstrip("\n").replace("\x1f", "\n")
    try:
        t = time.perf_counter(); rows = c.execute(sql).to_arrow_table().num_rows
        print(f"ok {time.perf_counter() - t} {rows}", flush=True)
    except Exception as e:
        print("error " + str(e).replace("\n", " "), flush=True)
"#;

/// A running DuckDB.
#[derive(Debug)]
pub struct DuckDb {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl DuckDb {
    /// Starts it with the given Python interpreter, which must have `duckdb` and `pyarrow`.
    pub fn start(python: &Path, threads: usize) -> Result<Self> {
        let mut process = Command::new(python)
            .args(["-c", DRIVER, &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", python.display()))?;
        let input = process.stdin.take().context("no standard input")?;
        let output = BufReader::new(process.stdout.take().context("no standard output")?);
        Ok(Self { process, input, output })
    }

    /// Runs a statement to its last row; returns the time it took and the number of rows.
    pub fn run(&mut self, sql: &str) -> Result<(Duration, usize)> {
        writeln!(self.input, "{}", sql.replace('\n', "\x1f"))?;
        self.input.flush()?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        let mut words = answer.split_whitespace();
        ensure!(words.next() == Some("ok"), "duckdb: {}", answer.trim());
        let seconds: f64 = words.next().context("no time")?.parse()?;
        let rows = words.next().context("no rows")?.parse()?;
        Ok((Duration::from_secs_f64(seconds), rows))
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        // It ends with its input; killing covers a statement still running.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}
