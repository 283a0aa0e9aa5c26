//! Each planted bug of the state machine shows in the answers of a small scenario, which a sound state machine passes.

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::limits::Quotas;
use gossip_core::coordination::*;
use gossip_core::mutants::{Mutant, Planted};

use crate::kit::*;

/// One entry of a scenario: milliseconds that pass, the op id, the operation.
type Entry = (u64, u128, Op);

/// What a caller sees of a history: the answers, and the run's status and the shards at its end. Halfway the state goes through a
/// snapshot.
fn seen(planted: Planted, entries: &[Entry]) -> (Vec<Outcome>, Option<RunStatus>, Vec<ShardView>) {
    let mut world = World::with_bug_unchecked(planted, vec![spec("s", "b", "y")]);
    let mut answers = Vec::new();
    for (i, (pass, op_id, op)) in entries.iter().enumerate() {
        if i == entries.len() / 2 {
            let bytes = world.state.snapshot();
            world.state = State::new(Quotas::default(), planted);
            world.state.restore(&bytes).unwrap();
        }
        world.now += pass;
        answers.push(world.apply("r", *op_id, op.clone()));
    }
    let all = Query::Shards { run: run_id("r"), after: None, status: None, limit: 100 };
    let status = match world.read(Query::Run { run: run_id("r") }) {
        Ok(View::Run(run)) => Some(run.status),
        Err(Rejection::RunNotFound) => None,
        other => panic!("{other:?}"),
    };
    match world.read(all) {
        Ok(View::Shards { shards, .. }) => (answers, status, shards),
        Err(Rejection::RunNotFound) => (answers, status, Vec::new()),
        other => panic!("{other:?}"),
    }
}

fn entry(pass: u64, op_id: u128, op: Op) -> Entry {
    (pass, op_id, op)
}

fn scenario(mutant: Mutant) -> Option<Vec<Entry>> {
    let taken = entry(0, 1, acquire("s", "w1"));
    let again = entry(LEASE, 2, acquire("s", "w2"));
    let moved = |at: &str| Op::Checkpoint { lease: lease("s", "w1", 1), cursor: cursor(at) };
    Some(match mutant {
        Mutant::FenceNotRaisedOnTakeover => vec![taken, again],
        Mutant::FenceUnchecked => vec![taken, again, entry(0, 3, moved("m"))],
        Mutant::AcquireIgnoresLiveLease => vec![taken, entry(1, 2, acquire("s", "w2"))],
        Mutant::ExpiryUnchecked => vec![taken, entry(LEASE, 2, moved("m"))],
        Mutant::ExpiryOffByOne => vec![taken, again],
        Mutant::UnparkKeepsFence => vec![taken, entry(0, 2, park("s", "w1", 1)), entry(0, 3, unpark("s"))],
        Mutant::CancelDoesNotFence => {
            vec![taken, entry(0, 2, Op::CancelRun { reason: String::new() }), entry(0, 3, moved("m"))]
        }
        Mutant::DoneIsAcquirable => vec![taken, entry(0, 2, complete("s", "w1", 1)), entry(0, 3, acquire("s", "w2"))],
        Mutant::CompleteRunIgnoresActive => vec![taken, entry(0, 2, Op::CompleteRun), entry(0, 3, moved("m"))],
        Mutant::SplitDropsBoundary => vec![taken, entry(0, 2, replace("s", "w1", 1, &["m"]))],
        Mutant::SplitMovesCursor => vec![taken, entry(0, 2, replace("s", "w1", 1, &["m"]))],
        Mutant::LiveRunDeletable => vec![taken, entry(0, 2, Op::DeleteRun)],
        Mutant::FailedRunReadsCancelled => vec![entry(0, 1, Op::FailRun { reason: String::new() })],
        Mutant::EndedRunForgotten => vec![entry(0, 1, Op::CancelRun { reason: String::new() })],
        Mutant::ResidualOverlaps => vec![taken, entry(0, 2, residual("s", "w1", 1, "m"))],
        Mutant::OpLogForgotten => vec![taken.clone(), entry(LEASE, 1, taken.2)],
        Mutant::OpLogAfterLease => vec![taken, entry(0, 2, moved("m")), entry(LEASE, 2, moved("m"))],
        Mutant::OpIdConflictUnchecked => vec![taken, entry(0, 2, moved("m")), entry(0, 2, moved("n"))],
        Mutant::CursorMovesBack => vec![taken, entry(0, 2, moved("m")), entry(0, 3, moved("c"))],
        Mutant::CursorLeavesRange => vec![taken, entry(0, 2, moved("z"))],
        Mutant::EndCountsAsInside => vec![taken, entry(0, 2, moved("y"))],
        Mutant::LeaseLengthUnchecked => {
            vec![entry(0, 1, Op::Acquire { shard: shard_id("s"), worker: worker_id("w1"), lease_ms: 1 })]
        }
        Mutant::ReleaseForgetsCursor => vec![taken, entry(0, 2, moved("m")), entry(0, 3, release("s", "w1", 1))],
        Mutant::SnapshotWithoutOpLog => vec![taken.clone(), entry(LEASE, 1, taken.2)],
        _ => return None,
    })
}

#[test]
fn each_planted_bug_is_seen_from_outside() {
    let ours: Vec<Mutant> = Mutant::ALL.iter().copied().filter(|mutant| scenario(*mutant).is_some()).collect();
    assert_eq!(ours.len(), 24, "a scenario is missing");
    for mutant in ours {
        let entries = scenario(mutant).unwrap();
        assert_ne!(seen(mutant.into(), &entries), seen(Planted::NONE, &entries), "{}", mutant.name());
    }
}

#[test]
fn every_bug_shows_in_its_own_scenario_and_in_few_others() {
    // A scenario that shows most bugs would prove nothing about its own.
    for mutant in Mutant::ALL.iter().copied() {
        let Some(entries) = scenario(mutant) else { continue };
        let sound = seen(Planted::NONE, &entries);
        let shown = Mutant::ALL.iter().filter(|other| seen((**other).into(), &entries) != sound).count();
        assert!((1..=4).contains(&shown), "{} bugs show in the scenario of {}", shown, mutant.name());
    }
}

#[test]
fn no_planted_bug_makes_apply_panic() {
    // A node that stops is caught by anyone: the bug must go on and be judged.
    for mutant in Mutant::ALL.iter().copied() {
        let mut world = World::with_bug_unchecked(mutant.into(), vec![spec("s", "", "m"), spec("t", "m", "")]);
        for round in 0..400u64 {
            let shard = ["s", "t", "s~0", "t~1", "s~2", "t~3"][(round % 6) as usize];
            let fence = round / 7 % 5;
            let ops = [
                acquire(shard, "w1"),
                claim("w2"),
                checkpoint(shard, "w1", fence, ["a", "n", "z"][(round % 3) as usize]),
                renew(shard, "w2", fence, LEASE),
                release(shard, "w1", fence),
                residual(shard, "w1", fence, ["c", "d\0", "q"][(round % 3) as usize]),
                replace(shard, "w2", fence, &["e", "e\0", "f", "r"]),
                park(shard, "w1", fence),
                unpark(shard),
                complete(shard, "w2", fence),
            ];
            world.now += 70;
            let op = ops[(round * round % 10) as usize].clone();
            let _ = world.apply("r", u128::from(round % 90) + 1, op);
        }
        let _ = world.apply("r", 999, Op::DeleteRun);
        let _ = world.apply("r", 1_000, Op::CancelRun { reason: String::new() });
        let bytes = world.state.snapshot();
        world.state.restore(&bytes).unwrap();
    }
}
