//! The core's loop: a task beside the connections, on the same thread, so that no request pays for a switch.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gossip_core::consensus::{
    Change, Consistency, Member, Members, NodeId, Output, Persist, Refusal, Role, Ticket, Token,
};
use gossip_core::coordination::{Answer, Command, TenantQuery};
use gossip_core::mutants::Planted;
use raft::eraftpb::Message;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::budget::{Budget, Bytes, Place};
use super::handle::{Failure, Handle, ReadAnswer, Reply, StatusPage};
use super::{ServiceGroup, ServiceInput, ServiceOutput};
use crate::clock::Clock;
use crate::pool::Held;
use crate::store::thread::{Report, Writer};
use crate::store::{Storage, StoreError};

/// Events taken together: they share one write and one message to each follower.
const BATCH: usize = 512;

#[derive(Debug)]
pub(super) enum Event {
    Submit { token: Token, command: Command, wait: Duration, reply: Reply<Answer>, room: (Place, Held) },
    Query { token: Token, query: TenantQuery, consistency: Consistency, reply: Reply<ReadAnswer>, room: (Place, Held) },
    Change { token: Token, change: Change, reply: Reply<NodeId>, room: (Place, Held) },
    Cancel(Token),
    Status(oneshot::Sender<StatusPage>),
    Peer(Box<Message>, #[expect(dead_code, reason = "held for its end")] Bytes),
    Unreachable(NodeId),
    SnapshotSent(NodeId, bool),
    Stored(Report),
    Stop,
}

/// Why the core ended.
#[derive(Debug)]
pub enum Stopped {
    /// It was asked to.
    Asked,
    /// The store failed.
    Store(StoreError),
    /// The group cannot go on.
    Group(String),
}

/// What the driver needs beside the group.
#[derive(Debug)]
pub struct Parts<S, F> {
    /// The node's store.
    pub storage: S,
    /// The node's clock.
    pub clock: Clock,
    /// The planted bug.
    pub planted: Planted,
    /// Bytes of mutations, and as many of reads, under way before a new one is refused.
    pub in_flight_bytes: u32,
    /// Takes messages for other nodes, with the members as they stand. Must not block.
    pub send: F,
}

#[derive(Debug)]
enum Waiting {
    Answer(Reply<Answer>),
    Read(Reply<ReadAnswer>),
    Change(Reply<NodeId>),
}

/// The core.
#[derive(Debug)]
pub struct Driver<F> {
    group: ServiceGroup,
    clock: Clock,
    events: UnboundedReceiver<Event>,
    writer: Writer,
    send: F,
    /// Who waits, with the bytes of the request.
    waiting: BTreeMap<Token, (Waiting, Held)>,
    /// Messages that wait for a write.
    held: VecDeque<(Ticket, Box<Message>)>,
    durable: Ticket,
    writes: Vec<Persist>,
    applied: watch::Sender<u64>,
    ready: watch::Sender<bool>,
    members: watch::Sender<Members>,
    leads: bool,
}

impl<F: FnMut(Message, &[Member])> Driver<F> {
    /// Joins group, store, clock and transport. Nothing runs until [`Driver::run`].
    ///
    /// # Errors
    /// The system gives no thread for the store.
    pub fn new<S: Storage + 'static>(group: ServiceGroup, parts: Parts<S, F>) -> std::io::Result<(Self, Handle)> {
        let (sender, events) = unbounded_channel();
        let reports = sender.clone();
        let writer = Writer::start(parts.storage, parts.planted, move |report| {
            // The core may have ended first: then nobody waits for this.
            let _ = reports.send(Event::Stored(report));
        })?;
        let (applied, applied_seen) = watch::channel(0);
        let (ready, ready_seen) = watch::channel(false);
        let (members, members_seen) = watch::channel(group.members().clone());
        let handle = Handle::new(sender, Budget::new(parts.in_flight_bytes), applied_seen, ready_seen, members_seen);
        let driver = Driver {
            group,
            clock: parts.clock,
            events,
            writer,
            send: parts.send,
            waiting: BTreeMap::new(),
            held: VecDeque::new(),
            durable: Ticket(0),
            writes: Vec::new(),
            applied,
            ready,
            members,
            leads: false,
        };
        Ok((driver, handle))
    }

    /// Runs until it is stopped or cannot go on.
    pub async fn run(mut self) -> Stopped {
        let mut inputs = Vec::new();
        // Outputs of the start itself.
        if let Some(stopped) = self.take_outputs() {
            return stopped;
        }
        loop {
            let patience = self.clock.until(self.group.deadline());
            match timeout(patience, self.events.recv()).await {
                Ok(Some(event)) => {
                    if let Some(stopped) = self.accept(event, &mut inputs) {
                        return stopped;
                    }
                }
                Ok(None) => return Stopped::Asked,
                Err(_) => {}
            }
            while inputs.len() < BATCH {
                let Ok(event) = self.events.try_recv() else { break };
                if let Some(stopped) = self.accept(event, &mut inputs) {
                    return stopped;
                }
            }
            let now = self.clock.now();
            #[cfg(feature = "mutants")]
            self.group.set_wall_clock(self.clock.wall_ms());
            if inputs.is_empty() {
                inputs.push(ServiceInput::Wake);
            }
            metrics::histogram!("gossip_core_batch_inputs").record(inputs.len() as f64);
            self.group.handle_all(now, inputs.drain(..));
            if let Some(stopped) = self.take_outputs() {
                return stopped;
            }
            self.publish();
        }
    }

    fn accept(&mut self, event: Event, inputs: &mut Vec<ServiceInput>) -> Option<Stopped> {
        match event {
            Event::Submit { token, command, wait, reply, room: (_, bytes) } => {
                self.waiting.insert(token, (Waiting::Answer(reply), bytes));
                inputs.push(ServiceInput::Submit { token, command, wait });
            }
            Event::Query { token, query, consistency, reply, room: (_, bytes) } => {
                self.waiting.insert(token, (Waiting::Read(reply), bytes));
                inputs.push(ServiceInput::Query { token, query, consistency });
            }
            Event::Change { token, change, reply, room: (_, bytes) } => {
                self.waiting.insert(token, (Waiting::Change(reply), bytes));
                inputs.push(ServiceInput::Change { token, change });
            }
            Event::Cancel(token) => {
                if self.waiting.remove(&token).is_some() {
                    inputs.push(ServiceInput::Cancel(token));
                }
            }
            Event::Status(reply) => {
                let members = self.group.members().clone();
                let removed = self.group.is_removed();
                let (machine, status) = (self.group.machine(), self.group.status());
                // Whoever asked may have gone.
                let _ = reply.send(StatusPage { status, members, removed, totals: machine.totals() });
            }
            Event::Peer(message, _) => inputs.push(ServiceInput::Message(message)),
            Event::Unreachable(node) => inputs.push(ServiceInput::Unreachable(node)),
            Event::SnapshotSent(node, arrived) => inputs.push(ServiceInput::SnapshotSent(node, arrived)),
            Event::Stored(Report::Durable(ticket)) => {
                self.durable = self.durable.max(ticket);
                self.release();
                inputs.push(ServiceInput::Persisted(ticket));
            }
            Event::Stored(Report::Failed(error)) => return Some(Stopped::Store(error)),
            Event::Stop => return Some(Stopped::Asked),
        }
        None
    }

    /// Sends what waited for the writes that are durable now.
    fn release(&mut self) {
        while self.held.front().is_some_and(|(after, _)| *after <= self.durable) {
            if let Some((_, message)) = self.held.pop_front() {
                (self.send)(*message, &self.group.members().nodes);
            }
        }
    }

    fn take_outputs(&mut self) -> Option<Stopped> {
        while let Some(output) = self.group.poll() {
            match output {
                Output::Persist(write) => self.writes.push(*write),
                Output::Send { message, after: Some(ticket) } if ticket > self.durable => {
                    self.held.push_back((ticket, message));
                }
                Output::Send { message, .. } => (self.send)(*message, &self.group.members().nodes),
                Output::BadMessage { from, problem } => {
                    tracing::warn!(node = from, %problem, "a message of the group makes no sense");
                }
                Output::Fatal(line) => return Some(Stopped::Group(line)),
                output => self.answer(output),
            }
        }
        if !self.writes.is_empty() {
            self.writer.send(std::mem::take(&mut self.writes));
        }
        None
    }

    fn answer(&mut self, output: ServiceOutput) {
        // A request that was cancelled has nobody waiting any more; a reply whose caller has gone is dropped.
        match output {
            Output::Applied { token, answer, .. } => {
                if let Some((Waiting::Answer(reply), _)) = self.waiting.remove(&token) {
                    let _ = reply.send(answer.map_err(Failure::Rejected));
                }
            }
            Output::Read { token, applied, view } => {
                if let Some((Waiting::Read(reply), room)) = self.waiting.remove(&token) {
                    let lease_clock_ms = self.group.machine().clock().0;
                    let read = view.map(|view| ReadAnswer { view, applied, lease_clock_ms, room });
                    let _ = reply.send(read.map_err(Failure::Rejected));
                }
            }
            Output::Changed { token, node } => {
                if let Some((Waiting::Change(reply), _)) = self.waiting.remove(&token) {
                    let _ = reply.send(Ok(node));
                }
            }
            Output::Refused { token, refusal } => self.refused(token, refusal),
            Output::Persist(_) | Output::Send { .. } | Output::BadMessage { .. } | Output::Fatal(_) => {
                unreachable!("taken before")
            }
        }
    }

    fn refused(&mut self, token: Token, refusal: Refusal) {
        let leader = match &refusal {
            Refusal::NotLeader { leader } => leader.or_else(|| self.group.leader()),
            _ => self.group.leader(),
        };
        let member = self.group.members().nodes.iter().find(|m| Some(m.id) == leader).cloned();
        let failure = Failure::Refused(refusal, member);
        match self.waiting.remove(&token) {
            Some((Waiting::Answer(reply), _)) => drop(reply.send(Err(failure))),
            Some((Waiting::Read(reply), _)) => drop(reply.send(Err(failure))),
            Some((Waiting::Change(reply), _)) => drop(reply.send(Err(failure))),
            None => {}
        }
    }

    /// Tells the async world what has moved.
    fn publish(&mut self) {
        let status = self.group.status();
        self.applied.send_if_modified(|seen| std::mem::replace(seen, status.applied) != status.applied);
        self.ready.send_if_modified(|seen| std::mem::replace(seen, status.ready) != status.ready);
        if *self.members.borrow() != *self.group.members() {
            self.members.send_replace(self.group.members().clone());
        }
        let leads = status.role == Role::Leader;
        if leads != self.leads {
            self.leads = leads;
            tracing::info!(term = status.term, leads, "leadership changed");
        }
        metrics::gauge!("gossip_raft_term").set(status.term as f64);
        metrics::gauge!("gossip_raft_commit_index").set(status.commit as f64);
        metrics::gauge!("gossip_raft_applied_index").set(status.applied as f64);
        metrics::gauge!("gossip_raft_is_leader").set(f64::from(u8::from(leads)));
        metrics::gauge!("gossip_requests_in_flight").set(status.in_flight as f64);
        metrics::gauge!("gossip_waiters").set(status.waiters as f64);
    }
}
