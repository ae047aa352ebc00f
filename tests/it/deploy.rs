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

/// The flags that a manifest gives to a command; they stand in one line or in the lines after it.
fn given(text: &str, command: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut within = false;
    for line in text.lines() {
        let starts =
            line.contains(&format!("[\"{command}\"")) || line.trim() == format!("- {command}");
        within = starts || (within && line.trim_start().starts_with("- --"));
        if within {
            let words = line.split(|c: char| c.is_whitespace() || "\",[]=".contains(c));
            found.extend(words.filter(|word| word.starts_with("--")).map(str::to_owned));
        }
    }
    found
}

#[test]
fn manifests_give_flags_that_exist() {
    for file in ["docker/compose/compose.yaml", "docker/kubernetes/fjord.yaml"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for command in ["serve", "worker"] {
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
fn every_kubernetes_object_is_whole() {
    let text = fs::read_to_string(root().join("docker/kubernetes/fjord.yaml")).unwrap();
    let mut kinds = BTreeSet::new();
    for object in text.split("\n---\n") {
        let value = |key: &str| {
            let line = object.lines().find(|line| line.starts_with(&format!("{key}: ")));
            line.unwrap_or_else(|| panic!("no {key} in\n{object}")).to_owned()
        };
        value("apiVersion");
        let kind = value("kind");
        assert!(object.contains("\nmetadata:\n  name: fjord"), "{object}");
        if kind == "kind: Deployment" {
            for wanted in [
                "runAsNonRoot: true",
                "allowPrivilegeEscalation: false",
                "terminationGracePeriodSeconds: 60",
                "readinessProbe:",
                "path: /readyz",
                "livenessProbe:",
                "path: /healthz",
                "limits:",
                "matchLabels:",
            ] {
                assert!(object.contains(wanted), "no {wanted:?} in\n{object}");
            }
            // What a pod mounts is there, and every port of a probe has a name.
            for mounted in object.lines().filter_map(|l| l.trim().strip_prefix("mountPath: ")) {
                assert!(mounted.starts_with('/'), "{mounted}");
            }
            assert!(object.contains("name: http"), "{object}");
        }
        kinds.insert(kind);
    }
    let expected = ["ConfigMap", "Deployment", "PodDisruptionBudget", "Service"];
    assert_eq!(kinds, expected.map(|kind| format!("kind: {kind}")).into());
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
