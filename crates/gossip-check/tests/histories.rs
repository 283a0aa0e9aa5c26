//! The histories in `histories/`, which every judge must agree on, against the table beside them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gossip_check::history::Value;
use gossip_check::judge::{Options, Validity, Verdict, check_file};

/// That of the tiers that judge the gossip's speed.
const GOSSIP_BOUND_NS: i64 = 4_000_000_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../histories")
}

#[derive(Debug, PartialEq)]
struct Expected {
    validity: Validity,
    violated: BTreeSet<String>,
}

fn expected() -> BTreeMap<String, Expected> {
    let table: Value = std::fs::read_to_string(folder().join("expected.edn")).unwrap().parse().unwrap();
    let row = |(file, row): (&Value, &Value)| {
        let validity = match row.get("valid?").unwrap() {
            Value::Bool(true) => Validity::True,
            Value::Bool(false) => Validity::False,
            other => {
                assert_eq!(other, &Value::keyword("unknown"));
                Validity::Unknown
            }
        };
        let violated = row.get("violated").unwrap().items().unwrap().iter().map(|id| id.name().unwrap().to_owned());
        (file.as_str().unwrap().to_owned(), Expected { validity, violated: violated.collect() })
    };
    table.as_map().unwrap().iter().map(row).collect()
}

/// Relative paths of all histories there are.
fn files() -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for kind in ["good", "bad", "unknown"] {
        for entry in std::fs::read_dir(folder().join(kind)).unwrap() {
            files.insert(format!("{kind}/{}", entry.unwrap().file_name().into_string().unwrap()));
        }
    }
    files
}

fn found(verdict: &Verdict) -> Expected {
    let violated = verdict.violations().map(|(id, _)| id.to_owned()).collect();
    Expected { validity: verdict.validity, violated }
}

#[test]
fn the_table_names_every_history() {
    assert_eq!(expected().into_keys().collect::<BTreeSet<_>>(), files());
}

#[test]
fn every_verdict_is_as_expected() {
    let mut wrong = Vec::new();
    for (file, expected) in expected() {
        let options = Options { gossip_bound_ns: Some(GOSSIP_BOUND_NS), ..Options::default() };
        let (_, verdict) = check_file(&folder().join(&file), &options).unwrap();
        let found = found(&verdict);
        if found != expected {
            let violations: Vec<_> = verdict.violations().map(|(id, v)| format!("    {id}: {}\n", v.message)).collect();
            wrong.push(format!("{file}\n  expected {expected:?}\n  found    {found:?}\n{}", violations.concat()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.concat());
}

/// The comment at the head of a file counts, as do blank lines.
#[test]
fn an_error_names_the_line_of_the_file() {
    let path = std::env::temp_dir().join(format!("gossip-check-line-of-error-{}.edn", std::process::id()));
    let invoke = "{:process 0 :type :invoke :f :renew :value {} :time 0}\n";
    std::fs::write(&path, format!("; a comment\n\n{invoke}{invoke}")).unwrap();
    let error = check_file(&path, &Options::default()).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(error.contains("line 4: :process 0 invokes :renew"), "{error}");
}

/// A bad history is named for what it violates, and each invariant has at least five.
#[test]
fn each_invariant_is_violated_by_histories_named_for_it() {
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    for (file, expected) in expected() {
        let Some(name) = file.strip_prefix("bad/") else {
            assert_ne!(expected.validity, Validity::False, "{file}");
            continue;
        };
        let (id, _) = name.split_once('-').unwrap();
        assert!(expected.violated.contains(id), "{file}");
        *named.entry(id.to_owned()).or_default() += 1;
    }
    for id in ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "G1", "G2", "L"] {
        assert!(named.get(id).is_some_and(|count| *count >= 5), "{id}: {:?}", named.get(id));
    }
}
