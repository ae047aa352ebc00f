//! A database that goes away: in the middle of COMMIT, for a moment, for good, without a word.

use std::time::{Duration, Instant};

use fjord_catalog::commit::CommitLimits;

use super::proxy::{Fault, Proxy};
use super::world::{World, number};
use crate::process::{Process, measured};
use crate::whole::{assert_whole, load};

/// Debug builds take some seconds to start.
const START_MAX: Duration = Duration::from_secs(15);

/// Hazard: an error at COMMIT says nothing of whether it was carried out.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_commit_is_learnt_and_nothing_is_done_twice() {
    let Some(world) = World::new() else { return };
    let proxy = Proxy::start(world.database.port()).await;
    let lake = world.lake_at(proxy.port, None).await;
    lake.run("CREATE TABLE t (i bigint)").await.unwrap();
    for round in 0..50 {
        let fault = [Fault::AnswerLost, Fault::RequestLost][round % 2];
        proxy.set(fault);
        lake.run(&format!("INSERT INTO t VALUES ({round})")).await.unwrap();
        assert_eq!(proxy.met() as usize, round + 1, "{fault:?} did not happen");
    }
    assert_eq!(number(&lake, "SELECT count(*) FROM t").await, 50);
    assert_eq!(number(&lake, "SELECT count(DISTINCT i) FROM t").await, 50);
    let table = load(&lake, "t").await.unwrap();
    assert_eq!(table.metadata().snapshots().count(), 50);
    assert_whole(&lake, &table).await;
}

/// Creates, drops and renames go through COMMIT too.
#[tokio::test(flavor = "multi_thread")]
async fn statements_about_names_survive_a_lost_answer() {
    let Some(world) = World::new() else { return };
    let proxy = Proxy::start(world.database.port()).await;
    let lake = world.lake_at(proxy.port, None).await;
    for sql in [
        "CREATE SCHEMA s",
        "CREATE TABLE s.t AS SELECT 1 AS i",
        "ALTER TABLE s.t RENAME TO s.u",
        "CREATE VIEW s.v AS SELECT i FROM s.u",
        "DROP VIEW s.v",
        "DROP TABLE s.u PURGE",
        "DROP SCHEMA s",
    ] {
        proxy.set(Fault::AnswerLost);
        lake.run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }
    assert_eq!(proxy.met(), 7);
}

/// Hazard: absence proves nothing while the database cannot be asked (`reliability` A6, D2).
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_learnt_is_an_error_and_keeps_every_file() {
    let Some(world) = World::new() else { return };
    let proxy = Proxy::start(world.database.port()).await;
    let limits = CommitLimits { unknown_max: Duration::from_secs(1), ..CommitLimits::default() };
    let lake = world.lake_at(proxy.port, Some(limits)).await;
    lake.run("CREATE TABLE t (i bigint)").await.unwrap();
    proxy.set(Fault::AnswerLostAndGone);
    let error = lake.run("INSERT INTO t VALUES (1)").await.unwrap_err();
    assert!(error.to_string().contains("it is unknown whether the commit was applied"), "{error}");
    assert_eq!(proxy.met(), 1);
    proxy.set_gone(false);
    // It was applied, and whoever had deleted its files would have broken the table.
    assert_eq!(number(&lake, "SELECT count(*) FROM t").await, 1);
    lake.run("INSERT INTO t VALUES (2)").await.unwrap();
    assert_whole(&lake, &load(&lake, "t").await.unwrap()).await;
}

/// `reliability` D2: the database goes away between plan and commit, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_a_database_that_comes_back() {
    let Some(world) = World::new() else { return };
    let proxy = Proxy::start(world.database.port()).await;
    let lake = world.lake_at(proxy.port, None).await;
    lake.run("CREATE TABLE t (i bigint)").await.unwrap();
    proxy.set(Fault::RequestLostAndGone);
    let back = async {
        while proxy.met() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        proxy.set_gone(false);
    };
    let (inserted, ()) = tokio::join!(lake.run("INSERT INTO t VALUES (1)"), back);
    inserted.unwrap();
    assert_eq!(number(&lake, "SELECT count(*) FROM t").await, 1);
}

/// `reliability` D1: down at plan. What does not need the database goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_fails_its_statements_soon_and_no_others() {
    let Some(world) = World::new() else { return };
    world.lake().await.run("CREATE TABLE t (i bigint)").await.unwrap();
    let proxy = Proxy::start(world.database.port()).await;
    // A port that nobody listens on, one that turns away, and one that says nothing.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = Proxy::start(world.database.port()).await;
    proxy.set_gone(true);
    silent.fall_silent();
    for (what, port) in [("refused", free), ("gone", proxy.port), ("silent", silent.port)] {
        let others = "SHOW CATALOGS; CREATE SCHEMA IF NOT EXISTS local.s; SELECT 40 + 2 AS answer;";
        let begun = Instant::now();
        let ended = run(&world, port, what, others);
        assert!(ended.status.success(), "{what}: {}", ended.errors);
        assert!(ended.output.contains("42") && ended.output.contains("local"), "{}", ended.output);
        let without = begun.elapsed();
        let begun = Instant::now();
        let ended =
            run(&world, port, &format!("{what}-select"), "SELECT * FROM iceberg.\"default\".t;");
        let with = begun.elapsed();
        assert!(
            !ended.status.success() && ended.errors.contains("catalog database"),
            "{}",
            ended.errors
        );
        assert!(!ended.errors.contains(world.database.password().expose()), "{}", ended.errors);
        // Opening waits for it once, the statement once more.
        assert!(with < START_MAX + Duration::from_secs(10), "{what}: {with:?}");
        measured(&format!(
            "postgres {what}: {:.1} s without it, {:.1} s with it",
            without.as_secs_f64(),
            with.as_secs_f64()
        ));
    }
}

/// Hazard: what was left unanswered must be closed, not kept until the pool is empty.
#[tokio::test(flavor = "multi_thread")]
async fn statements_work_again_after_a_silence() {
    let Some(world) = World::new() else { return };
    world.lake().await.run("CREATE TABLE t (i bigint); INSERT INTO t VALUES (1)").await.unwrap();
    let proxy = Proxy::start(world.database.port()).await;
    let lake = world.lake_at(proxy.port, None).await;
    proxy.set_muting(true);
    let begun = Instant::now();
    let reads = (0..12).map(|_| lake.run("SELECT count(*) FROM t"));
    for read in futures::future::join_all(reads).await {
        let error = read.unwrap_err();
        assert!(error.to_string().contains("catalog database"), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    proxy.set_muting(false);
    lake.run("INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(number(&lake, "SELECT count(*) FROM t").await, 2);
}

fn run(world: &World, port: u16, name: &str, script: &str) -> crate::process::Ended {
    Process::start(world.path(), world.path(), name, script, world.configure(port))
        .wait(Duration::from_secs(60))
}
