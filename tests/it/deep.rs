//! Statements too deep or too large: run, or refused by an error; the process never falls over.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{Process, measured};

const LIMIT: Duration = Duration::from_secs(300);

/// What a statement must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Refused,
    Answers(&'static str),
    Either,
}

fn check(lake: &Path, name: &str, sql: &str, demand: Demand) {
    let begun = Instant::now();
    // A statement before and one after it: what came before is told, and the session goes on.
    let process = Process::start(lake, lake, name, sql, |_| {});
    let ended = process.wait(LIMIT);
    let seconds = begun.elapsed().as_secs_f64();
    let code = ended.status.code();
    let start: String = ended.errors.chars().take(300).collect();
    match (code, demand) {
        (Some(0), Demand::Answers(answer)) => {
            assert_eq!(ended.output.lines().last(), Some(answer), "{name}");
        }
        (Some(0), Demand::Either) => {}
        (Some(1), Demand::Refused | Demand::Either) => {
            assert!(ended.errors.contains("error: "), "{name}: {start}");
            assert!(!ended.errors.contains("bug"), "{name}: {start}");
            assert!(ended.errors.len() < 4096, "{name}: an error of {} bytes", ended.errors.len());
        }
        other => panic!("{name}: {other:?} {:?}: {start}", ended.status),
    }
    measured(&format!("deep: {name}: status {code:?} in {seconds:.1} s: {}", start.trim()));
}

#[test]
fn statements_too_deep_or_too_large_leave_the_process_alive() {
    let directory = tempfile::tempdir().unwrap();
    let lake = directory.path();
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("SELECT {}{inner}{} AS x", open.repeat(depth), close.repeat(depth))
    };
    check(lake, "sum-200000", &format!("SELECT 1{} AS x", "+1".repeat(200_000)), Demand::Either);
    check(lake, "sum-1000", &format!("SELECT 1{} AS x", "+1".repeat(1000)), Demand::Either);
    check(lake, "parentheses", &nested("(", "1", ")", 10_000), Demand::Refused);
    check(lake, "not", &nested("NOT ", "true", "", 50_000), Demand::Refused);
    check(lake, "minus", &nested("- ", "1", "", 50_000), Demand::Refused);
    check(lake, "case", &nested("CASE WHEN true THEN ", "1", " END", 5_000), Demand::Refused);
    check(lake, "array", &nested("[", "1", "]", 10_000), Demand::Refused);
    check(lake, "subquery", &nested("(SELECT ", "1", ")", 2_000), Demand::Refused);
    check(
        lake,
        "types",
        &format!("CREATE TABLE x (a {}int{})", "array<".repeat(5_000), ">".repeat(5_000)),
        Demand::Refused,
    );
    let or: Vec<String> = (0..20_000).map(|n| format!("v = {n}")).collect();
    let or = format!("SELECT count(*) FROM (VALUES (7)) AS t (v) WHERE {}", or.join(" OR "));
    check(lake, "or-20000", &or, Demand::Either);
    let union = vec!["SELECT 1 AS x"; 2_000].join(" UNION ALL ");
    check(lake, "union-2000", &format!("SELECT count(*) FROM ({union})"), Demand::Either);
    let mut list = String::with_capacity(8 << 20);
    for n in 0..1_000_000 {
        write!(list, "{n},").unwrap();
    }
    list.pop();
    let sql = format!("SELECT count(*) FROM (VALUES (7)) AS t (v) WHERE v IN ({list})");
    check(lake, "in-1000000", &sql, Demand::Either);
    let text = format!("SELECT length('{}') AS x", "x".repeat(5 << 20));
    check(lake, "literal-5MB", &text, Demand::Answers("5242880"));
    let columns: Vec<String> = (0..10_000).map(|n| format!("{n} AS c{n}")).collect();
    check(lake, "columns-10000", &format!("SELECT {}", columns.join(", ")), Demand::Either);
    let columns: Vec<String> = (0..10_000).map(|n| format!("c{n} bigint")).collect();
    check(
        lake,
        "table-10000",
        &format!("CREATE TABLE wide ({}); SELECT count(*) FROM wide", columns.join(", ")),
        Demand::Either,
    );
    let ctes: Vec<String> =
        (1..2_000).map(|n| format!("t{n} AS (SELECT * FROM t{})", n - 1)).collect();
    let ctes = format!("WITH t0 AS (SELECT 1 AS x), {} SELECT * FROM t1999", ctes.join(", "));
    check(lake, "ctes-2000", &ctes, Demand::Either);
    let joins = "SELECT 1 FROM (VALUES (1)) t0 (x)".to_owned()
        + &(1..600).map(|n| format!(" JOIN (VALUES (1)) t{n} (x) USING (x)")).collect::<String>();
    check(lake, "joins-600", &joins, Demand::Refused);
    let views: String =
        (1..300).map(|n| format!("CREATE VIEW v{n} AS SELECT * FROM v{};\n", n - 1)).collect();
    let views = format!("CREATE VIEW v0 AS SELECT 1 AS x;\n{views}SELECT * FROM v299;");
    check(lake, "views-300", &views, Demand::Either);
    check(lake, "after", "SELECT 42 AS x", Demand::Answers("42"));
}
