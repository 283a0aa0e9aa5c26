//! The pump of a node: inputs in, outputs out, nothing visible before what it depends on is durable.

use gossip_core::consensus::{Input, NodeId, Output, Persist, Role, Ticket, Token};
use gossip_core::coordination::{Command, Rejection};
use raft::eraftpb::{Message, MessageType};

use super::disk::Begun;
use super::node::Caller;
use super::queue::{MILLI, Nanos};
use super::request::{Ask, Reply};
use super::{Event, World};
use crate::faults::Fault;
use crate::invariants::Watched;
use crate::invariants::oracle::at_the_edge;
use crate::reach::Event as Rare;
use gossip_core::consensus::Consistency;
use std::time::Duration;

/// Inputs that wait at a stopped process before more are lost.
const BACKLOG: usize = 4096;

impl World {
    /// Hands one input to the process in this place, if one runs there.
    pub(super) fn input(&mut self, place: usize, input: Input<Watched>) {
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else { return };
        if let Some(inbox) = &mut process.stopped {
            if inbox.len() < BACKLOG {
                inbox.push(input);
            }
            return;
        }
        #[cfg(feature = "mutants")]
        process.group.set_wall_clock(machine.clock.wall(now) / MILLI);
        process.group.handle(machine.clock.read(now), input);
        self.drain(place);
    }

    /// Takes every output. A process may die between any two.
    pub(super) fn drain(&mut self, place: usize) {
        loop {
            let Some(process) = &mut self.machines[place].process else { return };
            let Some(output) = process.group.poll() else { break };
            match &mut process.fuse {
                Some(0) => {
                    self.reach.fault(Fault::CrashBetween);
                    return self.kill(place);
                }
                Some(left) => *left -= 1,
                None => {}
            }
            match output {
                Output::Persist(write) => self.write(place, *write),
                Output::Send { message, after } => match after {
                    Some(Ticket(ticket)) if ticket > process.durable => process.held.push_back((ticket, message)),
                    _ => self.transmit(place, message),
                },
                Output::Applied { token, answer, .. } => self.respond(place, token, Reply::Applied(answer)),
                Output::Read { token, applied, view } => self.respond(place, token, Reply::Read { applied, view }),
                Output::Changed { token, .. } => self.respond(place, token, Reply::Changed),
                Output::Refused { token, refusal } => self.respond(place, token, Reply::Refused(refusal)),
                // The network of this world loses, delays and doubles; it makes up nothing. So the core refuses its own words.
                Output::BadMessage { from, problem } => self.fatal(place, &format!("a message of {from}: {problem}")),
                Output::Fatal(line) => self.fatal(place, &line),
            }
        }
        self.after_input(place);
    }

    fn after_input(&mut self, place: usize) {
        self.consult_ledger();
        let Some(process) = &self.machines[place].process else { return };
        let status = process.group.status();
        if status.role == Role::Leader {
            if let Err(violation) = self.elections.leads(status.id, status.term)
                && !self.blind
            {
                self.fail(violation);
            }
            if !self.blind {
                self.look_at_newcomer(place);
            }
            if self.elections.count() > 1 {
                self.met(Rare::LeaderChange);
            }
        }
        self.sync(place);
        self.plan_wake(place);
    }

    fn write(&mut self, place: usize, write: Persist) {
        let machine = &mut self.machines[place];
        if let Some(first) = write.entries.first().filter(|_| !self.blind) {
            let previous = machine.disk.term_before(first.index);
            if let Err(violation) = self.logs.written(&write.entries, previous) {
                self.violation.get_or_insert(violation);
            }
        }
        match &write.snapshot {
            Some(_) if write.keeps_log => self.reach.event(Rare::SnapshotMade),
            Some(_) => self.reach.event(Rare::SnapshotInstalled),
            None => {}
        }
        self.trace.mark(self.queue.now(), 0x300 | place as u64 | write.ticket << 16);
        machine.disk.write(write);
    }

    /// Writes what waits for it, unless a sync is under way.
    fn sync(&mut self, place: usize) {
        let machine = &mut self.machines[place];
        match machine.disk.begin(&mut self.reach) {
            Ok(Begun::Nothing) => {}
            Ok(Begun::Free(ticket)) => self.persisted(place, ticket),
            Ok(Begun::Sync(takes)) => self.queue.after(takes, Event::Synced { place, life: machine.life }),
            Err(why) => self.give_up(place, &why),
        }
    }

    pub(super) fn synced(&mut self, place: usize, life: u32) {
        let machine = &mut self.machines[place];
        if machine.process.is_none() || machine.life != life {
            return;
        }
        match machine.disk.end_sync(&mut self.reach) {
            Ok(durable) => self.persisted(place, durable),
            Err(why) => return self.give_up(place, &why),
        }
        self.sync(place);
    }

    /// All writes up to this ticket count as durable.
    fn persisted(&mut self, place: usize, ticket: u64) {
        let Some(process) = &mut self.machines[place].process else { return };
        process.durable = ticket;
        self.release_held(place);
        self.input(place, Input::Persisted(Ticket(ticket)));
    }

    /// Sends what waited for a write that is durable now.
    pub(super) fn release_held(&mut self, place: usize) {
        let Some(process) = &mut self.machines[place].process else { return };
        if process.stopped.is_some() {
            return;
        }
        let durable = process.durable;
        let free = process.held.iter().take_while(|(after, _)| *after <= durable).count();
        let free: Vec<(u64, Box<Message>)> = process.held.drain(..free).collect();
        free.into_iter().for_each(|(_, message)| self.transmit(place, message));
    }

    pub(super) fn place_of(&self, node: NodeId) -> Option<usize> {
        self.places.get(node as usize).copied().filter(|&place| self.machines[place].id == node)
    }

    fn transmit(&mut self, from: usize, message: Box<Message>) {
        let now = self.queue.now();
        self.trace.mark(now, 0x400 | from as u64 | message.to << 8 ^ message.index << 24 ^ message.term << 48);
        let Some(to) = self.place_of(message.to) else { return };
        let journey = self.net.send(now, from, to, &mut self.reach);
        let Some(first) = journey.first else {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                let (life, node) = (self.machines[from].life, message.to);
                let undelivered = Event::Undelivered { place: from, life, to: node, snapshot: Some(false) };
                self.queue.after(100 * MILLI, undelivered);
            }
            return;
        };
        if let Some(copy) = journey.copy {
            self.queue.after(copy, Event::Deliver { from, to, message: message.clone() });
        }
        self.queue.after(first, Event::Deliver { from, to, message });
    }

    pub(super) fn deliver(&mut self, from: usize, to: usize, message: Box<Message>) {
        let now = self.queue.now();
        self.trace.mark(now, 0x500 | to as u64 | message.from << 8 ^ message.index << 24 ^ message.term << 48);
        let snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
        let life = self.machines[from].life;
        let down = self.machines[to].process.is_none();
        if down || snapshot {
            let arrived = snapshot.then_some(!down);
            self.queue.after(MILLI, Event::Undelivered { place: from, life, to: message.to, snapshot: arrived });
        }
        self.input(to, Input::Message(message));
    }

    /// Tells the sender what became of its message.
    pub(super) fn undelivered(&mut self, place: usize, life: u32, to: NodeId, snapshot: Option<bool>) {
        if self.machines[place].life != life {
            return;
        }
        let input = match snapshot {
            Some(arrived) => Input::SnapshotSent(to, arrived),
            None => Input::Unreachable(to),
        };
        self.input(place, input);
    }

    pub(super) fn plan_wake(&mut self, place: usize) {
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else { return };
        let deadline = process.group.deadline();
        // Most inputs move no deadline, and what was worked out for it still holds.
        if process.wake != Nanos::MAX && deadline >= process.planned {
            return;
        }
        process.planned = deadline;
        let Some(when) = machine.clock.when(deadline, now) else { return };
        if when < process.wake {
            process.wake = when;
            self.queue.at(when, Event::Wake { place, life: machine.life });
        }
    }

    pub(super) fn wake(&mut self, place: usize, life: u32) {
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        if machine.life != life || !machine.is_up() {
            return;
        }
        let Some(process) = &mut machine.process else { return };
        if process.wake > now {
            return;
        }
        process.wake = Nanos::MAX;
        if machine.clock.read(now) >= process.group.deadline() {
            self.input(place, Input::Wake);
        } else {
            self.plan_wake(place);
        }
    }

    /// A request reaches a machine.
    pub(super) fn request(&mut self, place: usize, caller: Caller, ask: Ask, patience: Nanos) {
        self.tokens += 1;
        let token = Token(self.tokens);
        if self.machines[place].process.is_none() {
            return self.reply(caller, Reply::Unreachable);
        }
        let input = match ask {
            Ask::Submit { command, wait, unchecked } => {
                if let Some(rejection) = self.edge(&command).filter(|_| !unchecked) {
                    return self.reply(caller, Reply::Applied(Err(rejection)));
                }
                Input::Submit { token, command, wait: Duration::from_nanos(wait) }
            }
            Ask::Query { query, stale } => {
                let consistency = if stale { Consistency::Stale } else { Consistency::Linearizable };
                Input::Query { token, query, consistency }
            }
            Ask::Change(change) => Input::Change { token, change },
        };
        let machine = &mut self.machines[place];
        if let Some(process) = &mut machine.process {
            process.calls.insert(token, caller);
        }
        self.queue.after(patience, Event::Cancel { place, life: machine.life, token });
        self.input(place, input);
    }

    /// What the edge of a node refuses before it enters the log. No ledger sees that, so the oracle is asked here.
    fn edge(&mut self, command: &Command) -> Option<Rejection> {
        let refused = command.check_with(self.planted).err();
        if !self.blind
            && let Err(violation) = at_the_edge(command, refused.as_ref())
        {
            self.fail(violation);
        }
        refused
    }

    pub(super) fn cancel(&mut self, place: usize, life: u32, token: Token) {
        let machine = &mut self.machines[place];
        let waits = machine.process.as_ref().is_some_and(|process| process.calls.contains_key(&token));
        if waits && machine.life == life {
            self.input(place, Input::Cancel(token));
        }
    }

    fn respond(&mut self, place: usize, token: Token, reply: Reply) {
        let Some(process) = &mut self.machines[place].process else { return };
        let Some(caller) = process.calls.remove(&token) else { return };
        if matches!(reply, Reply::Changed) && self.transfers.contains(&caller.attempt) {
            self.reach.fault(Fault::TransferLeader);
        }
        self.trace.mark(self.queue.now(), 0x600 | place as u64 | token.0 << 16);
        self.reply(caller, reply);
    }
}
