//! The judge against a whole service: one that keeps its promises is never accused, whatever clients and faults do; one with
//! a planted bug is, by the invariant that the bug breaks.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod load;
mod service;

use gossip_check::invariants::Invariant::{self, S1, S2, S3, S4, S5, S6, S7, S8};
use gossip_check::judge::{Options, Validity, Verdict, judge};
use service::Bug;

fn verdict(seed: u64, bug: Option<Bug>) -> Verdict {
    judge(&load::run(seed, bug), &Options::default()).unwrap()
}

#[test]
fn a_correct_service_is_never_accused() {
    let judged = [S1, S2, S3, S4, S5, S6, S7, S8];
    let mut counts = [0; 8];
    for seed in 0..400 {
        let verdict = verdict(seed, None);
        assert_eq!(verdict.violations().next(), None, "seed {seed}");
        for (count, id) in counts.iter_mut().zip(judged) {
            *count += verdict.check(id).unwrap().count;
        }
    }
    assert!(counts.iter().all(|&count| count > 400), "each invariant was checked about once a run: {counts:?}");
}

/// In how many of the first seeds the invariant convicts.
fn convictions(bug: Bug, id: Invariant) -> usize {
    let convicts = |seed: &u64| verdict(*seed, Some(bug)).check(id).unwrap().validity == Validity::False;
    (0..60).filter(convicts).count()
}

#[test]
fn every_planted_bug_is_convicted_by_its_invariant() {
    for (bug, id) in [
        (Bug::GrantsWhileHeld, S1),
        (Bug::RenewsWhatRanOut, S1),
        (Bug::AcceptsOldFences, S2),
        (Bug::KeepsTheFence, S2),
        (Bug::RevivesWhatIsDone, S3),
        (Bug::ForgetsThatTheRunEnded, S3),
        (Bug::LeavesAGapInASplit, S4),
        (Bug::ForgetsToShrinkTheParent, S4),
        (Bug::ForgetsAnswers, S5),
        (Bug::NeverUnparks, S6),
        (Bug::LetsCursorsGoBack, S7),
        (Bug::LetsCursorsLeaveTheRange, S7),
        (Bug::ForgetsTheCursorInASplit, S7),
        (Bug::LosesTheLastCheckpoint, S8),
        (Bug::LosesACompletion, S8),
    ] {
        let found = convictions(bug, id);
        assert!(found >= 3, "{bug:?} was convicted by {id} in {found} of 60 runs");
    }
}

#[test]
fn a_read_that_shows_who_held_last_is_no_linearizable_one() {
    let convicts = |seed: &u64| {
        let verdict = verdict(*seed, Some(Bug::ShowsTheLastHolder));
        verdict.linearizability.unwrap().validity == Validity::False
    };
    assert!((0..20).filter(convicts).count() >= 3);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    assert_eq!(load::run(7, None), load::run(7, None));
    assert_ne!(load::run(7, None), load::run(8, None));
}
