//! What is written of a run is judged as the run was: a history stands for itself.

use std::collections::{BTreeMap, BTreeSet};

use gossip_check::history::{Op, OpType, Process, Value, read_str, write};
use gossip_check::judge::{Options, judge};
use gossip_sim::faults::options::Level;
use gossip_sim::run::{Plan, run};
use gossip_sim::sweep::mixed;

/// 42 and 90 have clocks beyond the drift margin, so that beliefs overlap: a judge must see from the history that they do not count.
const SEEDS: [u64; 8] = [42, 90, 4, 8, 12, 16, 20, 24];

#[test]
fn a_history_that_is_read_back_gets_the_same_verdict() {
    let (mut skewed, mut wild) = (0, 0);
    for seed in SEEDS {
        let outcome = run(&Plan::new(seed, Level::Radioactive, mixed(seed)));
        assert_eq!(outcome.violation, None, "seed {seed}");
        let mut bytes = Vec::new();
        write(&mut bytes, &outcome.history).expect("memory takes it");
        let text = String::from_utf8(bytes).expect("EDN is text");
        let read = read_str(&text).expect("what was written can be read");
        assert_eq!(read, outcome.history, "seed {seed}");
        let before = judge(&outcome.history, &Options::default()).expect("it is a history");
        let after = judge(&read, &Options::default()).expect("it is a history");
        assert_eq!(before, after, "seed {seed}");
        skewed += usize::from(read.iter().any(|op| op.process == Process::Nemesis && op.f == "skew"));
        wild += usize::from(!after.rates_are_sane);
    }
    assert!(skewed >= 6 && (1..8).contains(&wild), "{skewed} histories tell of clocks, {wild} of wild ones");
}

#[test]
fn faults_are_told_in_the_words_of_every_tier() {
    let mut told: Vec<String> = Vec::new();
    for seed in (4..200).step_by(4) {
        let outcome = run(&Plan::new(seed, Level::Radioactive, mixed(seed)));
        told.extend(outcome.history.iter().filter(|op| op.process == Process::Nemesis).map(|op| op.f.to_string()));
    }
    let words =
        ["kill", "start", "pause", "resume", "start-partition", "stop-partition", "skew", "grow", "shrink", "heal"];
    for word in words {
        assert!(told.iter().any(|f| f == word), "no :{word} in fifty histories");
    }
}

/// A call's word and run, where it is an answer and names one.
fn answered(op: &Op) -> Option<(&str, &str)> {
    let run = op.value.get("run").and_then(Value::as_str).filter(|_| op.typ == OpType::Ok)?;
    Some((op.f.as_str(), run))
}

#[test]
fn reads_of_runs_under_load_and_every_step_of_a_founding_are_told() {
    let mut told: BTreeMap<String, u32> = BTreeMap::new();
    for seed in (4..400).step_by(4) {
        let outcome = run(&Plan::new(seed, Level::Stormy, mixed(seed)));
        let heal = outcome.history.iter().position(|op| op.f == "heal").expect("it healed");
        let (mut foundings, mut registered) = (BTreeSet::new(), BTreeMap::new());
        let mut note = |what: &str| *told.entry(what.to_owned()).or_default() += 1;
        for op in &outcome.history[..heal] {
            if op.typ == OpType::Ok && op.value.get("stale").is_some() {
                note(if op.f == "read-run" { "stale read-run" } else { "stale read-shard" });
                continue;
            }
            let Some((f, run)) = answered(op) else { continue };
            let id = op.value.get("op-id").and_then(Value::as_str);
            match f {
                "read-run" => note("read-run"),
                "create-run" | "register" | "start-run" => {
                    note(f);
                    if !foundings.insert(id.expect("an op id")) && run.starts_with('d') {
                        note("founding of a brief run, again");
                    } else if f == "register" && registered.insert(run, id).is_some_and(|first| first != id) {
                        note("register, second step");
                    }
                }
                _ => {}
            }
        }
    }
    let words = [
        "read-run",
        "stale read-run",
        "stale read-shard",
        "create-run",
        "start-run",
        "register, second step",
        "founding of a brief run, again",
    ];
    assert!(words.iter().all(|word| told.get(*word).is_some_and(|&count| count >= 3)), "{told:?}");
}
