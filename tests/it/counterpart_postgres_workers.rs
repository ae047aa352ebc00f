//! Queries that join the lake with a real PostgreSQL, on workers and without: one answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::runtime::SpawnedTask;
use fjord_connectors::connector::{Connector, ConnectorKind, ConnectorOptions, Secret};
use fjord_connectors::postgres::Postgres;
use fjord_engine::cluster::{ClusterOptions, Registration, remote_stages};
use fjord_engine::session::Session;
use fjord_engine::{Error, ErrorKind};
use fjord_tests::lake::{Lake, LakeOptions};
use fjord_tests::postgres::{PostgresDatabase, PostgresServer};
use fjord_tests::server::ServerProcess;
use fjord_tests::workers::{WorkerProcess, Workers};
use futures::TryStreamExt;

use crate::process::measured;

const TABLES: &str = "CREATE TABLE customers (id int PRIMARY KEY, region text, since date, score numeric(8, 2), tag uuid);
    INSERT INTO customers SELECT i, (ARRAY['north', 'South', 'east', 'Ost', NULL])[i % 5 + 1],
      date '2024-01-01' + i % 60, nullif(i % 13, 6) * 1.25, lpad(to_hex(i % 25), 32, '0')::uuid
    FROM generate_series(1, 300) i;
    CREATE TABLE regions (name text, boss text);
    INSERT INTO regions VALUES ('north', 'Ada'), ('South', 'Ben'), ('east', 'Eve'), (NULL, 'Nobody');
    CREATE TABLE events (id bigint, customer int, amount bigint, note text);
    INSERT INTO events SELECT i, i % 400, i % 97, repeat('x', 60) || i FROM generate_series(1, 150000) i;
    CREATE TABLE marts (region text, total bigint);
    ANALYZE";

/// Of several files, so that its stage has several tasks.
const LAKE: &str = "CREATE TABLE facts AS SELECT v AS k, v % 310 AS customer, v % 7 AS g,
        CASE v % 4 WHEN 0 THEN NULL WHEN 1 THEN 'north' WHEN 2 THEN 'South' ELSE 'x' END AS region
      FROM generate_series(1, 900) t(v);
    INSERT INTO facts SELECT k + 900, customer, g + 3, region FROM facts;
    INSERT INTO facts SELECT k + 1800, customer, g, region FROM facts WHERE k <= 500;
    CREATE TABLE few AS SELECT v AS k FROM generate_series(1, 40) t(v);
    INSERT INTO few SELECT k + 1000 FROM few";

const QUERIES: &[&str] = &[
    "SELECT c.region, count(*), sum(f.k), min(c.score) FROM facts f JOIN sales.public.customers c ON f.customer = c.id GROUP BY c.region",
    "SELECT count(*), sum(f.k), count(c.id) FROM facts f LEFT JOIN sales.public.customers c ON f.customer = c.id",
    "SELECT count(*), sum(f.k), count(f.k) FROM facts f RIGHT JOIN sales.public.customers c ON f.customer = c.id + 200",
    "SELECT count(*), count(f.k), count(c.id) FROM facts f FULL JOIN sales.public.customers c ON f.customer = c.id + 200",
    "SELECT count(*), sum(k) FROM facts f WHERE EXISTS (SELECT 1 FROM sales.public.customers c WHERE c.id = f.customer AND c.score > 3)",
    "SELECT count(*), sum(k) FROM facts f WHERE NOT EXISTS (SELECT 1 FROM sales.public.customers c WHERE c.id = f.customer)",
    "SELECT count(*) FROM sales.public.customers c WHERE c.id IN (SELECT customer FROM facts WHERE g < 2)",
    "SELECT count(*) FROM sales.public.customers c WHERE c.id NOT IN (SELECT customer FROM facts WHERE g < 2)",
    "SELECT count(*) FROM facts WHERE region NOT IN (SELECT name FROM sales.public.regions WHERE name IS NOT NULL)",
    "SELECT f.region, r.boss, count(*) FROM facts f LEFT JOIN sales.public.regions r ON f.region = r.name GROUP BY f.region, r.boss",
    "SELECT count(*), sum(e.amount), max(e.note) FROM sales.public.events e JOIN few ON e.id = few.k",
    "SELECT count(*), sum(e.amount) FROM sales.public.events e JOIN facts f ON e.customer = f.customer WHERE f.k < 30",
    "SELECT f.g, sum(e.amount) FROM facts f JOIN sales.public.events e ON f.k = e.id GROUP BY f.g",
    "SELECT f.g, e.n FROM (SELECT customer, count(*) AS n FROM sales.public.events GROUP BY customer) e JOIN facts f ON f.k = e.customer",
    "SELECT count(*), sum(k) FROM (SELECT k FROM facts UNION ALL SELECT id FROM sales.public.events)",
    "SELECT count(*), sum(k) FROM (SELECT k FROM facts UNION SELECT id FROM sales.public.customers)",
    "SELECT count(*) FROM (SELECT customer FROM facts INTERSECT SELECT id FROM sales.public.customers)",
    "SELECT count(*), sum(x) FROM (SELECT customer AS x FROM facts EXCEPT SELECT id FROM sales.public.customers WHERE id < 300)",
    "SELECT count(*) FROM (SELECT id FROM sales.public.events LIMIT 77) e, few",
    "SELECT count(*), sum(k) FROM few, (SELECT count(*) AS n FROM sales.public.customers) c WHERE few.k < c.n",
    "SELECT count(*) FROM facts JOIN (SELECT id FROM sales.public.customers ORDER BY id DESC LIMIT 9) c ON facts.customer = c.id",
    "SELECT c.id, sum(f.k) AS s FROM facts f JOIN sales.public.customers c ON f.customer = c.id GROUP BY c.id ORDER BY s DESC, c.id LIMIT 11",
    "SELECT region, r FROM (SELECT c.region, row_number() OVER (PARTITION BY c.region ORDER BY f.k) AS r FROM facts f JOIN sales.public.customers c ON f.customer = c.id) WHERE r <= 2",
    "SELECT c.since, avg(f.k) FROM facts f JOIN sales.public.customers c ON f.customer = c.id JOIN sales.public.regions r ON r.name = c.region GROUP BY c.since",
    "SELECT count(*) FROM facts f JOIN sales.public.customers c ON f.customer < c.id WHERE f.k < 20",
    "SELECT a.region, count(*) FROM sales.public.customers a JOIN facts f ON a.region = f.region JOIN sales.public.customers b ON b.id = f.customer GROUP BY a.region",
    "SELECT c.tag, count(DISTINCT f.g) FROM facts f JOIN sales.public.customers c ON f.customer = c.id GROUP BY c.tag",
    "SELECT count(*) FROM facts WHERE k > (SELECT avg(id) FROM sales.public.customers)",
];

fn postgres() -> Option<PostgresDatabase> {
    let Some(server) = PostgresServer::find() else {
        measured("skipped: no FJORD_TEST_POSTGRES_URL");
        return None;
    };
    let database = server.create("").unwrap();
    database.sql(TABLES).unwrap();
    Some(database)
}

fn url(database: &PostgresDatabase) -> String {
    let url = database.url(database.port());
    url.split_once('?').map_or(url.clone(), |(url, _)| url.to_owned())
}

/// The coordinator's `sales`.
fn connector(database: &PostgresDatabase) -> Arc<dyn Connector> {
    let password = Secret {
        value: database.password().expose().to_owned(),
        reference: "env('SALES_PASSWORD')".to_owned(),
    };
    let options = ConnectorOptions {
        catalog: "sales".to_owned(),
        options: BTreeMap::from([("url".to_owned(), url(database))]),
        secrets: BTreeMap::from([("password".to_owned(), password)]),
        metadata_ttl: Duration::from_secs(60),
    };
    Postgres::default().open(options).unwrap()
}

/// A worker with a `[catalog.sales]` of its own.
fn configured(database: &PostgresDatabase, password: &str, command: &mut Command) -> Result<()> {
    let directory = command.get_current_dir().unwrap_or(Path::new(".")).to_owned();
    let file = directory.join("worker.toml");
    let text = format!(
        "[catalog.sales]\ntype = \"postgres\"\nurl = \"{}\"\npassword = {{ env = \"SALES_PASSWORD\" }}\n",
        url(database)
    );
    std::fs::write(&file, text)?;
    command.arg("--config").arg(&file).env("SALES_PASSWORD", password);
    Ok(())
}

async fn lake(database: &PostgresDatabase, options: ClusterOptions) -> Lake {
    let directory = tempfile::tempdir().unwrap().keep();
    let lake = Lake::open(&directory, LakeOptions::default(), |metastore| metastore).await.unwrap();
    lake.engine().mount_database("sales", connector(database)).unwrap();
    lake.run(LAKE).await.unwrap();
    lake.engine().coordinate(options).unwrap();
    lake
}

/// The rows as text, sorted, and how many stages ran on workers.
async fn ask(session: &Session, sql: &str) -> Result<(Vec<String>, usize), Error> {
    let statement = session.parse(sql)?.remove(0);
    let result = session.submit(&statement, "test").await?;
    let stages = result.plan.as_ref().map_or(0, remote_stages);
    let batches: Vec<_> = result.stream.try_collect().await.map_err(Error::from)?;
    let mut rows = Vec::new();
    let options = FormatOptions::new().with_null("NULL");
    for batch in &batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            rows.push(cells.join("|"));
        }
    }
    rows.sort();
    Ok((rows, stages))
}

/// Hazard: a scan of a database that each task of a stage would run whole doubles its rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn federated_queries_answer_alike_on_two_workers_and_without() {
    let Some(database) = postgres() else { return };
    let password = database.password().expose().to_owned();
    let workers = Workers::start_with(2, |_, c| configured(&database, &password, c)).unwrap();
    let lake = lake(&database, workers.options()).await;
    let (mut spread, mut scans) = (0, 0);
    for partitions in [1, 2, 4] {
        let (here, there) = (lake.session(), lake.session());
        for session in [&here, &there] {
            ask(session, &format!("SET target_partitions = {partitions}")).await.unwrap();
        }
        ask(&here, "SET cluster_bytes_min = 1000000000").await.unwrap();
        for sql in QUERIES {
            let (expected, none) = ask(&here, sql).await.unwrap();
            assert_eq!(none, 0, "{sql}");
            let (found, stages) = ask(&there, sql).await.unwrap();
            assert_eq!(found, expected, "{partitions} partitions: {sql}");
            assert!(!found.is_empty() && found != ["0"], "{sql}: {found:?}");
            spread += usize::from(stages > 0);
            let (plan, _) = ask(&there, &format!("EXPLAIN (DISTRIBUTED) {sql}")).await.unwrap();
            let plan = plan.join("\n");
            let below = plan.split_once("Stage ").map_or("", |(_, below)| below);
            scans += usize::from(stages > 0 && below.contains("RemoteSqlExec"));
        }
    }
    let all = QUERIES.len() * 3;
    measured(&format!(
        "{spread} of {all} federated queries ran on workers, {scans} with their scans"
    ));
    // The others are of a single task, or use the value of a subquery.
    assert!(spread * 3 >= all * 2, "{spread} of {all}");
    assert!(scans * 2 > all, "{scans} of {all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_workers_read_is_written_once_into_the_lake_and_into_the_database() {
    let Some(database) = postgres() else { return };
    let password = database.password().expose().to_owned();
    let workers = Workers::start_with(2, |_, c| configured(&database, &password, c)).unwrap();
    let lake = lake(&database, workers.options()).await;
    let session = lake.session();
    let stages = || lake.engine().cluster().unwrap().stages().len();
    let into_lake = "CREATE TABLE joined AS SELECT f.k, c.region FROM facts f \
         JOIN sales.public.customers c ON f.customer = c.id";
    ask(&session, into_lake).await.unwrap();
    let before = stages();
    assert!(before > 0, "nothing ran on workers");
    let (found, _) = ask(&session, "SELECT count(*), count(DISTINCT k) FROM joined").await.unwrap();
    let (expected, _) = ask(
        &session,
        "SELECT count(*), count(*) FROM facts f JOIN sales.public.customers c ON f.customer = c.id",
    )
    .await
    .unwrap();
    assert_eq!(found, expected);
    let before = stages();
    let into_database =
        "INSERT INTO sales.public.marts SELECT region, sum(k) FROM facts GROUP BY region";
    ask(&session, into_database).await.unwrap();
    assert!(stages() > before, "its rows were not made on workers");
    let (expected, _) =
        ask(&session, "SELECT count(DISTINCT region) + 1, sum(k) FROM facts").await.unwrap();
    assert_eq!(database.sql("SELECT count(*), sum(total) FROM marts").unwrap(), expected[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_plan_whose_database_a_worker_does_not_know_is_refused_or_kept() {
    let Some(database) = postgres() else { return };
    let (sql, password) = (QUERIES[0], database.password().expose().to_owned());
    // One that did not register is asked, and says what is missing.
    let ignorant = Workers::start(2).unwrap();
    let asking = lake(&database, ignorant.options()).await;
    let e = ask(&asking.session(), sql).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    assert!(e.to_string().contains("[catalog.sales]"), "{e}");
    // One that has another database under the name says which.
    let other = PostgresServer::find().unwrap().create("").unwrap();
    other.sql(TABLES).unwrap();
    let mistaken = Workers::start_with(2, |_, c| configured(&other, &password, c)).unwrap();
    let asking = lake(&database, mistaken.options()).await;
    let e = ask(&asking.session(), sql).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    assert!(e.to_string().contains(other.name()) && e.to_string().contains(database.name()), "{e}");
    // One that registers says beforehand what it has: the plan stays where the database is known.
    let cluster = asking.engine().cluster().unwrap();
    for url in mistaken.options().workers {
        let registration = Registration {
            id: uuid::Uuid::new_v4(),
            url,
            fingerprint: cluster.fingerprint().to_owned(),
            is_draining: false,
            tasks: 0,
            memory_bytes: 4 << 30,
            databases: Vec::new(),
        };
        cluster.hear(registration).unwrap();
    }
    let session = asking.session();
    let (rows, stages) = ask(&session, sql).await.unwrap();
    assert_eq!((rows.len(), stages), (5, 0));
    let (plan, _) = ask(&session, &format!("EXPLAIN (DISTRIBUTED) {sql}")).await.unwrap();
    assert!(plan.concat().contains("no worker that serves has catalog sales"), "{plan:?}");
    // Secrets do not travel: a worker with a wrong one of its own is not let in.
    let locked_out = Workers::start_with(2, |_, c| configured(&database, "wrong", c)).unwrap();
    let asking = lake(&database, locked_out.options()).await;
    let e = ask(&asking.session(), sql).await.unwrap_err();
    assert!(e.to_string().contains("password"), "{e}");
    assert!(
        !e.to_string().contains("worker was lost") && !e.to_string().contains(&password),
        "{e}"
    );
}

/// A statement makes the catalog on the server; workers of its data directory know it a moment later,
/// with secrets of their own.
#[test]
fn a_catalog_that_a_statement_made_is_known_to_workers_of_the_same_directory() {
    let Some(database) = postgres() else { return };
    let directory = tempfile::tempdir().unwrap();
    let password = database.password().expose().to_owned();
    let secret = |command: &mut Command| {
        command.env("SALES_PASSWORD", &password).env("OTHER_PASSWORD", &password);
    };
    let config = directory.path().join("server.toml");
    std::fs::write(&config, "[cluster]\ntask_bytes = 64\n").unwrap();
    let server = ServerProcess::start(directory.path(), |command| {
        secret(command);
        command.arg("--config").arg(&config);
    });
    let server = server.unwrap();
    let _workers: Vec<WorkerProcess> = (0..2)
        .map(|i| {
            WorkerProcess::start_with(directory.path(), &format!("w{i}"), |command| {
                secret(command);
                command.args(["--coordinator", server.address()]);
            })
            .unwrap()
        })
        .collect();
    let begun = Instant::now();
    let until = |what: &str, sql: &str, wanted: &dyn Fn(&str) -> bool| {
        loop {
            let found = server.sql(sql).unwrap();
            if wanted(&found) {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {found}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let two = "SELECT count(*) FROM system.workers WHERE state = 'serving'";
    until("workers", two, &|found| found.contains('2'));
    server.sql(LAKE).unwrap();
    let made = format!(
        "CREATE CATALOG sales USING postgres WITH (url = '{}', password = env('SALES_PASSWORD'))",
        url(&database)
    );
    server.sql(&made).unwrap();
    let plan = format!("SET cluster_bytes_min = 0; EXPLAIN (DISTRIBUTED) {}", QUERIES[0]);
    until("the catalog", &plan, &|found| {
        found.contains("Stage 1") && found.contains("RemoteSqlExec")
    });
    let rows = server.sql(&format!("SET cluster_bytes_min = 0; {}", QUERIES[0])).unwrap();
    let here = server.sql(QUERIES[0]).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().filter(|l| l.contains(',')).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&rows), sorted(&here));
    assert_eq!(sorted(&rows).len(), 6, "{rows}");
    // One that is dropped is dropped there too.
    server.sql("DROP CATALOG sales").unwrap();
    server
        .sql(&made.replace("CATALOG sales", "CATALOG other").replace("SALES_", "OTHER_"))
        .unwrap();
    let renamed = plan.replace("sales.public", "other.public");
    until("the other catalog", &renamed, &|found| {
        found.contains("Stage 1") && found.contains("RemoteSqlExec")
    });
}

/// A relation whose every row takes a while.
const SLOW: &str = "CREATE VIEW slow AS SELECT id, (SELECT 1 FROM pg_sleep(0.01 + 0 * id)) AS one FROM events WHERE id <= 400";
const ASKED_SLOWLY: &str =
    "SELECT count(*), sum(s.one), sum(f.g) FROM sales.public.slow s JOIN facts f ON s.id = f.k";
const IN_IT: &str = "FROM pg_stat_activity WHERE datname = current_database() \
     AND application_name = 'fjord' AND query LIKE 'COPY%slow%' AND state = 'active'";

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_or_a_connection_that_is_lost_costs_no_row_of_a_database() {
    let Some(database) = postgres() else { return };
    database.sql(SLOW).unwrap();
    let password = database.password().expose().to_owned();
    let mut workers = Workers::start_with(3, |_, c| configured(&database, &password, c)).unwrap();
    let lake = lake(&database, workers.options()).await;
    let count = |what: &str| -> usize {
        database.sql(&format!("SELECT count(*) {what}")).unwrap().parse().unwrap()
    };
    let asking = || {
        let session = lake.session();
        SpawnedTask::spawn(async move { ask(&session, ASKED_SLOWLY).await })
    };
    let (expected, stages) = asking().join().await.unwrap().unwrap();
    assert!(stages > 0, "nothing ran on workers");

    // The database ends the connection: an error of the database, which no other attempt follows.
    let asked = asking();
    until("the scan", || count(IN_IT) > 0);
    database.sql(&format!("SELECT pg_terminate_backend(pid) {IN_IT}")).unwrap();
    let e = asked.join().await.unwrap().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains("sales") && !e.to_string().contains("worker was lost"), "{e}");

    // Nobody waits any more: the database is told to stop.
    let asked = asking();
    until("the scan", || count(IN_IT) > 0);
    drop(asked);
    let begun = Instant::now();
    until("the end of the scan", || count(IN_IT) == 0);
    measured(&format!("a query was given up: its scan ended after {:?}", begun.elapsed()));

    // The workers go one after the other, the one that reads among them: the scan begins anew.
    for left in [2, 1] {
        let asked = asking();
        until("the scan", || count(IN_IT) > 0);
        workers.processes()[left].kill().unwrap();
        match asked.join().await.unwrap() {
            Ok((found, _)) => assert_eq!(found, expected),
            Err(e) => assert!(e.is_retryable(), "{e}"),
        }
    }
}
