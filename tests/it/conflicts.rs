//! Statements that lose a race while they run: another writer commits between what they read and
//! what they commit.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use fjord_catalog::faults::FaultMetastore;
use fjord_engine::ErrorKind;
use fjord_tests::lake::{Lake, LakeOptions};
use tempfile::TempDir;

use crate::whole::{assert_whole, load};

/// A lake whose catalog lets a rival in, and the same lake as the rival sees it.
struct Raced {
    _directory: TempDir,
    door: Arc<FaultMetastore>,
    ours: Lake,
    theirs: Arc<Lake>,
}

impl Raced {
    /// With `t (n, p)`, partitioned by `p`: 1 and 2 in partition a, 3 in partition b.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut door = None;
        let ours = Lake::open(directory.path(), LakeOptions::default(), |inner| {
            let metastore = Arc::new(FaultMetastore::new(inner));
            door = Some(Arc::clone(&metastore));
            metastore
        });
        let ours = ours.await.unwrap();
        let theirs = Lake::open(directory.path(), LakeOptions::default(), |m| m).await.unwrap();
        theirs.run("CREATE TABLE t (n bigint, p varchar) PARTITIONED BY (p)").await.unwrap();
        theirs.run("INSERT INTO t VALUES (1, 'a'), (2, 'a'), (3, 'b')").await.unwrap();
        Self { _directory: directory, door: door.unwrap(), ours, theirs: Arc::new(theirs) }
    }

    /// Runs `sql` while the rival runs `rival` before the load after `loads` others.
    async fn race(&self, sql: &str, loads: u64, rival: &'static str) -> fjord_engine::Result<()> {
        let (theirs, before) = (Arc::clone(&self.theirs), self.door.loads());
        self.door.on_load(loads, move || async move {
            theirs.run(rival).await.unwrap();
        });
        let ended = self.ours.run(sql).await.map(drop);
        assert!(self.door.loads() > before + loads, "{sql}: the rival was never let in");
        ended
    }

    async fn rows(&self) -> Vec<i64> {
        let batches = self.theirs.run("SELECT n FROM t ORDER BY n").await.unwrap();
        let columns = batches.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>());
        columns.flat_map(|column| column.values().to_vec()).collect()
    }
}

const ADDS_TO_A: &str = "INSERT INTO t VALUES (9, 'a')";
const ADDS_TO_B: &str = "INSERT INTO t VALUES (9, 'b')";
const EMPTIES_A: &str = "DELETE FROM t WHERE p = 'a'";

/// Hazard: an overwrite, a delete or a replacement loses rows that somebody adds while it runs
/// (the conflict table's rows, through whole statements).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflict_a_statement_never_loses_rows_that_a_rival_added() {
    for (sql, rival) in [
        ("INSERT OVERWRITE t VALUES (7, 'a')", ADDS_TO_A),
        ("INSERT OVERWRITE t PARTITION (p = 'a') SELECT 7", ADDS_TO_A),
        ("INSERT OVERWRITE t SELECT n * 10, p FROM t", ADDS_TO_B),
        (EMPTIES_A, ADDS_TO_A),
        ("DELETE FROM t WHERE n < 100", ADDS_TO_B),
        ("TRUNCATE TABLE t", ADDS_TO_B),
    ] {
        let lake = Raced::new().await;
        let error = lake.race(sql, 1, rival).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{sql}: {error}");
        assert!(error.to_string().contains(".parquet"), "{sql}: names no file: {error}");
        assert_eq!(lake.rows().await, [1, 2, 3, 9], "{sql}");
        assert_whole(&lake.theirs, &load(&lake.theirs, "t").await.unwrap()).await;
    }
}

/// Hazard: a replacement is computed from rows older than the table that it replaces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflict_a_replacement_that_reads_the_table_never_loses_rows_added_meanwhile() {
    let sql = "CREATE OR REPLACE TABLE t AS SELECT n, p FROM t";
    // The query reads the table, the replacement is staged, and the commit looks again.
    for loads in [1, 2] {
        let lake = Raced::new().await;
        let error = lake.race(sql, loads, ADDS_TO_A).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "before load {loads}: {error}");
        assert_eq!(lake.rows().await, [1, 2, 3, 9], "before load {loads}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflict_a_file_that_a_rival_removed_is_not_replaced_again() {
    for sql in
        ["INSERT OVERWRITE t VALUES (7, 'a')", "INSERT OVERWRITE t PARTITION (p = 'a') SELECT 7"]
    {
        let lake = Raced::new().await;
        let error = lake.race(sql, 1, EMPTIES_A).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{sql}: {error}");
        assert_eq!(lake.rows().await, [3], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflict_none_where_the_changes_do_not_meet() {
    for (sql, rival, expected) in [
        ("INSERT INTO t VALUES (7, 'a')", ADDS_TO_A, vec![1, 2, 3, 7, 9]),
        ("INSERT INTO t VALUES (7, 'a')", EMPTIES_A, vec![3, 7]),
        ("INSERT OVERWRITE t VALUES (7, 'a')", ADDS_TO_B, vec![3, 7, 9]),
        ("INSERT OVERWRITE t PARTITION (p = 'a') SELECT 7", ADDS_TO_B, vec![3, 7, 9]),
        (EMPTIES_A, ADDS_TO_B, vec![3, 9]),
        ("DELETE FROM t WHERE n <= 3", "INSERT INTO t VALUES (9, 'c')", vec![9]),
    ] {
        let lake = Raced::new().await;
        lake.race(sql, 1, rival).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(lake.rows().await, expected, "{sql} beside {rival}");
        assert_whole(&lake.theirs, &load(&lake.theirs, "t").await.unwrap()).await;
    }
}
