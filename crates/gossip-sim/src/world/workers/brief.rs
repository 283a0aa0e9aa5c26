//! Brief runs: a worker founds one under load, ends it and deletes it, and all of that stands in the history. Others meet its shards
//! meanwhile, and their calls come late.
//!
//! Each has a name that no other run has, and its life goes on only if every sending of its founding was answered. A copy that arrives
//! after the deletion would make another run of the same name, and nobody could tell the calls about the two apart.

use std::collections::VecDeque;

use gossip_core::coordination::{Command, LeaseRef, Op, RunId, WorkerId};

use super::Worker;
use super::script::{command, registration, roots};
use crate::rng::Rng;

/// With what the names of brief runs begin.
pub(super) const INITIAL: char = 'd';
/// Brief runs at a time: with all others they stay below the quota of their tenant.
pub(super) const MOST: usize = 6;

/// The length of its leases.
const LEASE_MS: u64 = 500;

/// The name of the brief run that a worker founds in one of its steps.
pub(super) fn run_name(worker: &WorkerId, step: u32) -> RunId {
    RunId::parse("run", &format!("{INITIAL}{worker}-{step}")).expect("a good name")
}

/// The life of a brief run.
pub(super) fn life(rng: &mut Rng, worker: &WorkerId, run: &RunId) -> VecDeque<Command> {
    let shards = roots(rng, run, 2);
    let acquire =
        |at: usize| Op::Acquire { shard: shards[at].shard.clone(), worker: worker.clone(), lease_ms: LEASE_MS };
    let reason = || "it was meant to be brief".to_owned();
    let mut ops = vec![Op::CreateRun { metadata: Vec::new() }];
    ops.extend(registration(rng, shards.clone()));
    let founding = ops.len();
    if rng.chance(500_000) {
        ops.push(Op::DeleteRun);
    }
    match rng.below(4) {
        0 | 1 => {
            // Each grant is followed by the end of its shard: see `finish_shard`.
            ops.extend((0..shards.len()).map(acquire));
            ops.push(Op::CompleteRun);
        }
        2 => ops.extend([acquire(0), Op::FailRun { reason: reason() }]),
        _ => ops.push(Op::CancelRun { reason: reason() }),
    }
    ops.push(Op::DeleteRun);
    if rng.chance(300_000) {
        ops.extend([acquire(0), Op::DeleteRun]);
    }
    let mut life: VecDeque<Command> = ops.into_iter().map(|op| command(rng, run, op)).collect();
    if rng.chance(300_000) {
        // Sent once more when it was answered.
        let at = rng.index(founding);
        life.insert(at + 1, life[at].clone());
    }
    life
}

fn is_founding(command: &Command) -> bool {
    let founds = matches!(command.op, Op::CreateRun { .. } | Op::RegisterShards { .. } | Op::StartRun);
    command.run.as_str().starts_with(INITIAL) && founds
}

impl Worker {
    /// Leaves a brief run to itself if its founding failed or may be under way once more.
    pub(super) fn leave_unsure(&mut self, command: &Command, unsure: bool) {
        if unsure && is_founding(command) {
            self.intents.retain(|next| next.run != command.run);
        }
    }

    /// Whether this may be sent once more when its time is over.
    pub(super) fn is_repeatable(command: &Command) -> bool {
        !is_founding(command)
    }

    /// Ends a shard that was granted in the course of a brief run's life, if the run is to be completed.
    pub(super) fn finish_shard(&mut self, run: &RunId, lease: &LeaseRef) {
        let next = self.intents.front().filter(|next| next.run == *run);
        if next.is_some_and(|next| matches!(next.op, Op::Acquire { .. } | Op::CompleteRun)) {
            let complete = self.command(run, Op::Complete { lease: lease.clone(), cursor: None });
            self.intents.push_front(complete);
        }
    }
}
