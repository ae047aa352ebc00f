//! Runs every file under `tests/slt/` as one named test, each on a fresh data directory.
//!
//! `FJORD_SLT_WAREHOUSE=s3://bucket/prefix` puts the tables into a bucket of the server that
//! `tests/counterparts/run --with s3` starts.
//!
//! `FJORD_SLT_ACCEPT=1` rewrites the expected results instead; read the diff before committing it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use fjord_engine::session::Session;
use fjord_tests::counterpart;
use fjord_tests::lake::Lake;
use fjord_tests::slt::SltSession;
use futures::StreamExt;
use libtest_mimic::{Arguments, Failed, Trial};
use sqllogictest::{Runner, default_column_validator, default_normalizer, default_validator};

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut trials: Vec<Trial> = files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
            Trial::test(name, move || run(&file).map_err(|e| Failed::from(format!("{e:#}"))))
        })
        .collect();
    trials.push(Trial::test("docs/sql.md", || {
        reference().map_err(|e| Failed::from(format!("{e:#}")))
    }));
    libtest_mimic::run(&arguments, trials).exit();
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
fn reference() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md");
    let text = std::fs::read_to_string(&path)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let lake = lake().await?;
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
async fn lake() -> Result<Lake> {
    match counterpart::warehouse()? {
        Some((storage, warehouse)) => Lake::on(storage, warehouse).await,
        None => Lake::new().await,
    }
}

fn run(file: &Path) -> Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let lake = lake().await?;
        let mut runner = Runner::new(|| async { Ok(SltSession::new(&lake)) });
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
