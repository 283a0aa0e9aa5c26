//! The same seed goes the same way: in one process, in two, and whatever is watched meanwhile.

use std::process::Command;

use gossip_sim::faults::options::{Length, Level};
use gossip_sim::run::{Plan, run};

fn readable(seed: u64, level: Level, length: Length) -> Plan {
    Plan { readable: true, ..Plan::new(seed, level, length) }
}

#[test]
fn a_seed_twice_gives_the_same_bytes() {
    for level in Level::ALL {
        for (seed, length) in [(1, Length::Short), (2, Length::Short), (3, Length::Normal), (4, Length::Long(3))] {
            let plan = readable(seed, level, length);
            let (first, again) = (run(&plan), run(&plan));
            assert!(first.trace.len() > 2_000, "{plan} left {} bytes of trace", first.trace.len());
            assert_eq!(first.trace, again.trace, "{plan}");
            assert_eq!(first.digest, again.digest, "{plan}");
            assert_eq!(first.history, again.history, "{plan}");
            assert_eq!(first.stats, again.stats, "{plan}");
            assert_eq!(first.reach, again.reach, "{plan}");
            assert_eq!(first.violation, again.violation, "{plan}");
        }
    }
}

#[test]
fn watching_changes_nothing() {
    for seed in 1..6 {
        let watched = run(&readable(seed, Level::Radioactive, Length::Short));
        let unwatched = run(&Plan { judged: false, ..Plan::new(seed, Level::Radioactive, Length::Short) });
        assert_eq!(watched.digest, unwatched.digest, "seed {seed}");
        assert_eq!(watched.history, unwatched.history, "seed {seed}");
    }
}

#[test]
fn other_seeds_go_other_ways() {
    let digests: std::collections::BTreeSet<u64> =
        (1..21).map(|seed| run(&Plan::new(seed, Level::Stormy, Length::Short)).digest).collect();
    assert_eq!(digests.len(), 20);
}

/// The trace and the history as another process writes them. The line of figures holds a time of this machine and is left out.
fn in_a_process(seed: u64, level: Level, times: u32) -> (String, Vec<u8>) {
    let name = format!("gossip-sim-{}-{seed}-{level}-{times}.edn", std::process::id());
    let history = std::env::temp_dir().join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_gossip-sim"))
        .args(["replay", "--seed", &seed.to_string(), "--level", &level.to_string(), "--history"])
        .arg(&history)
        // Addresses and environment of the two processes differ.
        .env("SIM_PADDING", "x".repeat(4_000 * times as usize))
        .output()
        .expect("the simulator runs");
    let text = String::from_utf8(output.stdout).expect("a trace is text");
    let trace = text.lines().take_while(|line| !line.starts_with("seed ")).collect::<Vec<_>>().join("\n");
    let bytes = std::fs::read(&history).expect("it wrote a history");
    std::fs::remove_file(&history).expect("the history can be removed");
    (trace, bytes)
}

#[test]
fn two_processes_give_the_same_bytes() {
    for level in [Level::Sunny, Level::Stormy, Level::Radioactive] {
        let (first, second) = (in_a_process(7, level, 0), in_a_process(7, level, 1));
        assert!(first.0.len() > 2_000 && first.1.len() > 2_000, "level {level} left too little to compare");
        assert!(first == second, "level {level}: two processes played seed 7 in two ways");
        let here = run(&readable(7, level, Length::Normal));
        assert_eq!(first.0, here.trace.trim_end(), "level {level}");
    }
}
