//! Live databases in the configuration and by statements, where no database is needed.

use std::time::{Duration, Instant};

use super::{fjord, run, text};

fn configured(section: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("fjord.toml"), section).unwrap();
    let output = run(directory.path(), &["sql", "-c", "SELECT 1"]);
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_mistake_in_a_databases_section_names_file_key_and_what_is_accepted() {
    let url = "url = 'postgres://me@127.0.0.1:1/d'";
    for (rest, expected) in [
        (String::new(), "fjord.toml: catalog.s.url: "),
        ("url = 'mysql://h/d'".to_owned(), "fjord.toml: catalog.s.url: "),
        (format!("{url}\nnonsense = 1"), "fjord.toml: catalog.s.nonsense: "),
        (format!("{url}\nconnections_max = 'many'"), "fjord.toml: catalog.s.connections_max: "),
        (format!("{url}\npassword = 'canary'"), "fjord.toml: catalog.s.password: "),
        ("url = 'postgres://me:canary@h/d'".to_owned(), "fjord.toml: catalog.s.url: "),
    ] {
        let (status, error) = configured(&format!("[catalog.s]\ntype = 'postgres'\n{rest}\n"));
        assert_eq!(status, Some(2), "{rest}: {error}");
        assert!(
            error.contains(expected) && error.contains("accepted") || rest.contains("nonsense")
        );
        assert!(error.contains(expected), "{rest}: {error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn a_database_that_is_down_keeps_nobody_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let section = "[catalog.s]\ntype = 'postgres'\nurl = 'postgres://me@127.0.0.1:1/d'\n";
    std::fs::write(directory.path().join("fjord.toml"), section).unwrap();
    let output = run(directory.path(), &["sql", "-c", "SHOW CATALOGS; SELECT 1 AS one"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("| s "), "{}", text(&output.stdout));
    let began = Instant::now();
    let output = run(directory.path(), &["sql", "-c", "SELECT * FROM s.public.t"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("catalog \"s\""), "{}", text(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}

#[test]
fn create_catalog_keeps_nothing_that_it_could_not_reach() {
    let directory = tempfile::tempdir().unwrap();
    let create = "CREATE CATALOG s USING postgres WITH (url = 'postgres://me@127.0.0.1:1/d', \
                  password = env('CANARY_PASSWORD'))";
    let mut command = fjord(directory.path(), &["sql", "-c", create]);
    let output = command.env("CANARY_PASSWORD", "canary").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("catalog \"s\"") && !error.contains("canary"), "{error}");
    assert!(!directory.path().join("lake/catalogs.json").exists());
    let output = run(directory.path(), &["sql", "-c", create]);
    assert!(text(&output.stderr).contains("not set"), "{}", text(&output.stderr));
}
