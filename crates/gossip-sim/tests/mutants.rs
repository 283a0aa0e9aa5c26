//! Every planted bug of coordination, consensus, disk and clocks is caught within a bounded number of seeds.
//!
//! Prints a table: the mutant, what caught it, how often, and the median of seeds that it took. `cargo test -p gossip-sim --release
//! --features mutants --test mutants -- --nocapture` shows it.

#![cfg(feature = "mutants")]

use std::collections::BTreeMap;

use gossip_core::mutants::{Mutant, Planted};
use gossip_sim::faults::options::Level;
use gossip_sim::run::{Plan, run};
use gossip_sim::sweep::mixed;

/// Every mutant is looked for from so many places on.
const TRIALS: u64 = 5;
/// Seeds of each trial at most.
const BOUND: u64 = 400;

/// Those with a place in the simulated world; the bugs of gossip and membership have none.
const MUTANTS: &[Mutant] = &[
    Mutant::FenceNotRaisedOnTakeover,
    Mutant::FenceUnchecked,
    Mutant::AcquireIgnoresLiveLease,
    Mutant::ExpiryUnchecked,
    Mutant::ExpiryOffByOne,
    Mutant::UnparkKeepsFence,
    Mutant::CancelDoesNotFence,
    Mutant::DoneIsAcquirable,
    Mutant::CompleteRunIgnoresActive,
    Mutant::SplitDropsBoundary,
    Mutant::ResidualOverlaps,
    Mutant::OpLogForgotten,
    Mutant::OpLogAfterLease,
    Mutant::OpIdConflictUnchecked,
    Mutant::CursorMovesBack,
    Mutant::CursorLeavesRange,
    Mutant::ReleaseForgetsCursor,
    Mutant::SnapshotWithoutOpLog,
    Mutant::StaleRead,
    Mutant::LeaseBasedRead,
    Mutant::WallClockLease,
    Mutant::LeaseClockRestarts,
    Mutant::AckBeforeSync,
    Mutant::VoteNotPersisted,
    Mutant::AckBeforeCommit,
    Mutant::RestartDropsTail,
    Mutant::WaiterGrantedUnasked,
    Mutant::HolderCountsFromAnswer,
    Mutant::ChecksumUnchecked,
    Mutant::NoCheckQuorum,
];

#[derive(Debug, Default)]
struct Caught {
    /// Seeds that each trial took; `None`: it was not caught.
    seeds: Vec<Option<u64>>,
    by: BTreeMap<&'static str, u64>,
}

impl Caught {
    fn median(&self) -> Option<u64> {
        let mut seeds: Vec<u64> = self.seeds.iter().map(|seeds| seeds.unwrap_or(u64::MAX)).collect();
        seeds.sort_unstable();
        Some(seeds[seeds.len() / 2]).filter(|&median| median < u64::MAX)
    }

    /// The rules that caught it, the most frequent first.
    fn rules(&self) -> Vec<&'static str> {
        let mut rules: Vec<(u64, &'static str)> = self.by.iter().map(|(rule, count)| (*count, *rule)).collect();
        rules.sort_unstable_by(|a, b| b.cmp(a));
        rules.into_iter().map(|(_, rule)| rule).collect()
    }
}

fn plan(seed: u64, planted: Planted) -> Plan {
    let level = if seed % 2 == 0 { Level::Stormy } else { Level::Radioactive };
    Plan { planted, ..Plan::new(seed, level, mixed(seed / 2)) }
}

fn hunt(mutant: Mutant) -> Caught {
    let mut caught = Caught::default();
    for trial in 0..TRIALS {
        let first = 1 + trial * 100_000;
        let seeds = (0..BOUND).find(|at| {
            let violation = run(&plan(first + at, mutant.into())).violation;
            violation.inspect(|violation| *caught.by.entry(violation.rule.name()).or_default() += 1).is_some()
        });
        caught.seeds.push(seeds.map(|at| at + 1));
    }
    caught
}

#[test]
fn every_mutant_is_caught() {
    // A planted bug may run into an assertion of the core, which is one way to be caught and not worth a page each.
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let all: Vec<(Mutant, Caught)> = MUTANTS.iter().map(|&mutant| (mutant, hunt(mutant))).collect();
    std::panic::set_hook(loud);
    println!("{:<32} {:>12}  caught by", "mutant", "median seeds");
    for (mutant, caught) in &all {
        let median = caught.median().map_or("-".to_owned(), |median| median.to_string());
        println!("{:<32} {median:>12}  {}", mutant.name(), caught.rules().join(", "));
    }
    let missed: Vec<&str> = all.iter().filter(|(_, c)| c.median().is_none()).map(|(m, _)| m.name()).collect();
    assert!(missed.is_empty(), "not caught within {BOUND} seeds: {missed:?}");
}

#[test]
fn without_a_planted_bug_the_same_seeds_pass() {
    for trial in 0..TRIALS {
        for seed in (1 + trial * 100_000..).take(20) {
            let plan = plan(seed, Planted::NONE);
            let violation = run(&plan).violation;
            assert_eq!(violation, None, "{plan}");
        }
    }
}
