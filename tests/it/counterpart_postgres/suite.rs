//! What every kind of catalog can do, and what several processes at once make of it.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjord_catalog::storage::Storage;

use super::world::{World, number};
use crate::process::{Process, measured};
use crate::whole::{assert_whole, load};

#[tokio::test(flavor = "multi_thread")]
async fn postgres_passes_the_catalog_suite() {
    let Some(world) = World::new() else { return };
    let embedded = Arc::new(world.open().await);
    let report = fjord_catalog::suite::run(embedded, Storage::local(), &world.warehouse()).await;
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    let together = report.skipped.iter().all(|name| name.contains("committed_together"));
    assert!(together, "{:?}", report.skipped);
    assert!(report.passed.len() >= 20);
}

/// Hazard: CREATE TABLE IF NOT EXISTS fails when two do it at once.
#[tokio::test(flavor = "multi_thread")]
async fn ten_instances_may_complete_an_empty_database_at_once() {
    let Some(world) = World::new() else { return };
    let warehouse = world.warehouse();
    let opened = futures::future::join_all((0..10).map(|_| world.database.open(&warehouse))).await;
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    assert_eq!(world.database.sql("SELECT count(*) FROM fjord_layout").unwrap(), "1");
}

/// Hazard: `lower('I')` is `ı` where the database speaks Turkish; names are found by ASCII's rules.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_found_regardless_of_case_in_a_turkish_database() {
    let turkish = "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' TEMPLATE template0";
    let Some(world) = World::with(turkish) else { return };
    assert_eq!(world.database.sql("SELECT lower('I') = 'i'").unwrap(), "f");
    let lake = world.lake().await;
    lake.run("CREATE SCHEMA \"TITLES\"; CREATE TABLE \"TITLES\".\"INDEX\" (i bigint)")
        .await
        .unwrap();
    lake.run("INSERT INTO titles.index VALUES (7)").await.unwrap();
    assert_eq!(number(&lake, "SELECT i FROM Titles.Index").await, 7);
    let error = lake.run("CREATE TABLE titles.\"index\" (i bigint)").await.unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
}

/// The defaults of a database must not decide what a compare-and-set sees.
#[tokio::test(flavor = "multi_thread")]
async fn four_processes_insert_and_nothing_is_lost_under_any_default_isolation() {
    for isolation in ["read committed", "serializable"] {
        let Some(world) = World::new() else { return };
        let set = format!(
            "ALTER DATABASE {} SET default_transaction_isolation = '{isolation}'",
            world.database.name()
        );
        world.database.sql(&set).unwrap();
        race(&world, isolation).await;
    }
}

async fn race(world: &World, isolation: &str) {
    const PROCESSES: i64 = 4;
    const INSERTS: i64 = 20;
    let lake = world.lake().await;
    lake.run("CREATE TABLE r (writer bigint, n bigint)").await.unwrap();
    let set_up = world.configure(world.database.port());
    let begun = Instant::now();
    let processes: Vec<Process> = (0..PROCESSES)
        .map(|writer| {
            let mut script = String::new();
            for n in 0..INSERTS {
                writeln!(script, "INSERT INTO r VALUES ({writer}, {n});").unwrap();
            }
            let name = format!("writer-{writer}");
            Process::start(world.path(), world.path(), &name, &script, &set_up)
        })
        .collect();
    for process in processes {
        let ended = process.wait(Duration::from_secs(300));
        assert!(ended.status.success() && !ended.errors.contains("error"), "{}", ended.errors);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let all = PROCESSES * INSERTS;
    assert_eq!(number(&lake, "SELECT count(DISTINCT writer * 1000 + n) FROM r").await, all);
    assert_eq!(number(&lake, "SELECT count(*) FROM r").await, all);
    let table = load(&lake, "r").await.unwrap();
    assert_eq!(table.metadata().snapshots().count() as i64, all);
    assert_whole(&lake, &table).await;
    measured(&format!(
        "postgres: {all} commits of {PROCESSES} processes in {seconds:.1} s ({isolation})"
    ));
}
