//! `gossip-verify` as a program: what it refuses before anything starts, and what it leaves behind.

use std::path::Path;
use std::process::{Command, Output};

fn verify(arguments: &[&str], store: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gossip-verify"))
        .args(arguments)
        .env("GOSSIP_STORE", store)
        .env_remove("GOSSIP_WORKER")
        .output()
        .expect("gossip-verify runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("the store").next().is_none()
}

#[test]
fn what_makes_no_sense_is_refused_with_254_and_leaves_nothing() {
    let store = tempfile::tempdir().expect("a folder");
    for (arguments, word) in [
        (&["test", "--worker", "/nonexistent/gossip-worker"][..], "/nonexistent/gossip-worker"),
        (&["test", "--worker", "/bin/false"], "is no gossip-worker"),
        (&["test-all", "--worker", "/bin/false"], "is no gossip-worker"),
        (&["mutants", "--worker", "/bin/false"], "is no gossip-worker"),
        (&["shrink", "--worker", "/bin/false"], "is no gossip-worker"),
        (&["test", "--rate", "1e-30"], "--rate"),
        (&["test", "--time-limit", "18446744073709551615"], "--time-limit"),
        (&["test", "--workload", "lease-exclusivty"], "Did you mean lease-exclusivity?"),
        (&["mutants", "--only", "no-such-bug"], "no such bug"),
        (&["check", "/nonexistent/history.edn"], "/nonexistent/history.edn"),
        (&["analyze", "/nonexistent"], "/nonexistent"),
        (&["serve", "--store", "/nonexistent"], "/nonexistent"),
    ] {
        let output = verify(arguments, store.path());
        assert_eq!(output.status.code(), Some(254), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(word), "{arguments:?}: {}", said(&output));
        assert!(is_empty(store.path()), "{arguments:?} left something behind");
    }
}

/// A stand-in for a node that answers `--version`, and is otherwise as the script says.
fn stand_in(folder: &Path, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let worker = folder.join("gossip-worker");
    std::fs::write(&worker, format!("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n{script}\n")).expect("a script");
    std::fs::set_permissions(&worker, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    worker.to_str().expect("a name").to_owned()
}

#[test]
fn a_bug_cannot_be_planted_in_a_build_that_holds_none() {
    let (store, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let worker = &stand_in(folder.path(), "echo 'error: unexpected argument' >&2; exit 2");
    for arguments in [&["test", "--mutant", "stale-read", "--worker", worker][..], &["mutants", "--worker", worker]] {
        let output = verify(arguments, store.path());
        assert_eq!(output.status.code(), Some(254), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains("--features mutants"), "{}", said(&output));
        assert!(is_empty(store.path()));
    }
}

#[test]
fn a_node_that_dies_at_its_start_fails_the_run_with_a_report() {
    let (store, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let worker = &stand_in(folder.path(), "echo \"thread 'main' panicked at nowhere\" >&2; exit 101");
    let arguments = ["test", "--worker", worker, "--nodes", "1", "--nemesis", "none", "--time-limit", "1"];
    let output = verify(&arguments, store.path());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = std::fs::read_to_string(store.path().join("latest/report.txt")).expect("a report");
    assert!(report.contains("Result: FAIL") && report.contains("Trouble of the nodes"), "{report}");
    assert!(report.contains(&format!("--worker {worker}")), "{report}");
}
