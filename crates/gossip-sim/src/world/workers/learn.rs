//! What workers learn from answers.

use std::time::Duration;

use gossip_check::history::Value;
use gossip_core::coordination::answer::Grant;
use gossip_core::coordination::{Answer, Command, Key, LeaseRef, Op, Query, Range, RunId, ShardId, TenantQuery, View};
use gossip_core::mutants::Mutant;
use gossip_core::time::Time;

use super::{Failure, Lease, Sent, Worker, lease_of, stands_in_history};
use crate::faults::options::Options;
use crate::history;
use crate::reach::Event as Rare;
use crate::world::World;
use crate::world::queue::{MILLI, Nanos};

/// Leases that a worker remembers after their end.
const PAST: usize = 6;
/// Commands that a worker remembers.
const SENT: usize = 8;
/// Shards that all know of.
const KNOWN: usize = 64;

/// What all workers know: runs and shards. Lists like these pass from mouth to mouth in any fleet.
#[derive(Debug)]
pub(in crate::world) struct Directory {
    pub(super) runs: Vec<RunId>,
    pub(super) shards: Vec<(RunId, ShardId)>,
    pub(super) parked: Vec<(RunId, ShardId)>,
}

impl Directory {
    pub(in crate::world) fn new(options: &Options) -> Self {
        Directory { runs: (0..options.runs).map(run_name).collect(), shards: Vec::new(), parked: Vec::new() }
    }

    pub(in crate::world) fn first_run(&self) -> RunId {
        self.runs.first().cloned().unwrap_or_else(|| run_name(0))
    }

    fn add(&mut self, run: &RunId, shard: &ShardId) {
        if !self.shards.iter().any(|(_, known)| known == shard) {
            if self.shards.len() >= KNOWN {
                self.shards.remove(0);
            }
            self.shards.push((run.clone(), shard.clone()));
        }
    }
}

/// The name of a run that stands in the history.
pub(super) fn run_name(number: usize) -> RunId {
    RunId::parse("run", &format!("r{number}")).expect("a good name")
}

/// A key of three bytes.
pub(super) fn key(number: u32) -> Key {
    number.to_be_bytes()[1..].into()
}

/// The numbers of the keys in a range: first, and first past the end.
pub(super) fn span(range: &Range) -> (u32, u32) {
    let number = |key: &[u8]| key.iter().take(3).fold(0u32, |n, &byte| n << 8 | u32::from(byte));
    let end = if range.end.is_empty() { 1 << 24 } else { number(&range.end) };
    (number(&range.start), end)
}

/// A holder gives up a tenth of its lease early, for clocks whose rates differ.
fn believed(lease_ms: u64) -> Duration {
    Duration::from_micros(lease_ms * 900)
}

impl Worker {
    /// A write under a lease was refused, or got lost.
    pub(super) fn lost(&mut self, command: &Command, failure: Failure, definite: bool) {
        let Some(token) = command.op.lease() else { return };
        let over = ["FENCE_MISMATCH", "LEASE_EXPIRED", "NOT_OWNER", "SHARD_TERMINAL", "SHARD_PARKED", "RUN_ENDED"];
        let ends = ends_lease(&command.op) && !definite;
        if ends || over.contains(&failure.reason) {
            self.drop_lease(token);
        }
    }

    /// A run that could not be founded is founded again, or nobody would have anything to do. It costs no step: while nobody leads, a
    /// short run's steps are soon used up.
    pub(super) fn found_again(&mut self, command: &Command, failure: Failure) {
        let founding = matches!(command.op, Op::CreateRun { .. } | Op::RegisterShards { start: true, .. });
        let there = ["RUN_EXISTS", "RUN_NOT_OPEN", "RUN_ENDED", "OP_ID_CONFLICT"].contains(&failure.reason);
        if founding && !there && command.run.as_str().starts_with(['r', 'y']) {
            self.intents.push_front(command.clone());
            self.steps = self.steps.saturating_add(1);
            self.rest = Some(self.rng.within(5, 60) * MILLI);
        }
    }

    pub(super) fn drop_lease(&mut self, token: &LeaseRef) {
        if let Some(at) = self.held.iter().position(|lease| lease.token == *token) {
            let lease = self.held.remove(at);
            self.past.push_back(lease);
            if self.past.len() > PAST {
                self.past.pop_front();
            }
        }
    }

    pub(super) fn remember(&mut self, command: &Command, first: Time, operation: u64, succeeded: bool) {
        if !Worker::is_repeatable(command) {
            return;
        }
        // A replay leaves the answer where it is in the op log: as old as it was.
        let known = self.sent.iter().position(|sent| sent.command.op_id == command.op_id);
        let operation = known.and_then(|at| self.sent.remove(at)).map_or(operation, |sent| sent.operation);
        self.sent.push_back(Sent { command: command.clone(), first, operation, succeeded });
        if self.sent.len() > SENT {
            self.sent.pop_front();
        }
    }
}

fn ends_lease(op: &Op) -> bool {
    matches!(op, Op::Release { .. } | Op::Complete { .. } | Op::Park { .. } | Op::SplitReplace { .. })
}

impl World {
    /// Takes over a success. Says until when, in real time, the worker believes in the lease that it was given.
    pub(super) fn learn(&mut self, place: usize, command: &Command, answer: &Answer, first: Time) -> Nanos {
        let now = self.queue.now();
        let operations = self.operations;
        let from_answer = self.planted.is(Mutant::HolderCountsFromAnswer);
        let worker = &mut self.workers[place];
        let first = if from_answer { worker.clock.read(now) } else { first };
        if worker.sent.iter().any(|sent| sent.succeeded && sent.command == *command) {
            self.reach.event(Rare::Replay);
        }
        match &mut worker.grind {
            // Not among what is replayed early: it knows itself how old its commands are.
            Some(grind) => grind.heard(command, answer, first),
            None => worker.remember(command, first, operations, true),
        }
        match answer {
            Answer::Granted(grant) => return self.granted(place, command, grant, first),
            Answer::Renewed { .. } => {
                let Op::Renew { lease, lease_ms } = &command.op else { return 0 };
                let until = first + believed(*lease_ms);
                if let Some(held) = worker.held.iter_mut().find(|held| held.token == *lease) {
                    held.believed_until = held.believed_until.max(until);
                }
                return worker.clock.when(until, now).unwrap_or(0);
            }
            Answer::Checkpointed { cursor } => {
                let lease = command.op.lease();
                let held = worker.held.iter_mut().find(|held| Some(&held.token) == lease);
                held.into_iter().for_each(|held| held.cursor = Some(cursor.clone()));
            }
            Answer::Replaced { children } => {
                children.iter().for_each(|child| self.directory.add(&command.run, &child.shard));
                self.reach.event(Rare::Split);
            }
            Answer::Split { residual } => {
                self.directory.add(&command.run, &residual.shard);
                self.reach.event(Rare::Split);
                let lease = command.op.lease();
                let held = worker.held.iter_mut().find(|held| Some(&held.token) == lease);
                held.into_iter().for_each(|held| held.range.end = residual.range.start.clone());
            }
            Answer::Unparked { .. } => {
                self.directory.parked.retain(|(_, shard)| Some(shard) != command.op.shard());
            }
            Answer::Parked => {
                let shard = command.op.shard().map(|shard| (command.run.clone(), shard.clone()));
                self.directory.parked.extend(shard);
            }
            Answer::Run(_) => self.run_changed(command),
            Answer::RunDeleted => self.run_deleted(&command.run),
            Answer::Released | Answer::Completed => {}
        }
        if ends_lease(&command.op)
            && let Some(token) = command.op.lease()
        {
            self.workers[place].drop_lease(token);
        }
        0
    }

    fn run_changed(&mut self, command: &Command) {
        match &command.op {
            Op::RegisterShards { shards, .. } => {
                shards.iter().for_each(|spec| self.directory.add(&command.run, &spec.shard));
            }
            Op::FailRun { .. } | Op::CancelRun { .. } => self.reach.event(Rare::RunEnded),
            _ => {}
        }
    }

    fn run_deleted(&mut self, run: &RunId) {
        let Directory { shards, parked, .. } = &mut self.directory;
        [shards, parked].into_iter().for_each(|known| known.retain(|(of, _)| of != run));
        self.brief_runs.remove(run);
        if stands_in_history(run) {
            self.reach.event(Rare::RunDeleted);
        }
    }

    fn granted(&mut self, place: usize, command: &Command, grant: &Grant, first: Time) -> Nanos {
        let now = self.queue.now();
        let (Op::Acquire { lease_ms, .. } | Op::Claim { lease_ms, .. }) = &command.op else { return 0 };
        self.directory.add(&command.run, &grant.shard);
        let worker = &mut self.workers[place];
        let believed_until = first + believed(*lease_ms);
        let (run, token) = lease_of(&command.run, &grant.shard, &grant.worker, grant.fence);
        let known = worker.held.iter().chain(&worker.past).any(|lease| lease.token == token);
        worker.finish_shard(&run, &token);
        if !known {
            let (range, cursor) = (grant.range.clone(), grant.cursor.clone());
            worker.held.push(Lease { run, token, range, cursor, believed_until });
        }
        self.workers[place].clock.when(believed_until, now).unwrap_or(0)
    }

    /// Takes over what a read showed.
    #[expect(clippy::too_many_arguments)]
    pub(super) fn seen(
        &mut self,
        place: usize,
        node: usize,
        applied: u64,
        stale: bool,
        query: &TenantQuery,
        view: &View,
        told: Option<Value>,
    ) {
        let now = self.queue.now();
        if let (Some(_), View::Shard(shard)) = (told, view) {
            let process = self.workers[place].process;
            self.history.ok(now, process, "read-shard", history::shard_read(shard, applied));
        }
        if stale {
            self.workers[place].stale = Some((node, applied));
            return;
        }
        if self.machines[node].leads().is_none() {
            self.reach.event(Rare::FollowerRead);
        }
        if self.workers[place].stale.take().is_some_and(|(at, then)| at == node && then < applied) {
            self.reach.event(Rare::StaleBehind);
        }
        if let (Query::Shards { run, .. }, View::Shards { shards, .. }) = (&query.query, view) {
            shards.iter().for_each(|shard| self.directory.add(run, &shard.shard));
        }
    }
}
