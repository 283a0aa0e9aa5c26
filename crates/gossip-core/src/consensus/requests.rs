//! What the node's caller asks for: commands, reads and changes, from their coming to their answer or refusal.

use std::time::Duration;

use super::api::{Change, Consistency, Output, Refusal, Token};
use super::codec::{LogCommand, encode};
use super::group::Group;
use super::machine::StateMachine;
use super::reads::context;
use super::waiters::Waiter;
#[cfg(feature = "mutants")]
use crate::coordination::ids::Stamp;
use crate::mutants::Mutant;
use crate::time::Time;

/// The head of a line of waiters, with the index and answer of its last refusal.
type Seat<M> = (<M as StateMachine>::WaitKey, (u64, <M as StateMachine>::Answer));

/// A command of this node's caller that is in the log.
#[derive(Debug)]
pub(super) struct Pending<M: StateMachine> {
    pub(super) token: Token,
    pub(super) term: u64,
    pub(super) command: M::Command,
    pub(super) until: Option<Time>,
    /// Where it came from, if it waited.
    pub(super) seat: Option<Seat<M>>,
}

/// A command that came before its leader was ready to stamp it.
#[derive(Debug)]
pub(super) struct Early<M: StateMachine> {
    pub(super) token: Token,
    pub(super) command: M::Command,
    pub(super) until: Option<Time>,
}

impl<M: StateMachine> Group<M> {
    fn overloaded(&mut self, token: Token) {
        self.refuse(token, Refusal::Overloaded { retry_after: Duration::from_millis(50) });
    }

    pub(super) fn submit(&mut self, token: Token, command: M::Command, wait: Duration) {
        if self.removed {
            return self.refuse(token, Refusal::Stopping);
        }
        if !self.leads() {
            return self.refuse(token, Refusal::NotLeader { leader: self.leader() });
        }
        if self.in_flight() >= self.config.max_in_flight
            || (!wait.is_zero() && self.waiters.len() >= self.config.max_waiters)
        {
            return self.overloaded(token);
        }
        let until = (!wait.is_zero()).then(|| self.now + wait);
        if self.clock.is_some() {
            self.propose(token, command, until, None);
        } else {
            self.early.push_back(Early { token, command, until });
        }
    }

    /// Stamps a command and puts it into the log.
    pub(super) fn propose(&mut self, token: Token, command: M::Command, until: Option<Time>, seat: Option<Seat<M>>) {
        let Some(clock) = &mut self.clock else { return self.refuse(token, Refusal::NotLeader { leader: None }) };
        let stamp = clock.stamp(self.now);
        #[cfg(feature = "mutants")]
        let stamp = if self.planted.is(Mutant::WallClockLease) { self.stamp.max(Stamp(self.wall_ms)) } else { stamp };
        let entry = LogCommand { stamp, command: &command };
        let proposed = self.raft.propose(Vec::new(), encode(&entry));
        self.jitter();
        if proposed.is_err() {
            // Nothing was written.
            if let Some((key, _)) = &seat {
                self.waiters.done(key);
            }
            // Raft takes no proposals while it hands leadership over, nor when too much waits for a majority.
            if self.leads() && self.raft.raft.lead_transferee.is_none() {
                return self.overloaded(token);
            }
            return self.refuse(token, Refusal::NotLeader { leader: None });
        }
        let (index, term) = (self.raft.raft.raft_log.last_index(), self.raft.raft.term);
        if self.planted.is(Mutant::AckBeforeCommit) {
            // The planted bug: it is applied and answered before anybody else has the entry.
            let answer = self.machine.apply(index, stamp, &command);
            self.outputs.push_back(Output::Applied { token, index, answer });
            return;
        }
        let known = self.pending.insert(index, Pending { token, term, command, until, seat });
        assert!(known.is_none(), "two commands wait for entry {index}");
    }

    pub(super) fn query(&mut self, token: Token, query: M::Query, consistency: Consistency) {
        let stale = consistency == Consistency::Stale || self.planted.is(Mutant::StaleRead);
        let by_lease = self.planted.is(Mutant::LeaseBasedRead) && self.leads();
        if stale || by_lease {
            let view = self.machine.read(&query);
            return self.outputs.push_back(Output::Read { token, applied: self.applied, view });
        }
        if self.removed {
            return self.refuse(token, Refusal::Stopping);
        }
        if self.in_flight() >= self.config.max_in_flight {
            return self.overloaded(token);
        }
        self.reads.add(token, query);
    }

    pub(super) fn cancel(&mut self, token: Token) {
        let early = self.early.iter().position(|e| e.token == token);
        if let Some(at) = early {
            self.early.remove(at);
            return self.refuse(token, Refusal::Timeout { in_flight: false });
        }
        if self.waiters.cancel(token).is_some() || self.reads.cancel(token) {
            return self.refuse(token, Refusal::Timeout { in_flight: false });
        }
        let index = self.pending.iter().find(|(_, p)| p.token == token).map(|(index, _)| *index);
        if let Some(gone) = index.and_then(|index| self.pending.remove(&index)) {
            if let Some((key, _)) = gone.seat {
                self.waiters.done(&key);
            }
            self.refuse(token, Refusal::Timeout { in_flight: true });
        }
    }

    /// What this node may do of itself after every input: ask for reads, ask waiters again, give up on what took too long.
    pub(super) fn tend(&mut self) {
        let now = self.now;
        for token in self.reads.expired(now) {
            self.refuse(token, Refusal::ReadUnconfirmed);
        }
        let retry = now + self.config.tick * (2 * self.config.heartbeat_ticks as u32);
        let mut questions = self.reads.retries(now, retry);
        questions.extend(self.reads.ask(now + self.config.read_timeout, retry));
        for number in questions {
            self.raft.read_index(context(self.id, self.start, number));
            self.jitter();
        }
        for waiter in self.waiters.expired(now) {
            let Waiter { token, refusal: (index, answer), .. } = waiter;
            self.outputs.push_back(Output::Applied { token, index, answer });
        }
        while let Some(clock) = self.clock {
            let Some((key, waiter)) = self.waiters.next_due(clock.read(now)) else { break };
            let Waiter { token, command, until, refusal } = waiter;
            if self.planted.is(Mutant::WaiterGrantedUnasked) {
                // The planted bug: the head's command is taken for decided at its place in line.
                let answer = self.machine.apply(self.applied, self.stamp, &command);
                self.outputs.push_back(Output::Applied { token, index: self.applied, answer });
                self.waiters.done(&key);
                continue;
            }
            self.propose(token, command, Some(until), Some((key, refusal)));
        }
        self.release_early();
    }

    fn release_early(&mut self) {
        if self.clock.is_none() {
            return;
        }
        while let Some(Early { token, command, until }) = self.early.pop_front() {
            self.propose(token, command, until, None);
        }
    }

    /// Leadership is gone: what is in the log may or may not come to be, the rest will not.
    pub(super) fn step_down(&mut self) {
        self.clock = None;
        self.led = None;
        let leader = self.leader();
        for pending in std::mem::take(&mut self.pending).into_values() {
            self.refuse(pending.token, Refusal::LeadershipLost);
        }
        for early in std::mem::take(&mut self.early) {
            self.refuse(early.token, Refusal::NotLeader { leader });
        }
        for waiter in self.waiters.clear() {
            self.refuse(waiter.token, Refusal::NotLeader { leader });
        }
        self.changes_step_down();
    }

    pub(super) fn refuse(&mut self, token: Token, refusal: Refusal) {
        self.outputs.push_back(Output::Refused { token, refusal });
    }

    pub(super) fn change(&mut self, token: Token, change: Change) {
        if self.removed {
            return self.refuse(token, Refusal::Stopping);
        }
        if !self.leads() {
            return self.refuse(token, Refusal::NotLeader { leader: self.leader() });
        }
        if let Err(refusal) = self.start_change(token, change) {
            self.refuse(token, refusal);
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.pending.len() + self.early.len() + self.reads.len()
    }
}
