//! CREATE TABLE AS of TPC-H's `lineitem`, against DuckDB's COPY of the same file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use fjord_benches::duckdb::DuckDb;
use fjord_benches::figures::median;
use fjord_benches::lake::{self, BenchLake};
use fjord_benches::tpch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Writes `lineitem` with both engines in turns: zstd at level 3, one thread a core.
#[derive(Debug, Parser)]
struct Arguments {
    /// Scale factor; 1 is six million rows.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Where raw files and the lake are kept between runs.
    #[arg(long, default_value = "bench-data")]
    data: PathBuf,
    /// Counted runs of each engine, after one that is not counted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A Python interpreter that has `duckdb` and `pyarrow`.
    #[arg(long)]
    python: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let raw = arguments.data.join(format!("raw-sf{}", arguments.scale));
    tpch::generate(&raw, arguments.scale)?;
    let source = tpch::raw_file(&raw, "lineitem").canonicalize()?;
    let lake = BenchLake::open(&arguments.data.join("write")).await?;
    let mut duckdb = DuckDb::start(&arguments.python, lake::cores()?)?;
    let target = arguments.data.canonicalize()?.join("duckdb-lineitem.parquet");

    let (mut ours, mut ducks) = (Vec::new(), Vec::new());
    for round in 0..=arguments.rounds {
        let (a, b);
        if round % 2 == 0 {
            a = fjord(&lake, &source).await?;
            b = duck(&mut duckdb, &source, &target)?;
        } else {
            b = duck(&mut duckdb, &source, &target)?;
            a = fjord(&lake, &source).await?;
        }
        lake::say(&format!(
            "round {round}: fjord {:.2} s, duckdb {:.2} s",
            a.as_secs_f64(),
            b.as_secs_f64()
        ));
        if round > 0 {
            ours.push(a);
            ducks.push(b);
        }
    }
    let copied = duckdb.run(&format!("SELECT l_orderkey FROM '{}'", target.display()))?.1;
    let created = lake.run("SELECT l_orderkey FROM iceberg.\"default\".written").await?;
    ensure!(copied == created, "fjord wrote {created} rows, duckdb {copied}");
    let table = lake.data_folder("default", "written").await?;
    let (fjord, duckdb) = (median(&ours).as_secs_f64(), median(&ducks).as_secs_f64());
    lake::say(&format!(
        "{created} rows from {:.0} MB: fjord {fjord:.2} s ({:.0} MB), duckdb {duckdb:.2} s ({:.0} MB)\n\
         speed of fjord / speed of duckdb: {:.2} (bar 0.9)",
        megabytes(&source)?,
        megabytes(Path::new(&table))?,
        megabytes(&target)?,
        duckdb / fjord,
    ));
    Ok(())
}

async fn fjord(lake: &BenchLake, source: &Path) -> Result<Duration> {
    // Purged, or the disk fills up; not timed, as it is not part of the comparison.
    lake.run("DROP TABLE IF EXISTS iceberg.\"default\".written PURGE").await?;
    let sql = format!(
        "CREATE TABLE iceberg.\"default\".written AS SELECT * FROM read_parquet('{}')",
        source.display()
    );
    let start = Instant::now();
    lake.run(&sql).await?;
    Ok(start.elapsed())
}

fn duck(duckdb: &mut DuckDb, source: &Path, target: &Path) -> Result<Duration> {
    if target.exists() {
        std::fs::remove_file(target)?;
    }
    let sql = format!(
        "COPY (SELECT * FROM '{}') TO '{}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)",
        source.display(),
        target.display()
    );
    Ok(duckdb.run(&sql)?.0)
}

/// The size of a file, or of the files in a folder.
fn megabytes(path: &Path) -> Result<f64> {
    let bytes = if path.is_dir() {
        let mut sum = 0;
        for entry in std::fs::read_dir(path)? {
            sum += entry?.metadata()?.len();
        }
        sum
    } else {
        path.metadata()?.len()
    };
    Ok(bytes as f64 / 1e6)
}
