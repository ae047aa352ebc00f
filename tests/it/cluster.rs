//! Workers in processes of their own: killed, stopped, strangers, and what is left of an answer.

use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use fjord_engine::cluster::{ClusterOptions, Registration, remote_stages};
use fjord_engine::{Error, ErrorKind};
use fjord_flight_server::cluster::ClusterSecret;
use fjord_tests::lake::Lake;
use fjord_tests::workers::{WorkerProcess, Workers};
use futures::TryStreamExt;

use crate::process::measured;

/// Rows of the table; and what everybody asks of it.
const ROWS: u64 = 400_000;
const ASKED: &str = "SELECT count(*), sum(k), count(DISTINCT v), min(v), max(k) FROM big";

async fn lake(options: ClusterOptions) -> Lake {
    let lake = Lake::new().await.unwrap();
    lake.engine().coordinate(options).unwrap();
    lake.run(&format!(
        "CREATE TABLE big AS SELECT v AS k, 'x' || v AS v FROM generate_series(1, {}) g(v);
         INSERT INTO big SELECT k + {}, v FROM big",
        ROWS / 2,
        ROWS / 2
    ))
    .await
    .unwrap();
    lake
}

/// The rows as text, and how many stages ran on workers.
async fn ask(lake: &Lake, sql: &str) -> Result<(String, usize), Error> {
    let session = lake.session();
    let statement = session.parse(sql)?.remove(0);
    let result = session.submit(&statement, "test").await?;
    let stages = result.plan.as_ref().map_or(0, remote_stages);
    let rows: Vec<_> = result.stream.try_collect().await.map_err(Error::from)?;
    Ok((pretty_format_batches(&rows).unwrap().to_string(), stages))
}

async fn answer(lake: &Lake, sql: &str) -> Result<String, Error> {
    Ok(ask(lake, sql).await?.0)
}

/// A moment within the time that the work takes, or a little later.
async fn a_moment(random: &mut fastrand::Rng, millis_max: u64) {
    tokio::time::sleep(Duration::from_millis(random.u64(0..millis_max + millis_max / 5))).await;
}

/// A statement that is disturbed: what it does to `touched`, and the same on a table beside it, to
/// learn how long it takes.
struct Write {
    sql: &'static str,
    beside: &'static str,
    /// Rows, different keys, sum of keys, and snapshots of `touched`: before, and after.
    before: Option<[i64; 4]>,
    after: [i64; 4],
}

/// 1 + … + n.
const fn sum_to(n: i64) -> i64 {
    n * (n + 1) / 2
}

const PART: i64 = 50_000;
const SHIFTED: i64 = 1_000_000 * PART + sum_to(PART);
const WRITES: [Write; 3] = [
    Write {
        sql: "INSERT INTO touched SELECT k + 1000000, v FROM big WHERE k <= 50000",
        beside: "INSERT INTO beside SELECT k + 1000000, v FROM big WHERE k <= 50000",
        before: Some([10, 10, 55, 1]),
        after: [10 + PART, 10 + PART, 55 + SHIFTED, 2],
    },
    Write {
        sql: "INSERT OVERWRITE touched SELECT k + 1000000, v FROM big WHERE k <= 50000",
        beside: "INSERT OVERWRITE beside SELECT k + 1000000, v FROM big WHERE k <= 50000",
        before: Some([10, 10, 55, 1]),
        after: [PART, PART, SHIFTED, 2],
    },
    Write {
        sql: "CREATE TABLE touched AS SELECT k + 1000000 AS k, v FROM big WHERE k <= 50000",
        beside: "CREATE TABLE another AS SELECT k + 1000000 AS k, v FROM big WHERE k <= 50000",
        before: None,
        after: [PART, PART, SHIFTED, 1],
    },
];

/// What is in `touched`, by an engine of its own that knows of no worker; `None` where it is not.
async fn counted(directory: &std::path::Path) -> Option<[i64; 4]> {
    let options = fjord_tests::lake::LakeOptions::default();
    let alone = Lake::open(directory, options, |metastore| metastore).await.unwrap();
    let sql = "SELECT count(*), count(DISTINCT k), sum(k) FROM touched";
    let mut found = match alone.run(sql).await {
        Ok(rows) => numbers(&rows),
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
            return None;
        }
    };
    found.extend(numbers(&alone.run("SELECT count(*) FROM \"touched$snapshots\"").await.unwrap()));
    Some(found.try_into().unwrap())
}

/// The one row of a result, all of it integers.
fn numbers(rows: &[RecordBatch]) -> Vec<i64> {
    let row = rows.iter().find(|batch| batch.num_rows() == 1).unwrap();
    let first = |column: &ArrayRef| {
        let whole = cast(column, &DataType::Int64).unwrap();
        whole.as_primitive::<Int64Type>().value(0)
    };
    row.columns().iter().map(first).collect()
}

/// Reads and writes while a worker is killed or stopped: the right answer, or an error that may be
/// tried again; never a wrong, short or doubled one. A worker that was stopped goes on in the end, and
/// nothing that it does then counts.
async fn disturbed(rounds: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let auth = std::sync::Arc::new(ClusterSecret::open_or_make(directory.path()).unwrap());
    let mut outcomes = std::collections::BTreeMap::<String, u32>::new();
    for round in 0..rounds {
        let mut workers: Vec<WorkerProcess> = (0..3)
            .map(|i| WorkerProcess::start(directory.path(), &format!("{round}-{i}")).unwrap())
            .collect();
        let mut options = ClusterOptions::new(std::sync::Arc::clone(&auth) as _);
        options.workers = workers.iter().map(|worker| worker.url().clone()).collect();
        (options.bytes_min, options.task_bytes) = (0, 64);
        let lake = lake(options).await;
        let write = (round % 2 == 0).then(|| &WRITES[round / 2 % WRITES.len()]);
        if let Some(write) = write {
            let tables =
                "CREATE TABLE beside AS SELECT v AS k, 'x' AS v FROM generate_series(1, 10) g(v);
                 CREATE TABLE touched AS SELECT v AS k, 'x' AS v FROM generate_series(1, 10) g(v)";
            lake.run(tables).await.unwrap();
            if write.before.is_none() {
                lake.run("DROP TABLE touched").await.unwrap();
            }
            assert_eq!(counted(lake.path()).await, write.before, "round {round}");
        }
        let sql = write.map_or(ASKED, |write| write.sql);
        let begun = Instant::now();
        let (expected, stages) = ask(&lake, write.map_or(ASKED, |w| w.beside)).await.unwrap();
        let of_writes = lake.run("SELECT count(*) FROM system.stages").await.unwrap();
        assert!(stages > 0 || numbers(&of_writes) > vec![0], "nothing ran on workers");
        let usual = u64::try_from(begun.elapsed().as_millis()).unwrap().max(50);
        let victim = random.usize(..workers.len());
        let is_kill = random.bool();
        let hit = async {
            a_moment(&mut random, usual).await;
            match is_kill {
                true => workers[victim].kill().unwrap(),
                false => workers[victim].signal("STOP").unwrap(),
            }
        };
        let what = format!("round {round}, seed {seed}: kill {is_kill}, {sql}");
        let begun = Instant::now();
        let work = tokio::time::timeout(Duration::from_secs(60), answer(&lake, sql));
        let (outcome, ()) = tokio::join!(work, hit);
        assert!(begun.elapsed() < Duration::from_secs(45), "{what}: {:?}", begun.elapsed());
        let outcome = outcome.unwrap_or_else(|_| panic!("{what}: it hangs"));
        if !is_kill {
            workers[victim].signal("CONT").unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        match (&outcome, write) {
            (Ok(_), Some(write)) => {
                assert_eq!(counted(lake.path()).await, Some(write.after), "{what}");
            }
            (Ok(found), None) => assert_eq!(found, &expected, "{what}"),
            (Err(e), write) => {
                measured(&format!("{what}, after {:?}: {e}", begun.elapsed()));
                assert!(e.is_retryable() && e.to_string().contains("query "), "{what}: {e}");
                if let Some(write) = write {
                    assert_eq!(counted(lake.path()).await, write.before, "{what}: {e}");
                }
            }
        }
        let how = if is_kill { "killed" } else { "stopped" };
        let first = sql.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let which = if write.is_some() { first.as_str() } else { "SELECT" };
        let ended = if outcome.is_ok() { "right" } else { "told" };
        *outcomes.entry(format!("{which}, {how}: {ended}")).or_default() += 1;
    }
    measured(&format!("{rounds} workers killed or stopped, seed {seed}: {outcomes:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_are_killed_or_stopped_cost_attempts_and_no_row() {
    let rounds = fjord_tests::counterpart::variable("FJORD_TEST_KILLS");
    let seed = fjord_tests::counterpart::variable("FJORD_TEST_KILLS_SEED");
    let rounds = rounds.and_then(|n| n.parse().ok()).unwrap_or(6);
    disturbed(rounds, seed.and_then(|n| n.parse().ok()).unwrap_or(7)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_without_the_secret_is_refused() {
    let workers = Workers::start(2).unwrap();
    let stranger = tempfile::tempdir().unwrap();
    let mut options = workers.options();
    options.auth = std::sync::Arc::new(ClusterSecret::open_or_make(stranger.path()).unwrap());
    let lake = Lake::new().await.unwrap();
    lake.run(
        "CREATE TABLE t AS SELECT v AS k FROM generate_series(1, 100) g(v);
         INSERT INTO t SELECT k + 100 FROM t",
    )
    .await
    .unwrap();
    lake.engine().coordinate(options).unwrap();
    let e = answer(&lake, "SELECT sum(k) FROM t").await.unwrap_err();
    assert!(e.to_string().contains("another cluster"), "{e}");
    // Nor is a call that says nothing of who it comes from.
    #[derive(Debug)]
    struct Nobody;
    impl fjord_engine::cluster::NodeAuth for Nobody {
        fn sign(&self) -> String {
            "\u{1}".to_owned()
        }

        fn check(&self, _: Option<&str>) -> Result<(), String> {
            Ok(())
        }
    }
    let mut options = workers.options();
    options.auth = std::sync::Arc::new(Nobody);
    let lake = lake_of_two_files(options).await;
    let e = answer(&lake, "SELECT sum(k) FROM t").await.unwrap_err();
    assert!(e.to_string().contains("not signed"), "{e}");
}

async fn lake_of_two_files(options: ClusterOptions) -> Lake {
    let lake = Lake::new().await.unwrap();
    lake.run(
        "CREATE TABLE t AS SELECT v AS k FROM generate_series(1, 100) g(v);
         INSERT INTO t SELECT k + 100 FROM t",
    )
    .await
    .unwrap();
    lake.engine().coordinate(options).unwrap();
    lake
}

#[tokio::test]
async fn a_worker_of_another_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let auth = std::sync::Arc::new(ClusterSecret::open_or_make(directory.path()).unwrap());
    let lake = Lake::new().await.unwrap();
    let cluster = lake.engine().coordinate(ClusterOptions::new(auth)).unwrap();
    let e = cluster.hear(Registration {
        id: uuid::Uuid::nil(),
        url: "http://127.0.0.1:1".parse().unwrap(),
        fingerprint: "fjord 0.0.1, codec 0, functions 0".to_owned(),
        is_draining: false,
        tasks: 0,
        memory_bytes: 4 << 30,
        databases: Vec::new(),
    });
    let e = e.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains("another version"), "{e}");
    assert!(cluster.workers().is_empty());
}

/// Errors come back from workers as they were raised there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_error_of_a_worker_is_the_same_as_an_error_here() {
    let workers = Workers::start(2).unwrap();
    let sql = "SELECT sum(10 / (k - 77)) FROM t";
    let spread = lake_of_two_files(workers.options()).await;
    let there = answer(&spread, sql).await.unwrap_err();
    let here = Lake::new().await.unwrap();
    here.run(
        "CREATE TABLE t AS SELECT v AS k FROM generate_series(1, 100) g(v);
         INSERT INTO t SELECT k + 100 FROM t",
    )
    .await
    .unwrap();
    let here = answer(&here, sql).await.unwrap_err();
    assert_eq!((there.kind(), there.to_string()), (here.kind(), here.to_string()));
}

/// Hazard: workers begin with the defaults of the library, and would compute by them (stack §5).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn settings_of_the_session_hold_on_workers() {
    let workers = Workers::start(2).unwrap();
    let lake = lake_of_two_files(workers.options()).await;
    let session = lake.session();
    let run = async |sql: &str| {
        let statement = session.parse(sql).unwrap().remove(0);
        let result = session.execute(&statement).await.unwrap();
        let stages = result.plan.as_ref().map_or(0, remote_stages);
        let rows: Vec<_> = result.stream.try_collect().await.unwrap();
        (pretty_format_batches(&rows).unwrap().to_string(), stages)
    };
    run("SET TIME ZONE 'Asia/Tokyo'").await;
    let sql = "SELECT max(CAST(to_timestamp(k * 86400) AS varchar)), \
               max(CAST(CAST(to_timestamp(k) AS timestamp with time zone) AS varchar)) FROM t";
    let (there, stages) = run(sql).await;
    assert!(stages > 0, "{there}");
    run("SET cluster_bytes_min = 1000000000").await;
    let (here, stages) = run(sql).await;
    assert_eq!(stages, 0, "the gate of the session was not asked");
    assert_eq!(there, here);
}

/// Hazard: with a single partition no exchange stands below an aggregate or a limit; cut into tasks,
/// each task would take its share for the whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_means_all_rows_runs_in_one_task() {
    let workers = Workers::start(3).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let lake_options = fjord_tests::lake::LakeOptions::default();
    let lake = Lake::open(directory.path(), lake_options, |metastore| metastore).await.unwrap();
    lake.run(
        "CREATE TABLE one AS SELECT v AS k, v % 3 AS g FROM generate_series(1, 1000) g(v);
         CREATE TABLE many AS SELECT v AS k FROM generate_series(1, 50) g(v);
         INSERT INTO many SELECT k + 50 FROM many",
    )
    .await
    .unwrap();
    lake.engine().coordinate(workers.options()).unwrap();
    let session = lake.session();
    let mut spread = 0;
    for partitions in [1, 2, 4] {
        for (sql, expected) in [
            ("SELECT count(*) FROM (SELECT k FROM one LIMIT 7)", "7"),
            ("SELECT sum(a.n) FROM (SELECT count(*) AS n FROM one) a, many", "100000"),
            (
                "SELECT count(*) FROM many m JOIN (SELECT g, count(*) AS n FROM one GROUP BY g) a ON m.k = a.g",
                "2",
            ),
            (
                "SELECT count(*) FROM (SELECT k FROM many ORDER BY k LIMIT 9) a JOIN one b ON a.k = b.k",
                "9",
            ),
            (
                "SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY k) AS r FROM one) x JOIN many m ON x.r = m.k",
                "100",
            ),
            (
                "SELECT count(*) FROM (SELECT DISTINCT g FROM one UNION ALL SELECT k FROM many)",
                "103",
            ),
        ] {
            let set = format!("SET target_partitions = {partitions}");
            let statement = session.parse(&set).unwrap().remove(0);
            drop(session.execute(&statement).await.unwrap());
            let statement = session.parse(sql).unwrap().remove(0);
            let result = session.execute(&statement).await.unwrap();
            spread += result.plan.as_ref().map_or(0, remote_stages);
            let rows: Vec<_> = result.stream.try_collect().await.unwrap();
            let found = pretty_format_batches(&rows).unwrap().to_string();
            assert!(found.contains(&format!("| {expected} ")), "{partitions}: {sql}\n{found}");
        }
    }
    assert!(spread > 0, "nothing ran on workers");
}
