//! Rules that prose cannot hold: who may depend on whom, what the core may touch, how long a file may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's folder")
}

/// Our crates and, of each, what it links on a target with an operating system (dev-dependencies not counted).
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let name = |v: &serde_json::Value| v["name"].as_str().expect("a name").to_owned();
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let links = package["dependencies"].as_array().expect("dependencies").iter();
            (name(package), links.filter(|d| d["kind"] != "dev" && d["target"].is_null()).map(name).collect())
        })
        .collect()
}

#[test]
fn the_dependency_rules_hold() {
    let all = dependencies();
    assert!(all.len() >= 7, "cargo metadata names only {:?}", all.keys());
    let ours =
        |of: &str| -> Vec<&str> { all[of].iter().map(String::as_str).filter(|d| all.contains_key(*d)).collect() };

    assert_eq!(ours("gossip-core"), Vec::<&str>::new(), "the core depends on no crate of ours");
    assert_eq!(ours("gossip-check"), Vec::<&str>::new(), "the judge shares nothing with the accused");
    assert!(!ours("gossip-sim").contains(&"gossip-worker"), "simulator and service never see each other");
    assert!(!ours("gossip-worker").contains(&"gossip-sim"), "simulator and service never see each other");
    assert!(!ours("gossip-worker").contains(&"gossip-check"), "the service does not link its judge");
    assert!(!ours("gossip-client").contains(&"gossip-core"), "users of the client do not link the state machine");
    for banned in ["tokio", "tonic", "sled", "tracing", "getrandom", "nix"] {
        assert!(!all["gossip-core"].iter().any(|d| d == banned), "the core is sans-IO, yet links {banned}");
    }
}

fn sources(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout").map(|e| e.expect("an entry").path()) {
        let name = entry.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if entry.is_dir() {
            if !matches!(name, "target" | "store" | ".git" | "secret") {
                sources(&entry, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(entry);
        }
    }
}

#[test]
fn no_source_file_is_longer_than_800_lines() {
    let mut files = Vec::new();
    sources(&root(), &[".rs", ".clj", ".proto", ".sh"], &mut files);
    assert!(files.len() > 50, "found only {} sources", files.len());
    let long: Vec<_> = files
        .iter()
        .map(|file| (fs::read_to_string(file).expect("source is text").lines().count(), file))
        .filter(|(lines, _)| *lines > 800)
        .collect();
    assert!(long.is_empty(), "which of these has two subjects in it? {long:#?}");
}

#[test]
fn the_core_reads_no_clock_no_system_and_no_hash_order() {
    let mut files = Vec::new();
    sources(&root().join("crates/gossip-core/src"), &[".rs"], &mut files);
    assert!(files.len() > 10, "found only {} sources", files.len());
    let banned = [
        "std::time::Instant",
        "SystemTime",
        "Instant::now",
        "std::fs",
        "std::net",
        "std::thread",
        "std::process",
        "std::env",
        "HashMap",
        "HashSet",
        "thread_rng",
        "rand::rng()",
        "println!",
        "eprintln!",
    ];
    for file in &files {
        let text = fs::read_to_string(file).expect("source is text");
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let hit = banned.iter().find(|word| line.contains(*word));
            assert!(hit.is_none(), "{}:{}: {:?} has no place in the core", file.display(), number + 1, hit);
        }
    }
}
