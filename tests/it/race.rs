//! Many processes, one table: nobody's rows are lost and nobody is refused.

use std::fmt::Write;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use fjord_tests::lake::{Lake, LakeOptions};

use crate::process::{Process, measured};
use crate::whole::{assert_whole, load};

const PROCESSES: i64 = 8;
const INSERTS: i64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_insert_fifty_times_each_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::open(directory.path(), LakeOptions::default(), |m| m).await.unwrap();
    lake.run("CREATE TABLE r (writer bigint, n bigint)").await.unwrap();
    let begun = Instant::now();
    let processes: Vec<Process> = (0..PROCESSES)
        .map(|writer| {
            let mut script = String::new();
            for n in 0..INSERTS {
                writeln!(script, "INSERT INTO r VALUES ({writer}, {n});").unwrap();
            }
            let name = format!("writer-{writer}");
            Process::start(directory.path(), directory.path(), &name, &script, |_| {})
        })
        .collect();
    for process in processes {
        let ended = process.wait(Duration::from_secs(300));
        assert!(ended.status.success(), "a writer was refused: {}", ended.errors);
        assert!(!ended.errors.contains("error"), "{}", ended.errors);
    }
    let seconds = begun.elapsed().as_secs_f64();

    let rows = lake
        .run("SELECT count(*), count(DISTINCT writer * 1000 + n), sum(writer * 1000 + n) FROM r")
        .await
        .unwrap();
    let number = |column: usize| rows[0].column(column).as_primitive::<Int64Type>().value(0);
    let all = PROCESSES * INSERTS;
    let sum: i64 = (0..PROCESSES).flat_map(|w| (0..INSERTS).map(move |n| w * 1000 + n)).sum();
    assert_eq!((number(0), number(1), number(2)), (all, all, sum));
    let table = load(&lake, "r").await.unwrap();
    assert_eq!(table.metadata().snapshots().count(), usize::try_from(all).unwrap());
    assert_whole(&lake, &table).await;
    measured(&format!("race: {all} commits by {PROCESSES} processes in {seconds:.1} s"));
}
