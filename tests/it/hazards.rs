//! `tests/HAZARDS.md` stays true: every test and file that it names exists, and it names every test
//! that says it is a hazard's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tidy::{root, sources};

/// The rows of the page's tables, cell by cell, without headings.
fn rows() -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("tests/HAZARDS.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let cells = |row: &str| {
        let row = row.trim().trim_start_matches('|').trim_end_matches('|');
        row.split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    rows.map(cells).filter(|cells| cells[0] != "hazard").collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn slt_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in fs::read_dir(root().join("tests/slt")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            found.push(file.unwrap().path());
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    found
}

fn slt_name(path: &Path) -> String {
    path.strip_prefix(root().join("tests")).unwrap().display().to_string()
}

/// Every function of the sources, and whether its comment calls it the test of a hazard.
fn functions() -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for (_, text) in sources() {
        let mut hazard = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("/// Hazard:") {
                hazard = true;
            }
            let signature = line.strip_prefix("async ").unwrap_or(line);
            if let Some(rest) = signature.strip_prefix("fn ") {
                let name = rest.split(['(', '<']).next().unwrap().to_owned();
                found.push((name, hazard));
                hazard = false;
            }
        }
    }
    found
}

#[test]
fn every_hazards_row_is_complete_and_names_what_exists() {
    let functions: BTreeSet<String> = functions().into_iter().map(|(name, _)| name).collect();
    let rows = rows();
    assert!(rows.len() > 20, "only {} rows were found in HAZARDS.md", rows.len());
    for row in rows {
        let [hazard, reachable, guard, tests, seen] = row.as_slice() else {
            panic!("HAZARDS.md: {row:?} has {} cells, not five", row.len());
        };
        if reachable != "yes" {
            assert!(reachable.starts_with("later"), "{hazard}: {reachable:?} is not yes or later");
            continue;
        }
        assert!(!seen.is_empty(), "{hazard}: say what the naive code gave");
        assert!(quoted(guard).count() > 0, "{hazard}: say which file guards against it");
        assert!(quoted(tests).count() > 0, "{hazard}: name its test");
        for path in quoted(guard) {
            assert!(root().join(path).is_file(), "{hazard}: {path} does not exist");
        }
        for test in quoted(tests) {
            if test.ends_with(".slt") {
                let text = fs::read_to_string(root().join("tests").join(test));
                let text = text.unwrap_or_else(|e| panic!("{hazard}: {test}: {e}"));
                assert!(text.contains("# Hazard:"), "{hazard}: {test} does not say `# Hazard: …`");
            } else {
                assert!(functions.contains(test), "{hazard}: no test is called {test}");
            }
        }
    }
}

#[test]
fn every_test_of_a_hazard_is_in_the_table() {
    let rows = rows();
    let named: BTreeSet<&str> =
        rows.iter().filter_map(|row| row.get(3)).flat_map(|tests| quoted(tests)).collect();
    let of_hazards = functions().into_iter().filter(|(name, says_so)| {
        *says_so || name.starts_with("conflict_") || name.starts_with("hazard_")
    });
    let mut missing: Vec<String> = of_hazards.map(|(name, _)| name).collect();
    for path in slt_files() {
        if fs::read_to_string(&path).unwrap().contains("# Hazard:") {
            missing.push(slt_name(&path));
        }
    }
    assert!(missing.len() > 20, "only {} tests of hazards were found", missing.len());
    missing.retain(|name| !named.contains(name.as_str()));
    assert!(missing.is_empty(), "tests/HAZARDS.md does not name {missing:?}");
}
