//! What a worker does next: mostly honest work, now and then everything that it should not.

use gossip_core::coordination::limits::{
    MAX_CHILDREN, MAX_CURSOR_TOKEN, MAX_KEY, MAX_LEASE_MS, MAX_METADATA, MAX_REASON, MIN_LEASE_MS,
};
use gossip_core::coordination::{Command, Cursor, Fence, LeaseRef, Op, Query, Range, RunId, ShardId};

use super::learn::{key, span};
use super::{Draft, Lease, Sent, Worker, ask_of, brief, script};
use crate::reach::Event as Rare;
use crate::world::World;
use crate::world::queue::{MILLI, Nanos};
use crate::world::request::Ask;

/// Leases that a worker holds at once.
const HANDS: usize = 2;
/// Operations, over all workers, after which an op id is not used again: well below those after which it may be forgotten.
const FRESH: u64 = 40;

impl World {
    /// Draws the next operation. `None`: the worker rests.
    pub(super) fn choose(&mut self, place: usize) -> Option<Draft> {
        let now = self.queue.now();
        let worker = &mut self.workers[place];
        if let Some(command) = worker.intents.pop_front() {
            let wait = if worker.rng.chance(200_000) { 50 * MILLI } else { 0 };
            return Some(Draft::submit(command, wait));
        }
        worker.give_up_old(now);
        if let Some(draft) = self.grind(place) {
            return Some(draft);
        }
        let worker = &mut self.workers[place];
        if std::mem::take(&mut worker.late_write) {
            return self.zombie_write(place);
        }
        if worker.held.is_empty() || worker.rng.chance(200_000) && worker.held.len() < HANDS {
            return self.without_lease(place);
        }
        let at = worker.rng.index(worker.held.len());
        let lease = worker.held[at].clone();
        if worker.rng.chance(40_000) {
            // It lingers past its deadline, and will then write as if nothing had been.
            let late = worker.clock.when(lease.believed_until, now).unwrap_or(now) - now + 30 * MILLI;
            if late < self.options.storm {
                worker.rest = Some(late);
                worker.drop_lease(&lease.token);
                worker.late_write = true;
                return None;
            }
        }
        let op = self.workers[place].under_lease(&lease, self.options.lease_ms);
        let command = self.workers[place].command(&lease.run, op);
        Some(self.odd_draft(place, command, 0))
    }

    fn odd_draft(&mut self, place: usize, command: Command, wait: Nanos) -> Draft {
        let mut draft = Draft::submit(command, wait);
        if let Ask::Submit { unchecked, .. } = &mut draft.ask {
            *unchecked = self.workers[place].rng.chance(300_000);
        }
        draft
    }

    fn without_lease(&mut self, place: usize) -> Option<Draft> {
        let fresh_after = self.operations.saturating_sub(FRESH);
        let worker = &mut self.workers[place];
        let run = worker.rng.pick(&self.directory.runs)?.clone();
        let target = worker.rng.pick(&self.directory.shards).cloned();
        let lease_ms = worker.rng.within(self.options.lease_ms.0, self.options.lease_ms.1);
        let wait = if worker.rng.chance(350_000) { worker.rng.within(20, 1_500) * MILLI } else { 0 };
        let name = worker.name.clone();
        let acquire = |shard| Op::Acquire { shard, worker: name.clone(), lease_ms };
        match worker.rng.weighted(&[26, 30, 12, 6, 4, 5, 10, 4, 6, 3, 3, 3, 1]) {
            0 => {
                let (run, shard) = target?;
                let command = worker.command(&run, acquire(shard));
                Some(Draft::submit(command, wait))
            }
            1 => {
                let command = worker.command(&run, Op::Claim { worker: name.clone(), lease_ms });
                Some(Draft::submit(command, wait))
            }
            2 => self.zombie_write(place),
            3 => worker.replay(fresh_after),
            4 => worker.reuse_op_id(fresh_after),
            5 => {
                let (run, shard) = worker.rng.pick(&self.directory.parked).cloned()?;
                let command = worker.command(&run, Op::Unpark { shard });
                Some(Draft::submit(command, 0))
            }
            6 => {
                let (run, shard) = target?;
                Some(self.read(place, Query::Shard { run, shard }))
            }
            7 => {
                // That of a shard may be a brief one, or gone.
                let other = target.filter(|_| worker.rng.chance(400_000)).map(|(run, _)| run);
                Some(self.read(place, Query::Run { run: other.unwrap_or(run) }))
            }
            8 => {
                let number = worker.rng.below(4);
                worker.intents = script::side_run(&mut worker.rng, &name, number);
                worker.intents.pop_front().map(|command| Draft::submit(command, 0))
            }
            9 => {
                let shard = target.map_or_else(script::no_shard, |(_, shard)| shard);
                let op = worker.malformed(shard);
                let command = worker.command(&run, op);
                let mut draft = self.odd_draft(place, command, 0);
                // Judges know nothing of shapes, and some of these cannot be said in a history.
                draft.untold = true;
                Some(draft)
            }
            10 => {
                let command = worker.command(&run, Op::CompleteRun);
                Some(Draft::submit(command, 0))
            }
            11 if self.brief_runs.len() < brief::MOST => {
                let run = brief::run_name(&name, worker.taken);
                worker.intents = brief::life(&mut worker.rng, &name, &run);
                self.brief_runs.insert(run);
                worker.intents.pop_front().map(|command| Draft::submit(command, 0))
            }
            11 => None,
            _ => self.end_run(place, &run),
        }
    }

    /// Ends a run over its workers' heads: rarely, or there would be nothing left to do.
    fn end_run(&mut self, place: usize, run: &RunId) -> Option<Draft> {
        let worker = &mut self.workers[place];
        if !worker.rng.chance(200_000) {
            return None;
        }
        let reason = "the operator says so".to_owned();
        let op = if worker.rng.chance(500_000) { Op::FailRun { reason } } else { Op::CancelRun { reason } };
        let command = worker.command(run, op);
        Some(Draft::submit(command, 0))
    }

    fn read(&mut self, place: usize, query: Query) -> Draft {
        let nodes = self.machines.len();
        let worker = &mut self.workers[place];
        let stale = worker.rng.chance(300_000);
        let again = worker.stale.map(|(node, _)| node).filter(|_| !stale);
        let at = again.unwrap_or_else(|| worker.rng.index(nodes));
        Draft::query(ask_of(query), stale, at)
    }

    /// Writes under a lease that has been given up, lost, or is not believed in any more.
    fn zombie_write(&mut self, place: usize) -> Option<Draft> {
        let worker = &mut self.workers[place];
        let past: Vec<Lease> = worker.past.iter().cloned().collect();
        let lease = worker.rng.pick(&past)?.clone();
        let op = worker.under_lease(&lease, self.options.lease_ms);
        let command = worker.command(&lease.run, op);
        self.reach.event(Rare::ZombieWrite);
        Some(Draft::submit(command, 0))
    }
}

impl Worker {
    /// Stops believing in leases whose time has come.
    fn give_up_old(&mut self, now: Nanos) {
        let own = self.clock.read(now);
        let over: Vec<LeaseRef> =
            self.held.iter().filter(|lease| lease.believed_until <= own).map(|lease| lease.token.clone()).collect();
        over.iter().for_each(|token| self.drop_lease(token));
    }

    /// Something that is done under a lease.
    fn under_lease(&mut self, held: &Lease, lengths: (u64, u64)) -> Op {
        let lease = held.token.clone();
        let lease_ms = self.rng.within(lengths.0, lengths.1);
        match self.rng.weighted(&[34, 16, 12, 8, 3, 6, 8, 3, 3, 3]) {
            0 => Op::Checkpoint { lease, cursor: self.ahead(held) },
            1 => Op::Renew { lease, lease_ms },
            2 => {
                let cursor = self.rng.chance(600_000).then(|| self.ahead(held));
                Op::Complete { lease, cursor }
            }
            3 => Op::Release { lease },
            4 => Op::Park { lease, reason: "looks odd".into() },
            5 => {
                let cuts = self.cuts(held);
                Op::SplitReplace { lease, cuts }
            }
            6 => {
                let at = self.cuts(held).swap_remove(0);
                Op::SplitResidual { lease, at }
            }
            7 => Op::Checkpoint { lease, cursor: self.astray(held) },
            8 => {
                let at = self.astray(held).key;
                Op::SplitResidual { lease, at }
            }
            _ => {
                let stranger = LeaseRef { worker: self.stranger(), ..lease };
                Op::Checkpoint { lease: stranger, cursor: self.ahead(held) }
            }
        }
    }

    fn stranger(&mut self) -> gossip_core::coordination::WorkerId {
        let place = if self.place == 0 { 1 } else { 0 };
        gossip_core::coordination::WorkerId::parse("worker", &format!("w{place}")).expect("a good name")
    }

    /// The keys that are left behind the cursor.
    pub(super) fn rest(&self, held: &Lease) -> (u32, u32) {
        let (start, end) = span(&held.range);
        let done = held.cursor.as_ref().map(|cursor| span(&Range::new(cursor.key.clone(), [])).0);
        (done.unwrap_or(start), end)
    }

    /// A step forward, small more often than large.
    fn ahead(&mut self, held: &Lease) -> Cursor {
        let (from, end) = self.rest(held);
        let left = u64::from(end.saturating_sub(from));
        let step = if self.rng.chance(700_000) { left / 16 } else { left };
        let at = from + self.rng.below(step.max(1)) as u32;
        Cursor { key: key(at), token: vec![at as u8] }
    }

    /// A key that has been passed, or one that belongs to somebody else.
    fn astray(&mut self, held: &Lease) -> Cursor {
        let (start, end) = span(&held.range);
        let (done, _) = self.rest(held);
        let last = (1 << 24) - 1;
        let at = match self.rng.below(3) {
            0 => start + self.rng.below(u64::from(done - start).max(1)) as u32,
            1 => start.saturating_sub(1),
            _ => end.min(last),
        };
        Cursor { key: key(at), token: Vec::new() }
    }

    /// One to three cuts behind the cursor.
    fn cuts(&mut self, held: &Lease) -> Vec<Box<[u8]>> {
        let (from, end) = self.rest(held);
        let count = self.rng.within(1, 3);
        let left = u64::from(end.saturating_sub(from)).max(2);
        let mut cuts: Vec<u32> = (0..count).map(|_| from + 1 + self.rng.below(left - 1) as u32).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts.into_iter().map(|cut| key(cut.min((1 << 24) - 1))).collect()
    }

    fn fresh(&mut self, after: u64, succeeded: bool) -> Option<Sent> {
        let sent: Vec<&Sent> =
            self.sent.iter().filter(|sent| sent.operation >= after && (!succeeded || sent.succeeded)).collect();
        let at = self.rng.index(sent.len());
        sent.get(at).map(|sent| (*sent).clone())
    }

    /// Sends a command of late once more: its answer must be the first one.
    fn replay(&mut self, after: u64) -> Option<Draft> {
        let Sent { command, first, .. } = self.fresh(after, false)?;
        let mut draft = Draft::submit(command, 0);
        draft.first = Some(first);
        Some(draft)
    }

    /// Sends something else under an op id that was used. Where histories tell the difference the judge gets to see it.
    fn reuse_op_id(&mut self, after: u64) -> Option<Draft> {
        let Sent { mut command, .. } = self.fresh(after, true)?;
        let told = match &mut command.op {
            Op::Acquire { lease_ms, .. } | Op::Claim { lease_ms, .. } | Op::Renew { lease_ms, .. } => {
                *lease_ms += 1;
                false
            }
            Op::Checkpoint { cursor, .. } if self.rng.chance(500_000) => {
                cursor.key = [&cursor.key[..], &[1]].concat().into();
                true
            }
            Op::Checkpoint { cursor, .. } => {
                cursor.token.push(7);
                false
            }
            Op::Complete { cursor, .. } => {
                *cursor = if cursor.is_some() { None } else { return None };
                true
            }
            Op::Park { reason, .. } => {
                reason.push('!');
                true
            }
            Op::FailRun { reason } | Op::CancelRun { reason } => {
                reason.push('!');
                false
            }
            Op::SplitResidual { at, .. } => {
                *at = [&at[..], &[1]].concat().into();
                true
            }
            Op::Release { lease } => {
                command.op = Op::Park { lease: lease.clone(), reason: String::new() };
                false
            }
            _ => return None,
        };
        let mut draft = Draft::submit(command, 0);
        draft.untold = !told;
        Some(draft)
    }

    /// What no client should send, and now and then the largest that one may. The lease is made up: the shape comes first.
    fn malformed(&mut self, shard: ShardId) -> Op {
        let worker = self.name.clone();
        let lease = LeaseRef { shard: shard.clone(), worker: worker.clone(), fence: Fence(0) };
        let over = usize::from(!self.rng.chance(250_000));
        let long = |most: usize| vec![b'k'; most + over];
        let cursor =
            |key: Vec<u8>, token| Op::Checkpoint { lease: lease.clone(), cursor: Cursor { key: key.into(), token } };
        match self.rng.below(12) {
            0 => Op::Acquire { shard, worker, lease_ms: MIN_LEASE_MS - 1 },
            1 => Op::FailRun { reason: "x".repeat(MAX_REASON + 1) },
            2 => Op::Claim { worker, lease_ms: u64::MAX },
            3 => Op::Renew { lease, lease_ms: MAX_LEASE_MS + over as u64 },
            4 => cursor(long(MAX_KEY), Vec::new()),
            5 => cursor(vec![1], long(MAX_CURSOR_TOKEN)),
            6 => cursor(Vec::new(), Vec::new()),
            7 => Op::Park { lease, reason: "x".repeat(MAX_REASON + over) },
            8 => Op::SplitResidual { lease, at: if over == 0 { Box::default() } else { long(MAX_KEY).into() } },
            9 => {
                let keys = (0..MAX_CHILDREN - 1 + over).map(|n| key(n as u32 + 1));
                Op::SplitReplace { lease, cuts: if self.rng.chance(300_000) { Vec::new() } else { keys.collect() } }
            }
            10 => Op::CreateRun { metadata: long(MAX_METADATA) },
            _ => Op::RegisterShards { shards: script::odd_roots(&mut self.rng), start: false },
        }
    }
}
