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

/// Says its version like a node, and holds no planted bug.
#[test]
fn a_bug_cannot_be_planted_in_a_build_that_holds_none() {
    use std::os::unix::fs::PermissionsExt;
    let store = tempfile::tempdir().expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    let worker = folder.path().join("gossip-worker");
    std::fs::write(&worker, "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho \"error: unexpected argument\" >&2\nexit 2\n")
        .expect("a script");
    std::fs::set_permissions(&worker, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    let worker = worker.to_str().expect("a name");
    for arguments in [&["test", "--mutant", "stale-read", "--worker", worker][..], &["mutants", "--worker", worker]] {
        let output = verify(arguments, store.path());
        assert_eq!(output.status.code(), Some(254), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains("--features mutants"), "{}", said(&output));
        assert!(is_empty(store.path()));
    }
}
