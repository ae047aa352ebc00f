//! The binary as its users start it: statuses, streams, formats, the demo; and `remote`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics; helpers of tests are tests too"
)]

mod server;
mod remote;
mod databases;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn fjord(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fjord"));
    command.current_dir(data_dir).arg("--data-dir").arg(data_dir.join("lake")).args(arguments);
    command
}

fn run(data_dir: &Path, arguments: &[&str]) -> Output {
    fjord(data_dir, arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn results_go_to_standard_output_and_the_rest_to_standard_error() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["sql", "-c", "select 1 as a; select 'x' as b"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "| a |\n|---|\n| 1 |\n| b |\n|---|\n| x |\n");
    assert_eq!(text(&output.stderr), "1 row\n1 row\n");
}

#[test]
fn the_first_failing_statement_ends_the_script_with_status_one() {
    let directory = tempfile::tempdir().unwrap();
    let script = "select 1 as a;\nselect nope;\nselect 3 as c";
    let output = run(directory.path(), &["sql", "--format", "csv", "-c", script]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "a\n1\n");
    assert!(text(&output.stderr).contains("nope"), "{}", text(&output.stderr));
}

#[test]
fn a_syntax_error_names_its_line_and_earlier_statements_have_run() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("s.sql");
    std::fs::write(&script, "select 1 as a;\n\nselec 2;").unwrap();
    let output =
        run(directory.path(), &["sql", "--format", "json", "-f", script.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "{\"a\":1}\n");
    let message = text(&output.stderr);
    assert!(
        message.contains("s.sql") && message.to_lowercase().contains("line 3")
            || message.contains("Line: 3"),
        "{message}"
    );
}

#[test]
fn standard_input_is_a_script_when_it_is_no_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = fjord(directory.path(), &["sql", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"select null as n, '' as e, 1.50 as d;").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "n,e,d\n,\"\",1.50\n");
}

#[test]
fn a_reader_that_leaves_ends_the_work_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let sql = "select * from generate_series(1, 3000000)";
    let mut child = fjord(directory.path(), &["sql", "--format", "csv", "-c", sql])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_server_open_to_everybody_refuses_to_start_with_status_two() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["serve", "--flight", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("0.0.0.0:0") && message.contains("--insecure"), "{message}");
}

#[test]
fn bad_configuration_ends_with_status_two() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("fjord.toml"), "memory_limit = \"lots\"\n").unwrap();
    let output = run(directory.path(), &["sql", "-c", "select 1"]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("fjord.toml: memory_limit: found \"lots\"; accepted"), "{message}");
    std::fs::remove_file(directory.path().join("fjord.toml")).unwrap();
    let output = run(directory.path(), &["sql", "--memory-limit", "0%", "-c", "select 1"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(run(directory.path(), &["sql", "--nope"]).status.code(), Some(2));
    assert!(!directory.path().join("lake").exists(), "bad flags leave no trace");
}

#[test]
fn raw_files_are_relations() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.csv"), "Id,when\n1,2024-01-01\n2,\n").unwrap();
    let sql = "select sum(id) as s, count(\"when\") as n from read_csv('a.csv', header => true)";
    let output = run(directory.path(), &["sql", "--format", "json", "-c", sql]);
    assert_eq!(text(&output.stdout), "{\"s\":3,\"n\":1}\n", "{}", text(&output.stderr));
}

#[test]
fn the_demo_runs_twice_in_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    for round in ["first", "second"] {
        let output = run(directory.path(), &["demo"]);
        let (told, complaints) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{round}: {complaints}\n{told}");
        assert!(told.contains("What to try next"), "{told}");
        assert_eq!(told.contains("an earlier demo"), round == "second", "{told}");
    }
    let balance = "select (select count(*) from bronze.purchases) - (select count(*) from silver.purchases) \
                   - (select count(*) from silver.rejected_purchases) as lost";
    let output = run(directory.path(), &["sql", "--format", "csv", "-c", balance]);
    assert_eq!(text(&output.stdout), "lost\n0\n", "{}", text(&output.stderr));
}
