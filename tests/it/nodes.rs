//! A server and its workers as processes: who is let in, what is encrypted, who works, and what ends
//! when a query does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fjord_tests::server::ServerProcess;
use fjord_tests::workers::WorkerProcess;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::process::measured;

/// Something of several files; each task of its scans has one of them.
const TABLE: &str =
    "CREATE TABLE t AS SELECT v AS k, 'x' || v AS s FROM generate_series(1, 20000) g(v);
    INSERT INTO t VALUES (20001, 'y'), (20002, 'z');
    INSERT INTO t SELECT v + 30000, 'w' FROM generate_series(1, 20000) g(v)";

/// A question that metadata does not answer, and its answer.
const ASKED: &str = "SELECT count(*), sum(k) FROM t WHERE s <> 'nothing'";
const TOLD: &str = "40002,1000060003";

/// A server with workers of its data directory.
struct Nodes {
    server: ServerProcess,
    workers: Vec<WorkerProcess>,
    directory: TempDir,
}

impl Nodes {
    fn start(server: &str, worker: impl Fn(&mut Command)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = written(directory.path(), "server.toml", server);
        let server = ServerProcess::start(directory.path(), |command| {
            command.arg("--config").arg(config);
        });
        let mut nodes = Self { server: server.unwrap(), workers: Vec::new(), directory };
        for name in ["one", "two"] {
            nodes.add(name, &worker).unwrap();
        }
        nodes.wait_for(2);
        nodes
    }

    fn add(&mut self, name: &str, set_up: impl Fn(&mut Command)) -> anyhow::Result<()> {
        let address = self.server.address();
        let worker = WorkerProcess::start_with(self.directory.path(), name, |command| {
            command.args(["--coordinator", address]);
            set_up(command);
        })?;
        self.workers.push(worker);
        Ok(())
    }

    fn wait_for(&self, count: usize) {
        let sql = "SELECT count(*) FROM system.workers WHERE state = 'serving'";
        until(&format!("{count} workers"), || {
            self.server.sql(sql).unwrap().contains(&count.to_string())
        });
    }

    /// A single value.
    fn value(&self, sql: &str) -> String {
        self.server.sql(sql).unwrap().lines().nth(1).unwrap_or_default().to_owned()
    }

    fn stages(&self) -> usize {
        self.value("SELECT count(*) FROM system.stages").parse().unwrap()
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A certificate, its key and who vouches for it, as PEM files in `directory`; what `[tls]` and
/// `[cluster]` say of them.
fn certificates(directory: &Path) -> String {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = written(directory, "ca.pem", &authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    let own = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
    let certificate = written(directory, "node.pem", &certificate.pem());
    let key = written(directory, "node.key", &own.serialize_pem());
    format!(
        "[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n[cluster]\nca = {ca:?}\nbytes_min = 0\ntask_bytes = 64\n"
    )
}

#[test]
fn a_cluster_with_certificates_is_encrypted_and_lets_nobody_in_without() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = certificates(ours.path());
    let file = written(ours.path(), "worker.toml", &config);
    let ca = ours.path().join("ca.pem");
    let mut nodes = {
        let directory = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(directory.path(), |command| {
            command.arg("--config").arg(&file);
        });
        let server = server.unwrap().with_shell(&["--tls-ca", ca.to_str().unwrap()]);
        Nodes { server, workers: Vec::new(), directory }
    };
    assert!(nodes.server.address().starts_with("grpc+tls://"), "{}", nodes.server.address());
    for name in ["one", "two"] {
        nodes
            .add(name, |command| {
                command.arg("--config").arg(&file);
            })
            .unwrap();
    }
    nodes.wait_for(2);
    nodes.server.sql(TABLE).unwrap();
    assert_eq!(nodes.value(ASKED), TOLD);
    assert!(nodes.stages() > 0, "nothing ran on workers");
    let addresses = nodes.server.sql("SELECT address FROM system.workers").unwrap();
    assert_eq!(addresses.matches("grpc+tls://").count(), 2, "{addresses}");

    // A plain connection to a worker gets no word in return.
    use std::io::{Read, Write};
    let port = nodes.workers[0].url().port().unwrap();
    let mut plain = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut answer = Vec::new();
    // A reset is an answer too.
    let _read = plain.read_to_end(&mut answer);
    assert!(answer.first().is_none_or(|first| *first == 0x15), "{answer:?}");

    // Nor does somebody else's certificate let a worker in, though it knows the secret.
    let stranger = written(theirs.path(), "worker.toml", &certificates(theirs.path()));
    nodes
        .add("stranger", |command| {
            command.arg("--config").arg(&stranger);
        })
        .unwrap();
    until("the stranger", || nodes.workers[2].errors().unwrap().contains("cannot be reached"));
    // And one without certificates is told before it asks.
    let refused = nodes.add("plain", |_| {}).unwrap_err().to_string();
    assert!(
        refused.contains("--coordinator") && refused.contains("without cluster.ca"),
        "{refused}"
    );
    nodes.wait_for(2);
}

#[test]
fn workers_that_are_another_clusters_or_do_not_see_the_tables_are_refused() {
    let mut nodes = Nodes::start("", |_| {});
    let elsewhere = tempfile::tempdir().unwrap();
    let ended = |worker: &mut WorkerProcess| {
        until("a refusal", || worker.ended().unwrap().is_some());
        assert!(!worker.ended().unwrap().unwrap().success());
        worker.errors().unwrap()
    };
    let address = nodes.server.address().to_owned();
    let join = |command: &mut Command| {
        command.args(["--coordinator", &address]);
    };
    let mut stranger = WorkerProcess::start_with(elsewhere.path(), "stranger", join).unwrap();
    let said = ended(&mut stranger);
    assert!(said.contains("another cluster") && said.contains("secrets differ"), "{said}");
    // With the secret, but on another disk.
    let secret = nodes.directory.path().join("cluster.secret");
    std::fs::copy(secret, elsewhere.path().join("cluster.secret")).unwrap();
    let mut blind = WorkerProcess::start_with(elsewhere.path(), "blind", join).unwrap();
    let said = ended(&mut blind);
    assert!(said.contains("on a local disk") && said.contains("--data-dir"), "{said}");
    nodes.wait_for(2);
    // One that drains ends with success, and gets nothing new.
    nodes.server.sql(TABLE).unwrap();
    let mut leaving = nodes.workers.remove(0);
    leaving.signal("TERM").unwrap();
    until("a drain", || leaving.ended().unwrap().is_some());
    assert!(leaving.ended().unwrap().unwrap().success(), "{}", leaving.errors().unwrap());
    let before = nodes.stages();
    assert_eq!(nodes.value(&format!("SET cluster_bytes_min = 0; {ASKED}")), TOLD);
    measured(&format!("stages on one worker: {}", nodes.stages() - before));
}

#[test]
fn a_coordinator_that_does_not_work_leaves_small_queries_to_workers() {
    let config = "[cluster]\ncoordinator_works = false\ntask_bytes = 64\n";
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "server.toml", config);
    let server = ServerProcess::start(directory.path(), |command| {
        command.arg("--config").arg(&file);
    });
    let mut nodes = Nodes { server: server.unwrap(), workers: Vec::new(), directory };
    // What reads no table is not for workers.
    nodes.server.sql(TABLE).unwrap();
    let e = nodes.server.sql(ASKED).unwrap_err().to_string();
    assert!(e.contains("no worker serves") && e.contains("cluster.coordinator_works"), "{e}");
    for name in ["one", "two"] {
        nodes.add(name, |_| {}).unwrap();
    }
    nodes.wait_for(2);
    assert_eq!(nodes.stages(), 0);
    assert_eq!(nodes.value(ASKED), TOLD);
    assert!(nodes.stages() > 0, "a small query did not run on workers");
}

/// Processor time of a process so far.
fn busy(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Bytes that a process held in memory at most.
fn most_held(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Hazard: a join whose filter lets nothing pass goes on in one poll; on a worker nobody would end it.
#[test]
fn a_query_that_is_killed_ends_on_its_workers_within_seconds() {
    let nodes = Nodes::start("[cluster]\nbytes_min = 0\ntask_bytes = 64\n", |_| {});
    nodes
        .server
        .sql(
            "CREATE TABLE big AS SELECT v AS k FROM generate_series(1, 200000) g(v);
             INSERT INTO big SELECT k + 200000 FROM big",
        )
        .unwrap();
    let stubborn = [
        "SELECT count(*) FROM big a JOIN big b ON a.k * 3 < b.k - 10000000",
        "SELECT count(*) FROM big a JOIN big b ON a.k % 2 = b.k % 2 AND a.k + b.k < 0",
        "SELECT sum((a.k * b.k) % 7) FROM big a, big b, big c",
    ];
    for sql in stubborn {
        let mut shell = nodes.server.shell(sql).unwrap();
        let mut shell = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let works = || nodes.workers.iter().map(|worker| busy(worker.id())).sum::<Duration>();
        let before = works();
        until("work", || works() > before + Duration::from_secs(1));
        let id = nodes.value(&format!(
            "SELECT id FROM system.queries WHERE state = 'running' AND text LIKE '{}%'",
            &sql[..20]
        ));
        assert_eq!(id.len(), 36, "{id:?}");
        let running = "SELECT count(*) FROM system.stages WHERE state = 'running'";
        assert_ne!(nodes.value(running), "0", "{sql}: not on workers");
        let begun = Instant::now();
        nodes.server.sql(&format!("CALL system.kill('{id}')")).unwrap();
        until("the end of the tasks", || {
            nodes.value("SELECT CAST(sum(tasks) AS bigint) FROM system.workers") == "0"
        });
        let told = begun.elapsed();
        // Idle: in a second they need no more than their heartbeats.
        loop {
            let before = works();
            std::thread::sleep(Duration::from_secs(1));
            if works() - before < Duration::from_millis(200) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(8), "{sql}: workers work on");
        }
        assert!(!shell.wait().unwrap().success());
        measured(&format!(
            "killed: tasks gone after {told:?}, idle {:?} after that: {sql}",
            begun.elapsed() - told
        ));
    }
}

/// The figures of operators of a kind, which are in one or several stages, summed over their tasks.
fn rows_out(plan: &str, operator: &str) -> Vec<f64> {
    let rows = |of_task: &str| {
        let (_, rows) = of_task.split_once(':')?;
        let (number, unit) = rows.split_once(' ').unwrap_or((rows, ""));
        let unit = match unit {
            "" => 1.0,
            "K" => 1e3,
            _ => 1e6,
        };
        Some(number.parse::<f64>().ok()? * unit)
    };
    let lines = plan.lines().filter(|line| line.contains(operator));
    let figures = lines.filter_map(|line| {
        let (figures, _) = line.split_once("output_rows={")?.1.split_once('}')?;
        Some(figures.split(", ").filter_map(rows).sum())
    });
    figures.collect()
}

#[test]
fn a_scan_of_another_stage_reads_what_a_join_has_partners_for() {
    let nodes = Nodes::start("[cluster]\nbytes_min = 0\ntask_bytes = 64\n", |_| {});
    nodes
        .server
        .sql(
            "CREATE TABLE big AS SELECT v AS k, 'x' || v AS s FROM generate_series(1, 200000) g(v);
             INSERT INTO big SELECT k + 200000, s FROM big;
             CREATE TABLE few AS SELECT v * 1000 AS k, CAST(v * 1000 AS varchar) AS t FROM generate_series(1, 100) g(v);
             INSERT INTO few SELECT k + 200000, t FROM few;
             CREATE TABLE more AS SELECT v * 80 AS k FROM generate_series(1, 2500) g(v);
             INSERT INTO more SELECT k + 200000 FROM more;
             CREATE TABLE none AS SELECT k FROM few WHERE k < 0",
        )
        .unwrap();
    // Both sides of the joins change places, so that a join and its scans are in different stages.
    let shuffled = "SET datafusion.optimizer.hash_join_single_partition_threshold = 0;
         SET datafusion.optimizer.hash_join_single_partition_threshold_rows = 0; ";
    let joined = [
        ("SELECT count(*), sum(b.k) FROM few f JOIN big b ON f.k = b.k", "200,30100000"),
        // Through an aggregation, by two keys, and from one join to the next.
        (
            "SELECT count(*), sum(b.k) FROM few f JOIN (SELECT k, max(s) AS s FROM big GROUP BY k) b ON f.k = b.k",
            "200,30100000",
        ),
        (
            "SELECT count(*), sum(b.k) FROM few f JOIN big b ON f.k = b.k AND 'x' || f.t = b.s",
            "200,30100000",
        ),
        (
            "SELECT count(*), sum(c.k) FROM few f JOIN big b ON f.k = b.k JOIN big c ON b.k = c.k",
            "200,30100000",
        ),
        ("SELECT count(*), sum(k) FROM big WHERE k IN (SELECT k FROM few)", "200,30100000"),
        // More keys than a join lists.
        ("SELECT count(*), sum(b.k) FROM more f JOIN big b ON f.k = b.k", "5000,1000200000"),
        ("SELECT count(*), sum(b.k) FROM none f JOIN big b ON f.k = b.k", "0,"),
    ];
    for (sql, told) in joined {
        assert_eq!(nodes.value(&format!("{shuffled}{sql}")), told, "{sql}");
        let plan = nodes.server.sql(&format!("{shuffled}EXPLAIN ANALYZE {sql}")).unwrap();
        assert!(
            plan.contains("SendJoinFilterExec") && plan.contains("AwaitJoinFilterExec"),
            "{plan}"
        );
        for rows in rows_out(&plan, "RepartitionExec:") {
            assert!(rows <= 5000.0, "{sql}: {rows} rows changed places\n{plan}");
        }
    }
    // What has no partner is wanted here, and must not be left out.
    let outer = [
        ("SELECT count(*), count(f.k) FROM big b LEFT JOIN few f ON f.k = b.k", "400000,200"),
        ("SELECT count(*), count(f.k) FROM few f RIGHT JOIN big b ON f.k = b.k", "400000,200"),
        ("SELECT count(*) FROM big WHERE k NOT IN (SELECT k FROM few)", "399800"),
        (
            "SELECT count(*) FROM big b WHERE NOT EXISTS (SELECT 1 FROM few f WHERE f.k = b.k)",
            "399800",
        ),
    ];
    for (sql, told) in outer {
        assert_eq!(nodes.value(&format!("{shuffled}{sql}")), told, "{sql}");
    }
}

#[test]
fn the_memory_limit_of_a_worker_and_of_a_query_hold_there() {
    let nodes = Nodes::start("[cluster]\nbytes_min = 0\ntask_bytes = 64\n", |command| {
        command.args(["--memory-limit", "64MiB"]);
    });
    nodes
        .server
        .sql(
            "CREATE TABLE wide AS SELECT v AS k, repeat('x', 100) || v AS s FROM generate_series(1, 400000) g(v);
             INSERT INTO wide SELECT k + 400000, s FROM wide",
        )
        .unwrap();
    let before = nodes.stages();
    // A sort of all rows that spills, and whose rows are all there.
    let sorted =
        "SELECT count(*), max(r) FROM (SELECT row_number() OVER (ORDER BY s, k) AS r FROM wide)";
    assert_eq!(nodes.value(sorted), "800000,800000");
    let grouped = "SELECT count(*), max(n) FROM (SELECT s, count(*) AS n FROM wide GROUP BY s)";
    assert_eq!(nodes.value(grouped), "400000,2");
    assert!(nodes.stages() > before, "nothing ran on workers");
    // What can neither spill nor fit is refused with the name of the limit.
    let joined = "SELECT count(*) FROM wide a JOIN wide b ON a.s = b.s AND a.k <> b.k";
    match nodes.server.sql(joined) {
        Ok(found) => measured(&format!("the join did fit: {}", found.trim())),
        Err(e) => assert!(e.to_string().contains("--memory-limit"), "{e}"),
    }
    for worker in &nodes.workers {
        let held = most_held(worker.id()) >> 20;
        measured(&format!("a worker of 64 MiB held {held} MiB at most"));
        assert!(held < 600, "{held} MiB");
    }
    let e = nodes
        .server
        .sql(&format!("SET query_memory_bytes = 1000000; {grouped}"))
        .unwrap_err()
        .to_string();
    assert!(e.contains("query_memory"), "{e}");
    assert_eq!(nodes.value("SELECT count(*) FROM wide"), "800000");
}
