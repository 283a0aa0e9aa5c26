//! A network of groups in virtual time: every message takes a drawn delay, writes are durable after one, nodes can be cut off,
//! crashed and started again from what was durable.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use gossip_core::consensus::{
    BadMessage, Change, Config, Consistency, Group, Input, Member, Members, Output, Persist, Recovered, Refusal,
    RestoreError, StateMachine, Ticket, Token,
};
use gossip_core::coordination::Stamp;
use gossip_core::mutants::Planted;
use gossip_core::time::Time;
use raft::eraftpb::Message;

/// A list of numbers. A negative one waits for the number 0 to be added.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct List {
    pub(crate) items: Vec<(i64, u64)>,
}

impl StateMachine for List {
    type Command = i64;
    type Answer = Result<usize, u64>;
    type Query = ();
    type View = Vec<(i64, u64)>;
    type WaitKey = ();

    fn apply(&mut self, _: u64, stamp: Stamp, command: &i64) -> Self::Answer {
        if *command < 0 && !self.items.iter().any(|(n, _)| *n == 0) {
            return Err(stamp.0 + 10_000);
        }
        self.items.push((*command, stamp.0));
        Ok(self.items.len())
    }

    fn read(&self, (): &()) -> Self::View {
        self.items.clone()
    }

    fn blocked_on(&self, _: &i64, answer: &Self::Answer) -> Option<((), Stamp)> {
        answer.err().map(|stamp| ((), Stamp(stamp)))
    }

    fn released_by(&self, command: &i64, _: &Self::Answer) -> Vec<()> {
        if *command == 0 { vec![()] } else { vec![] }
    }

    fn snapshot(&self) -> Vec<u8> {
        self.items.iter().flat_map(|(n, s)| [n.to_le_bytes(), s.to_le_bytes()].concat()).collect()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        if !snapshot.len().is_multiple_of(16) {
            return Err(RestoreError("half an item".into()));
        }
        let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        self.items = snapshot.chunks(16).map(|c| (number(&c[..8]), number(&c[8..]) as u64)).collect();
        Ok(())
    }
}

/// What came back for a token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Applied(Result<usize, u64>),
    Read(Vec<(i64, u64)>),
    Changed(u64),
    Refused(Refusal),
}

#[derive(Debug)]
enum Event {
    Deliver(Box<Message>),
    Durable { node: u64, life: u64, persist: Box<Persist> },
}

pub(crate) struct Host {
    pub(crate) group: Option<Group<List>>,
    pub(crate) disk: Recovered,
    life: u64,
    durable: u64,
    held: Vec<(u64, Box<Message>)>,
}

pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) hosts: BTreeMap<u64, Host>,
    pub(crate) cut: BTreeSet<(u64, u64)>,
    pub(crate) replies: BTreeMap<u64, Reply>,
    /// Percent of messages lost and doubled.
    pub(crate) loss: u64,
    /// Milliseconds that these nodes' disks take longer over each write.
    pub(crate) slow_disks: BTreeMap<u64, u64>,
    pub(crate) fatal: Vec<(u64, String)>,
    /// Messages that were not heard: by whom sent, and why.
    pub(crate) bad: Vec<(u64, BadMessage)>,
    /// Who led in which term.
    pub(crate) leaders: BTreeMap<u64, u64>,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    events: BTreeMap<u64, Event>,
    sequence: u64,
    random: u64,
    tokens: u64,
    config: Config,
    planted: Planted,
    /// A hash over everything that was sent and applied.
    pub(crate) trace: u64,
}

impl Net {
    pub(crate) fn new(nodes: u64, seed: u64, config: Config) -> Self {
        Net::with_bug(nodes, seed, config, Planted::NONE)
    }

    pub(crate) fn with_bug(nodes: u64, seed: u64, config: Config, planted: Planted) -> Self {
        let member = |id| Member { id, name: format!("n{id}"), address: format!("n{id}:1"), voter: true };
        let members = Members { nodes: (1..=nodes).map(member).collect(), next_id: nodes + 1 };
        let record = Group::bootstrap_record(&members, &List::default());
        let mut net = Net {
            now: Time::from_millis(1),
            hosts: BTreeMap::new(),
            cut: BTreeSet::new(),
            replies: BTreeMap::new(),
            loss: 0,
            slow_disks: BTreeMap::new(),
            fatal: Vec::new(),
            bad: Vec::new(),
            leaders: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            random: seed.wrapping_mul(2) + 1,
            tokens: 0,
            config,
            planted,
            trace: 0,
        };
        for id in 1..=nodes {
            net.add_host(id, Recovered { snapshot: Some(record.clone()), ..Recovered::default() });
        }
        net
    }

    pub(crate) fn add_host(&mut self, id: u64, disk: Recovered) {
        self.hosts.insert(id, Host { group: None, disk, life: 0, durable: 0, held: Vec::new() });
        self.start(id);
    }

    pub(crate) fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    pub(crate) fn start(&mut self, id: u64) {
        let config = Config { seed: self.random ^ id, ..self.config.clone() };
        let host = self.hosts.get_mut(&id).expect("a host");
        (host.life, host.durable) = (host.life + 1, 0);
        let group = Group::new(id, config, host.disk.clone(), List::default(), self.planted, self.now);
        host.group = Some(group.expect("a disk that holds a log"));
        self.drain(id);
    }

    pub(crate) fn crash(&mut self, id: u64) {
        let host = self.hosts.get_mut(&id).expect("a host");
        host.group = None;
        host.held.clear();
    }

    pub(crate) fn isolate(&mut self, id: u64) {
        let others: Vec<u64> = self.hosts.keys().copied().filter(|other| *other != id).collect();
        self.cut.extend(others.iter().flat_map(|other| [(id, *other), (*other, id)]));
    }

    pub(crate) fn input(&mut self, id: u64, input: Input<List>) {
        self.inputs(id, [input]);
    }

    /// Inputs that are there at the same time.
    pub(crate) fn inputs(&mut self, id: u64, inputs: impl IntoIterator<Item = Input<List>>) {
        if let Some(group) = self.hosts.get_mut(&id).and_then(|h| h.group.as_mut()) {
            group.handle_all(self.now, inputs);
            self.drain(id);
        }
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    pub(crate) fn submit(&mut self, id: u64, command: i64, wait: Duration) -> u64 {
        let token = self.token();
        self.input(id, Input::Submit { token, command, wait });
        token.0
    }

    pub(crate) fn read(&mut self, id: u64) -> u64 {
        let token = self.token();
        self.input(id, Input::Query { token, query: (), consistency: Consistency::Linearizable });
        token.0
    }

    pub(crate) fn change(&mut self, id: u64, change: Change) -> u64 {
        let token = self.token();
        self.input(id, Input::Change { token, change });
        token.0
    }

    /// The node that leads in the highest term and may stamp.
    pub(crate) fn leader(&self) -> Option<u64> {
        let groups = self.hosts.iter().filter_map(|(id, h)| Some((*id, h.group.as_ref()?.status())));
        groups
            .filter(|(_, s)| s.role == gossip_core::consensus::Role::Leader && s.ready)
            .max_by_key(|(_, s)| s.term)
            .map(|(id, _)| id)
    }

    pub(crate) fn group(&self, id: u64) -> &Group<List> {
        self.hosts[&id].group.as_ref().expect("a running node")
    }

    pub(crate) fn run(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            let wake = self.hosts.iter().filter_map(|(id, h)| Some((h.group.as_ref()?.deadline(), *id))).min();
            let event = self.queue.peek().map(|Reverse((time, _))| *time);
            let next = wake.map_or(Time::MAX, |(t, _)| t).min(event.unwrap_or(Time::MAX));
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if event == Some(next) {
                self.step();
            } else if let Some((_, id)) = wake {
                self.input(id, Input::Wake);
            }
        }
    }

    /// Runs until `done`, for ten virtual seconds at most.
    pub(crate) fn run_until(&mut self, what: &str, done: impl Fn(&Net) -> bool) {
        for _ in 0..1000 {
            if done(self) {
                return;
            }
            self.run(Duration::from_millis(10));
        }
        panic!("{what} did not come to pass");
    }

    pub(crate) fn await_leader(&mut self) -> u64 {
        self.run_until("a leader", |net| net.leader().is_some());
        self.leader().expect("a leader")
    }

    fn schedule(&mut self, delay_ms: u64, event: Event) {
        self.sequence += 1;
        let jitter = self.draw(1000);
        self.queue.push(Reverse((self.now + Duration::from_micros(delay_ms * 1000 + jitter), self.sequence)));
        self.events.insert(self.sequence, event);
    }

    fn step(&mut self) {
        let Some(Reverse((_, sequence))) = self.queue.pop() else { return };
        match self.events.remove(&sequence).expect("a scheduled event") {
            Event::Deliver(message) => {
                if !self.cut.contains(&(message.from, message.to)) {
                    let to = message.to;
                    self.input(to, Input::Message(message));
                }
            }
            Event::Durable { node, life, persist } => {
                let host = self.hosts.get_mut(&node).expect("a host");
                if host.life != life || host.group.is_none() {
                    return;
                }
                host.durable = persist.ticket;
                let ticket = persist.ticket;
                write(&mut host.disk, *persist);
                let (free, held): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut host.held).into_iter().partition(|(after, _)| *after <= ticket);
                host.held = held;
                for (_, message) in free {
                    self.send(message);
                }
                self.input(node, Input::Persisted(Ticket(ticket)));
            }
        }
    }

    fn send(&mut self, message: Box<Message>) {
        self.note(message.from ^ message.to << 8 ^ message.term << 16 ^ message.index << 32);
        if self.draw(100) < self.loss {
            return;
        }
        if self.draw(100) < self.loss / 2 {
            let delay = self.draw(40);
            self.schedule(delay, Event::Deliver(message.clone()));
        }
        let delay = if self.loss > 0 { self.draw(20) } else { 1 };
        self.schedule(delay, Event::Deliver(message));
    }

    fn note(&mut self, x: u64) {
        self.trace = (self.trace.rotate_left(5) ^ x).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn drain(&mut self, id: u64) {
        loop {
            let host = self.hosts.get_mut(&id).expect("a host");
            let Some(group) = host.group.as_mut() else { return };
            let Some(output) = group.poll() else { break };
            match output {
                Output::Persist(persist) => {
                    let life = host.life;
                    let delay = 1 + self.draw(4) + self.slow_disks.get(&id).copied().unwrap_or_default();
                    // The disk keeps the order of writes: each is durable no earlier than the one before.
                    self.schedule_write(id, life, delay, *persist);
                }
                Output::Send { message, after } => match after {
                    Some(Ticket(ticket)) if ticket > host.durable => host.held.push((ticket, message)),
                    _ => self.send(message),
                },
                Output::Applied { token, answer, .. } => self.reply(token, Reply::Applied(answer)),
                Output::Read { token, view, .. } => self.reply(token, Reply::Read(view)),
                Output::Changed { token, node } => self.reply(token, Reply::Changed(node)),
                Output::Refused { token, refusal } => self.reply(token, Reply::Refused(refusal)),
                Output::BadMessage { from, problem } => self.bad.push((from, problem)),
                Output::Fatal(line) => self.fatal.push((id, line)),
            }
        }
        let status = self.group(id).status();
        if status.role == gossip_core::consensus::Role::Leader {
            let known = self.leaders.insert(status.term, id);
            assert!(known.is_none_or(|other| other == id), "two leaders in term {}", status.term);
        }
    }

    fn schedule_write(&mut self, node: u64, life: u64, delay: u64, persist: Persist) {
        let latest = self
            .queue
            .iter()
            .filter(|Reverse((_, s))| matches!(&self.events[s], Event::Durable { node: n, .. } if *n == node))
            .map(|Reverse((time, _))| *time)
            .max();
        let due = (self.now + Duration::from_millis(delay)).max(latest.unwrap_or(Time::ZERO));
        self.sequence += 1;
        self.queue.push(Reverse((due, self.sequence)));
        self.events.insert(self.sequence, Event::Durable { node, life, persist: Box::new(persist) });
    }

    fn reply(&mut self, token: Token, reply: Reply) {
        self.note(token.0);
        let known = self.replies.insert(token.0, reply);
        assert!(known.is_none(), "request {} was answered twice", token.0);
    }
}

/// What a disk does with one write.
fn write(disk: &mut Recovered, persist: Persist) {
    if let Some(state) = persist.hard_state {
        disk.hard_state = state;
    }
    if let Some(record) = persist.snapshot {
        if !persist.keeps_log {
            disk.entries.clear();
        }
        disk.snapshot = Some(record);
    }
    if let Some(first) = persist.entries.first() {
        disk.entries.retain(|e| e.index < first.index);
    }
    disk.entries.extend(persist.entries);
    if let Some(index) = persist.compact_to {
        disk.entries.retain(|e| e.index > index);
    }
}
