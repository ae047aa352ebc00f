//! The shape of the code: arrows between crates, one home per dependency, a sentence per file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 6] = ["catalog", "connectors", "engine", "flight-server", "tests", "benches"];

/// Crate → the crates of ours that it may depend on.
const ARROWS: [(&str, &[&str]); 4] = [
    ("catalog", &[]),
    ("connectors", &[]),
    ("engine", &["fjord-catalog", "fjord-connectors"]),
    ("flight-server", &["fjord-catalog", "fjord-connectors", "fjord-engine"]),
];

/// Dependency → the only crate that may name it.
const HOMES: [(&str, &str); 5] = [
    ("iceberg", "catalog"),
    ("sqlx", "catalog"),
    ("typetag", "catalog"),
    ("rustyline", "flight-server"),
    ("clap", "flight-server"),
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    for name in CRATES {
        walk(&root().join(name), &mut found);
    }
    assert!(found.len() > 50, "the walk found only {} files", found.len());
    found
}

fn dependencies(name: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
    let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let name_of = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned();
    section.lines().filter(|l| l.contains("workspace")).map(name_of).collect()
}

#[test]
fn crate_arrows_point_down_only() {
    for (name, allowed) in ARROWS {
        for dependency in dependencies(name).iter().filter(|d| d.starts_with("fjord-")) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name}/Cargo.toml: {name} may not depend on {dependency}; declare a port in {name} and let flight-server supply it"
            );
        }
    }
}

#[test]
fn each_dependency_has_one_home() {
    for (dependency, home) in HOMES {
        for (name, _) in ARROWS {
            let used = dependencies(name).iter().any(|d| d == dependency);
            assert!(
                !used || name == home,
                "{name}/Cargo.toml: {dependency} belongs to {home} alone; use what {home} exports"
            );
        }
    }
    let lower = dependencies("catalog");
    for forbidden in ["datafusion", "arrow", "parquet", "sqlparser"] {
        assert!(!lower.iter().any(|d| d == forbidden), "catalog must not know {forbidden}");
    }
}

#[test]
fn every_file_says_what_it_owns() {
    for (path, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "{}: open the file with one sentence (`//! …`) on what it owns",
            path.display()
        );
    }
}

#[test]
fn no_module_is_a_drawer() {
    for (path, _) in sources() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let drawer = ["utils", "util", "common", "helpers", "helper", "misc", "manager"];
        assert!(
            !drawer.contains(&stem.as_str()),
            "{}: name the file after the noun that it owns",
            path.display()
        );
    }
}

#[test]
fn every_todo_names_an_issue() {
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let open = line.contains(concat!("TO", "DO")) || line.contains(concat!("FIX", "ME"));
            assert!(
                !open || line.contains("issue"),
                "{}:{}: say which issue this belongs to, or do it",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn arrow_58_stays_behind_the_catalog() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-p", "fjord-tests", "-i", "arrow-array@58.4.1", "--depth", "1"])
        .args(["--prefix", "none", "-e", "normal"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines().skip(1).filter(|l| !l.is_empty()) {
        let dependent = line.split(' ').next().unwrap();
        let inside = dependent.starts_with("arrow") || ["iceberg", "parquet"].contains(&dependent);
        assert!(inside, "{dependent} depends on arrow 58; only iceberg may");
    }
}

#[test]
fn file_sizes_are_reported() {
    let mut large = BTreeMap::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > 500 {
            large.insert(path.strip_prefix(root()).unwrap().display().to_string(), lines);
        }
    }
    for (path, lines) in &large {
        println!("{path}: {lines} lines; look for two nouns");
    }
}
