//! Planning over ten thousand files in a hundred manifests: the first time, and with warm caches.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use fjord_benches::figures::median;
use fjord_benches::lake::{self, BenchLake};
use fjord_benches::manifests;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::predicate::{Comparison, Predicate};
use fjord_catalog::spec::Datum;
use fjord_catalog::table::Table;
use fjord_engine::session::Session;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The accepted time of a warm plan.
const WARM_MAX: Duration = Duration::from_millis(300);

/// Measures planning, through the catalog and through EXPLAIN in a session.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the table's metadata is kept between runs.
    #[arg(long, default_value = "bench-data")]
    data: PathBuf,
    /// Manifests of the table.
    #[arg(long, default_value_t = 100)]
    manifests: i32,
    /// Data files in each.
    #[arg(long, default_value_t = 100)]
    files_each: i32,
    /// Counted runs of each measurement; a cold one opens the catalog anew.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let name = format!("planned_{}_{}", arguments.manifests, arguments.files_each);
    let directory = arguments.data.join("planning");
    let lake = BenchLake::open(&directory).await?;
    let start = Instant::now();
    let table =
        manifests::table(lake.catalog(), &name, arguments.manifests, arguments.files_each).await?;
    lake::say(&format!("table ready after {:.1} s", start.elapsed().as_secs_f64()));
    drop(lake);

    let files = usize::try_from(arguments.manifests * arguments.files_each)?;
    let last_day = arguments.manifests - 1;
    let one_file = i64::from(arguments.files_each) * manifests::ROWS_PER_FILE / 2;
    let cases = [
        Case {
            what: "every file",
            predicate: Predicate::True,
            query: format!("SELECT id, amount_3 FROM iceberg.\"default\".{name}"),
            files,
        },
        Case {
            what: "one partition",
            predicate: Predicate::Compare(manifests::DAY, Comparison::Eq, Datum::date(last_day)),
            query: format!(
                "SELECT id FROM iceberg.\"default\".{name} WHERE day = DATE '1970-01-01' + {last_day}"
            ),
            files: usize::try_from(arguments.files_each)?,
        },
        Case {
            what: "one file, by its metrics",
            predicate: Predicate::Compare(manifests::ID, Comparison::Eq, Datum::long(one_file)),
            query: format!("SELECT amount_3 FROM iceberg.\"default\".{name} WHERE id = {one_file}"),
            files: 1,
        },
    ];
    lake::say("| plan of | catalog, cold ms | warm ms | EXPLAIN, cold ms | warm ms |");
    lake::say("|---|---:|---:|---:|---:|");
    let mut slowest = Duration::ZERO;
    for case in &cases {
        let measured = case.measure(&directory, &table, arguments.rounds).await?;
        slowest = slowest.max(measured.plan_warm).max(measured.explain_warm);
        lake::say(&format!(
            "| {} ({} of {files} files) | {} | {} | {} | {} |",
            case.what,
            case.files,
            ms(measured.plan_cold),
            ms(measured.plan_warm),
            ms(measured.explain_cold),
            ms(measured.explain_warm),
        ));
    }
    let verdict = if slowest <= WARM_MAX { "met" } else { "missed" };
    lake::say(&format!("slowest warm: {} ms; bar {} ms: {verdict}", ms(slowest), ms(WARM_MAX)));
    Ok(())
}

/// One way of planning the table.
#[derive(Debug)]
struct Case {
    what: &'static str,
    predicate: Predicate,
    query: String,
    files: usize,
}

#[derive(Debug)]
struct Measured {
    plan_cold: Duration,
    plan_warm: Duration,
    explain_cold: Duration,
    explain_warm: Duration,
}

impl Case {
    async fn measure(&self, directory: &Path, table: &Table, rounds: usize) -> Result<Measured> {
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..rounds {
            let lake = BenchLake::open(directory).await?;
            times[0].push(self.plan(lake.catalog(), table).await?);
            times[1].push(self.plan(lake.catalog(), table).await?);
            let lake = BenchLake::open(directory).await?;
            let session = lake.session();
            times[2].push(self.explain(&session).await?);
            times[3].push(self.explain(&session).await?);
        }
        let [plan_cold, plan_warm, explain_cold, explain_warm] = times.map(|t| median(&t));
        Ok(Measured { plan_cold, plan_warm, explain_cold, explain_warm })
    }

    async fn plan(&self, catalog: &Catalog, table: &Table) -> Result<Duration> {
        let start = Instant::now();
        let table = catalog.load_table(table.name()).await?;
        let snapshot = table.current_snapshot().ok_or_else(|| anyhow::anyhow!("no snapshot"))?;
        let plan = catalog.plan_files(&table, snapshot, &self.predicate).await?;
        let took = start.elapsed();
        ensure!(plan.files.len() == self.files, "{}: {} files", self.what, plan.files.len());
        Ok(took)
    }

    async fn explain(&self, session: &Session) -> Result<Duration> {
        let start = Instant::now();
        lake::execute(session, &format!("EXPLAIN {}", self.query)).await?;
        Ok(start.elapsed())
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
