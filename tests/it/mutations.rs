//! Thousands of damaged files through whole queries: an error that names the file, or an answer;
//! no panic, no hang, no flood of memory. `FJORD_MUTATIONS` sets how many of each kind.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use fastrand::Rng;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::change::{CommitOptions, RowsChange};
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::predicate::Predicate;
use fjord_catalog::spec::DataFile;
use fjord_catalog::storage::Storage;
use fjord_catalog::table::Table;
use fjord_engine::ErrorKind;
use fjord_tests::lake::{Lake, LakeOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::damage::{self, Damaged, Demand};
use crate::parquet_damage;
use crate::process::measured;
use crate::whole::load;

const MUTATIONS: usize = 2_000;
const HANG_MAX: Duration = Duration::from_secs(5);
/// Of the whole test process, other tests included.
const PEAK_KIB_MAX: u64 = 3 << 20;
/// Damaged data files that one table refers to.
const FILES: usize = 250;

/// What a manifest says of the columns of a file.
const METRICS: [&str; 5] =
    ["column_sizes", "value_counts", "null_value_counts", "lower_bounds", "upper_bounds"];

/// An engine mounts a limited number of catalogs; so many are mounted before the next engine.
const CATALOGS: usize = 500;

type Outcome = fjord_engine::Result<Vec<RecordBatch>>;

fn mutations() -> usize {
    std::env::var_os("FJORD_MUTATIONS").map_or(MUTATIONS, |n| n.to_str().unwrap().parse().unwrap())
}

/// Runs queries on damaged files and judges how they end.
struct Court {
    kind: &'static str,
    runtime: Runtime,
    begun: Instant,
    right: String,
    errors: usize,
    answers: usize,
    slowest: Duration,
    stalls: usize,
}

impl Court {
    fn new(kind: &'static str, runtime: Runtime, right: &[RecordBatch]) -> Self {
        let begun = Instant::now();
        let right = rows_of(right);
        let slowest = Duration::ZERO;
        Self { kind, runtime, begun, right, errors: 0, answers: 0, slowest, stalls: 0 }
    }

    /// `query` runs once; again, by another number, when it took too long: what hangs over the
    /// damage hangs each time, a busy machine does not.
    fn judge<Q: Future<Output = Outcome> + Send + 'static>(
        &mut self,
        number: usize,
        damaged: &Damaged,
        file: &str,
        query: impl Fn(usize) -> Q,
    ) {
        let case = format!("{} {number} of {file}: {}", self.kind, damaged.what);
        let mut begun = Instant::now();
        let outcome = self.run(&case, query(number)).unwrap_or_else(|| {
            self.stalls += 1;
            assert!(self.stalls <= 1 + mutations() / 1_000, "{case}: hangs, as others did");
            begun = Instant::now();
            let again = self.run(&case, query(number + mutations() + 1));
            again.unwrap_or_else(|| panic!("{case}: hangs"))
        });
        self.slowest = self.slowest.max(begun.elapsed());
        match outcome {
            Ok(batches) => {
                self.answers += 1;
                assert_ne!(damaged.demand, Demand::Error, "{case}: was read");
                if damaged.demand == Demand::ErrorOrRight {
                    assert_eq!(rows_of(&batches), self.right, "{case}: was read wrong");
                }
            }
            Err(e) => {
                self.errors += 1;
                let text = format!("{e:?}");
                assert_ne!(e.kind(), ErrorKind::Bug, "{case}: {text}");
                assert!(
                    damaged.demand == Demand::Anything || text.contains(file),
                    "{case}: the error does not name it: {text}"
                );
            }
        }
    }

    /// `None` if it hangs.
    fn run(
        &self,
        case: &str,
        query: impl Future<Output = Outcome> + Send + 'static,
    ) -> Option<Outcome> {
        let (send, receive) = channel();
        drop(self.runtime.spawn(async move { send.send(query.await).ok() }));
        match receive.recv_timeout(HANG_MAX) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("{case}: a panic escaped"),
        }
    }

    fn close(self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak_kib = peak.and_then(|p| p.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
        assert!(peak_kib < PEAK_KIB_MAX, "{}: {peak_kib} KiB at most", self.kind);
        measured(&format!(
            "mutations: {}: {} errors, {} answers, slowest {} ms, {:.0} s, peak {} MiB",
            self.kind,
            self.errors,
            self.answers,
            self.slowest.as_millis(),
            self.begun.elapsed().as_secs_f64(),
            peak_kib >> 10
        ));
    }
}

fn rows_of(batches: &[RecordBatch]) -> String {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_stack_size(8 << 20).enable_all().build().unwrap()
}

/// A lake with the table `m` of a few types: three commits of `rows` rows each.
async fn make(rows: usize) -> (TempDir, Lake) {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::open(directory.path(), LakeOptions::default(), |m| m).await.unwrap();
    lake.run(
        "CREATE TABLE m (p bigint, id bigint, s varchar, d double, c decimal(10,2), b boolean,
         at timestamp, l array(bigint), r row(x int, y varchar)) PARTITIONED BY (p)",
    )
    .await
    .unwrap();
    for commit in 0..3 {
        let first = commit * rows;
        let sql = format!(
            "INSERT INTO m SELECT {commit}, v, concat('name ', v % 17), v / 7.0, cast(v as decimal(10,2)) AS c,
             v % 3 = 0, to_timestamp(v * 1000) AS at, make_array(v, v + 1), named_struct('x', cast(v as int), 'y', 'why') AS r
             FROM (SELECT value AS v FROM generate_series({first}, {}))",
            first + rows - 1
        );
        lake.run(&sql).await.unwrap_or_else(|e| panic!("{e:?}"));
    }
    (directory, lake)
}

/// Reads `m` as a new process would, with nothing cached: through a catalog mounted for this.
async fn read_anew(lake: Arc<Lake>, number: usize) -> Outcome {
    let warehouse = format!("file://{}/warehouse", lake.path().display());
    let options = EmbeddedOptions::new(lake.path().join("catalog.db"), &warehouse);
    let embedded = Embedded::open(options).await?;
    let name = format!("c{number}");
    let metastore = Arc::new(embedded.clone());
    lake.engine().mount(Catalog::new(name.as_str(), metastore, Storage::local(), warehouse))?;
    let rows = lake.run(&format!("SELECT * FROM {name}.\"default\".m")).await;
    embedded.close().await;
    rows
}

fn local(uri: &str) -> &Path {
    Path::new(uri.strip_prefix("file://").unwrap())
}

fn name_of(path: &Path) -> String {
    path.file_name().and_then(OsStr::to_str).unwrap().to_owned()
}

/// Damages one file of `m` again and again, in place, and reads the table with fresh caches.
fn in_place(
    kind: &'static str,
    seed: u64,
    choose: impl AsyncFn(&Lake, &Table) -> String,
    damage: impl Fn(&mut Rng, usize, &[u8]) -> Damaged,
) {
    let runtime = runtime();
    let (directory, lake) = runtime.block_on(make(20));
    let mut lake = Arc::new(lake);
    let path = runtime.block_on(async {
        let table = load(&lake, "m").await.unwrap();
        choose(&lake, &table).await
    });
    let path = local(&path).to_owned();
    let right = runtime.block_on(lake.run("SELECT * FROM m")).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut rng = Rng::with_seed(seed);
    let mut court = Court::new(kind, runtime, &right);
    for number in 0..mutations() {
        let damaged = damage(&mut rng, number, &bytes);
        std::fs::write(&path, &damaged.bytes).unwrap();
        if number % CATALOGS == CATALOGS - 1 {
            let opened = Lake::open(directory.path(), LakeOptions::default(), |m| m);
            lake = Arc::new(court.runtime.block_on(opened).unwrap());
        }
        court.judge(number, &damaged, &name_of(&path), |n| read_anew(Arc::clone(&lake), n));
    }
    std::fs::write(&path, &bytes).unwrap();
    let after = court.runtime.block_on(read_anew(lake, mutations())).unwrap();
    assert_eq!(rows_of(&after), court.right);
    court.close();
}

#[test]
fn damaged_table_metadata_is_an_error_or_an_answer() {
    in_place(
        "table metadata",
        1,
        async |_, table| table.metadata_location().unwrap().to_owned(),
        |rng, number, bytes| match number % 4 {
            0 => damage::truncated(rng, bytes),
            1 => damage::wrong_magic(rng, bytes, 0..1),
            2 => damage::json(rng, bytes),
            _ => damage::anywhere(rng, bytes),
        },
    );
}

#[test]
fn a_damaged_manifest_list_is_an_error_or_an_answer() {
    in_place(
        "manifest list",
        2,
        async |_, table| table.current_snapshot().unwrap().manifest_list().to_owned(),
        |rng, number, bytes| match number % 4 {
            0 => damage::truncated(rng, bytes),
            1 | 2 => damage::avro(rng, bytes),
            _ => damage::anywhere(rng, bytes),
        },
    );
}

#[test]
fn a_damaged_manifest_is_an_error_or_an_answer() {
    in_place(
        "manifest",
        3,
        async |lake, table| {
            let snapshot = table.current_snapshot().unwrap();
            let list = lake.catalog().load_manifest_list(table, snapshot).await.unwrap();
            list[1].manifest_path.clone()
        },
        |rng, number, bytes| match number % 4 {
            0 => damage::truncated(rng, bytes),
            1 | 2 => damage::avro(rng, bytes),
            _ => damage::anywhere(rng, bytes),
        },
    );
}

/// One data file of `m`.
async fn data_file(lake: &Lake, table: &Table) -> DataFile {
    let snapshot = table.current_snapshot().unwrap();
    let list = lake.catalog().load_manifest_list(table, snapshot).await.unwrap();
    let entries = lake.catalog().load_manifest(table, &list[0]).await.unwrap();
    DataFile::clone(entries[0].data_file())
}

/// `file` under another path, size and partition. What it said of the values of `p` goes: bounds
/// that contradict the partition prove nothing, and a query for another partition would read it.
fn copy_of(table: &Table, file: &DataFile, path: &Path, size: usize, partition: i64) -> DataFile {
    let spec = table.metadata().default_partition_spec();
    let json = Catalog::data_file_to_json(table, spec, file.clone()).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json["file_path"] = format!("file://{}", path.display()).into();
    json["file_size_in_bytes"] = size.into();
    json["partition"]["p"] = partition.into();
    let p = table.metadata().current_schema().field_id_by_name("p").unwrap();
    for metric in METRICS {
        json[metric].as_array_mut().unwrap().retain(|column| column["key"] != p);
    }
    Catalog::data_file_from_json(table, spec.spec_id(), &json.to_string()).unwrap()
}

#[test]
fn a_damaged_data_file_is_an_error_or_an_answer() {
    let runtime = runtime();
    let (directory, lake) = runtime.block_on(make(300));
    let lake = Arc::new(lake);
    let table = runtime.block_on(load(&lake, "m")).unwrap();
    let file = runtime.block_on(data_file(&lake, &table));
    let bytes = std::fs::read(local(file.file_path())).unwrap();
    let columns = "id, s, d, c, b, at, l, r";
    // The list has the newest manifest first: that of the commit that wrote partition 2.
    let right = format!("SELECT {columns} FROM m WHERE p = 2");
    let right = runtime.block_on(lake.run(&right)).unwrap();
    let mut court = Court::new("data file", runtime, &right);
    let mut rng = Rng::with_seed(4);
    for first in (0..mutations()).step_by(FILES) {
        let all: Vec<(Damaged, PathBuf)> = (first..(first + FILES).min(mutations()))
            .map(|number| {
                let damaged = match number % 4 {
                    0 => damage::truncated(&mut rng, &bytes),
                    1 | 2 => parquet_damage::footer(&mut rng, &bytes),
                    _ => damage::anywhere(&mut rng, &bytes),
                };
                let path = directory.path().join(format!("damaged-{number}.parquet"));
                std::fs::write(&path, &damaged.bytes).unwrap();
                (damaged, path)
            })
            .collect();
        let copies = all.iter().enumerate().map(|(index, (damaged, path))| {
            // The manifest knows the true size or, as if the damage came later, the old one.
            let size = if index % 8 < 4 { damaged.bytes.len() } else { bytes.len() };
            copy_of(&table, &file, path, size, i64::try_from(index).unwrap())
        });
        let change =
            RowsChange::OverwriteWhere { filter: Predicate::True, files: copies.collect() };
        let replaced = async {
            let head = load(&lake, "m").await.unwrap();
            lake.catalog().commit_rows(&head, change, CommitOptions::default()).await
        };
        court.runtime.block_on(replaced).unwrap();
        for (index, (damaged, path)) in all.iter().enumerate() {
            let number = first + index;
            let sql = match number % 5 {
                0 => format!("SELECT {columns} FROM m WHERE p = {index} AND id >= 0 AND s <> 'x'"),
                _ => format!("SELECT {columns} FROM m WHERE p = {index}"),
            };
            court.judge(number, damaged, &name_of(path), |_| {
                let (lake, sql) = (Arc::clone(&lake), sql.clone());
                async move { lake.run(&sql).await }
            });
        }
    }
    court.close();
}

#[test]
fn a_damaged_configuration_is_an_error_or_a_configuration() {
    const NAME: &str = "lake/fjord.toml";
    let text = "# the lake\nmemory_limit = \"4GB\"\ndata_dir = '/srv/lake'\n\n[catalog.iceberg]\ntype = \"embedded\"\n\
        warehouse = \"file:///srv/wärehouse\"\n\n[catalog.\"other\"]\ntype = \"embedded\"\n";
    fjord_flight_server::config::parse(text.as_bytes(), NAME).unwrap();
    let mut rng = Rng::with_seed(5);
    let (mut errors, mut slowest) = (0, Duration::ZERO);
    for number in 0..mutations() {
        let damaged = match number % 4 {
            0 => damage::toml(&mut rng, text),
            1 => damage::truncated(&mut rng, text.as_bytes()),
            _ => damage::anywhere(&mut rng, text.as_bytes()),
        };
        // Cut off between two lines it is a shorter configuration.
        let must_fail = number % 4 == 0;
        let begun = Instant::now();
        let parsed =
            std::panic::catch_unwind(|| fjord_flight_server::config::parse(&damaged.bytes, NAME));
        slowest = slowest.max(begun.elapsed());
        let case = format!("configuration {number}: {}", damaged.what);
        match parsed {
            Err(_) => panic!("{case}: a panic escaped"),
            Ok(Ok(_)) => assert!(!must_fail, "{case}: was read"),
            Ok(Err(e)) => {
                errors += 1;
                let text = e.to_string();
                // The file, then the key or the line, then what is wrong.
                assert!(text.starts_with(NAME) && text.len() > NAME.len() + 4, "{case}: {text}");
            }
        }
    }
    assert!(slowest < HANG_MAX, "{slowest:?}");
    measured(&format!("mutations: configuration: {errors} errors of {}", mutations()));
}
