//! SIGKILL at every point of a commit (`reliability` A1, K0 to K10).
//!
//! A separate `fjord` process stops at its kill point, proves by a marker file that it got there,
//! and is killed. What it left must be all or nothing: nothing up to K5, nothing or all at K6,
//! all from K7 on; and the table must be readable and writable at once. `FJORD_KILLS` sets the
//! number of kills, `FJORD_KILLS_DIR` keeps the lakes for a look from outside.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use fjord_tests::lake::{Lake, LakeOptions};

use crate::process::{Ended, Process, measured};
use crate::whole::{assert_whole, load};

const KILLS_IN_CI: usize = 60;
const LANES: usize = 2;
/// Debug builds on a busy machine start slowly.
const REACH_MAX: Duration = Duration::from_secs(60);
/// What "at once" is for the statement after a kill.
const NEXT_MAX: Duration = Duration::from_secs(10);
const ROWS: i64 = 3;

/// What the killed process was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    /// One INSERT.
    Insert,
    /// One INSERT; while it hangs at its point another writer commits.
    InsertBesideAnother,
    /// Two INSERTs: the first may have been acknowledged.
    TwoInserts,
    /// CREATE TABLE AS.
    CreateAs,
    /// An INSERT that deletes old metadata files after its commit.
    InsertWithCleanUp,
    /// The same beside another writer.
    CleanUpBesideAnother,
    /// DROP TABLE … PURGE.
    Purge,
}

type Kill = (&'static str, Doing);

/// 55 kills: each point under each statement that reaches it.
fn cycle() -> Vec<Kill> {
    use Doing as D;
    const COMMIT: [&str; 9] = ["K0", "K1", "K2", "K3", "K4", "K5", "K6", "K7", "K8"];
    const CLEAN_UP: [&str; 2] = ["K9", "K10"];
    let mut kills = Vec::new();
    for doing in [D::Insert, D::InsertBesideAnother, D::TwoInserts, D::CreateAs] {
        kills.extend(COMMIT.map(|point| (point, doing)));
    }
    // Twice: the point after the request is where engines lie.
    kills.extend(COMMIT.map(|point| (point, D::InsertBesideAnother)));
    for doing in [D::InsertWithCleanUp, D::CleanUpBesideAnother, D::Purge, D::Purge, D::Purge] {
        kills.extend(CLEAN_UP.map(|point| (point, doing)));
    }
    kills
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Nothing,
    NothingOrOnce,
    Once,
}

fn expected(point: &str) -> Expected {
    match point[1..].parse::<u32>().unwrap() {
        0..=5 => Expected::Nothing,
        6 => Expected::NothingOrOnce,
        _ => Expected::Once,
    }
}

/// How kills at one point under one statement ended.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    kills: usize,
    absent: usize,
    once: usize,
    told: usize,
}

type Tallies = BTreeMap<(Doing, usize), Tally>;

/// One data directory and what must be in its tables.
struct Lane {
    path: PathBuf,
    scratch: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    /// Table → batch → rows.
    rows: BTreeMap<String, BTreeMap<i64, i64>>,
    tallies: Tallies,
}

impl Lane {
    fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_stack_size(8 << 20).enable_all();
        let scratch = tempfile::tempdir().unwrap();
        let lane = Self {
            path,
            scratch,
            runtime: runtime.build().unwrap(),
            rows: BTreeMap::new(),
            tallies: Tallies::new(),
        };
        lane.run("CREATE TABLE t (batch bigint, n bigint)");
        lane.run(
            "CREATE TABLE cleaned (batch bigint, n bigint) TBLPROPERTIES
             ('write.metadata.delete-after-commit.enabled' = 'true', 'write.metadata.previous-versions-max' = '1')",
        );
        lane.run("INSERT INTO cleaned VALUES (-1, 0)");
        lane.run("INSERT INTO cleaned VALUES (-2, 0)");
        lane
    }

    /// Opens the lake as another process would, with nothing remembered.
    fn with_lake<T>(&self, work: impl AsyncFnOnce(Lake) -> T) -> T {
        self.runtime.block_on(async {
            let lake = Lake::open(&self.path, LakeOptions::default(), |m| m).await.unwrap();
            work(lake).await
        })
    }

    fn run(&self, sql: &str) {
        let begun = Instant::now();
        self.with_lake(async |lake| {
            lake.run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        });
        assert!(begun.elapsed() < NEXT_MAX, "{sql} took {:?}", begun.elapsed());
    }

    fn insert(&mut self, table: &str, batch: i64) {
        self.run(&insert(table, batch));
        self.rows.entry(table.to_owned()).or_default().insert(batch, ROWS);
    }

    fn round(&mut self, number: usize, (point, doing): Kill) {
        let batch = i64::try_from(number).unwrap() * 10;
        let created = format!("c{number}");
        let script = match doing {
            Doing::Insert | Doing::InsertBesideAnother => told(&[insert("t", batch)]),
            Doing::TwoInserts => told(&[insert("t", batch), insert("t", batch + 1)]),
            Doing::InsertWithCleanUp | Doing::CleanUpBesideAnother => {
                told(&[insert("cleaned", batch)])
            }
            Doing::CreateAs => {
                told(&[format!("CREATE TABLE {created} AS SELECT * FROM {}", values(batch))])
            }
            Doing::Purge => {
                self.run(&format!("CREATE TABLE p{number} AS SELECT * FROM {}", values(batch)));
                self.run(&insert(&format!("p{number}"), batch + 1));
                told(&[format!("DROP TABLE p{number} PURGE")])
            }
        };
        // The first of two is acknowledged; the second gets to the point.
        let second = doing == Doing::TwoInserts && !matches!(point, "K0" | "K1");
        let process = self.reach(number, point, usize::from(second), &script);
        match doing {
            Doing::InsertBesideAnother => self.insert("t", batch + 3),
            Doing::CleanUpBesideAnother => self.insert("cleaned", batch + 3),
            _ => {}
        }
        let ended = process.kill();
        assert_eq!(ended.status.signal(), Some(9), "{ended:?}");
        let told = acknowledged(&ended);
        assert!(told >= usize::from(second), "{ended:?}");
        let visible = match doing {
            Doing::Insert | Doing::InsertBesideAnother => self.inserted("t", point, &[batch], told),
            Doing::TwoInserts => self.inserted("t", point, &[batch, batch + 1], told),
            Doing::InsertWithCleanUp | Doing::CleanUpBesideAnother => {
                self.inserted("cleaned", point, &[batch], told)
            }
            Doing::CreateAs => self.created(&created, point, batch),
            Doing::Purge => self.purged(&format!("p{number}"), batch),
        };
        let index = point[1..].parse().unwrap();
        let tally = self.tallies.entry((doing, index)).or_default();
        tally.kills += 1;
        tally.told += told;
        *(if visible { &mut tally.once } else { &mut tally.absent }) += 1;
    }

    /// Starts the process and waits until it proves that it is at its point.
    fn reach(&self, number: usize, point: &str, skip: usize, script: &str) -> Process {
        let marker = self.scratch.path().join(format!("{number}.reached"));
        let name = format!("kill-{number}");
        let mut process =
            Process::start(&self.path, self.scratch.path(), &name, script, |command| {
                command.env("FJORD_FAILPOINT", format!("{point}:{skip}"));
                command.env("FJORD_FAILPOINT_REACHED", &marker);
            });
        let begun = Instant::now();
        while std::fs::read_to_string(&marker).unwrap_or_default() != point {
            assert!(process.is_running(), "never got to {point}: {}", process.errors());
            assert!(begun.elapsed() < REACH_MAX, "not at {point} yet: {}", process.errors());
            std::thread::sleep(Duration::from_millis(5));
        }
        process
    }

    /// The batches that were acknowledged are there, the one under way is as its point says, and
    /// the ones after it never were. Returns whether the one under way is visible.
    fn inserted(&mut self, table: &str, point: &str, batches: &[i64], told: usize) -> bool {
        let found = self.batches(table);
        let mut expected_rows = self.rows.get(table).cloned().unwrap_or_default();
        expected_rows.extend(batches[..told].iter().map(|batch| (*batch, ROWS)));
        let under_way = batches[told];
        let visible = match expected(point) {
            Expected::Nothing => false,
            Expected::Once => true,
            Expected::NothingOrOnce => found.contains_key(&under_way),
        };
        if visible {
            expected_rows.insert(under_way, ROWS);
        }
        assert_eq!(found, expected_rows, "{table} after a kill at {point}, {told} told");
        self.rows.insert(table.to_owned(), expected_rows);
        self.insert(table, batches[0] + 5);
        visible
    }

    fn created(&mut self, table: &str, point: &str, batch: i64) -> bool {
        let exists = self.with_lake(async |lake| load(&lake, table).await.is_some());
        match expected(point) {
            Expected::Nothing => assert!(!exists, "{table} exists after a kill at {point}"),
            Expected::Once => assert!(exists, "{table} is missing after a kill at {point}"),
            Expected::NothingOrOnce => {}
        }
        if !exists {
            self.run(&format!("CREATE TABLE {table} AS SELECT * FROM {}", values(batch)));
        }
        self.rows.entry(table.to_owned()).or_default().insert(batch, ROWS);
        assert_eq!(self.batches(table), self.rows[table]);
        self.insert(table, batch + 5);
        exists
    }

    fn purged(&self, table: &str, batch: i64) -> bool {
        assert!(
            self.with_lake(async |lake| load(&lake, table).await.is_none()),
            "{table} was dropped before it was purged"
        );
        self.run(&format!("CREATE TABLE {table} AS SELECT * FROM {}", values(batch)));
        assert_eq!(self.batches(table), BTreeMap::from([(batch, ROWS)]));
        true
    }

    /// Batch → rows, read from a table that holds nothing else.
    fn batches(&self, table: &str) -> BTreeMap<i64, i64> {
        let sql = format!(
            "SELECT batch, count(*), count(DISTINCT n) FROM {table} WHERE batch >= 0 GROUP BY batch"
        );
        let found =
            self.with_lake(async |lake| lake.run(&sql).await.unwrap_or_else(|e| panic!("{e:?}")));
        let mut batches = BTreeMap::new();
        for rows in &found {
            let number = |c: usize, row| rows.column(c).as_primitive::<Int64Type>().value(row);
            for row in 0..rows.num_rows() {
                assert_eq!(number(1, row), number(2, row), "{table}: a row is there twice");
                batches.insert(number(0, row), number(1, row));
            }
        }
        batches
    }

    fn assert_whole(&self) {
        let names: Vec<&String> = self.rows.keys().collect();
        self.with_lake(async |lake| {
            for name in names {
                assert_whole(&lake, &load(&lake, name).await.unwrap()).await;
            }
        });
    }
}

fn values(batch: i64) -> String {
    let rows: Vec<String> = (0..ROWS).map(|n| format!("({batch}, {n})")).collect();
    format!("(VALUES {}) AS v (batch, n)", rows.join(", "))
}

fn insert(table: &str, batch: i64) -> String {
    format!("INSERT INTO {table} SELECT * FROM {}", values(batch))
}

/// The statements, each followed by one whose answer shows that it was acknowledged.
fn told(statements: &[String]) -> String {
    statements.iter().map(|sql| format!("{sql};\nSELECT 'told' AS answer;\n")).collect()
}

fn acknowledged(ended: &Ended) -> usize {
    ended.output.lines().filter(|line| *line == "told").count()
}

fn run_lane(path: PathBuf, lane: usize, kills: usize) -> Tallies {
    let mut running = Lane::new(path);
    let cycle = cycle();
    for number in (lane..kills).step_by(LANES) {
        running.round(number, cycle[number % cycle.len()]);
    }
    running.assert_whole();
    running.tallies
}

fn report(tallies: &Tallies, seconds: f64) -> String {
    let mut text = format!("kills: in {seconds:.0} s\n");
    writeln!(text, "{:<22} point  kills  absent  once  told before", "statement").unwrap();
    for ((doing, point), tally) in tallies {
        let Tally { kills, absent, once, told } = tally;
        let doing = format!("{doing:?}");
        writeln!(text, "{doing:<22} K{point:<5} {kills:5}  {absent:6}  {once:4}  {told:4}")
            .unwrap();
    }
    let all: usize = tallies.values().map(|tally| tally.kills).sum();
    writeln!(text, "{all} kills, each at its point; 0 lost, 0 twice, 0 unreadable").unwrap();
    text
}

#[test]
fn a_kill_at_any_point_leaves_all_or_nothing() {
    let kills = std::env::var_os("FJORD_KILLS")
        .map_or(KILLS_IN_CI, |count| count.to_str().unwrap().parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let root = std::env::var_os("FJORD_KILLS_DIR")
        .map_or_else(|| temporary.path().to_owned(), |path| Path::new(&path).to_owned());
    let begun = Instant::now();
    let mut tallies = Tallies::new();
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let path = root.join(format!("lane-{lane}"));
                scope.spawn(move || run_lane(path, lane, kills))
            })
            .collect();
        for lane in lanes {
            for (key, tally) in lane.join().unwrap() {
                let all = tallies.entry(key).or_default();
                all.kills += tally.kills;
                all.absent += tally.absent;
                all.once += tally.once;
                all.told += tally.told;
            }
        }
    });
    assert_eq!(tallies.values().map(|tally| tally.kills).sum::<usize>(), kills);
    measured(&report(&tallies, begun.elapsed().as_secs_f64()));
}
