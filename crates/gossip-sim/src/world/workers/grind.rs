//! A worker that writes to one shard until the op log must have forgotten, and then sends its oldest commands once more.
//!
//! In the runs that stand in the history only writes come again that cannot take effect a second time: judges know the bounds of the
//! op log from answers alone, and not what was carried out unheard. In side runs everything comes again, at the very edge of
//! both bounds: the oracle follows the log and knows exactly what is kept.

use std::collections::VecDeque;

use gossip_core::coordination::limits::{MAX_CURSOR_TOKEN, OP_LOG_PER_SHARD};
use gossip_core::coordination::{Answer, Command, Cursor, Op, RunId, ShardId};
use gossip_core::time::Time;

use super::learn::key;
use super::{Draft, Lease, Worker, script};
use crate::faults::options::Grinding;
use crate::rng::Rng;
use crate::world::World;
use crate::world::queue::MILLI;

/// Steps that it takes on top of those of others.
pub(super) const STEPS: u32 = 170;
/// Attempts at a lease before it gives up: others may be faster, or the run may be over.
const PATIENCE: u32 = 12;
/// Long enough to write so often.
const LEASE_MS: u64 = 10_000;
/// Leases that it takes one after the other where large cursors are to fill the op log: four fit.
const LARGE: usize = 8;
/// Writes that other workers may have made unheard between two of its own: so far a judge may be off.
const SLACK: usize = 16;

/// What it is at.
#[derive(Debug)]
pub(super) struct Grind {
    kind: Grinding,
    /// The shard, once it has one.
    target: Option<(RunId, ShardId)>,
    founded: bool,
    tried: u32,
    /// Its commands that were answered, in order, with the time of their first sending.
    wrote: Vec<(Command, Time)>,
    /// Which of them it will send again.
    late: Option<VecDeque<usize>>,
}

impl Grind {
    pub(super) fn new(kind: Grinding) -> Self {
        Grind { kind, target: None, founded: kind == Grinding::Told, tried: 0, wrote: Vec::new(), late: None }
    }

    /// Takes note of an answer.
    pub(super) fn heard(&mut self, command: &Command, answer: &Answer, first: Time) {
        let shard = match answer {
            Answer::Granted(grant) => Some(&grant.shard),
            _ => command.op.shard(),
        };
        let Some(shard) = shard.filter(|_| self.late.is_none()) else { return };
        let target = self.target.get_or_insert_with(|| (command.run.clone(), shard.clone()));
        if target.1 == *shard {
            self.wrote.push((command.clone(), first));
        }
    }

    fn goal(&self) -> usize {
        if self.kind == Grinding::Bytes { 3 * LARGE } else { OP_LOG_PER_SHARD + SLACK }
    }

    /// Chooses what comes again.
    fn plan(&self, rng: &mut Rng) -> VecDeque<usize> {
        let count = self.wrote.len();
        let edge = count - OP_LOG_PER_SHARD.min(count);
        match self.kind {
            Grinding::Told => {
                let harmless = |at: &usize| matches!(self.wrote[*at].0.op, Op::Checkpoint { .. });
                let (old, new) = (0..edge, count.saturating_sub(OP_LOG_PER_SHARD - SLACK)..count);
                let some = |places: std::ops::Range<usize>, rng: &mut Rng| {
                    let fit: Vec<usize> = places.filter(harmless).collect();
                    (0..3).filter_map(|_| rng.pick(&fit).copied()).collect::<Vec<_>>()
                };
                [some(new, rng), some(old, rng)].concat().into()
            }
            // The newest first: what is carried out anew pushes more out of the log.
            Grinding::Number => {
                [edge + 1, edge, edge.saturating_sub(1), 1, 0].into_iter().filter(|&at| at < count).collect()
            }
            Grinding::Bytes => {
                let grants = (0..count).filter(|&at| matches!(self.wrote[at].0.op, Op::Acquire { .. }));
                let mut grants: Vec<usize> = grants.collect();
                grants.reverse();
                grants.into()
            }
        }
    }
}

impl World {
    /// The next operation of a worker that grinds. `None`: it is done with that.
    pub(super) fn grind(&mut self, place: usize) -> Option<Draft> {
        let mut grind = self.workers[place].grind.take()?;
        let draft = self.grind_on(place, &mut grind);
        if draft.is_some() {
            self.workers[place].grind = Some(grind);
        }
        draft
    }

    fn grind_on(&mut self, place: usize, grind: &mut Grind) -> Option<Draft> {
        let worker = &mut self.workers[place];
        // Nobody is slower than it must be to get all this done.
        worker.rest = Some(worker.rng.within(0, 3 * MILLI));
        if !std::mem::replace(&mut grind.founded, true) {
            let (founding, target) = script::lone_shard(&mut worker.rng, &worker.name);
            grind.target = Some(target);
            worker.intents = founding;
            return worker.intents.pop_front().map(|command| Draft::submit(command, 0));
        }
        if grind.wrote.len() >= grind.goal() || grind.late.is_some() {
            if grind.late.is_none() {
                grind.late = Some(grind.plan(&mut worker.rng));
            }
            let (command, first) = grind.wrote[grind.late.as_mut()?.pop_front()?].clone();
            let mut draft = Draft::submit(command, 0);
            draft.first = Some(first);
            return Some(draft);
        }
        let (run, shard) = match &grind.target {
            Some(target) => target.clone(),
            None => worker.rng.pick(&self.directory.shards)?.clone(),
        };
        let held = worker.held.iter().find(|lease| lease.token.shard == shard).cloned();
        let op = match held {
            Some(lease) => worker.grinding(grind, &lease),
            None => {
                grind.tried += 1;
                Op::Acquire { shard, worker: worker.name.clone(), lease_ms: LEASE_MS }
            }
        };
        let command = worker.command(&run, op);
        let wait = if grind.target.is_none() { 200 * MILLI } else { 0 };
        (grind.tried <= PATIENCE).then(|| Draft::submit(command, wait))
    }
}

impl Worker {
    /// What it does under its lease.
    fn grinding(&mut self, grind: &Grind, held: &Lease) -> Op {
        let lease = held.token.clone();
        let next = self.nudge(held);
        match (grind.kind, grind.wrote.last().map(|(command, _)| &command.op)) {
            (Grinding::Bytes, Some(Op::Acquire { .. })) => {
                let cursor = Cursor { key: next.key, token: vec![7; MAX_CURSOR_TOKEN - 1024] };
                Op::Checkpoint { lease, cursor }
            }
            (Grinding::Bytes, _) => Op::Release { lease },
            _ if self.rng.chance(250_000) => Op::Renew { lease, lease_ms: LEASE_MS },
            _ => Op::Checkpoint { lease, cursor: next },
        }
    }

    /// The smallest step forward.
    fn nudge(&self, held: &Lease) -> Cursor {
        let (from, end) = self.rest(held);
        Cursor { key: key((from + 1).min(end.saturating_sub(1)).max(from)), token: Vec::new() }
    }
}
