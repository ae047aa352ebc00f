//! Runs every file under `tests/slt/` as one named test, each on a fresh data directory.
//!
//! `FJORD_SLT_WAREHOUSE=s3://bucket/prefix` puts the tables into a bucket of the server that
//! `tests/counterparts/run --with s3` starts.
//!
//! `FJORD_SLT_WORKERS=3` runs every query on so many workers in processes of their own, as far as it
//! can be spread, and fails when less than four of five queries over two files or more were.
//!
//! `FJORD_SLT_ACCEPT=1` rewrites the expected results instead; read the diff before committing it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use fjord_engine::cluster::ClusterOptions;
use fjord_engine::session::Session;
use fjord_tests::counterpart;
use fjord_tests::lake::Lake;
use fjord_tests::slt::{SltSession, SpreadCount};
use fjord_tests::workers::Workers;
use futures::StreamExt;
use libtest_mimic::{Arguments, Failed, Trial};
use sqllogictest::{Runner, default_column_validator, default_normalizer, default_validator};

/// Of a hundred queries over stored tables of two files or more, so many run on workers.
const SPREAD_PERCENT_MIN: usize = 80;

/// What the files of a run share: workers, and how often they were used.
#[derive(Clone, Default)]
struct Cluster {
    options: Option<ClusterOptions>,
    spread: Option<Arc<SpreadCount>>,
}

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let workers = counterpart::variable("FJORD_SLT_WORKERS");
    let workers = workers.map(|count| Workers::start(count.parse()?)).transpose()?;
    let cluster = Cluster {
        options: workers.as_ref().map(Workers::options),
        spread: workers.as_ref().map(|_| Arc::default()),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut trials: Vec<Trial> = files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
            let cluster = cluster.clone();
            Trial::test(name, move || {
                run(&file, &cluster).map_err(|e| Failed::from(format!("{e:#}")))
            })
        })
        .collect();
    let of_reference = cluster.clone();
    trials.push(Trial::test("docs/sql.md", move || {
        reference(&of_reference).map_err(|e| Failed::from(format!("{e:#}")))
    }));
    let is_whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(workers);
    if let Some(spread) = &cluster.spread {
        let (stored, spread) = spread.get();
        measured(&format!("{spread} of {stored} queries over two files or more ran on workers"));
        if is_whole && spread * 100 < stored * SPREAD_PERCENT_MIN {
            return Err(anyhow!("fewer than {SPREAD_PERCENT_MIN} % of the queries ran on workers"));
        }
    }
    conclusion.exit();
}

/// A figure for the log of `tests/run`.
#[expect(clippy::print_stderr, reason = "this is what the log is for")]
fn measured(text: &str) {
    eprintln!("measured: {text}");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
    Ok(())
}

/// Runs every example of the SQL reference, in order, on one lake. A block `sql error` must fail.
fn reference(cluster: &Cluster) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md");
    let text = std::fs::read_to_string(&path)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let lake = lake(cluster).await?;
        let session = lake.session();
        let mut examples = 0;
        for (number, part) in text.split("\n```sql").enumerate().skip(1) {
            let (head, rest) = part.split_once('\n').context("an unfinished block")?;
            let (body, _) = rest.split_once("\n```").context("an unfinished block")?;
            let body = body.replace("${DATA}", &lake.path().display().to_string());
            let outcome = execute(&session, &body).await;
            match (head.trim(), outcome) {
                ("", Err(e)) => return Err(anyhow!("example {number} failed: {e}\n{body}")),
                ("error", Ok(())) => return Err(anyhow!("example {number} must fail:\n{body}")),
                _ => examples += 1,
            }
        }
        anyhow::ensure!(examples > 30, "only {examples} examples found");
        Ok(())
    })
}

async fn execute(session: &Session, script: &str) -> fjord_engine::Result<()> {
    for statement in session.parse(script)? {
        let mut stream = session.execute(&statement).await?.stream;
        while let Some(batch) = stream.next().await {
            batch?;
        }
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).thread_stack_size(8 << 20).enable_all().build()?)
}

/// A fresh lake, its tables on local disk or where `FJORD_SLT_WAREHOUSE` says.
async fn lake(cluster: &Cluster) -> Result<Lake> {
    let lake = match counterpart::warehouse()? {
        Some((storage, warehouse)) => Lake::on(storage, warehouse).await?,
        None => Lake::new().await?,
    };
    if let Some(options) = &cluster.options {
        lake.engine().coordinate(options.clone())?;
    }
    Ok(lake)
}

fn run(file: &Path, cluster: &Cluster) -> Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let lake = lake(cluster).await?;
        let mut runner =
            Runner::new(|| async { Ok(SltSession::new(&lake).counted(cluster.spread.clone())) });
        // Files reach their lake's directory as `${DATA}`, and what they read as `${FIXTURES}`.
        runner.set_var("DATA".to_owned(), lake.path().display().to_string());
        runner.set_var("WAREHOUSE".to_owned(), lake.catalog().warehouse().to_owned());
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt/fixtures");
        runner.set_var("FIXTURES".to_owned(), fixtures.display().to_string());
        runner.with_column_validator(default_column_validator);
        if std::env::var_os("FJORD_SLT_ACCEPT").is_some() {
            let accepted = runner.update_test_file(
                file,
                " ",
                default_validator,
                default_normalizer,
                default_column_validator,
            );
            return accepted.await.map_err(|e| anyhow!("{e}"));
        }
        runner.run_file_async(file).await.map_err(|e| anyhow!("{}", e.display(false)))
    })
}
