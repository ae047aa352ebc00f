//! What is deployed says what the program understands: flags, ports, probes, files.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use fjord_tests::workers::binary;

use crate::tidy::root;

/// The flags of a command.
fn flags(command: &str) -> BTreeSet<String> {
    let help = Command::new(binary().unwrap()).args([command, "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    help.split(|c: char| c.is_whitespace() || c == ',' || c == '=')
        .filter(|word| word.starts_with("--"))
        .map(str::to_owned)
        .collect()
}

/// The flags that a manifest gives to a command; they stand in its line.
fn given(text: &str, command: &str) -> Vec<String> {
    let starts = format!("[\"{command}\"");
    let started = text.lines().filter(|line| line.contains(&starts));
    let words =
        started.flat_map(|line| line.split(|c: char| c.is_whitespace() || "\",[]=".contains(c)));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

/// What more there is to be said of them is in `tests/deploy`: by the libraries that read such files,
/// and as processes.
#[test]
fn manifests_give_flags_that_exist() {
    for (file, commands) in [
        ("docker/compose.yaml", &["serve", "worker"][..]),
        ("docker/kubernetes/coordinator.yaml", &["serve"]),
        ("docker/kubernetes/workers.yaml", &["worker"]),
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for command in commands {
            let (known, given) = (flags(command), given(&text, command));
            assert!(given.len() >= 3, "{file}: {command} is not started: {given:?}");
            for flag in given {
                assert!(known.contains(&flag), "{file}: {command} has no {flag}");
            }
        }
        assert!(!text.contains('\t'), "{file}: YAML has no tabs");
    }
}

#[test]
fn the_image_is_small_and_runs_as_nobody_special() {
    let text = fs::read_to_string(root().join("docker/Dockerfile")).unwrap();
    let last = text.rsplit("\nFROM ").next().unwrap();
    assert!(last.contains("slim"), "{last}");
    let user = last.lines().position(|line| line == "USER fjord").expect("no USER");
    let entry =
        last.lines().position(|line| line.starts_with("ENTRYPOINT")).expect("no ENTRYPOINT");
    assert!(user < entry);
    for line in text.lines().filter(|line| line.starts_with("FROM ")) {
        assert!(line.contains(':') && !line.contains(":latest"), "{line}: name a version");
    }
    assert!(text.contains("--no-install-recommends") && text.contains("--locked"));
}
