//! The same seed goes the same way: twice in one process, and in two.

use std::process::{Command, Stdio};

use gossip_sim::faults::options::{Length, Level};
use gossip_sim::run::{Plan, run};

fn plan(seed: u64, level: Level, length: Length) -> Plan {
    Plan { readable: true, ..Plan::new(seed, level, length) }
}

#[test]
fn the_same_seed_twice_gives_the_same_trace_and_history() {
    for level in Level::ALL {
        for seed in 1..=3 {
            let length = if seed == 3 { Length::Normal } else { Length::Short };
            let (first, second) = (run(&plan(seed, level, length)), run(&plan(seed, level, length)));
            assert!(first.trace.lines().count() > 20, "seed {seed} at level {level} has next to no trace");
            assert_eq!(first.trace, second.trace, "seed {seed} at level {level}");
            assert_eq!(first.digest, second.digest);
            assert_eq!(first.stats, second.stats);
            assert_eq!(first.history, second.history);
        }
    }
}

#[test]
fn other_seeds_go_other_ways() {
    let digests: std::collections::BTreeSet<u64> =
        (1..=8).map(|seed| run(&plan(seed, Level::Stormy, Length::Short)).digest).collect();
    assert_eq!(digests.len(), 8);
}

#[test]
fn a_readable_trace_changes_nothing() {
    let told = run(&plan(5, Level::Stormy, Length::Short));
    let untold = run(&Plan::new(5, Level::Stormy, Length::Short));
    assert_eq!((told.digest, told.stats), (untold.digest, untold.stats));
    assert!(untold.trace.is_empty());
}

#[test]
fn two_processes_write_the_same_bytes() {
    let replay = |level: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gossip-sim"));
        let output = command.args(["replay", "--seed", "11", "--level", level, "--length", "short"]).output();
        output.expect("gossip-sim runs").stdout
    };
    for level in ["1", "2", "3", "swarm"] {
        let (first, second) = (replay(level), replay(level));
        assert!(first.len() > 1_000, "level {level} wrote {} bytes", first.len());
        assert!(first == second, "level {level}: two processes wrote different traces");
    }
}

#[test]
fn a_reader_that_has_gone_changes_no_verdict() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gossip-sim"));
    // `head` closes the pipe long before the trace, some hundred kilobytes, is written.
    let replay = command.args(["replay", "--seed", "11", "--level", "2"]).stdout(Stdio::piped()).spawn();
    let mut replay = replay.expect("gossip-sim runs");
    drop(replay.stdout.take());
    assert_eq!(replay.wait().expect("gossip-sim ends").code(), Some(0));
}

#[test]
fn bad_arguments_end_with_254() {
    let end = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_gossip-sim")).args(arguments).output().expect("gossip-sim runs").status.code()
    };
    assert_eq!(end(&["replay", "--level", "9"]), Some(254));
    assert_eq!(end(&["replay", "--omit", "sunshine"]), Some(254));
    assert_eq!(end(&["run", "--mutant", "no-such-bug"]), Some(254));
    assert_eq!(end(&["run", "--seed", "11", "--level", "1", "--length", "short"]), Some(0));
    // What would check nothing, or what no cluster is.
    let none = [
        ["sweep", "--seeds", "0"],
        ["sweep", "--seconds", "0"],
        ["sweep", "--nodes", "0"],
        ["sweep", "--length", "0"],
        ["run", "--length", "0"],
        ["run", "--length", "18446744073709551615"],
        ["run", "--steps", "0"],
        ["run", "--workers", "0"],
        ["meta", "--times", "1"],
        ["run", "--omit-operations", "1"],
        ["run", "--omit-operations", "99.1"],
        ["run", "--omit-strikes", "9999"],
    ];
    for arguments in none {
        assert_eq!(end(&arguments), Some(254), "{arguments:?}");
    }
}

#[test]
fn a_level_in_the_environment_gives_way_to_the_swarm() {
    let end = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gossip-sim"));
        let output = command.env("SIM_LEVEL", "3").args(arguments).output().expect("gossip-sim runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let short = ["--seed", "11", "--length", "short"];
    let (code, text) = end(&[&["run", "--swarm"], &short[..]].concat());
    assert!(code == Some(0) && text.contains("level swarm"), "{text}");
    assert_eq!(end(&[&["run", "--swarm", "--level", "2"], &short[..]].concat()).0, Some(254));
    let (code, text) = end(&["sweep", "--level", "1", "--seeds", "1", "--length", "short", "--any-coverage"]);
    assert!(text.contains("level 1: seeds 1..2"), "{text}");
    assert_ne!(code, Some(254));
}

#[test]
fn a_sweep_that_gave_the_judge_nothing_is_unknown() {
    // One worker takes one step: there are no two grants to compare.
    let mut swept = gossip_sim::sweep::sweep(Level::Sunny, 1, gossip_sim::sweep::Until::Seeds(2), |seed| {
        let mut plan = Plan::new(seed, Level::Sunny, Length::Short);
        (plan.cut.workers, plan.cut.steps) = (Some(1), Some(1));
        plan
    });
    assert!(swept.failures.is_empty());
    assert!(swept.unjudged().contains(&"S2"), "{:?}", swept.judged);
    swept.judged.fill(1);
    assert_eq!(swept.unjudged(), Vec::<&str>::new());
    let mut one = run(&Plan::new(1, Level::Sunny, Length::Short));
    assert!(!one.is_empty(&Plan::new(1, Level::Sunny, Length::Short)));
    one.stats.applies = 0;
    assert!(one.is_empty(&Plan::new(1, Level::Sunny, Length::Short)));
}
