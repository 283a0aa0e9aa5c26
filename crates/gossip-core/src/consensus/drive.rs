//! From raft's `Ready` to outputs: what to write, what to send and when, what to apply.

use raft::eraftpb::{ConfChange, Entry, EntryType, Message, MessageType};
use raft::{Ready, StateRole};

use super::api::{NodeId, Output, Persist, SnapshotData, Ticket};
use super::batch;
use super::clock::LeaseClock;
use super::codec::{LogCommand, decode, encode};
use super::group::Group;
use super::log::{self};
use super::machine::StateMachine;
use super::reads::number_of;
use super::requests::Pending;
use super::waiters::Waiter;
use crate::coordination::ids::Stamp;
use crate::mutants::Mutant;

impl<M: StateMachine> Group<M> {
    /// Runs raft until it has nothing more to say.
    pub(super) fn drive(&mut self) {
        self.notice_role();
        self.tend();
        while !self.failed && self.raft.has_ready() {
            let ready = self.raft.ready();
            self.take(ready);
            self.jitter();
            self.notice_role();
            self.serve_reads();
            self.tend();
        }
        self.serve_reads();
        if !self.failed {
            self.maybe_snapshot();
        }
    }

    /// Notices that leadership came or went, also from one term to the next within one input.
    fn notice_role(&mut self) {
        let raft = &self.raft.raft;
        let leads = (raft.state == StateRole::Leader).then_some(raft.term);
        if self.led.is_some() && self.led != leads {
            self.step_down();
        }
        if leads.is_some() && self.led != leads {
            self.begin_to_lead();
        }
        self.led = leads;
        self.settle_transfer();
    }

    fn take(&mut self, mut ready: Ready) {
        let leading = batch::join(ready.take_messages(), self.config.max_message_bytes);
        if !ready.snapshot().data.is_empty() || ready.snapshot().get_metadata().index > 0 {
            let record = log::from_raft(ready.snapshot());
            if let Err(problem) = self.install(&record) {
                return self.fail(format!("the leader's snapshot at {} cannot be read: {problem}", record.index));
            }
        }
        let ticket = self.write(&mut ready);
        // A leader's messages need not wait for its own log, but for its term. Who won with the votes of others had it on disk before
        // they voted; a lone voter with a learner would send before, and after a crash lead in the same term once more, with other
        // entries.
        for message in leading {
            self.send(message, self.term_ticket);
        }
        for message in ready.take_persisted_messages() {
            // A sign of life speaks of nothing in the log: a slow disk must not make a healthy follower look dead to a leader that
            // checks its quorum. Only the term it names must be on disk.
            let alive = message.get_msg_type() == MessageType::MsgHeartbeatResponse;
            self.send(message, if alive { self.term_ticket } else { ticket });
        }
        for state in ready.take_read_states() {
            if let Some(number) = number_of(&state.request_ctx, self.id, self.start) {
                self.reads.confirm(number, state.index);
            }
        }
        let committed = ready.take_committed_entries();
        let number = ready.number();
        self.raft.advance_append_async(ready);
        match ticket {
            None => self.raft.on_persist_ready(number),
            Some(ticket) if self.planted.is(Mutant::AckBeforeSync) => {
                self.unsynced.retain(|(t, _)| *t > ticket);
                self.raft.on_persist_ready(number);
            }
            Some(_) => {}
        }
        for entry in committed {
            self.apply(entry);
            if self.failed {
                return;
            }
        }
        self.tell_applied();
    }

    /// Tells raft how far is applied. A snapshot counts only once it is durable.
    pub(super) fn tell_applied(&mut self) {
        let log = &self.raft.raft.raft_log;
        let applied = self.applied.min(log.persisted).min(log.committed);
        if applied > log.applied {
            self.raft.advance_apply_to(applied);
        }
    }

    /// Puts out what must be written. Returns the ticket on which this `Ready` waits: none when all is durable already.
    fn write(&mut self, ready: &mut Ready) -> Option<Ticket> {
        let snapshot = (ready.snapshot().get_metadata().index > 0).then(|| log::from_raft(ready.snapshot()));
        let (must_sync, number) = (ready.must_sync(), ready.number());
        let mut hard_state = ready.hs().cloned();
        let entries = ready.take_entries();
        let log = self.raft.mut_store();
        if let Some(record) = &snapshot {
            log.install(record.clone());
        }
        log.append(&entries);
        let mut new_term = snapshot.is_some();
        if let Some(state) = &hard_state {
            let old = log.hard_state();
            new_term |= (old.term, old.vote) != (state.term, state.vote);
            log.set_hard_state(state.clone());
        }
        if self.planted.is(Mutant::VoteNotPersisted)
            && let Some(state) = &mut hard_state
        {
            state.vote = 0;
        }
        if snapshot.is_none() && hard_state.is_none() && entries.is_empty() {
            // Nothing of its own, but its messages may speak of what earlier writes hold.
            let last = self.unsynced.back_mut()?;
            last.1 = number;
            return Some(last.0);
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.unsynced.push_back((ticket, number));
        if new_term {
            self.term_ticket = Some(ticket);
        }
        self.outputs.push_back(Output::Persist(Box::new(Persist {
            ticket: ticket.0,
            snapshot,
            keeps_log: false,
            hard_state,
            entries,
            compact_to: None,
            must_sync,
        })));
        Some(ticket)
    }

    fn send(&mut self, message: Message, after: Option<Ticket>) {
        let after = if self.planted.is(Mutant::AckBeforeSync) { None } else { after };
        self.outputs.push_back(Output::Send { message: Box::new(message), after });
    }

    fn install(&mut self, record: &super::api::SnapshotRecord) -> Result<(), String> {
        let data: SnapshotData = decode(&record.data)?;
        self.machine.restore(&data.machine).map_err(|e| e.to_string())?;
        self.members = data.members;
        self.stamp = Stamp(data.stamp);
        self.conf_state = record.conf_state.clone();
        self.applied = record.index;
        self.grown = 0;
        self.notice_removal();
        Ok(())
    }

    fn apply(&mut self, entry: Entry) {
        assert!(entry.index == self.applied + 1, "entry {} applied after {}", entry.index, self.applied);
        self.applied = entry.index;
        self.grown += log::size_of(&entry);
        match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() => self.apply_empty(&entry),
            EntryType::EntryNormal => self.apply_command(&entry),
            EntryType::EntryConfChange => match <ConfChange as protobuf::Message>::parse_from_bytes(&entry.data) {
                Ok(change) => self.apply_change(entry.index, entry.term, &change),
                Err(e) => self.fail(format!("entry {} holds no change of members: {e}", entry.index)),
            },
            EntryType::EntryConfChangeV2 => {
                self.fail(format!(
                    "entry {} holds a joint change of members, which this build never makes",
                    entry.index
                ));
            }
        }
    }

    /// The first entry of a leader's term, or a change of members that raft turned into nothing.
    fn apply_empty(&mut self, entry: &Entry) {
        if self.leads() && entry.term == self.raft.raft.term && self.clock.is_none() {
            let base =
                if self.planted.is(Mutant::LeaseClockRestarts) { Stamp(self.now.as_millis()) } else { self.stamp };
            self.clock = Some(LeaseClock::take_over(base, self.now));
        }
        self.void_change(entry.index);
    }

    fn apply_command(&mut self, entry: &Entry) {
        let LogCommand { stamp, command }: LogCommand<M::Command> = match decode(&entry.data) {
            Ok(command) => command,
            Err(e) => return self.fail(format!("entry {} cannot be read: {e}", entry.index)),
        };
        // A planted bug may make stamps fall; else they cannot.
        let restarts = self.planted.is(Mutant::LeaseClockRestarts) || self.planted.is(Mutant::WallClockLease);
        assert!(stamp >= self.stamp || restarts, "the lease clock fell from {} to {}", self.stamp.0, stamp.0);
        self.stamp = stamp;
        let answer = self.machine.apply(entry.index, stamp, &command);
        if self.leads() {
            for key in self.machine.released_by(&command, &answer) {
                self.waiters.wake(&key);
            }
        }
        if let Some(pending) = self.pending.remove(&entry.index) {
            self.answer(entry, pending, answer);
        }
    }

    fn answer(&mut self, entry: &Entry, pending: Pending<M>, answer: M::Answer) {
        let Pending { token, term, command, until, seat } = pending;
        assert!(term == entry.term, "entry {} of term {} answers a command of term {term}", entry.index, entry.term);
        let blocked = until.filter(|until| *until > self.now).and(self.machine.blocked_on(&command, &answer));
        match (blocked, until) {
            (Some((key, wake)), Some(until)) => {
                let waiter = Waiter { token, command, until, refusal: (entry.index, answer) };
                match seat {
                    Some((old, _)) if old == key => self.waiters.back(key, wake, waiter),
                    Some((old, _)) => {
                        self.waiters.done(&old);
                        self.waiters.join(key, wake, waiter);
                    }
                    None => self.waiters.join(key, wake, waiter),
                }
            }
            _ => {
                if let Some((key, _)) = seat {
                    self.waiters.done(&key);
                }
                self.outputs.push_back(Output::Applied { token, index: entry.index, answer });
            }
        }
    }

    fn serve_reads(&mut self) {
        for (token, query) in self.reads.servable(self.applied) {
            let view = self.machine.read(&query);
            self.outputs.push_back(Output::Read { token, applied: self.applied, view });
        }
    }

    /// Makes a snapshot when enough was applied since the last one, or when a follower needs one; drops what lies far behind it.
    ///
    /// Each node has a beat of its own: a node is busy while it writes a snapshot, and when all are at the same entry nobody serves.
    fn maybe_snapshot(&mut self) {
        let last = self.raft.store().snapshot_index();
        let (every, offset) = (self.config.snapshot_entries, own_share(self.id, self.config.snapshot_entries));
        let due = self.config.snapshot_bytes.max(self.raft.store().snapshot_size());
        let grown = (self.applied + offset) / every > (last + offset) / every || self.grown >= due;
        let wanted = self.raft.store().wants_snapshot() && self.applied > last;
        if !grown && !wanted {
            return;
        }
        let term = match self.raft.raft.raft_log.term(self.applied) {
            Ok(term) => term,
            Err(e) => return self.fail(format!("the term of entry {} is gone: {e}", self.applied)),
        };
        let data =
            SnapshotData { members: self.members.clone(), stamp: self.stamp.0, machine: self.machine.snapshot() };
        let record = super::api::SnapshotRecord {
            index: self.applied,
            term,
            conf_state: self.conf_state.clone(),
            data: encode(&data),
        };
        self.grown = 0;
        let log = self.raft.mut_store();
        let compact_to = log.cut(self.applied, self.config.keep_entries, self.config.keep_bytes);
        log.keep(record.clone());
        let compact_to = (compact_to >= log.first()).then_some(compact_to);
        if let Some(index) = compact_to {
            log.compact(index);
        }
        self.tickets += 1;
        // Nothing waits for it: until it is durable the log on disk still says the same.
        let newest = self.unsynced.back().map(|(_, number)| *number);
        if let Some(number) = newest {
            self.unsynced.push_back((Ticket(self.tickets), number));
        }
        self.outputs.push_back(Output::Persist(Box::new(Persist {
            ticket: self.tickets,
            snapshot: Some(record),
            keeps_log: true,
            compact_to,
            ..Persist::default()
        })));
    }
}

/// A part of `whole` by which a node's beat differs from the others': multiples of the golden ratio lie apart, however many there are.
pub(super) fn own_share(id: NodeId, whole: u64) -> u64 {
    let part = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    ((u128::from(whole) * u128::from(part)) >> 32) as u64
}
