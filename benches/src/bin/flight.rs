//! What the wire costs: rows over Flight SQL beside the same rows in process, and beside a Flight
//! server that does nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use arrow::error::ArrowError;
use arrow_flight::Ticket;
use clap::{Parser, ValueEnum};
use datafusion::common::ScalarValue;
use fjord_benches::bare_flight::BareFlight;
use fjord_benches::cpu::{self, Took};
use fjord_benches::duckdb::DuckDb;
use fjord_benches::figures::{median, percentile};
use fjord_benches::lake::{self, BenchLake, say};
use fjord_benches::memory::{self, ReadMemory};
use fjord_benches::process::ServerProcess;
use fjord_benches::tpch;
use fjord_benches::wire::{Client, Prepared};
use fjord_engine::session::{Session, StatementOptions};
use fjord_engine::sql::statement::Statement;
use fjord_flight_server::bench::FlightServer;
use futures::TryStreamExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HEAD: &str = "\
| measurement | over the wire | beside | that | ratio | ratio of CPU time | bar |
|---|---:|---|---:|---:|---:|---:|";
const LINEITEM: &str = "SELECT * FROM iceberg.tpch.lineitem";
/// A server is left alone for so long before its memory is read.
const IDLE_TIME: Duration = Duration::from_secs(2);

/// Runs each measurement in turns with what it is compared with, and prints medians and ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// Scale factor of `lineitem` and `orders`.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Where raw files and the lake are kept between runs; `tpch` uses the same.
    #[arg(long, default_value = "bench-data")]
    data: PathBuf,
    /// Counted runs, after one that is not counted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Size of the result that is in memory.
    #[arg(long, default_value_t = 1024)]
    mebibytes: usize,
    /// Counted keyed SELECTs of each kind, after a tenth as many that are not counted.
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    /// A Python interpreter that has `duckdb` and `pyarrow`; without it DuckDB is left out.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The built `fjord`, for memory and time to ready; without it they are left out.
    #[arg(long)]
    fjord: Option<PathBuf>,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Memory,
    Lineitem,
    Keyed,
    Idle,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let is_wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    std::fs::create_dir_all(&arguments.data)?;
    let mut lines = Vec::new();
    if is_wanted(Part::Memory) {
        lines.extend(in_memory(&arguments).await?);
    }
    if is_wanted(Part::Lineitem) {
        lines.extend(lineitem(&arguments).await?);
    }
    if is_wanted(Part::Keyed) {
        lines.extend(keyed(&arguments).await?);
    }
    if let Some(fjord) = arguments.fjord.as_ref().filter(|_| is_wanted(Part::Idle)) {
        lines.extend(idle(fjord, &arguments)?);
    }
    say(HEAD);
    lines.iter().for_each(|line| say(line));
    Ok(())
}

/// A result that is in memory, from Fjord through the path of every query, and from a server that
/// has nothing but the encoder.
async fn in_memory(arguments: &Arguments) -> Result<Vec<String>> {
    let batches = memory::batches(arguments.mebibytes << 20)?;
    let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    let relation = Arc::new(ReadMemory::try_new(&batches, lake::cores()?)?);
    let directory = arguments.data.join("flight");
    let lake = BenchLake::open_with(&directory, vec![relation]).await?;
    let server = FlightServer::start(lake.engine().clone(), &directory)?;
    let bare = BareFlight::start(batches)?;
    let mut fjord = Client::connect(server.address()).await?;
    let mut other = Client::connect(bare.address()).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=arguments.rounds {
        // Who goes first alternates, so that neither always runs on a cooler machine.
        for turn in [round, round + 1] {
            let start = cpu::start();
            let (found, times) = match turn % 2 {
                0 => (fjord.query(memory::QUERY).await?, &mut ours),
                _ => (other.fetch(Ticket::default()).await?, &mut theirs),
            };
            let took = start.took();
            ensure!(found == rows, "{found} rows instead of {rows}");
            if round > 0 {
                times.push(took);
            }
        }
    }
    let what = format!("{} MiB in memory", arguments.mebibytes);
    Ok(vec![speeds(&what, "a bare Flight server", &ours, &theirs, Some(0.8))])
}

/// A table's scan, consumed over the wire and in process. The same rows from memory, sent by the
/// bare server, show what the wire takes by itself on this machine.
async fn lineitem(arguments: &Arguments) -> Result<Vec<String>> {
    let (lake, server) = open(arguments, "lineitem").await?;
    let session = lake.session();
    let bare = BareFlight::start(plain(&lake::collect(&session, LINEITEM).await?)?)?;
    let mut client = Client::connect(server.address()).await?;
    let mut other = Client::connect(bare.address()).await?;
    let mut times: [Vec<Took>; 3] = Default::default();
    let rows = lake::execute(&session, LINEITEM).await?;
    for round in 0..=arguments.rounds {
        for turn in 0..times.len() {
            let at = (round + turn) % times.len();
            let start = cpu::start();
            let found = match at {
                0 => client.query(LINEITEM).await?,
                1 => lake::execute(&session, LINEITEM).await?,
                _ => other.fetch(Ticket::default()).await?,
            };
            let took = start.took();
            ensure!(found == rows, "{found} rows instead of {rows}");
            if round > 0 {
                times[at].push(took);
            }
        }
    }
    let [ours, process, sent] = &times;
    let what = format!("`SELECT *` from lineitem, {rows} rows");
    Ok(vec![
        speeds(&what, "in process", ours, process, Some(0.9)),
        speeds(&what, "the rows from memory, by a bare Flight server", ours, sent, None),
    ])
}

/// Views as the strings that clients read.
fn plain(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let column = |(field, column): (&FieldRef, &ArrayRef)| {
        let column = match field.data_type() {
            DataType::Utf8View => cast(column, &DataType::Utf8)?,
            _ => Arc::clone(column),
        };
        Ok::<_, ArrowError>((field.name().clone(), column))
    };
    let batch = |batch: &RecordBatch| {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(column);
        Ok(RecordBatch::try_from_iter(columns.collect::<Result<Vec<_>, _>>()?)?)
    };
    batches.iter().map(batch).collect()
}

/// The lake of the TPC-H runner with one of its tables, and a server on it.
async fn open(arguments: &Arguments, table: &str) -> Result<(BenchLake, FlightServer)> {
    let raw = arguments.data.join(format!("raw-sf{}", arguments.scale));
    tpch::generate_table(&raw, table, arguments.scale)?;
    let directory = arguments.data.join(format!("lake-sf{}", arguments.scale));
    let lake = BenchLake::open(&directory).await?;
    lake.run("CREATE SCHEMA IF NOT EXISTS iceberg.tpch").await?;
    let file = tpch::raw_file(&raw, table).canonicalize()?;
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS iceberg.tpch.{table} AS SELECT * FROM read_parquet('{}')",
        file.display()
    );
    lake.run(&sql).await.with_context(|| format!("loading {table}"))?;
    let server = FlightServer::start(lake.engine().clone(), &directory)?;
    Ok((lake, server))
}

/// SELECTs of one row by its key, warm.
async fn keyed(arguments: &Arguments) -> Result<Vec<String>> {
    let (lake, server) = open(arguments, "orders").await?;
    let keys = keys(&lake, arguments.keys + arguments.keys / 10).await?;
    let mut contenders = Contenders::start(&lake, &server, arguments).await?;
    let mut times = Kind::ALL.map(|_| Vec::new());
    for (round, key) in keys.into_iter().enumerate() {
        for kind in in_turn(round) {
            let took = contenders.run(kind, key).await?;
            if round >= arguments.keys / 10 {
                times[kind as usize].extend(took);
            }
        }
    }
    let of = |kind: Kind| times[kind as usize].as_slice();
    let (text, prepared) = (of(Kind::WireText), of(Kind::WirePrepared));
    let mut lines = latencies("as text", text, "in process", of(Kind::Text), true);
    lines.extend(latencies("prepared", prepared, "in process", of(Kind::Prepared), true));
    if contenders.duckdb.is_some() {
        lines.extend(latencies("as text", text, "DuckDB in process", of(Kind::DuckDb), false));
        lines.extend(latencies("prepared", prepared, "DuckDB, text", of(Kind::DuckDb), false));
    }
    Ok(lines)
}

/// Keys that exist, in no order.
async fn keys(lake: &BenchLake, count: usize) -> Result<Vec<i64>> {
    const STRIDE: usize = 7_919_993;
    let sql = "SELECT o_orderkey FROM iceberg.tpch.orders";
    let batches = lake::collect(&lake.session(), sql).await?;
    let mut all = Vec::new();
    for batch in batches {
        all.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
    }
    ensure!(!all.is_empty(), "orders has no rows");
    Ok((0..count).map(|at| all[at * STRIDE % all.len()]).collect())
}

/// How a row is asked for.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    WireText,
    Prepared,
    WirePrepared,
    DuckDb,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Text, Self::WireText, Self::Prepared, Self::WirePrepared, Self::DuckDb];
}

/// Every kind once, in an order of its own for each of 120 rounds. In a fixed order each would always
/// have the same one before it, and what follows another engine finds the caches of the processor cold.
fn in_turn(round: usize) -> Vec<Kind> {
    /// Has no factor in common with 120, so that every order comes up.
    const STRIDE: usize = 77;
    let mut rest = Kind::ALL.to_vec();
    let mut order = round * STRIDE;
    let mut turns = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let at = order % rest.len();
        order /= rest.len();
        turns.push(rest.remove(at));
    }
    turns
}

struct Contenders {
    session: Session,
    statement: Statement,
    client: Client,
    prepared: Prepared,
    duckdb: Option<DuckDb>,
}

impl Contenders {
    async fn start(lake: &BenchLake, server: &FlightServer, arguments: &Arguments) -> Result<Self> {
        const SQL: &str = "SELECT * FROM iceberg.tpch.orders WHERE o_orderkey = ?";
        let session = lake.session();
        let statement = session.parse(SQL)?.pop().context("no statement")?;
        let mut client = Client::connect(server.address()).await?;
        let prepared = client.prepare(SQL).await?;
        let mut duckdb = match &arguments.python {
            Some(python) => Some(DuckDb::start(python, lake::cores()?)?),
            None => None,
        };
        if let Some(duckdb) = &mut duckdb {
            let folder = lake.data_folder("tpch", "orders").await?;
            duckdb.run(&format!("CREATE VIEW orders AS FROM read_parquet('{folder}*.parquet')"))?;
        }
        Ok(Self { session, statement, client, prepared, duckdb })
    }

    /// The time from the text, or the parameters, to the last row.
    async fn run(&mut self, kind: Kind, key: i64) -> Result<Option<Duration>> {
        let text = format!("SELECT * FROM iceberg.tpch.orders WHERE o_orderkey = {key}");
        let start = Instant::now();
        let rows = match kind {
            Kind::Text => lake::execute(&self.session, &text).await?,
            Kind::WireText => self.client.query(&text).await?,
            Kind::Prepared => self.execute(key).await?,
            Kind::WirePrepared => {
                let column: ArrayRef = Arc::new(Int64Array::from(vec![key]));
                let parameters = RecordBatch::try_from_iter([("1", column)])?;
                self.client.run(&self.prepared, parameters).await?
            }
            Kind::DuckDb => {
                let Some(duckdb) = &mut self.duckdb else { return Ok(None) };
                let sql = format!("SELECT * FROM orders WHERE o_orderkey = {key}");
                let (took, rows) = duckdb.run(&sql)?;
                ensure!(rows == 1, "key {key}: duckdb has {rows} rows");
                return Ok(Some(took));
            }
        };
        let took = start.elapsed();
        ensure!(rows == 1, "key {key}, {kind:?}: {rows} rows");
        Ok(Some(took))
    }

    async fn execute(&self, key: i64) -> Result<usize> {
        let parameters = vec![ScalarValue::Int64(Some(key))];
        let options = StatementOptions { parameters, ..Default::default() };
        let mut rows = self.session.execute_with(&self.statement, options).await?.stream;
        let mut count = 0;
        while let Some(batch) = rows.try_next().await? {
            count += batch.num_rows();
        }
        Ok(count)
    }
}

/// A server of its own process: on an empty lake, restarted.
fn idle(fjord: &Path, arguments: &Arguments) -> Result<Vec<String>> {
    let lake = tempfile::tempdir()?;
    let mut ready = Vec::new();
    let mut resident = Vec::new();
    for _ in 0..=arguments.rounds {
        let server = ServerProcess::start(fjord, lake.path())?;
        ready.push(server.time_to_ready());
        std::thread::sleep(IDLE_TIME);
        resident.push(server.resident_bytes()?);
    }
    resident.sort_unstable();
    let middle = resident.get(resident.len() / 2).copied().unwrap_or_default();
    // The first start makes the lake.
    let first = ready.remove(0);
    Ok(vec![
        format!("| start to ready, a new lake | {} ms | | | | | |", millis(first)),
        format!("| start to ready | {} ms | | | | | |", millis(median(&ready))),
        format!("| idle memory | {:.1} MiB | | | | | |", middle as f64 / f64::from(1 << 20)),
    ])
}

/// The line of a comparison of speeds.
fn speeds(what: &str, beside: &str, ours: &[Took], theirs: &[Took], bar: Option<f64>) -> String {
    let bar = bar.map_or_else(String::new, |bar| format!("≥ {bar} ×"));
    let wall = |runs: &[Took]| median(&runs.iter().map(|t| t.wall).collect::<Vec<_>>());
    let processor = |runs: &[Took]| median(&runs.iter().map(|t| t.cpu).collect::<Vec<_>>());
    format!(
        "| {what} | {} ms | {beside} | {} ms | {:.2} × the speed | {:.2} | {bar} |",
        millis(wall(ours)),
        millis(wall(theirs)),
        ratio(wall(theirs), wall(ours)),
        ratio(processor(ours), processor(theirs)),
    )
}

/// The lines of a comparison of latencies.
fn latencies(
    what: &str,
    ours: &[Duration],
    beside: &str,
    theirs: &[Duration],
    has_bar: bool,
) -> Vec<String> {
    let line = |percent: usize| {
        let (ours, theirs) = (percentile(ours, percent), percentile(theirs, percent));
        let bar = if has_bar && percent == 50 { "≤ + 2 ms" } else { "" };
        let difference = ours.as_secs_f64() * 1e3 - theirs.as_secs_f64() * 1e3;
        format!(
            "| keyed SELECT {what}, p{percent} | {} ms | {beside} | {} ms | {:.2} × the time, \
             {difference:+.2} ms | | {bar} |",
            millis(ours),
            millis(theirs),
            ratio(ours, theirs),
        )
    };
    vec![line(50), line(99)]
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}
