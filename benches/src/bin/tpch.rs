//! Fjord on Iceberg, DataFusion on the same Parquet files, DuckDB on the same files: query by query
//! in turns.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use clap::Parser;
use datafusion::prelude::SessionContext;
use fjord_benches::bare;
use fjord_benches::cpu::{self, Took};
use fjord_benches::duckdb::DuckDb;
use fjord_benches::figures::{geomean, median};
use fjord_benches::lake::{self, BenchLake};
use fjord_benches::{results, tpch};
use fjord_engine::session::Session;
use futures::TryStreamExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HEAD: &str = "\
| query | Fjord ms | DataFusion ms | ratio | ratio of CPU time | DuckDB ms | Fjord / DuckDB |
|---:|---:|---:|---:|---:|---:|---:|";

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
    /// Prints EXPLAIN ANALYZE of each query on Fjord and DataFusion instead of measuring.
    #[arg(long)]
    explain: bool,
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
    if arguments.explain {
        return engines.explain(&numbers).await;
    }
    lake::say(HEAD);
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
    fjord: Session,
    datafusion: SessionContext,
    duckdb: Option<DuckDb>,
}

#[derive(Debug)]
struct Row {
    query: usize,
    fjord: Took,
    datafusion: Took,
    duckdb: Option<Duration>,
}

impl Row {
    fn wall_ratio(&self) -> f64 {
        ratio(self.fjord.wall, self.datafusion.wall)
    }

    fn cpu_ratio(&self) -> f64 {
        ratio(self.fjord.cpu, self.datafusion.cpu)
    }
}

impl Engines {
    async fn start(lake: &BenchLake, arguments: &Arguments) -> Result<Self> {
        let threads = lake::cores()?;
        let mut duckdb = match &arguments.python {
            Some(python) => Some(DuckDb::start(python, threads)?),
            None => None,
        };
        let fjord = lake.session();
        lake::execute(&fjord, "USE iceberg.tpch").await?;
        let datafusion = bare::context(threads)?;
        for table in tpch::TABLES {
            let folder = lake.data_folder("tpch", table).await?;
            bare::register(&datafusion, table, &folder).await?;
            if let Some(duckdb) = &mut duckdb {
                let sql = format!("CREATE VIEW {table} AS FROM read_parquet('{folder}*.parquet')");
                duckdb.run(&sql)?;
            }
        }
        Ok(Self { fjord, datafusion, duckdb })
    }

    /// One run that warms up and compares results, and `rounds` counted ones, in turns.
    async fn measure(&mut self, query: usize, rounds: usize) -> Result<Row> {
        let sql = tpch::query(query)?;
        let expected = run_datafusion(&self.datafusion, &sql).await?.1;
        let answer = lake::collect(&self.fjord, &sql).await?;
        results::ensure_equal(&answer, &expected).with_context(|| format!("query {query}"))?;
        let rows = results::count(&expected);
        let (mut ours, mut theirs, mut ducks) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds {
            // Who goes first alternates, so that neither always runs on a cooler machine.
            let (a, b);
            if round % 2 == 0 {
                a = run_fjord(&self.fjord, &sql).await?;
                b = run_datafusion(&self.datafusion, &sql).await?.0;
            } else {
                b = run_datafusion(&self.datafusion, &sql).await?.0;
                a = run_fjord(&self.fjord, &sql).await?;
            }
            let duck = self.duckdb.as_mut().map(|d| d.run(&sql)).transpose()?;
            if let Some((_, found)) = duck {
                ensure!(found == rows, "query {query}: duckdb has {found} rows, not {rows}");
            }
            if round > 0 {
                ours.push(a);
                theirs.push(b);
                ducks.extend(duck.map(|d| d.0));
            }
        }
        let duckdb = (!ducks.is_empty()).then(|| median(&ducks));
        Ok(Row { query, fjord: middle(&ours), datafusion: middle(&theirs), duckdb })
    }

    async fn explain(&self, queries: &[usize]) -> Result<()> {
        for query in queries {
            let sql = format!("EXPLAIN ANALYZE {}", tpch::query(*query)?);
            let ours = lake::collect(&self.fjord, &sql).await?;
            let theirs = run_datafusion(&self.datafusion, &sql).await?.1;
            lake::say(&format!("query {query}, fjord\n{}", results::shown(&ours)?));
            lake::say(&format!("query {query}, datafusion\n{}", results::shown(&theirs)?));
        }
        Ok(())
    }
}

/// The medians of both clocks.
fn middle(runs: &[Took]) -> Took {
    let of = |f: fn(&Took) -> Duration| median(&runs.iter().map(f).collect::<Vec<_>>());
    Took { wall: of(|t| t.wall), cpu: of(|t| t.cpu) }
}

async fn run_fjord(session: &Session, sql: &str) -> Result<Took> {
    let start = cpu::start();
    lake::collect(session, sql).await?;
    Ok(start.took())
}

async fn run_datafusion(context: &SessionContext, sql: &str) -> Result<(Took, Vec<RecordBatch>)> {
    let start = cpu::start();
    let stream = context.sql(sql).await?.execute_stream().await?;
    let batches = stream.try_collect().await?;
    Ok((start.took(), batches))
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}

fn print_row(row: &Row) {
    let duck = match row.duckdb {
        Some(d) => format!("{:.1} | {:.2}", d.as_secs_f64() * 1e3, ratio(row.fjord.wall, d)),
        None => "| ".to_owned(),
    };
    lake::say(&format!(
        "| {} | {:.1} | {:.1} | {:.2} | {:.2} | {duck} |",
        row.query,
        row.fjord.wall.as_secs_f64() * 1e3,
        row.datafusion.wall.as_secs_f64() * 1e3,
        row.wall_ratio(),
        row.cpu_ratio(),
    ));
}

fn print_summary(rows: &[Row]) {
    let wall: Vec<f64> = rows.iter().map(Row::wall_ratio).collect();
    let cpu: Vec<f64> = rows.iter().map(Row::cpu_ratio).collect();
    let duck: Vec<f64> =
        rows.iter().filter_map(|r| r.duckdb.map(|d| ratio(r.fjord.wall, d))).collect();
    let worst = rows
        .iter()
        .max_by(|a, b| a.wall_ratio().total_cmp(&b.wall_ratio()))
        .map_or((0, 0.0), |row| (row.query, row.wall_ratio()));
    let total = |f: fn(&Row) -> Duration| rows.iter().map(f).sum::<Duration>();
    let (fjord, datafusion) = (total(|r| r.fjord.wall), total(|r| r.datafusion.wall));
    let mut line = format!(
        "| total | {:.1} | {:.1} | {:.2} | {:.2} |",
        fjord.as_secs_f64() * 1e3,
        datafusion.as_secs_f64() * 1e3,
        ratio(fjord, datafusion),
        ratio(total(|r| r.fjord.cpu), total(|r| r.datafusion.cpu)),
    );
    let mut summary = format!(
        "\nfjord / datafusion: geomean {:.3}, worst {:.3} (query {}); of CPU time: geomean {:.3}",
        geomean(&wall),
        worst.1,
        worst.0,
        geomean(&cpu),
    );
    if duck.is_empty() {
        line.push_str(" | |");
    } else {
        let duckdb = total(|r| r.duckdb.unwrap_or_default());
        let times = duckdb.as_secs_f64() * 1e3;
        line.push_str(&format!(" {times:.1} | {:.2} |", ratio(fjord, duckdb)));
        summary.push_str(&format!("\nfjord / duckdb: geomean {:.3}", geomean(&duck)));
    }
    lake::say(&line);
    lake::say(&summary);
}
