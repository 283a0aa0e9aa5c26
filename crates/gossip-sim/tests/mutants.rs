//! Every planted bug of the state machine, the group, the store, the clocks and the gossip is caught by the rule that is there for it:
//! once with all checks, and once by the judge alone, who sees no more than what the workers and the operator saw.
#![cfg(feature = "mutants")]

use gossip_core::mutants::{Mutant, Planted};
use gossip_sim::faults::options::Level;
use gossip_sim::invariants::Rule;
use gossip_sim::run::{Plan, run};
use gossip_sim::shrink::shrink;
use gossip_sim::sweep::mixed;

/// A planted bug, where it shows, and the rules that may catch it: whichever comes first.
type Row = (Mutant, Level, &'static [&'static str]);

use Level::{Radioactive, Stormy, Sunny};
use Mutant as M;

/// With all checks.
const ALL: &[Row] = &[
    (M::FenceNotRaisedOnTakeover, Sunny, &["S2"]),
    (M::FenceUnchecked, Sunny, &["S2"]),
    (M::AcquireIgnoresLiveLease, Sunny, &["S1"]),
    (M::ExpiryUnchecked, Sunny, &["S1"]),
    (M::ExpiryOffByOne, Sunny, &["S1"]),
    (M::UnparkKeepsFence, Sunny, &["S2"]),
    (M::CancelDoesNotFence, Sunny, &["S3"]),
    (M::DoneIsAcquirable, Sunny, &["S3"]),
    (M::CompleteRunIgnoresActive, Sunny, &["S3"]),
    (M::SplitDropsBoundary, Sunny, &["S4"]),
    (M::ResidualOverlaps, Sunny, &["S4"]),
    (M::OpLogForgotten, Sunny, &["S5"]),
    (M::OpLogAfterLease, Sunny, &["S5"]),
    (M::OpIdConflictUnchecked, Sunny, &["S5"]),
    (M::CursorMovesBack, Sunny, &["S7"]),
    (M::CursorLeavesRange, Sunny, &["S7"]),
    (M::ReleaseForgetsCursor, Sunny, &["S7"]),
    (M::HolderCountsFromAnswer, Stormy, &["S1"]),
    (M::StaleRead, Stormy, &["L", "S3", "S7"]),
    (M::SnapshotWithoutOpLog, Stormy, &["applied-prefix"]),
    (M::LeaseClockRestarts, Stormy, &["lease-clock"]),
    (M::WallClockLease, Stormy, &["S1", "S6"]),
    (M::AckBeforeCommit, Sunny, &["applied-prefix"]),
    (M::WaiterGrantedUnasked, Sunny, &["applied-prefix"]),
    (M::AckBeforeSync, Stormy, &["applied-prefix", "stopped"]),
    (M::RestartDropsTail, Stormy, &["applied-prefix", "stopped"]),
    (M::VoteNotPersisted, Radioactive, &["leader-per-term"]),
    (M::LeaseBasedRead, Stormy, &["L", "S3", "S7"]),
    (M::ChecksumUnchecked, Radioactive, &["disk", "stopped"]),
    (M::GossipOwnFactsOnly, Stormy, &["G1"]),
    // A node that took an older fact may pass it on, and the others refuse the message: the world's own assertion.
    (M::OlderFactOverwrites, Stormy, &["G1", "panic"]),
];

/// By the judge alone. Not here: `ack-before-sync`, `vote-not-persisted` and `checksum-unchecked`, which end in a core that stops or in
/// replicas that differ long before a worker sees anything of it.
const BLIND: &[Row] = &[
    (M::FenceNotRaisedOnTakeover, Sunny, &["S2"]),
    (M::FenceUnchecked, Sunny, &["S1", "S2"]),
    (M::AcquireIgnoresLiveLease, Sunny, &["S1"]),
    (M::ExpiryUnchecked, Sunny, &["S1"]),
    (M::ExpiryOffByOne, Sunny, &["S1"]),
    (M::UnparkKeepsFence, Sunny, &["S2"]),
    (M::CancelDoesNotFence, Sunny, &["S3"]),
    (M::DoneIsAcquirable, Sunny, &["S3"]),
    (M::CompleteRunIgnoresActive, Sunny, &["S3"]),
    (M::SplitDropsBoundary, Sunny, &["S4"]),
    (M::ResidualOverlaps, Sunny, &["S4"]),
    (M::OpLogForgotten, Sunny, &["L", "S5"]),
    (M::OpLogAfterLease, Sunny, &["S5"]),
    (M::OpIdConflictUnchecked, Sunny, &["S4", "S5"]),
    (M::CursorMovesBack, Sunny, &["S7"]),
    (M::CursorLeavesRange, Sunny, &["S7"]),
    (M::ReleaseForgetsCursor, Sunny, &["S7"]),
    (M::HolderCountsFromAnswer, Stormy, &["S1"]),
    (M::StaleRead, Stormy, &["L", "S3", "S7"]),
    (M::SnapshotWithoutOpLog, Stormy, &["S3", "S5"]),
    (M::LeaseClockRestarts, Stormy, &["S1"]),
    (M::WallClockLease, Stormy, &["S1"]),
    (M::AckBeforeCommit, Sunny, &["S3"]),
    (M::WaiterGrantedUnasked, Sunny, &["S3", "S7"]),
    (M::RestartDropsTail, Stormy, &["S1", "S2", "S3"]),
    (M::LeaseBasedRead, Stormy, &["L", "S3", "S7"]),
    (M::GossipOwnFactsOnly, Stormy, &["G1"]),
    (M::OlderFactOverwrites, Stormy, &["G1"]),
];

/// Independent series of seeds; the median is over them.
const SERIES: u64 = 3;
/// Seeds of a series before the bug counts as missed.
const BOUND: u64 = 20_000;

/// Seeds until the bug is caught, and by which rule. Where only the judge counts, a run that ends otherwise shows nothing.
fn catch(mutant: Mutant, level: Level, series: u64, blind: bool) -> Option<(u64, &'static str)> {
    (1..=BOUND).find_map(|count| {
        let seed = series * 1_000_000 + count;
        let mut plan = Plan::new(seed, level, mixed(seed));
        (plan.planted, plan.blind) = (Planted::from(mutant), blind);
        let rule = run(&plan).violation.map(|violation| violation.rule)?;
        (!blind || matches!(rule, Rule::History(_))).then_some((count, rule.name()))
    })
}

fn check(table: &[Row], blind: bool) {
    std::panic::set_hook(Box::new(|_| {}));
    let mut text = format!("{:<32}{:<8}{:<24}{:>14}\n", "mutant", "level", "caught by", "median seeds");
    let mut missed = Vec::new();
    for &(mutant, level, rules) in table {
        let caught: Vec<Option<(u64, &str)>> = (1..=SERIES).map(|series| catch(mutant, level, series, blind)).collect();
        let mut counts: Vec<u64> = caught.iter().map(|c| c.map_or(BOUND + 1, |(count, _)| count)).collect();
        counts.sort_unstable();
        let mut by: Vec<&str> = caught.iter().flatten().map(|(_, rule)| *rule).collect();
        by.sort_unstable();
        by.dedup();
        let (name, level, median) = (mutant.name(), level.to_string(), counts[counts.len() / 2]);
        text += &format!("{name:<32}{level:<8}{:<24}{median:>14}\n", by.join(", "));
        if caught.iter().any(Option::is_none) || by.iter().any(|rule| !rules.contains(rule)) {
            missed.push(format!("{}: {caught:?}", mutant.name()));
        }
    }
    println!("{text}");
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "{text}\nmissed, or caught by another rule:\n{}", missed.join("\n"));
}

#[test]
fn every_planted_bug_is_caught_by_its_rule() {
    check(ALL, false);
}

#[test]
fn the_judge_alone_catches_what_a_history_can_show() {
    check(BLIND, true);
}

#[test]
fn what_is_shrunk_still_fails_and_says_how() {
    let failing = (1..200).find_map(|seed| {
        let mut plan = Plan::new(seed, Sunny, mixed(seed));
        plan.planted = Planted::from(M::FenceUnchecked);
        run(&plan).violation.map(|violation| (plan, violation.rule))
    });
    let (plan, rule) = failing.expect("a seed that shows it");
    let all = run(&plan).begun.len();
    let (smaller, violation) = shrink(&plan).expect("it fails");
    assert_eq!(violation.rule, rule);
    let outcome = run(&smaller);
    assert_eq!(outcome.violation.as_ref(), Some(&violation));
    assert!(outcome.begun.len() * 4 < all, "{} of {all} operations are left", outcome.begun.len());
    // Without any one of those that are left it does not fail.
    for &step in &outcome.begun {
        let mut less = smaller.clone();
        less.cut.operations.push(step);
        assert_ne!(run(&less).violation.map(|violation| violation.rule), Some(rule), "{step:?} is not needed");
    }
    let command = smaller.to_string();
    assert!(command.contains("--omit-operations ") && command.ends_with("--mutant fence-unchecked"), "{command}");
}
