//! Workers in processes of their own: killed, stopped, strangers, and what is left of an answer.

use std::time::{Duration, Instant};

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

/// A moment within the time that the work takes.
async fn a_moment(random: &mut fastrand::Rng, millis_max: u64) {
    tokio::time::sleep(Duration::from_millis(random.u64(0..millis_max))).await;
}

/// Reads and writes while a worker is killed or stopped: the right answer, or an error that may be
/// tried again; never a wrong, short or doubled one.
async fn disturbed(rounds: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let auth = std::sync::Arc::new(ClusterSecret::open_or_make(directory.path()).unwrap());
    let (mut right, mut told) = (0, 0);
    for round in 0..rounds {
        let mut workers: Vec<WorkerProcess> = (0..3)
            .map(|i| WorkerProcess::start(directory.path(), &format!("{round}-{i}")).unwrap())
            .collect();
        let mut options = ClusterOptions::new(std::sync::Arc::clone(&auth) as _);
        options.workers = workers.iter().map(|worker| worker.url().clone()).collect();
        (options.bytes_min, options.task_bytes) = (0, 64);
        let lake = lake(options).await;
        let begun = Instant::now();
        let (expected, stages) = ask(&lake, ASKED).await.unwrap();
        assert!(stages > 0, "nothing ran on workers");
        let usual = u64::try_from(begun.elapsed().as_millis()).unwrap().max(50);
        let victim = random.usize(..workers.len());
        let is_write = random.bool();
        let is_kill = random.bool();
        let hit = async {
            a_moment(&mut random, usual).await;
            match is_kill {
                true => workers[victim].kill().unwrap(),
                false => workers[victim].signal("STOP").unwrap(),
            }
        };
        let what = format!("round {round}, seed {seed}: kill {is_kill}, write {is_write}");
        let begun = Instant::now();
        let limit = Duration::from_secs(60);
        if is_write {
            let sql = "INSERT INTO big SELECT k, v FROM big WHERE k <= 1000";
            let work = tokio::time::timeout(limit, answer(&lake, sql));
            let (outcome, ()) = tokio::join!(work, hit);
            let outcome = outcome.unwrap_or_else(|_| panic!("{what}: it hangs"));
            let count = answer(&lake, "SELECT count(*) FROM big").await.unwrap();
            match outcome {
                Ok(_) => {
                    right += 1;
                    assert!(count.contains(&format!(" {} ", ROWS + 1_000)), "{what}: {count}");
                }
                Err(e) => {
                    told += 1;
                    assert!(e.is_retryable(), "{what}: {e}");
                    assert!(count.contains(&format!(" {ROWS} ")), "{what}: {count}");
                }
            }
        } else {
            let work = tokio::time::timeout(limit, answer(&lake, ASKED));
            let (outcome, ()) = tokio::join!(work, hit);
            match outcome.unwrap_or_else(|_| panic!("{what}: it hangs")) {
                Ok(found) => {
                    right += 1;
                    assert_eq!(found, expected, "{what}");
                }
                Err(e) => {
                    told += 1;
                    assert!(e.is_retryable() && e.to_string().contains("query "), "{what}: {e}");
                }
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(45), "{what}: {:?}", begun.elapsed());
    }
    measured(&format!(
        "{rounds} workers killed or stopped: {right} right answers, {told} told errors"
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_are_killed_or_stopped_cost_attempts_and_no_row() {
    let rounds = fjord_tests::counterpart::variable("FJORD_TEST_KILLS");
    disturbed(rounds.and_then(|n| n.parse().ok()).unwrap_or(4), 7).await;
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
