//! SIGKILL at every point of a commit, on PostgreSQL (`reliability` A1).

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use super::world::{World, number};
use crate::process::{Process, measured};
use crate::whole::{assert_whole, load};

/// K6L: the row is changed and locked, COMMIT is not sent.
const POINTS: [(&str, i64); 10] = [
    ("K0", 0),
    ("K1", 0),
    ("K2", 0),
    ("K3", 0),
    ("K4", 0),
    ("K5", 0),
    ("K6", 0),
    ("K6L", 0),
    ("K7", 1),
    ("K8", 1),
];
/// Debug builds on a busy machine start slowly.
const REACH_MAX: Duration = Duration::from_secs(60);
/// Nobody waits for the locks of the dead.
const NEXT_MAX: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_leaves_all_or_nothing_and_no_lock() {
    let Some(world) = World::new() else { return };
    let lake = world.lake().await;
    lake.run("CREATE TABLE t (batch bigint, n bigint)").await.unwrap();
    let mut expected = 0;
    for (round, (point, rows)) in POINTS.iter().enumerate() {
        let marker = world.path().join(format!("{point}.reached"));
        let configured = world.configure(world.database.port());
        let script = format!("INSERT INTO t VALUES ({round}, 1);");
        let mut process = Process::start(world.path(), world.path(), point, &script, |command| {
            configured(command);
            command.env("FJORD_FAILPOINT", point).env("FJORD_FAILPOINT_REACHED", &marker);
        });
        let begun = Instant::now();
        while std::fs::read_to_string(&marker).unwrap_or_default() != *point {
            assert!(process.is_running(), "never got to {point}: {}", process.errors());
            assert!(begun.elapsed() < REACH_MAX, "not at {point}: {}", process.errors());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(process.kill().status.signal(), Some(9));
        expected += rows;
        assert_eq!(number(&lake, "SELECT count(*) FROM t").await, expected, "after {point}");
        let begun = Instant::now();
        lake.run(&format!("INSERT INTO t VALUES ({round}, 2)")).await.unwrap();
        assert!(begun.elapsed() < NEXT_MAX, "{point}: {:?}", begun.elapsed());
        expected += 1;
    }
    assert_whole(&lake, &load(&lake, "t").await.unwrap()).await;
    measured(&format!("postgres: {} kills, each at its point; 0 lost, 0 twice", POINTS.len()));
}
