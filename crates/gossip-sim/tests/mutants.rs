//! Every planted bug of the state machine, the group, the store, the clocks and the gossip is caught by the rule that is there for it:
//! once with all checks, and once by the judge alone, who sees no more than what the workers and the operator saw.
#![cfg(feature = "mutants")]

use gossip_core::mutants::{Mutant, Planted};
use gossip_sim::faults::options::{Length, Level};
use gossip_sim::invariants::{Rule, Violation};
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
    (M::RunOfClaimIgnored, Sunny, &["S1", "S4", "state"]),
    (M::OpLogForgotten, Sunny, &["S5"]),
    (M::OpLogAfterLease, Sunny, &["S5"]),
    (M::OpIdConflictUnchecked, Sunny, &["S5"]),
    (M::CursorMovesBack, Sunny, &["S7"]),
    (M::CursorLeavesRange, Sunny, &["S7"]),
    (M::SplitMovesCursor, Sunny, &["S7"]),
    (M::EndCountsAsInside, Sunny, &["S4", "S7"]),
    (M::ReleaseForgetsCursor, Sunny, &["S7"]),
    (M::LeaseLengthUnchecked, Sunny, &["state"]),
    (M::LiveRunDeletable, Sunny, &["S3"]),
    (M::FailedRunUndeletable, Sunny, &["state"]),
    (M::FailedRunReadsCancelled, Sunny, &["S3"]),
    (M::EndedRunForgotten, Sunny, &["S8"]),
    (M::HolderCountsFromAnswer, Stormy, &["S1"]),
    (M::StaleRead, Stormy, &["L", "S3", "S7", "S8"]),
    (M::SnapshotWithoutOpLog, Stormy, &["applied-prefix"]),
    (M::LeaseClockRestarts, Stormy, &["lease-clock"]),
    (M::WallClockLease, Stormy, &["S1", "S6"]),
    (M::AckBeforeCommit, Sunny, &["applied-prefix"]),
    (M::WaiterGrantedUnasked, Sunny, &["applied-prefix"]),
    (M::AckBeforeSync, Stormy, &["applied-prefix", "stopped"]),
    (M::RestartDropsTail, Stormy, &["applied-prefix", "stopped"]),
    (M::RecoverySeesAHole, Stormy, &["stopped"]),
    (M::VoteNotPersisted, Radioactive, &["leader-per-term"]),
    (M::LeaseBasedRead, Stormy, &["L", "S3", "S7", "S8"]),
    (M::ChecksumUnchecked, Radioactive, &["disk", "stopped"]),
    (M::EmptyLearnerVotes, Radioactive, &["voters"]),
    (M::GossipOwnFactsOnly, Stormy, &["G1"]),
    // A node that took an older fact may pass it on, and the others refuse the message: the world's own assertion.
    (M::OlderFactOverwrites, Stormy, &["G1", "panic"]),
];

/// By the judge alone. Not here: `ack-before-sync`, `recovery-sees-a-hole`, `vote-not-persisted` and `checksum-unchecked`, which end in a
/// core that stops or in replicas that differ long before a worker sees anything of it; `empty-learner-votes`, which a worker sees if a
/// second node is lost at that very moment; `lease-length-unchecked`, since histories do not tell the length that was asked for;
/// `failed-run-undeletable`, since a refusal that is not due proves nothing to a judge.
const BLIND: &[Row] = &[
    (M::FenceNotRaisedOnTakeover, Sunny, &["S2"]),
    (M::FenceUnchecked, Sunny, &["L", "S1", "S2"]),
    (M::AcquireIgnoresLiveLease, Sunny, &["S1"]),
    (M::ExpiryUnchecked, Sunny, &["S1"]),
    (M::ExpiryOffByOne, Sunny, &["S1"]),
    (M::UnparkKeepsFence, Sunny, &["S2"]),
    (M::CancelDoesNotFence, Sunny, &["S3"]),
    (M::DoneIsAcquirable, Sunny, &["S3"]),
    (M::CompleteRunIgnoresActive, Sunny, &["L", "S3"]),
    (M::SplitDropsBoundary, Sunny, &["S4"]),
    (M::ResidualOverlaps, Sunny, &["S4"]),
    (M::RunOfClaimIgnored, Sunny, &["S3", "S4"]),
    (M::OpLogForgotten, Sunny, &["L", "S5"]),
    (M::OpLogAfterLease, Sunny, &["S5"]),
    (M::OpIdConflictUnchecked, Sunny, &["S4", "S5"]),
    (M::CursorMovesBack, Sunny, &["S7"]),
    (M::CursorLeavesRange, Sunny, &["S7"]),
    (M::EndCountsAsInside, Sunny, &["S4", "S7"]),
    (M::ReleaseForgetsCursor, Sunny, &["S7"]),
    (M::LiveRunDeletable, Sunny, &["S3"]),
    (M::FailedRunReadsCancelled, Sunny, &["S3"]),
    (M::EndedRunForgotten, Sunny, &["S8"]),
    (M::SplitMovesCursor, Sunny, &["S7"]),
    (M::HolderCountsFromAnswer, Stormy, &["S1"]),
    (M::StaleRead, Stormy, &["L", "S3", "S7", "S8"]),
    (M::SnapshotWithoutOpLog, Stormy, &["S2", "S3", "S5"]),
    (M::LeaseClockRestarts, Stormy, &["S1"]),
    (M::WallClockLease, Stormy, &["S1"]),
    // A run that was registered and is gone is in no final read.
    (M::AckBeforeCommit, Sunny, &["S3", "S6", "S8"]),
    (M::WaiterGrantedUnasked, Sunny, &["S3", "S7"]),
    (M::RestartDropsTail, Stormy, &["S1", "S2", "S3", "S7"]),
    (M::LeaseBasedRead, Stormy, &["L", "S3", "S7", "S8"]),
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

/// What a bug is caught by at the latest after so many seeds, without the judge.
fn caught_unjudged(mutant: Mutant, level: Level, seeds: u64) -> Option<Violation> {
    (1..=seeds).find_map(|seed| {
        let mut plan = Plan::new(seed, level, mixed(seed));
        (plan.planted, plan.judged) = (Planted::from(mutant), false);
        run(&plan).violation
    })
}

#[test]
fn what_the_oracle_works_out_for_itself_it_sees_without_the_judge() {
    // Bugs in what it could have called in the core: the arithmetic of ranges, the check of shapes, the reason of a refusal.
    for (mutant, rules) in [
        (M::EndCountsAsInside, &[Rule::S4, Rule::S7][..]),
        (M::LeaseLengthUnchecked, &[Rule::State]),
        (M::FailedRunUndeletable, &[Rule::State]),
    ] {
        let violation = caught_unjudged(mutant, Sunny, 300);
        assert!(
            violation.as_ref().is_some_and(|found| rules.contains(&found.rule)),
            "{}: {violation:?}",
            mutant.name()
        );
    }
}

#[test]
fn a_node_that_refuses_a_disk_that_is_well_is_no_victim() {
    let violation = caught_unjudged(M::RecoverySeesAHole, Stormy, 300).expect("it is caught");
    assert_eq!(violation.rule, Rule::Stopped);
    assert!(violation.what.contains("does not start from a disk that is well"), "{violation}");
}

/// The rows of the page's table of the simulator: name, level, and whether there is a figure for the judge alone.
fn page() -> Vec<(String, String, bool)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guarantees.md");
    let page = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (_, rest) = page.split_once("## Planted bugs, in the simulator").expect("the page has that table");
    let (part, _) = rest.split_once("\n## ").expect("another part follows");
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[0].trim_end_matches('`').to_owned(), cells[1].to_owned(), cells[4] != "-")
    })
    .collect()
}

#[test]
fn the_page_lists_every_bug_that_is_planted_here_and_no_other() {
    let mut listed = page();
    listed.sort();
    let alone = |mutant| BLIND.iter().any(|row| row.0 == mutant);
    let mut planted: Vec<(String, String, bool)> =
        ALL.iter().map(|&(mutant, level, _)| (mutant.name().to_owned(), level.to_string(), alone(mutant))).collect();
    planted.sort();
    assert_eq!(listed, planted);
}

#[test]
fn what_is_shrunk_still_fails_and_says_how() {
    let failing = (1..200).filter_map(|seed| {
        let mut plan = Plan::new(seed, Sunny, Length::Short);
        plan.planted = Planted::from(M::FenceUnchecked);
        run(&plan).violation.map(|violation| (plan, violation.rule))
    });
    let (mut all, mut left, mut seeds) = (0, 0, 0);
    for (plan, rule) in failing.take(4) {
        let (smaller, violation) = shrink(&plan).expect("it fails");
        assert_eq!(violation.rule, rule);
        let outcome = run(&smaller);
        assert_eq!(outcome.violation.as_ref(), Some(&violation));
        // Without any one of those that are left it does not fail.
        for &step in &outcome.begun {
            let mut less = smaller.clone();
            less.cut.operations.push(step);
            assert_ne!(run(&less).violation.map(|violation| violation.rule), Some(rule), "{step:?} is not needed");
        }
        let command = smaller.to_string();
        assert!(command.contains("--omit-operations ") && command.ends_with("--mutant fence-unchecked"), "{command}");
        (all, left, seeds) = (all + run(&plan).begun.len(), left + outcome.begun.len(), seeds + 1);
    }
    // One run has more that is needed than another: what counts is how much goes on the whole.
    assert!(seeds == 4 && left * 4 < all, "{left} of {all} operations of {seeds} runs are left");
}
