//! Scans of lineitem with deleted rows, of every kind, beside the same scan without any.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use fjord_benches::deletes::{Deleted, known, prepare};
use fjord_benches::figures::{geomean, median};
use fjord_benches::lake::{self, BenchLake};
use fjord_benches::{results, tpch};
use fjord_engine::iceberg::deletes::DeleteCache;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the scans do: little with few columns, a filter that prunes nothing, much with many columns.
const QUERIES: [(&str, &str); 3] = [
    (
        "sums of three columns",
        "SELECT sum(l_quantity), sum(l_extendedprice), sum(l_discount) FROM T",
    ),
    (
        "a filter that half of the rows pass",
        "SELECT count(*), sum(l_extendedprice) FROM T WHERE l_shipdate < DATE '1995-06-17'",
    ),
    (
        "every column",
        "SELECT max(l_orderkey), max(l_partkey), max(l_suppkey), max(l_linenumber), max(l_quantity), \
         max(l_extendedprice), max(l_discount), max(l_tax), max(l_returnflag), max(l_linestatus), \
         max(l_shipdate), max(l_commitdate), max(l_receiptdate), max(l_shipinstruct), \
         max(l_shipmode), max(l_comment) FROM T",
    ),
];

/// Measures what deleted rows cost.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where tables are kept between runs.
    #[arg(long, default_value = "bench-data")]
    data: PathBuf,
    /// Scale factor of TPC-H.
    #[arg(long, default_value_t = 10.0)]
    scale: f64,
    /// Counted runs of each query on each snapshot, in turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Keys that equality deletes delete.
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let raw = arguments.data.join(format!("raw-sf{}", arguments.scale));
    tpch::generate_table(&raw, "lineitem", arguments.scale)?;
    let source = tpch::raw_file(&raw, "lineitem").canonicalize()?;
    let lake = BenchLake::open(&arguments.data.join("deletes")).await?;
    let snapshots = match known(&lake, arguments.keys).await? {
        Some(snapshots) => snapshots,
        // Anew: the table ends in format 3, in which no position deletes may be added.
        None => {
            lake.run(&format!(
                "DROP TABLE IF EXISTS iceberg.\"default\".lineitem PURGE;
                 CREATE TABLE iceberg.\"default\".lineitem AS SELECT * FROM read_parquet('{}')",
                source.display()
            ))
            .await?;
            prepare(&lake, arguments.keys).await?
        }
    };
    lake::say(
        "Deletes are read anew for each query when cold; when warm, all that was read is kept.",
    );
    lake::say(
        "| query | clean s | position deletes: cold | warm | deletion vectors: cold | warm \
         | equality deletes: cold | warm |",
    );
    lake::say("|---|---:|---:|---:|---:|---:|---:|---:|");
    let mut ratios: [Vec<f64>; 6] = Default::default();
    for (what, query) in QUERIES {
        let [clean, with @ ..] = measure(&lake, query, &snapshots, arguments.rounds).await?;
        let ratio = |time: Duration| time.as_secs_f64() / clean.as_secs_f64();
        for (all, time) in ratios.iter_mut().zip(with) {
            all.push(ratio(time));
        }
        let with = with.map(|time| format!("{:.2}", ratio(time))).join(" | ");
        let clean = clean.as_secs_f64();
        lake::say(&format!("| {what} | {clean:.2} | {with} |"));
    }
    let bars = [
        ("position deletes, cold", 1.2),
        ("position deletes, warm", 1.2),
        ("deletion vectors, cold", 1.2),
        ("deletion vectors, warm", 1.2),
        ("equality deletes, cold", 1.5),
        ("equality deletes, warm", 1.5),
    ];
    for ((what, bar), ratios) in bars.iter().zip(ratios) {
        let worst = ratios.iter().copied().fold(0.0, f64::max);
        let verdict = if worst <= *bar { "met" } else { "missed" };
        let mean = geomean(&ratios);
        lake::say(&format!("{what}: mean {mean:.2}, worst {worst:.2}; bar {bar}: {verdict}"));
    }
    Ok(())
}

/// Medians of the query on the clean snapshot and on those with deletes, each cold and warm, in
/// turns.
async fn measure(
    lake: &BenchLake,
    query: &str,
    snapshots: &Deleted,
    rounds: usize,
) -> Result<[Duration; 7]> {
    let session = lake.session();
    let versions = [snapshots.clean, snapshots.positions, snapshots.vectors, snapshots.keys];
    let texts = versions.map(|id| {
        query.replace(" T", &format!(" iceberg.\"default\".lineitem FOR VERSION AS OF {id}"))
    });
    let [clean, positions, vectors, keys] = &texts;
    let same = (lake::collect(&session, positions).await?, lake::collect(&session, vectors).await?);
    results::ensure_equal(&same.0, &same.1).context("the same rows are deleted")?;
    let mut times: [Vec<Duration>; 7] = Default::default();
    // One round more than is counted warms the caches of everything else.
    for round in 0..=rounds {
        let turns = [clean, positions, positions, vectors, vectors, keys, keys];
        for (turn, (text, times)) in turns.into_iter().zip(&mut times).enumerate() {
            if turn % 2 == 1 {
                DeleteCache::of_process().clear();
            }
            let start = Instant::now();
            ensure!(lake::execute(&session, text).await? == 1, "one row");
            if round > 0 {
                times.push(start.elapsed());
            }
        }
    }
    Ok(times.map(|times| median(&times)))
}
