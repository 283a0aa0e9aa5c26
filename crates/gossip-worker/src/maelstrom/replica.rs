//! A small state machine on the Raft group: requests in, answers and packets for other nodes out.
//!
//! Only the leader takes commands, so other nodes forward them. Nothing is forwarded twice unless the leader said that it did
//! not take it; what got no answer stays unknown. Everything for one node within [`Service::WINDOW`] goes in one packet. Nothing
//! is written to a disk: Maelstrom stops no process.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gossip_core::consensus::{
    Config, Consistency, Group, Input, Member, Members, NodeId, Output, Recovered, Refusal, StateMachine, Ticket, Token,
};
use gossip_core::mutants::Planted;
use gossip_core::time::Time;
use protobuf::Message as _;
use raft::eraftpb;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire::{Body, Caller, Code, Fault};

/// How long a command waits for a leader to be known: less than the shortest time-out of a Maelstrom client, one second.
const HOLD: Duration = Duration::from_millis(700);
/// How long the answer to a forwarded command is waited for.
const FORWARDED: Duration = Duration::from_secs(5);

/// A request as the state machine takes it.
#[derive(Debug)]
pub(super) enum Request<M: StateMachine> {
    Command(M::Command),
    Query(M::Query, Consistency),
}

/// A state machine with Maelstrom's words around it.
pub(super) trait Service: StateMachine<Answer: Serialize + DeserializeOwned> + Default {
    /// Names it in packets.
    const NAME: &'static str;
    /// How long what is for another node waits for more.
    const WINDOW: Duration;

    fn request(kind: &str, body: &Body) -> Result<Request<Self>, Fault>;
    fn answered(answer: Self::Answer) -> Result<Body, Fault>;
    fn viewed(view: Self::View) -> Result<Body, Fault>;

    /// The answer to a command that would change nothing here, now or later: it needs no entry in the log.
    fn settled(&self, _: &Self::Command) -> Option<Self::Answer> {
        None
    }

    /// What a client gets whose command no leader took in time.
    fn untaken(_: &Self::Command) -> Fault {
        Fault::new(Code::TemporarilyUnavailable, "no leader is known")
    }
}

/// What one node sends another.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Packet {
    /// Raft messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    raft: Vec<String>,
    /// Commands for the leader, under the sender's numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forward: Vec<(u64, String)>,
    /// What became of the receiver's commands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outcomes: Vec<(u64, Outcome)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Answer(String),
    /// Not taken, and never will be.
    Refused,
    Unknown,
}

/// Who waits for an outcome.
#[derive(Debug)]
enum Origin<M: StateMachine> {
    /// With the command and how long it may wait for a leader that takes it; without one it is a read.
    Client(Caller, Option<(M::Command, Time)>),
    Node(NodeId, u64),
}

#[derive(Debug)]
struct Held<M: StateMachine> {
    until: Time,
    caller: Caller,
    command: M::Command,
}

/// What a replica wants done.
#[derive(Debug)]
pub(super) enum Effect {
    Reply(Caller, Result<Body, Fault>),
    /// A packet for the node with this number.
    Packet(NodeId, Value),
    /// A line for the log.
    Log(String),
    /// The group cannot go on: the process must end with this line.
    Fatal(String),
}

#[derive(Debug)]
pub(super) struct Replica<M: Service> {
    me: NodeId,
    now: Time,
    group: Group<M>,
    tokens: u64,
    pending: BTreeMap<Token, Origin<M>>,
    /// When forwarded commands are given up, in order.
    expiries: VecDeque<(Time, Token)>,
    held: VecDeque<Held<M>>,
    outbox: BTreeMap<NodeId, (Time, Packet)>,
    effects: Vec<Effect>,
}

impl<M: Service> Replica<M> {
    /// The node `me` of the nodes 1 to `nodes`.
    pub(super) fn new(me: NodeId, nodes: NodeId, seed: u64, now: Time) -> Self {
        let member = |id| Member { id, name: format!("node {id}"), address: String::new(), voter: true };
        let members = Members { nodes: (1..=nodes).map(member).collect(), next_id: nodes + 1 };
        let record = Group::bootstrap_record(&members, &M::default());
        let disk = Recovered { snapshot: Some(record), ..Recovered::default() };
        let config = Config {
            tick: Duration::from_millis(25),
            heartbeat_ticks: 4,
            election_ticks: 20,
            read_timeout: HOLD,
            seed,
            ..Config::default()
        };
        let group = Group::new(me, config, disk, M::default(), Planted::NONE, now);
        let group = group.unwrap_or_else(|e| unreachable!("a group starts from its bootstrap record: {e}"));
        let mut replica = Replica {
            me,
            now,
            group,
            tokens: 0,
            pending: BTreeMap::new(),
            expiries: VecDeque::new(),
            held: VecDeque::new(),
            outbox: BTreeMap::new(),
            effects: Vec::new(),
        };
        replica.pump();
        replica
    }

    pub(super) fn deadline(&self) -> Time {
        let flush = self.outbox.values().map(|(at, _)| *at).min();
        let held = self.held.front().map(|held| held.until);
        let expiry = self.expiries.front().map(|(at, _)| *at);
        [flush, held, expiry].into_iter().flatten().fold(self.group.deadline(), Time::min)
    }

    pub(super) fn request(&mut self, now: Time, caller: Caller, kind: &str, body: &Body) -> Vec<Effect> {
        self.now = now;
        match M::request(kind, body) {
            Err(fault) => self.effects.push(Effect::Reply(caller, Err(fault))),
            Ok(Request::Command(command)) => match self.group.machine().settled(&command) {
                Some(answer) => self.effects.push(Effect::Reply(caller, M::answered(answer))),
                None => self.route(caller, command, now + HOLD),
            },
            Ok(Request::Query(query, consistency)) => {
                let token = self.remember(Origin::Client(caller, None));
                self.group.handle(now, Input::Query { token, query, consistency });
            }
        }
        self.finish()
    }

    /// A packet of the node `from`.
    pub(super) fn receive(&mut self, now: Time, from: NodeId, packet: &Value) -> Vec<Effect> {
        self.now = now;
        match Packet::deserialize(packet) {
            Ok(packet) => self.unpack(from, packet),
            Err(e) => self.effects.push(Effect::Log(format!("packet of node {from} dropped: {e}"))),
        }
        self.finish()
    }

    pub(super) fn wake(&mut self, now: Time) -> Vec<Effect> {
        self.now = now;
        self.group.handle(now, Input::Wake);
        self.finish()
    }

    fn finish(&mut self) -> Vec<Effect> {
        self.pump();
        self.tend();
        self.pump();
        self.flush();
        std::mem::take(&mut self.effects)
    }

    fn remember(&mut self, origin: Origin<M>) -> Token {
        self.tokens += 1;
        self.pending.insert(Token(self.tokens), origin);
        Token(self.tokens)
    }

    fn leader(&self) -> Option<NodeId> {
        self.group.status().leader
    }

    /// Gives a client's command to the leader, or keeps it for one until then.
    fn route(&mut self, caller: Caller, command: M::Command, until: Time) {
        match self.leader() {
            Some(leader) => {
                let origin = Origin::Client(caller, Some((command.clone(), until)));
                self.submit(leader, origin, command);
            }
            None => self.held.push_back(Held { until, caller, command }),
        }
    }

    fn submit(&mut self, leader: NodeId, origin: Origin<M>, command: M::Command) {
        let token = self.remember(origin);
        if leader == self.me {
            return self.group.handle(self.now, Input::Submit { token, command, wait: Duration::ZERO });
        }
        let bytes = encode(&command);
        self.packet(leader).forward.push((token.0, bytes));
        self.expiries.push_back((self.now + FORWARDED, token));
    }

    fn packet(&mut self, to: NodeId) -> &mut Packet {
        let at = self.now + M::WINDOW;
        &mut self.outbox.entry(to).or_insert_with(|| (at, Packet::default())).1
    }

    fn unpack(&mut self, from: NodeId, packet: Packet) {
        let mut inputs = Vec::new();
        for text in packet.raft {
            match BASE64_STANDARD.decode(text).map(|bytes| eraftpb::Message::parse_from_bytes(&bytes)) {
                Ok(Ok(message)) if message.from == from => inputs.push(Input::Message(Box::new(message))),
                _ => self.effects.push(Effect::Log(format!("a Raft message of node {from} cannot be read"))),
            }
        }
        for (number, text) in packet.forward {
            let token = self.remember(Origin::Node(from, number));
            match decode(&text) {
                Some(command) => inputs.push(Input::Submit { token, command, wait: Duration::ZERO }),
                None => self.settle(token, Outcome::Refused),
            }
        }
        self.group.handle_all(self.now, inputs);
        for (number, outcome) in packet.outcomes {
            self.settle(Token(number), outcome);
        }
    }

    /// Takes what the group has to say. Everything is durable at once.
    fn pump(&mut self) {
        let mut durable = None;
        loop {
            while let Some(output) = self.group.poll() {
                match output {
                    Output::Persist(persist) => durable = Some(Ticket(persist.ticket)),
                    Output::Send { message, .. } => match message.write_to_bytes() {
                        Ok(bytes) => self.packet(message.to).raft.push(BASE64_STANDARD.encode(bytes)),
                        Err(e) => self.effects.push(Effect::Log(format!("a Raft message cannot be written: {e}"))),
                    },
                    Output::Applied { token, answer, .. } => self.applied(token, answer),
                    Output::Read { token, view, .. } => {
                        if let Some(Origin::Client(caller, _)) = self.pending.remove(&token) {
                            self.effects.push(Effect::Reply(caller, M::viewed(view)));
                        }
                    }
                    Output::Refused { token, refusal } => self.refused(token, &refusal),
                    Output::Changed { .. } => {}
                    Output::BadMessage { from, problem } => {
                        self.effects.push(Effect::Log(format!("a Raft message of node {from} dropped: {problem}")));
                    }
                    Output::Fatal(line) => return self.fail(line),
                }
            }
            match durable.take() {
                Some(ticket) => self.group.handle(self.now, Input::Persisted(ticket)),
                None => return,
            }
        }
    }

    fn applied(&mut self, token: Token, answer: M::Answer) {
        match self.pending.remove(&token) {
            Some(Origin::Client(caller, _)) => self.effects.push(Effect::Reply(caller, M::answered(answer))),
            Some(Origin::Node(node, number)) => {
                let answer = Outcome::Answer(encode(&answer));
                self.packet(node).outcomes.push((number, answer));
            }
            None => {}
        }
    }

    /// Nobody will answer any more what waits here.
    fn fail(&mut self, line: String) {
        let waiting = std::mem::take(&mut self.pending).into_values();
        let pending = waiting.filter_map(|origin| match origin {
            Origin::Client(caller, _) => Some(caller),
            Origin::Node(..) => None,
        });
        for caller in pending.chain(self.held.drain(..).map(|held| held.caller)) {
            let fault = Fault::new(Code::Crash, "this node cannot go on");
            self.effects.push(Effect::Reply(caller, Err(fault)));
        }
        self.effects.push(Effect::Fatal(line));
    }

    fn refused(&mut self, token: Token, refusal: &Refusal) {
        let outcome = if refusal.is_definite() { Outcome::Refused } else { Outcome::Unknown };
        self.settle(token, outcome);
    }

    /// The outcome of a command that this node did not apply itself.
    fn settle(&mut self, token: Token, outcome: Outcome) {
        let Some(origin) = self.pending.remove(&token) else { return };
        match (origin, outcome) {
            (Origin::Node(node, number), outcome) => self.packet(node).outcomes.push((number, outcome)),
            (Origin::Client(caller, _), Outcome::Answer(text)) => {
                let lost = || Fault::new(Code::Crash, "the leader's answer cannot be read");
                let result = decode(&text).ok_or_else(lost).and_then(M::answered);
                self.effects.push(Effect::Reply(caller, result));
            }
            (Origin::Client(caller, Some((command, until))), Outcome::Refused) => {
                self.held.push_back(Held { until, caller, command });
            }
            (Origin::Client(caller, None), Outcome::Refused | Outcome::Unknown) => {
                let fault = Fault::new(Code::TemporarilyUnavailable, "no leader confirmed the read");
                self.effects.push(Effect::Reply(caller, Err(fault)));
            }
            (Origin::Client(caller, Some(_)), Outcome::Unknown) => {
                let fault = Fault::new(Code::Crash, "leadership was lost before the outcome was known");
                self.effects.push(Effect::Reply(caller, Err(fault)));
            }
        }
    }

    /// What is due: commands that waited for a leader, or for its answer.
    fn tend(&mut self) {
        for Held { until, caller, command } in std::mem::take(&mut self.held) {
            if until <= self.now {
                self.effects.push(Effect::Reply(caller, Err(M::untaken(&command))));
            } else {
                self.route(caller, command, until);
            }
        }
        while self.expiries.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, token)) = self.expiries.pop_front() else { break };
            if let Some(Origin::Client(caller, _)) = self.pending.remove(&token) {
                let fault = Fault::new(Code::Timeout, "the leader did not answer");
                self.effects.push(Effect::Reply(caller, Err(fault)));
            }
        }
    }

    fn flush(&mut self) {
        let due = |(at, _): &(Time, Packet)| *at <= self.now;
        let ready: Vec<NodeId> = self.outbox.iter().filter(|(_, entry)| due(entry)).map(|(to, _)| *to).collect();
        for to in ready {
            if let Some((_, packet)) = self.outbox.remove(&to) {
                let packet = serde_json::to_value(packet).expect("our own packets are JSON");
                self.effects.push(Effect::Packet(to, packet));
            }
        }
    }
}

fn encode<T: Serialize>(value: &T) -> String {
    BASE64_STANDARD.encode(postcard::to_stdvec(value).expect("our own types can be encoded into memory"))
}

fn decode<T: DeserializeOwned>(text: &str) -> Option<T> {
    postcard::from_bytes(&BASE64_STANDARD.decode(text).ok()?).ok()
}
