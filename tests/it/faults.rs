//! Lost, late and doubled answers of the catalog, met by whole statements.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use fjord_catalog::commit::CommitLimits;
use fjord_catalog::faults::{CommitFault, FaultMetastore};
use fjord_engine::ErrorKind;
use fjord_tests::lake::{Lake, LakeOptions};
use tempfile::TempDir;

use crate::whole::{assert_whole, load};

/// A lake behind a faulty catalog, and the same lake seen directly.
struct Faulty {
    _directory: TempDir,
    faults: Arc<FaultMetastore>,
    faulty: Arc<Lake>,
    direct: Lake,
}

impl Faulty {
    /// With the table `t (n)` that holds 1 and 2.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = LakeOptions {
            commit_limits: Some(CommitLimits {
                unknown_max: Duration::from_millis(500),
                ..CommitLimits::default()
            }),
            ..LakeOptions::default()
        };
        let mut faults = None;
        let faulty = Lake::open(directory.path(), options, |inner| {
            let metastore = Arc::new(FaultMetastore::new(inner));
            faults = Some(Arc::clone(&metastore));
            metastore
        });
        let faulty = Arc::new(faulty.await.unwrap());
        let direct = Lake::open(directory.path(), LakeOptions::default(), |m| m).await.unwrap();
        direct.run("CREATE TABLE t (n bigint)").await.unwrap();
        direct.run("INSERT INTO t VALUES (1)").await.unwrap();
        direct.run("INSERT INTO t VALUES (2)").await.unwrap();
        Self { _directory: directory, faults: faults.unwrap(), faulty, direct }
    }

    /// The rows as a writer without faults sees them; the table must be whole.
    async fn rows(&self, table: &str) -> Vec<i64> {
        assert_whole(&self.direct, &load(&self.direct, table).await.unwrap()).await;
        let batches = self.direct.run(&format!("SELECT n FROM {table} ORDER BY n")).await.unwrap();
        let columns = batches.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>());
        columns.flat_map(|column| column.values().to_vec()).collect()
    }

    async fn snapshots(&self, table: &str) -> usize {
        load(&self.direct, table).await.unwrap().metadata().snapshots().count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_an_applied_statement_is_success_once() {
    for (sql, expected) in [
        ("INSERT INTO t VALUES (3)", vec![1, 2, 3]),
        ("INSERT OVERWRITE t VALUES (3)", vec![3]),
        ("DELETE FROM t", vec![]),
        ("TRUNCATE TABLE t", vec![]),
    ] {
        for fault in [
            CommitFault::LoseAnswer,
            CommitFault::ApplyDuringLoad(1),
            CommitFault::ApplyDuringLoad(3),
            CommitFault::DeliverTwice,
            CommitFault::DeliverTwiceLoseFirst,
            CommitFault::SpuriousStale,
            CommitFault::Refuse,
            CommitFault::LoseAnswerAndLoads(2),
        ] {
            let lake = Faulty::new().await;
            lake.faults.script([fault]);
            lake.faulty.run(sql).await.unwrap_or_else(|e| panic!("{sql}, {fault:?}: {e:?}"));
            assert_eq!(lake.rows("t").await, expected, "{sql}, {fault:?}");
            assert_eq!(lake.snapshots("t").await, 3, "{sql}, {fault:?}");
            let again = lake.faulty.run("INSERT INTO t VALUES (9)").await;
            again.unwrap_or_else(|e| panic!("after {sql}, {fault:?}: {e:?}"));
            assert_eq!(lake.snapshots("t").await, 4, "{sql}, {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_a_table_from_a_query_is_success_once() {
    for fault in [CommitFault::LoseAnswer, CommitFault::ApplyDuringLoad(1)] {
        let lake = Faulty::new().await;
        lake.faults.script([fault]);
        let created = lake.faulty.run("CREATE TABLE c AS SELECT n + 10 AS n FROM t").await;
        created.unwrap_or_else(|e| panic!("{fault:?}: {e:?}"));
        assert_eq!(lake.rows("c").await, [11, 12], "{fault:?}");
        assert_eq!(lake.snapshots("c").await, 1, "{fault:?}");
    }
}

/// Hazard: a file is deleted while it is unknown whether a commit refers to it (stack §2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_lands_after_we_gave_up_keeps_its_files() {
    for (sql, table, expected) in [
        ("INSERT INTO t VALUES (3)", "t", vec![1, 2, 3]),
        ("INSERT OVERWRITE t VALUES (3)", "t", vec![3]),
        ("CREATE TABLE c AS SELECT n + 10 AS n FROM t", "c", vec![11, 12]),
    ] {
        let lake = Faulty::new().await;
        lake.faults.script([CommitFault::ApplyDuringLoad(u64::MAX)]);
        let error = lake.faulty.run(sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{sql}: {error:?}");
        let message = error.to_string();
        assert!(message.contains("unknown") && message.contains(table), "{message}");
        assert_eq!(lake.rows("t").await, [1, 2], "{sql}: absent so far");

        for outcome in lake.faults.apply_late().await {
            let applied = outcome.unwrap();
            let snapshot = applied.current_snapshot().unwrap();
            let op_id = &snapshot.summary().additional_properties["engine.op-id"];
            assert!(message.contains(op_id), "the error names the operation: {message}");
        }
        assert_eq!(lake.rows(table).await, expected, "{sql}: a referenced file was deleted");
    }
}

/// Hazard: the absence of a commit is taken for proof that it will not come (stack §2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_never_arrived_stays_unknown_and_nothing_is_sent_again() {
    let lake = Faulty::new().await;
    lake.faults.script([CommitFault::LoseRequest]);
    let error = lake.faulty.run("INSERT INTO t VALUES (3)").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error:?}");
    assert_eq!(lake.faults.commits(), 1);
    assert_eq!(lake.rows("t").await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_with_another_writer_on_top_is_success_once() {
    for (sql, expected) in [
        ("INSERT INTO t VALUES (3)", vec![1, 2, 3, 4]),
        ("INSERT OVERWRITE t VALUES (3)", vec![3, 4]),
    ] {
        let lake = Faulty::new().await;
        // The catalog is gone for us until the other writer has committed on top.
        lake.faults.script([CommitFault::LoseAnswerAndLoads(u64::MAX)]);
        let faulty = Arc::clone(&lake.faulty);
        #[expect(clippy::disallowed_methods, reason = "awaited below")]
        let statement = tokio::spawn(async move { faulty.run(sql).await });
        while lake.snapshots("t").await < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        lake.direct.run("INSERT INTO t VALUES (4)").await.unwrap();
        lake.faults.fail_loads(0);
        statement.await.unwrap().unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        assert_eq!(lake.rows("t").await, expected, "{sql}");
        assert_eq!(lake.snapshots("t").await, 4, "{sql}");
    }
}
