//! Every planted bug of the state machine, the group, the store and the clocks is caught by the rule that is there for it.
#![cfg(feature = "mutants")]

use gossip_core::mutants::{Mutant, Planted};
use gossip_sim::faults::options::Level;
use gossip_sim::run::{Plan, run};
use gossip_sim::sweep::mixed;

/// A planted bug, where it shows, and the rules that may catch it: whichever comes first.
type Row = (Mutant, Level, &'static [&'static str]);

use Level::{Radioactive, Stormy, Sunny};
use Mutant as M;

/// Damage to logs shows wherever replicas first differ.
const REPLICAS: &[&str] = &[
    "applied-prefix",
    "log-matching",
    "stopped",
    "panic",
    "leader-per-term",
    "S8",
    "L",
    "S2",
    "S5",
    "state",
    "history",
];

const TABLE: &[Row] = &[
    (M::FenceNotRaisedOnTakeover, Sunny, &["S2"]),
    (M::FenceUnchecked, Sunny, &["S2"]),
    (M::AcquireIgnoresLiveLease, Sunny, &["S1"]),
    (M::ExpiryUnchecked, Sunny, &["S1"]),
    (M::ExpiryOffByOne, Sunny, &["S1"]),
    (M::UnparkKeepsFence, Sunny, &["S2", "state"]),
    (M::CancelDoesNotFence, Sunny, &["S2", "S3", "state"]),
    (M::DoneIsAcquirable, Sunny, &["S3"]),
    (M::CompleteRunIgnoresActive, Sunny, &["S3"]),
    (M::SplitDropsBoundary, Sunny, &["S4", "state"]),
    (M::ResidualOverlaps, Sunny, &["S4", "state"]),
    (M::OpLogForgotten, Sunny, &["S1", "S2", "S3", "S5"]),
    (M::OpLogAfterLease, Sunny, &["S5"]),
    (M::OpIdConflictUnchecked, Sunny, &["S5"]),
    (M::CursorMovesBack, Sunny, &["S7"]),
    (M::CursorLeavesRange, Sunny, &["S7"]),
    (M::ReleaseForgetsCursor, Sunny, &["S7", "state"]),
    (M::HolderCountsFromAnswer, Stormy, &["S1"]),
    (M::StaleRead, Stormy, &["L", "S2", "S3", "S7", "S8"]),
    (M::SnapshotWithoutOpLog, Stormy, &["S1", "S2", "S3", "S5", "applied-prefix"]),
    (M::LeaseClockRestarts, Stormy, &["lease-clock"]),
    (M::WallClockLease, Stormy, &["lease-clock", "S1", "S6"]),
    (M::AckBeforeCommit, Sunny, REPLICAS),
    (M::WaiterGrantedUnasked, Sunny, REPLICAS),
    (M::AckBeforeSync, Stormy, REPLICAS),
    (M::RestartDropsTail, Stormy, REPLICAS),
    (M::VoteNotPersisted, Radioactive, REPLICAS),
    (M::LeaseBasedRead, Stormy, &["S6", "L", "S2", "S3", "S7", "S8"]),
    (M::ChecksumUnchecked, Radioactive, &["disk", "stopped"]),
];

/// Independent series of seeds; the median is over them.
const SERIES: u64 = 3;
/// Seeds of a series before the bug counts as missed.
const BOUND: u64 = 20_000;

/// Seeds until the bug is caught, and by which rule.
fn catch(mutant: Mutant, level: Level, series: u64) -> Option<(u64, &'static str)> {
    (1..=BOUND).find_map(|count| {
        let seed = series * 1_000_000 + count;
        let mut plan = Plan::new(seed, level, mixed(seed));
        plan.planted = Planted::from(mutant);
        run(&plan).violation.map(|violation| (count, violation.rule.name()))
    })
}

#[test]
fn every_planted_bug_is_caught_by_its_rule() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut text = format!("{:<32}{:<8}{:<24}{:>14}\n", "mutant", "level", "caught by", "median seeds");
    let mut missed = Vec::new();
    for &(mutant, level, rules) in TABLE {
        let caught: Vec<Option<(u64, &str)>> = (1..=SERIES).map(|series| catch(mutant, level, series)).collect();
        let mut counts: Vec<u64> = caught.iter().map(|c| c.map_or(BOUND + 1, |(count, _)| count)).collect();
        counts.sort_unstable();
        let mut by: Vec<&str> = caught.iter().flatten().map(|(_, rule)| *rule).collect();
        by.sort_unstable();
        by.dedup();
        text += &format!(
            "{:<32}{:<8}{:<24}{:>14}\n",
            mutant.name(),
            level.to_string(),
            by.join(", "),
            counts[counts.len() / 2]
        );
        if caught.iter().any(Option::is_none) || by.iter().any(|rule| !rules.contains(rule)) {
            missed.push(format!("{}: {caught:?}", mutant.name()));
        }
    }
    println!("{text}");
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "{text}\nmissed, or caught by another rule:\n{}", missed.join("\n"));
    assert!(TABLE.len() >= 15);
}
