//! Tables and files in a bucket of a real S3 server, with and without a proxy that breaks its answers.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::storage::Storage;
use fjord_catalog::storage::s3;
use fjord_catalog::{ErrorKind, suite};
use fjord_tests::counterpart::S3Server;
use fjord_tests::lake::Lake;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use crate::proxy::{Effect, Fault, Proxy};

/// What `object_store` takes for a failure although the status is 200.
const ERROR_IN_SUCCESS: &str =
    "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>try again</Message></Error>";
/// Rows whose two data files are each larger than one part of an upload.
const LARGE: &str = "SELECT v AS n, random() AS x FROM range(0, 3000000) AS r(v)";

/// The server; says so when there is none.
fn server(test: &str) -> Option<S3Server> {
    let found = S3Server::find();
    if found.is_none() {
        // Not by `println!`, which the test runner keeps to itself.
        let mut out = std::io::stdout();
        writeln!(out, "skipped: {test} (no FJORD_TEST_S3_ENDPOINT)").unwrap();
    }
    found
}

/// A lake in the bucket, reached through a proxy.
struct Faulty {
    proxy: Proxy,
    lake: Lake,
    warehouse: String,
    /// The bucket itself.
    direct: Storage,
}

impl Faulty {
    async fn new(server: &S3Server) -> Self {
        Self::with_attempt_time(server, Duration::from_secs(30)).await
    }

    async fn with_attempt_time(server: &S3Server, attempt_time: Duration) -> Self {
        let proxy = Proxy::before(server.options.endpoint.as_deref().unwrap()).await;
        let mut through = server.clone();
        through.options.endpoint = Some(proxy.url().to_owned());
        through.options.attempt_time = attempt_time;
        let warehouse = server.place("faults");
        let lake = Lake::on(through.storage().unwrap(), warehouse.clone()).await.unwrap();
        Self { proxy, lake, warehouse, direct: server.storage().unwrap() }
    }

    async fn count(&self, table: &str) -> i64 {
        let batches = self.lake.run(&format!("SELECT count(*) FROM {table}")).await.unwrap();
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    /// Objects of the warehouse that end in `suffix`.
    async fn objects(&self, suffix: &str) -> Vec<String> {
        let listed: Vec<_> =
            self.direct.list(&self.warehouse).unwrap().try_collect().await.unwrap();
        listed.into_iter().map(|(uri, _)| uri).filter(|uri| uri.ends_with(suffix)).collect()
    }

    /// Uploads in parts that were begun, and those that were aborted, by id.
    fn uploads(&self) -> (usize, usize) {
        let requests = self.proxy.requests();
        let begun = requests.iter().filter(|r| r.starts_with("POST") && r.contains("?uploads"));
        let aborted =
            requests.iter().filter(|r| r.starts_with("DELETE") && r.contains("uploadId="));
        (begun.count(), aborted.count())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_catalog_passes_its_suite_in_a_bucket() {
    let Some(server) = server("the_embedded_catalog_passes_its_suite_in_a_bucket") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (storage, warehouse) = (server.storage().unwrap(), server.place("suite"));
    let mut options = EmbeddedOptions::new(directory.path().join("catalog.db"), &warehouse);
    options.storage = storage.clone();
    let embedded = Arc::new(Embedded::open(options).await.unwrap());
    let report = suite::run(embedded, storage, &warehouse).await;
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    let together = report.skipped.iter().all(|name| name.contains("committed_together"));
    assert!(together && report.passed.len() >= 20, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn awkward_names_round_trip_in_a_bucket_and_nothing_is_overwritten() {
    let Some(server) = server("awkward_names_round_trip_in_a_bucket") else { return };
    let (storage, place) = (server.storage().unwrap(), server.place("names"));
    for name in [
        "a b/c d",
        "cat=x%2Fy/50%",
        "größe/表.json",
        "q?a#b/x",
        "it's/\"q\"",
        "a:b/~c{}[]^|<>*`",
        "a+b&c=d",
    ] {
        let uri = format!("{place}/{name}");
        storage.put_new(&uri, "one".into()).await.unwrap();
        storage.put_new(&uri, "one".into()).await.unwrap();
        let error = storage.put_new(&uri, "two".into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{name}");
        assert_eq!(storage.read_all(&uri, 10).await.unwrap(), "one", "{name}");
        let listed: Vec<_> = storage.list(&place).unwrap().try_collect().await.unwrap();
        assert!(listed.iter().any(|(found, _)| *found == uri), "{uri}: {listed:?}");
        storage.delete_file(&uri).await.unwrap();
        assert!(!storage.exists(&uri).await.unwrap(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_and_missing_buckets_are_told_and_no_secret_is() {
    let Some(server) = server("wrong_keys_and_missing_buckets_are_told") else { return };
    let mut wrong = server.clone();
    wrong.options.credentials = s3::S3Credentials::Keys {
        access_key_id: "somebody".to_owned(),
        secret_access_key: fjord_catalog::secret::Secret::new("canary-secret"),
        session_token: None,
    };
    let lake = Lake::on(wrong.storage().unwrap(), server.place("wrong")).await.unwrap();
    let error = lake.run("CREATE TABLE t (n int)").await.unwrap_err();
    assert_eq!(error.kind(), fjord_engine::ErrorKind::PermissionDenied, "{error:?}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    let mut missing = server.clone();
    missing.options.bucket = "no-such-bucket".to_owned();
    let lake = Lake::on(missing.storage().unwrap(), missing.place("w")).await.unwrap();
    let error = lake.run("CREATE TABLE t (n int)").await.unwrap_err();
    assert!(error.to_string().contains("s3://no-such-bucket/"), "{error:?}");
}

/// Hazard: a conditional PUT that was applied and whose answer was lost is answered "exists
/// already" when it is sent again (stack §8, C4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_was_lost_is_known_by_its_bytes() {
    let Some(server) = server("a_write_whose_answer_was_lost_is_known_by_its_bytes") else {
        return;
    };
    for contains in [".parquet", "-m0.avro", "snap-", ".metadata.json"] {
        for effect in
            [Effect::ApplyThenHangUp, Effect::ApplyThenAnswer(503), Effect::ApplyThenAnswer(500)]
        {
            let lake = Faulty::new(&server).await;
            lake.lake.run("CREATE TABLE t (n bigint)").await.unwrap();
            lake.proxy.heal();
            lake.proxy.fail(Fault::first(1, "PUT", contains, effect));
            let inserted = lake.lake.run("INSERT INTO t VALUES (1), (2)").await;
            inserted.unwrap_or_else(|e| panic!("{contains} {effect:?}: {e:?}"));
            assert_eq!(lake.proxy.met(), 1, "{contains}");
            assert_eq!(lake.count("t").await, 2, "{contains} {effect:?}");
            assert_eq!(lake.objects(".parquet").await.len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_three_of_ten_requests_is_asked_less_than_three_times_as_often() {
    let Some(server) = server("a_store_that_refuses_three_of_ten") else { return };
    let lake = Faulty::new(&server).await;
    let script = "CREATE TABLE t (n bigint, k int) PARTITIONED BY (k); \
        INSERT INTO t SELECT v, v % 5 FROM range(0, 100) AS r(v); \
        INSERT INTO t SELECT v, v % 5 FROM range(100, 200) AS r(v); \
        DELETE FROM t WHERE k = 1";
    lake.proxy.heal();
    lake.lake.run(script).await.unwrap();
    assert_eq!(lake.count("t").await, 160);
    let without = lake.proxy.requests().len();
    lake.lake.run("DROP TABLE t PURGE").await.unwrap();
    lake.proxy.heal();
    for method in ["GET", "PUT", "POST", "DELETE", "HEAD"] {
        let effect = Effect::Answer(503, "<Error><Code>SlowDown</Code></Error>");
        lake.proxy.fail(Fault { method, contains: "", of_ten: 3, count: u64::MAX, effect });
    }
    lake.lake.run(script).await.unwrap();
    assert_eq!(lake.count("t").await, 160);
    let with = lake.proxy.requests().len();
    assert!(with > without && with <= 3 * without, "{without} requests became {with}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_breaks_off_goes_on_where_it_was() {
    let Some(server) = server("a_read_that_breaks_off_goes_on_where_it_was") else { return };
    let lake = Faulty::new(&server).await;
    lake.lake.run(&format!("CREATE TABLE t AS {LARGE}")).await.unwrap();
    lake.proxy.heal();
    lake.proxy.fail(Fault::first(6, "GET", ".parquet", Effect::CutBodyAfter(100_000)));
    let batches = lake.lake.run("SELECT sum(n), count(x) FROM t").await.unwrap();
    assert_eq!(
        batches[0].column(0).as_primitive::<Int64Type>().value(0),
        3_000_000 * 2_999_999 / 2
    );
    assert_eq!(batches[0].column(1).as_primitive::<Int64Type>().value(0), 3_000_000);
    lake.proxy.heal();
    lake.proxy.fail(Fault::first(1, "GET", "metadata.json", Effect::CutBodyAfter(10)));
    assert_eq!(lake.count("t").await, 3_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_without_an_answer_is_given_up_and_the_next_one_counts() {
    let Some(server) = server("an_attempt_without_an_answer_is_given_up") else { return };
    let lake = Faulty::with_attempt_time(&server, Duration::from_secs(1)).await;
    lake.lake.run("CREATE TABLE t (n bigint)").await.unwrap();
    for (method, contains, sql) in [
        ("PUT", ".parquet", "INSERT INTO t VALUES (1)"),
        ("PUT", ".metadata.json", "INSERT INTO t VALUES (2)"),
        ("GET", ".parquet", "SELECT sum(n) FROM t"),
    ] {
        lake.proxy.heal();
        lake.proxy.fail(Fault::first(1, method, contains, Effect::Stall));
        let start = Instant::now();
        lake.lake.run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{sql} took {took:?}");
        assert!(took > Duration::from_millis(900), "{sql} met no stall");
    }
    assert_eq!(lake.count("t").await, 2);
}

/// Hazard: the parts were put together and the answer was lost (stack §8); and the status of a
/// completed upload is sent before the work is done (C3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_counts_when_the_object_is_there_and_fails_when_it_is_not() {
    let Some(server) = server("an_upload_counts_when_the_object_is_there") else { return };
    let lake = Faulty::new(&server).await;
    lake.lake.run("CREATE TABLE t (n bigint, x double)").await.unwrap();
    let insert = format!("INSERT INTO t {LARGE}");

    // Put together, and the answer lost: the client asks again, and some servers say that there is
    // no such upload, which others do not.
    for (count, effect) in [
        (1, Effect::ApplyThenHangUp),
        (1, Effect::ApplyThenAnswer(500)),
        (u64::MAX, Effect::ApplyThenAnswer(404)),
    ] {
        lake.lake.run("TRUNCATE TABLE t").await.unwrap();
        lake.proxy.heal();
        lake.proxy.fail(Fault::first(count, "POST", "uploadId=", effect));
        lake.lake.run(&insert).await.unwrap_or_else(|e| panic!("{effect:?}: {e:?}"));
        assert!(lake.proxy.met() >= 1, "{effect:?}");
        assert_eq!(lake.count("t").await, 3_000_000, "{effect:?}");
    }

    // Said to have succeeded, with an error in the body, once: it is asked again.
    lake.lake.run("TRUNCATE TABLE t").await.unwrap();
    lake.proxy.heal();
    let broken = Effect::Answer(200, ERROR_IN_SUCCESS);
    lake.proxy.fail(Fault::first(1, "POST", "uploadId=", broken));
    lake.lake.run(&insert).await.unwrap();
    assert_eq!(lake.count("t").await, 3_000_000);

    // Refused for good: an error, no rows, no upload left behind.
    lake.lake.run("TRUNCATE TABLE t").await.unwrap();
    let before = lake.objects(".parquet").await.len();
    lake.proxy.heal();
    let refused =
        Effect::Answer(400, "<Error><Code>InvalidPart</Code><Message>no</Message></Error>");
    lake.proxy.fail(Fault::first(u64::MAX, "POST", "uploadId=", refused));
    let error = lake.lake.run(&insert).await.unwrap_err();
    assert!(error.to_string().contains("InvalidPart"), "{error:?}");
    assert_eq!(lake.count("t").await, 0);
    aborted(&lake).await;
    assert_eq!(lake.objects(".parquet").await.len(), before);
}

/// Waits until every upload that was begun is aborted.
async fn aborted(lake: &Faulty) {
    all_but(0, lake).await;
}

/// Waits until every upload that was begun is aborted, but for so many that were completed.
async fn all_but(completed: usize, lake: &Faulty) {
    let start = Instant::now();
    loop {
        let (begun, aborted) = lake.uploads();
        if begun > completed && aborted + completed >= begun {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{aborted} of {begun} were aborted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Hazard: parts that were sent are paid for until somebody tells them to go (C8).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_statement_aborts_its_uploads() {
    let Some(server) = server("a_cancelled_statement_aborts_its_uploads") else { return };
    let lake = Faulty::new(&server).await;
    let small_groups = "TBLPROPERTIES ('write.parquet.row-group-limit' = '50000')";
    lake.lake.run(&format!("CREATE TABLE t (n bigint, x double) {small_groups}")).await.unwrap();
    for sql in [
        "INSERT INTO t SELECT v, random() FROM range(0, 100000000) AS r(v)".to_owned(),
        format!(
            "COPY (SELECT v, random() AS x FROM range(0, 100000000) AS r(v)) TO '{}/x.parquet' (FORMAT parquet)",
            lake.warehouse
        ),
    ] {
        lake.proxy.heal();
        let part_sent = async {
            while lake.proxy.count(&["PUT", "partNumber="]) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = lake.lake.run(&sql) => panic!("{sql} ended before it was cancelled: {ended:?}"),
            () = part_sent => {}
        }
        aborted(&lake).await;
        assert_eq!(lake.proxy.count(&["PUT", ".metadata.json"]), 0);
        assert!(lake.objects(".parquet").await.is_empty(), "{sql}");
    }
    assert_eq!(lake.count("t").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nearby_ranges_are_one_request() {
    let Some(server) = server("nearby_ranges_are_one_request") else { return };
    let lake = Faulty::new(&server).await;
    let columns: Vec<String> = (0..30).map(|i| format!("v + {i} AS c{i}")).collect();
    let query = format!("SELECT {} FROM range(0, 1000) AS r(v)", columns.join(", "));
    lake.lake.run(&format!("CREATE TABLE t AS {query}")).await.unwrap();
    lake.proxy.heal();
    lake.lake.run("SELECT c0, c3, c6, c9, c12, c15, c18, c21, c24, c27 FROM t").await.unwrap();
    let files = lake.objects(".parquet").await.len();
    let ranges = lake.proxy.count(&["GET", ".parquet", "ange:"]);
    // One for the columns, at most two for footer and page index.
    assert!(
        ranges <= 3 * files,
        "{ranges} requests for {files} files: {:#?}",
        lake.proxy.requests()
    );
}

/// C6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_file_that_is_gone_is_an_error_with_its_name() {
    let Some(server) = server("a_data_file_that_is_gone_is_an_error") else { return };
    let lake = Faulty::new(&server).await;
    lake.lake.run("CREATE TABLE t AS SELECT v FROM range(0, 10) AS r(v)").await.unwrap();
    let file = lake.objects(".parquet").await.remove(0);
    lake.direct.delete_file(&file).await.unwrap();
    let error = lake.lake.run("SELECT sum(v) FROM t").await.unwrap_err();
    assert!(error.to_string().contains(&file), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_copies_to_one_name_one_succeeds_and_its_rows_stay() {
    let Some(server) = server("of_many_copies_to_one_name_one_succeeds") else { return };
    let lake = Faulty::new(&server).await;
    let target = format!("{}/out.csv", lake.warehouse);
    let copies = (0..8).map(|i| {
        let (lake, target) = (&lake.lake, &target);
        async move {
            let sql = format!("COPY (SELECT {i} AS n) TO '{target}' (FORMAT csv)");
            (i, lake.run(&sql).await)
        }
    });
    let outcomes = futures::future::join_all(copies).await;
    let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).collect();
    let refusals: Vec<_> = outcomes.iter().filter_map(|(_, o)| o.as_ref().err()).collect();
    assert_eq!(winners.len(), 1, "{refusals:#?}");
    for refusal in refusals {
        assert_eq!(refusal.kind(), fjord_engine::ErrorKind::AlreadyExists, "{refusal:?}");
    }
    let at = lake.direct.resolve(&target).unwrap();
    let bytes = at.store.get(&at.path).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, format!("n\n{}\n", winners[0].0));

    // The same in parts.
    let target = format!("{}/large.csv", lake.warehouse);
    let copies = (0..3).map(|i| {
        let (lake, target) = (&lake.lake, &target);
        async move {
            let query = format!("SELECT v + {i} AS n, random() AS x FROM range(0, 400000) AS r(v)");
            let sql = format!("COPY ({query}) TO '{target}' (FORMAT csv)");
            (i, lake.run(&sql).await)
        }
    });
    let outcomes = futures::future::join_all(copies).await;
    let winners: Vec<i64> =
        outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(i, _)| *i).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    let count = format!("SELECT min(n), count(*) FROM read_csv('{target}')");
    let answer = lake.lake.run(&count).await.unwrap();
    let value = |column: usize| answer[0].column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!((value(0), value(1)), (winners[0], 400_000));
    all_but(1, &lake).await;
}
