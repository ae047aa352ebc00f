//! Fjord on Iceberg, DataFusion on the same Parquet files, DuckDB on the same files: query by query
//! in turns.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use fjord_benches::duckdb::DuckDb;
use fjord_benches::figures::{geomean, median};
use fjord_benches::lake::{self, BenchLake};
use fjord_benches::tpch;
use futures::StreamExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs TPC-H on three engines in turns and prints medians and ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// Scale factor; 1 is about 1 GB of text.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Where raw files and the lake are kept between runs.
    #[arg(long, default_value = "bench-data")]
    data: PathBuf,
    /// Counted runs of each query on each engine, after one that is not counted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A Python interpreter that has `duckdb` and `pyarrow`; without it DuckDB is left out.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Only these queries.
    #[arg(long, value_delimiter = ',')]
    queries: Vec<usize>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let raw = arguments.data.join(format!("raw-sf{}", arguments.scale));
    tpch::generate(&raw, arguments.scale)?;
    let lake = BenchLake::open(&arguments.data.join(format!("lake-sf{}", arguments.scale))).await?;
    load(&lake, &raw).await?;

    let mut engines = Engines::start(&lake, &arguments).await?;
    let numbers: Vec<usize> = match arguments.queries.is_empty() {
        true => (1..=22).collect(),
        false => arguments.queries.clone(),
    };
    let mut rows = Vec::new();
    for number in numbers {
        let row = engines.measure(number, arguments.rounds).await?;
        print_row(&row);
        rows.push(row);
    }
    print_summary(&rows);
    Ok(())
}

/// Creates the tables that the lake lacks, each from its raw file.
async fn load(lake: &BenchLake, raw: &Path) -> Result<()> {
    lake.run("CREATE SCHEMA IF NOT EXISTS iceberg.tpch").await?;
    for table in tpch::TABLES {
        let file = tpch::raw_file(raw, table);
        let start = Instant::now();
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS iceberg.tpch.{table} AS SELECT * FROM read_parquet('{}')",
            file.display()
        );
        lake.run(&sql).await.with_context(|| format!("loading {table}"))?;
        lake::say(&format!("loaded {table} in {:.2} s", start.elapsed().as_secs_f64()));
    }
    Ok(())
}

struct Engines {
    fjord: fjord_engine::session::Session,
    datafusion: SessionContext,
    duckdb: Option<DuckDb>,
}

#[derive(Debug)]
struct Row {
    query: usize,
    fjord: Duration,
    datafusion: Duration,
    duckdb: Option<Duration>,
}

impl Engines {
    async fn start(lake: &BenchLake, arguments: &Arguments) -> Result<Self> {
        let threads = std::thread::available_parallelism()?.get();
        let mut duckdb = match &arguments.python {
            Some(python) => Some(DuckDb::start(python, threads)?),
            None => None,
        };
        let fjord = lake.session();
        lake::execute(&fjord, "USE iceberg.tpch").await?;
        let datafusion = SessionContext::new_with_config(session_config(threads));
        for table in tpch::TABLES {
            let folder = lake.data_folder("tpch", table).await?;
            let options = ParquetReadOptions::default();
            datafusion.register_parquet(table, &folder, options).await?;
            if let Some(duckdb) = &mut duckdb {
                let sql = format!("CREATE VIEW {table} AS FROM read_parquet('{folder}*.parquet')");
                duckdb.run(&sql)?;
            }
        }
        Ok(Self { fjord, datafusion, duckdb })
    }

    /// One warm-up and `rounds` counted runs of each engine, in turns.
    async fn measure(&mut self, query: usize, rounds: usize) -> Result<Row> {
        let sql = tpch::query(query)?;
        let (mut ours, mut theirs, mut ducks) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds {
            // Who goes first alternates, so that neither always runs on a cooler machine.
            let (a, b) = if round % 2 == 0 {
                let a = run_fjord(&self.fjord, &sql).await?;
                (a, run_datafusion(&self.datafusion, &sql).await?)
            } else {
                let b = run_datafusion(&self.datafusion, &sql).await?;
                (run_fjord(&self.fjord, &sql).await?, b)
            };
            ensure!(a.1 == b.1, "query {query}: fjord {} rows, datafusion {} rows", a.1, b.1);
            let duck = self.duckdb.as_mut().map(|d| d.run(&sql)).transpose()?;
            if round > 0 {
                ours.push(a.0);
                theirs.push(b.0);
                ducks.extend(duck.map(|d| d.0));
            }
        }
        let duckdb = (!ducks.is_empty()).then(|| median(&ducks));
        Ok(Row { query, fjord: median(&ours), datafusion: median(&theirs), duckdb })
    }
}

/// What Fjord's sessions set too, so that both sides plan alike.
fn session_config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(threads);
    let options = config.options_mut();
    options.execution.collect_statistics = true;
    options.execution.parquet.pushdown_filters = true;
    options.sql_parser.parse_float_as_decimal = true;
    config
}

async fn run_fjord(
    session: &fjord_engine::session::Session,
    sql: &str,
) -> Result<(Duration, usize)> {
    let start = Instant::now();
    let rows = lake::execute(session, sql).await?;
    Ok((start.elapsed(), rows))
}

async fn run_datafusion(context: &SessionContext, sql: &str) -> Result<(Duration, usize)> {
    let start = Instant::now();
    let mut stream = context.sql(sql).await?.execute_stream().await?;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch?.num_rows();
    }
    Ok((start.elapsed(), rows))
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}

fn print_row(row: &Row) {
    let duck = match row.duckdb {
        Some(d) => format!("{:>10.1} {:>8.2}", d.as_secs_f64() * 1e3, ratio(row.fjord, d)),
        None => String::new(),
    };
    lake::say(&format!(
        "q{:02} {:>10.1} {:>10.1} {:>8.2} {duck}",
        row.query,
        row.fjord.as_secs_f64() * 1e3,
        row.datafusion.as_secs_f64() * 1e3,
        ratio(row.fjord, row.datafusion),
    ));
}

fn print_summary(rows: &[Row]) {
    let against: Vec<f64> = rows.iter().map(|r| ratio(r.fjord, r.datafusion)).collect();
    let duck: Vec<f64> = rows.iter().filter_map(|r| r.duckdb.map(|d| ratio(r.fjord, d))).collect();
    let worst = against.iter().copied().fold(0.0, f64::max);
    let total = |f: fn(&Row) -> Duration| rows.iter().map(f).sum::<Duration>().as_secs_f64();
    lake::say(&format!(
        "columns: query, fjord ms, datafusion ms, ratio, duckdb ms, ratio\n\
         total: fjord {:.2} s, datafusion {:.2} s, duckdb {:.2} s\n\
         fjord / datafusion: geomean {:.3}, worst {worst:.3}\n\
         fjord / duckdb: geomean {:.3}",
        total(|r| r.fjord),
        total(|r| r.datafusion),
        total(|r| r.duckdb.unwrap_or_default()),
        geomean(&against),
        geomean(&duck),
    ));
}
