//! Predicates over manifest entries, and planning of a whole snapshot from warm caches.

use std::hint::black_box;

use anyhow::{Context, Result};
use criterion::{Criterion, Throughput};
use fjord_benches::lake::BenchLake;
use fjord_benches::manifests::{self, DAY, ID};
use fjord_catalog::predicate::{Comparison, Predicate, TableFilter};
use fjord_catalog::spec::{DataFile, Datum};
use fjord_catalog::table::Table;

const MANIFESTS: i32 = 20;
const FILES_EACH: i32 = 50;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Runtime::new()?;
    let directory = tempfile::tempdir()?;
    let lake = runtime.block_on(BenchLake::open(directory.path()))?;
    let catalog = lake.catalog();
    let table = runtime.block_on(manifests::table(catalog, "planned", MANIFESTS, FILES_EACH))?;
    let snapshot = table.current_snapshot().context("no snapshot")?;

    judge(&mut criterion, &table)?;
    let mut group = criterion.benchmark_group("plan_files, warm");
    group.throughput(Throughput::Elements(u64::try_from(MANIFESTS * FILES_EACH)?));
    for (name, predicate) in predicates() {
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter(|| catalog.plan_files(&table, snapshot, &predicate));
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn judge(criterion: &mut Criterion, table: &Table) -> Result<()> {
    let metadata = table.metadata();
    let files: Vec<DataFile> = (0..FILES_EACH)
        .map(|i| manifests::file(table, i % MANIFESTS, i.into()))
        .collect::<Result<_>>()?;
    let mut group = criterion.benchmark_group("judge_file");
    group.throughput(Throughput::Elements(files.len() as u64));
    for (name, predicate) in predicates() {
        let filters = TableFilter::new(&predicate, metadata);
        let filter = filters.for_spec(metadata.default_partition_spec_id())?;
        group.bench_function(name, |b| {
            b.iter(|| files.iter().filter(|f| filter.judge_file(black_box(f)).may_match).count());
        });
    }
    group.finish();
    Ok(())
}

fn predicates() -> [(&'static str, Predicate); 4] {
    let id = |n: i64| Datum::long(n * manifests::ROWS_PER_FILE);
    [
        ("no filter", Predicate::True),
        ("one partition", Predicate::Compare(DAY, Comparison::Eq, Datum::date(3))),
        ("one file by bounds", Predicate::Compare(ID, Comparison::Eq, id(7))),
        ("100 values in a list", Predicate::In(ID, (0..100).map(|i| id(i * 3)).collect())),
    ]
}
