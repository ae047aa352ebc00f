//! `fjord sql --url`: what a shell on a server prints, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::server::Server;
use super::text;

fn shell(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fjord"));
    command.current_dir(folder).arg("sql").args(arguments).stdin(Stdio::null());
    // What the person who runs the tests has set is not what is tested.
    for name in ["FJORD_URL", "FJORD_USER", "FJORD_PASSWORD", "FJORD_TOKEN", "FJORD_DATA_DIR"] {
        command.env_remove(name);
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    shell(folder, arguments).output().unwrap()
}

/// Every kind of statement and every family of types.
const SCRIPT: &str = r#"
CREATE SCHEMA s COMMENT 'of a test';
USE s;
CREATE TABLE t (id bigint NOT NULL, name varchar, amount decimal(38, 2), at timestamp(6), seen timestamp with time zone,
                d date, tags array(varchar), p row(x int, y double), m map(varchar, int), b varbinary, f double);
INSERT INTO t VALUES
  (1, 'a, "b"', 1.50, TIMESTAMP '2024-01-01 10:00:00.000001', TIMESTAMP '2024-01-01 10:00:00Z', DATE '2024-01-01',
   ['x', NULL], named_struct('x', 1, 'y', 0.5), MAP {'k': 1}, X'00ff', 0.1),
  (2, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, CAST('NaN' AS double)),
  (3, NULL, -0.01, NULL, NULL, DATE '1969-12-31', [], NULL, MAP {}, X'', CAST('-Infinity' AS double));
SELECT * FROM t ORDER BY id;
SELECT id FROM t WHERE id > 3;
SELECT count(*) AS n, min(name) AS low, max(at) AS latest, sum(amount) AS total FROM t;
SELECT arrow_cast('x', 'Dictionary(Int32, Utf8)') AS dictionary, arrow_cast('y', 'Utf8View') AS seen,
       arrow_cast(1.5, 'Decimal256(60, 2)') AS wide, interval '1 day' AS i, NULL AS nothing,
       CAST(1 AS tinyint) AS tiny, TIME '10:00:00' AS clock, true AS yes;
PREPARE q AS SELECT name FROM t WHERE id = $1;
EXECUTE q(2);
CREATE VIEW v AS SELECT id FROM t;
SHOW TABLES;
DESCRIBE t;
INSERT INTO t SELECT id + 10, name, amount, at, seen, d, tags, p, m, b, f FROM t;
CREATE TABLE u AS SELECT id FROM v;
SELECT value AS n, repeat('é', 30) AS long FROM generate_series(1, 25000) ORDER BY value;
DROP TABLE u;
SELECT 1 AS "a, b", 'it''s; fine' AS c; -- the end
"#;

#[test]
fn a_script_prints_on_a_server_what_it_prints_in_process_byte_for_byte() {
    for format in ["table", "csv", "json"] {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        std::fs::write(folder.join("s.sql"), SCRIPT).unwrap();
        let server = Server::start(folder, &[]);
        let arguments = ["--format", format, "-f", "s.sql"];
        let here = run(folder, &[&["--data-dir", "here"], arguments.as_slice()].concat());
        let there = run(folder, &[&["--url", &server.url], arguments.as_slice()].concat());
        assert_eq!(text(&here.stderr), text(&there.stderr), "{format}");
        assert_eq!(here.status.code(), Some(0), "{format}: {}", text(&here.stderr));
        assert_eq!(there.status.code(), Some(0), "{format}");
        assert!(here.stdout.len() > 500_000, "{format}: the script prints a long result");
        assert!(here.stdout == there.stdout, "{format}: {}", first_difference(&here, &there));
    }
}

fn first_difference(here: &Output, there: &Output) -> String {
    let (here, there) = (text(&here.stdout), text(&there.stdout));
    let lines = here.lines().zip(there.lines()).find(|(a, b)| a != b);
    format!("{lines:?} of {} and {} bytes", here.len(), there.len())
}

#[test]
fn the_first_failing_statement_ends_a_script_on_a_server_with_its_query_id() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let script = "select 1 as a;\nselect nope;\nselect 3 as c";
    let arguments = ["--url", &server.url, "--format", "csv", "-c", script];
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "a\n1\n");
    let message = text(&output.stderr);
    assert!(message.starts_with("-c: error: ") && message.contains("nope"), "{message}");
    assert!(message.contains("(query ") && message.lines().count() == 1, "{message}");
}

#[test]
fn a_syntax_error_from_a_server_names_the_line_of_the_script() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let output = run(directory.path(), &["--url", &server.url, "-c", "select 1;\n\n  selec 2;"]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr).to_lowercase();
    assert!(message.contains("line 3") || message.contains("line: 3"), "{message}");
}

#[test]
fn an_error_in_the_middle_of_a_result_is_status_one() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let sql = "select 10 / (200000 - value) as x from generate_series(1, 300000)";
    let output = run(directory.path(), &["--url", &server.url, "--format", "csv", "-c", sql]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("(query "), "{}", text(&output.stderr));
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_result_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]);
    let sql = "select value from generate_series(1, 500000000)";
    let mut child = shell(directory.path(), &["--url", &server.url, "--format", "csv", "-c", sql])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for _ in 0..1_000 {
        rows.read_line(&mut line).unwrap();
    }
    server.kill();
    std::io::copy(&mut rows, &mut std::io::sink()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let message = text(&output.stderr);
    assert!(message.contains("the connection to grpc://127.0.0.1:"), "{message}");
}

#[test]
fn an_interrupted_shell_stops_its_statement_on_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let sql = "select count(*) as of_a_long_time from generate_series(1, 3000000) a, generate_series(1, 3000000) b";
    let child = shell(directory.path(), &["--url", &server.url, "-c", sql])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let state = || {
        let ask = "select state from system.queries where text like '%of_a_long_time%' and text not like '%system%'";
        let output = run(directory.path(), &["--url", &server.url, "--format", "csv", "-c", ask]);
        text(&output.stdout).lines().nth(1).unwrap_or_default().to_owned()
    };
    await_that(Duration::from_secs(20), || state() == "running", "it runs");
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "cancelled\n");
    await_that(Duration::from_secs(3), || state() == "cancelled", "it is cancelled");
}

fn await_that(limit: Duration, mut condition: impl FnMut() -> bool, what: &str) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < limit, "not so within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_reader_that_leaves_ends_a_remote_shell_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let sql = "select * from generate_series(1, 3000000)";
    let mut child = shell(directory.path(), &["--url", &server.url, "--format", "csv", "-c", sql])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn nobody_at_the_address_is_status_one_and_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = run(directory.path(), &["--url", &url, "-c", "select 1"]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.starts_with(&format!("error: nobody listens at {url}")), "{message}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_url_and_a_data_directory_together_are_status_two() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--url", "grpc://127.0.0.1:1", "--data-dir", "lake", "-c", "select 1"];
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("--url (or FJORD_URL): runs statements on the server"), "{message}");
    assert!(message.contains("--data-dir (or FJORD_DATA_DIR)"), "{message}");
    let output = run(directory.path(), &["--url", "http://127.0.0.1:1", "-c", "select 1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("accepted: grpc://HOST:PORT"));
    let output = run(directory.path(), &["--user", "ann", "-c", "select 1"]);
    assert_eq!(output.status.code(), Some(2));
}

const PASSWORD: &str = "correct horse";

/// A server with one user, `ann`.
fn server_with_a_user(folder: &Path) -> Server {
    let hash = bcrypt::hash(PASSWORD, 10).unwrap();
    std::fs::write(folder.join("users"), format!("ann:{hash}\n")).unwrap();
    let set = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.join("users"), set).unwrap();
    let config = "[auth]\npasswords = \"users\"\n[user.ann]\nrole = \"admin\"\n";
    std::fs::write(folder.join("auth.toml"), config).unwrap();
    Server::start(folder, &["--config", "auth.toml"])
}

#[test]
fn a_user_logs_in_with_a_password_from_the_environment_or_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_a_user(directory.path());
    let arguments =
        ["--url", &server.url, "--user", "ann", "--format", "csv", "-c", "select 1 as a"];
    let output =
        shell(directory.path(), &arguments).env("FJORD_PASSWORD", PASSWORD).output().unwrap();
    assert_eq!(text(&output.stdout), "a\n1\n", "{}", text(&output.stderr));

    std::fs::write(directory.path().join("secret"), format!("{PASSWORD}\n")).unwrap();
    let output = run(directory.path(), &[&arguments[..], &["--password-file", "secret"]].concat());
    assert_eq!(text(&output.stdout), "a\n1\n", "{}", text(&output.stderr));

    let output =
        shell(directory.path(), &arguments).env("FJORD_PASSWORD", "hunter2").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("does not accept the login of user \"ann\""), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn a_server_that_wants_a_login_says_how() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_a_user(directory.path());
    let arguments = ["--url", &server.url, "-c", "select 1"];
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("log in with --user NAME"), "{}", text(&output.stderr));
    let output =
        shell(directory.path(), &arguments).env("FJORD_TOKEN", "made-up").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.contains("does not accept the token") && !message.contains("made-up"),
        "{message}"
    );
}

#[test]
fn tls_works_with_its_authority_and_a_mismatch_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("server.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("server.key"), made.signing_key.serialize_pem()).unwrap();
    let set = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.join("server.key"), set).unwrap();
    std::fs::write(
        folder.join("tls.toml"),
        "[tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n",
    )
    .unwrap();
    let secure = Server::start(folder, &["--config", "tls.toml"]);
    let address = secure.url.split_once("://").unwrap().1;
    let (tls, plain) = (format!("grpc+tls://{address}"), format!("grpc://{address}"));
    let sql = ["--format", "csv", "-c", "select 1 as a"];
    let output = run(folder, &[&["--url", &tls, "--tls-ca", "server.pem"], &sql[..]].concat());
    assert_eq!(text(&output.stdout), "a\n1\n", "{}", text(&output.stderr));

    let output = run(folder, &[&["--url", &plain], &sql[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains(&format!("speaks TLS only: use {tls}")), "{message}");
    let output = run(folder, &[&["--url", &tls], &sql[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--tls-ca"), "{}", text(&output.stderr));

    let other = tempfile::tempdir().unwrap();
    let open = Server::start(other.path(), &[]);
    let wrong = open.url.replace("grpc://", "grpc+tls://");
    let output = run(folder, &[&["--url", &wrong, "--tls-ca", "server.pem"], &sql[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains(&format!("its plain address is {}", open.url)), "{message}");
}
