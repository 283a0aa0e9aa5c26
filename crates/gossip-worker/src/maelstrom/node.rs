//! The node: lines in, envelopes out, sans-IO like the core that it drives, but for the ids that `generate` draws.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use gossip_client::OpId;
use gossip_core::broadcast::{Config, NodeIndex};
use gossip_core::time::Time;
use serde_json::{Value, json};

use super::kv::Kv;
use super::logs::Logs;
use super::replica::{Effect, Replica, Service};
use super::spread::{Counter, Spread, Sum, Values};
use super::txn::Lists;
use super::wire::{Body, Caller, Code, Envelope, Fault, body, field, text};

/// How long a read waits for a sign of what is to be read: a set and a counter are read with the same words.
const HOLD: Duration = Duration::from_secs(1);

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a broadcast value, an element or a delta is held on its way so that others can join it.
    pub batch: Duration,
    /// A number that this node never had before, for example the time of its start.
    pub life: u64,
}

#[derive(Debug)]
struct Identity {
    name: String,
    /// This node's place among them.
    index: NodeIndex,
    nodes: Vec<String>,
}

/// A Maelstrom node. Hand in each line of stdin, write each [`Node::poll`] to stdout; wake it at [`Node::deadline`].
///
/// It learns from the requests which workload it serves; a workload that is not asked for costs nothing.
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    now: Time,
    identity: Option<Identity>,
    broadcasts: bool,
    values: Option<Spread<Values>>,
    counter: Option<Spread<Counter>>,
    kv: Option<Replica<Kv>>,
    lists: Option<Replica<Lists>>,
    logs: Option<Replica<Logs>>,
    /// Reads of who knows what.
    held: VecDeque<(Time, Caller)>,
    out: VecDeque<Envelope>,
    log: Vec<String>,
    failed: Option<String>,
}

impl Node {
    /// A node that waits for `init`.
    pub fn new(settings: Settings) -> Self {
        Node {
            settings,
            now: Time::ZERO,
            identity: None,
            broadcasts: false,
            values: None,
            counter: None,
            kv: None,
            lists: None,
            logs: None,
            held: VecDeque::new(),
            out: VecDeque::new(),
            log: Vec::new(),
            failed: None,
        }
    }

    /// What to write to stdout next.
    pub fn poll(&mut self) -> Option<Envelope> {
        self.out.pop_front()
    }

    /// What to write to stderr since the last call.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// Why this node cannot go on: its process must end with this line once it has written what [`Self::poll`] still gives.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// When [`Node::wake`] is due at the latest.
    pub fn deadline(&self) -> Time {
        let all = [
            self.values.as_ref().map(Spread::deadline),
            self.counter.as_ref().map(Spread::deadline),
            self.kv.as_ref().map(Replica::deadline),
            self.lists.as_ref().map(Replica::deadline),
            self.logs.as_ref().map(Replica::deadline),
            self.held.front().map(|(at, _)| *at),
        ];
        all.into_iter().flatten().min().unwrap_or(Time::MAX)
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Time) {
        self.now = self.now.max(now);
        let now = self.now;
        if let Some(values) = &mut self.values {
            let sends = values.wake(now);
            self.spread::<Values>(sends);
        }
        if let Some(counter) = &mut self.counter {
            let sends = counter.wake(now);
            self.spread::<Counter>(sends);
        }
        let effects = self.kv.as_mut().map(|r| r.wake(now)).unwrap_or_default();
        self.carry_out::<Kv>(effects);
        let effects = self.lists.as_mut().map(|r| r.wake(now)).unwrap_or_default();
        self.carry_out::<Lists>(effects);
        let effects = self.logs.as_mut().map(|r| r.wake(now)).unwrap_or_default();
        self.carry_out::<Logs>(effects);
        self.settle_held();
    }

    /// A line of stdin, which need not be text.
    pub fn line(&mut self, now: Time, line: &[u8]) {
        match serde_json::from_slice::<Envelope>(line) {
            Ok(envelope) => self.receive(now, envelope),
            Err(e) => self.log.push(format!("not an envelope: {e}")),
        }
    }

    /// A message.
    pub fn receive(&mut self, now: Time, envelope: Envelope) {
        self.now = self.now.max(now);
        let Envelope { src, body, .. } = envelope;
        let kind = match text(&body, "type") {
            Ok(kind) => kind.to_owned(),
            Err(fault) => return self.refuse(&src, &body, fault),
        };
        let peer = self.identity.as_ref().and_then(|i| i.nodes.iter().position(|n| *n == src));
        let result = match (kind.as_str(), peer) {
            ("spread", Some(peer)) => self.peer_spread(peer as NodeIndex, &body),
            ("group", Some(peer)) => self.peer_group(peer as u64 + 1, &body),
            _ => return self.request(&src, &kind, &body),
        };
        if let Err(fault) = result {
            self.log.push(format!("message of {src} dropped: {}", fault.text));
        }
        self.settle_held();
    }

    fn request(&mut self, src: &str, kind: &str, request: &Body) {
        let Some(msg_id) = request.get("msg_id").and_then(Value::as_u64) else {
            return self.refuse(src, request, Fault::malformed("msg_id", "is not a whole number from 0 on"));
        };
        let caller = Caller { name: src.into(), msg_id };
        if kind == "init" {
            let result = self.init(request);
            return self.reply(&caller, result);
        }
        if self.identity.is_none() {
            let fault = Fault::new(Code::TemporarilyUnavailable, "not initialized");
            return self.reply(&caller, Err(fault));
        }
        match kind {
            "read" if request.contains_key("key") => self.ask::<Kv>(caller, kind, request),
            "write" | "cas" => self.ask::<Kv>(caller, kind, request),
            "txn" => self.ask::<Lists>(caller, kind, request),
            "send" | "poll" | "commit_offsets" | "list_committed_offsets" => self.ask::<Logs>(caller, kind, request),
            "read" => self.read(caller),
            _ => {
                let result = self.answer(kind, request);
                self.reply(&caller, result);
            }
        }
        self.settle_held();
    }

    /// Requests that are answered on the spot.
    fn answer(&mut self, kind: &str, request: &Body) -> Result<Body, Fault> {
        match kind {
            "echo" => Ok(body(json!({ "type": "echo_ok", "echo": field(request, "echo")? }))),
            "topology" => {
                field(request, "topology")?;
                self.broadcasts = true;
                Ok(body(json!({ "type": "topology_ok" })))
            }
            "broadcast" => {
                let message = field(request, "message")?.clone();
                self.broadcasts = true;
                self.give::<Values>(message)?;
                Ok(body(json!({ "type": "broadcast_ok" })))
            }
            "add" => {
                match (request.get("element"), request.get("delta")) {
                    (Some(element), None) => self.give::<Values>(element.clone())?,
                    (None, Some(delta)) => {
                        let delta = delta.as_i64().ok_or_else(|| Fault::malformed("delta", "is not a whole number"))?;
                        self.give::<Counter>(delta)?;
                    }
                    _ => return Err(Fault::malformed("element, delta", "exactly one must be given")),
                }
                Ok(body(json!({ "type": "add_ok" })))
            }
            "generate" => {
                // The product's own idempotency keys: 128 random bits, so neither nodes nor their lives need to know of each other.
                Ok(body(json!({ "type": "generate_ok", "id": OpId::random().to_string() })))
            }
            _ => Err(Fault::new(Code::NotSupported, format!("type: no request is called {kind:?}"))),
        }
    }

    fn init(&mut self, request: &Body) -> Result<Body, Fault> {
        let name = text(request, "node_id")?.to_owned();
        let nodes = super::wire::list(request, "node_ids")?;
        let nodes: Option<Vec<String>> = nodes.iter().map(|n| n.as_str().map(str::to_owned)).collect();
        let nodes = nodes.ok_or_else(|| Fault::malformed("node_ids", "are not strings"))?;
        if nodes.iter().collect::<BTreeSet<_>>().len() < nodes.len() {
            return Err(Fault::malformed("node_ids", "name a node twice"));
        }
        let index = nodes.iter().position(|n| *n == name);
        let index = index.ok_or_else(|| Fault::malformed("node_ids", "node_id is not among them"))?;
        match &self.identity {
            Some(known) if known.name != name || known.nodes != nodes => {
                return Err(Fault::malformed("node_id", "this node was initialized as another"));
            }
            _ => self.identity = Some(Identity { name, index: index as NodeIndex, nodes }),
        }
        Ok(body(json!({ "type": "init_ok" })))
    }

    fn read(&mut self, caller: Caller) {
        match self.view() {
            Some(result) => self.reply(&caller, result),
            None => self.held.push_back((self.now + HOLD, caller)),
        }
    }

    /// What a read without a key shows; `None` while nobody has said what it is about.
    fn view(&self) -> Option<Result<Body, Fault>> {
        let values = || self.values.as_ref().map(|v| v.sum.list.as_slice());
        if self.broadcasts {
            return Some(Ok(body(json!({ "type": "read_ok", "messages": values().unwrap_or_default() }))));
        }
        if let Some(counter) = &self.counter {
            return Some(counter.sum.value().map(|value| body(json!({ "type": "read_ok", "value": value }))));
        }
        values().map(|values| Ok(body(json!({ "type": "read_ok", "value": values }))))
    }

    fn settle_held(&mut self) {
        let known = self.view().is_some();
        while let Some((at, _)) = self.held.front()
            && (known || *at <= self.now)
        {
            let Some((_, caller)) = self.held.pop_front() else { return };
            let unknown = || Err(Fault::new(Code::TemporarilyUnavailable, "nothing was added yet"));
            let result = self.view().unwrap_or_else(unknown);
            self.reply(&caller, result);
        }
    }

    fn reply(&mut self, caller: &Caller, result: Result<Body, Fault>) {
        let me = self.identity.as_ref().map_or("", |i| i.name.as_str());
        self.out.push_back(caller.answer(me, result));
    }

    /// The error reply to what is no request, or a line if there is nobody to answer.
    fn refuse(&mut self, src: &str, body: &Body, fault: Fault) {
        match body.get("msg_id").and_then(Value::as_u64) {
            Some(msg_id) => self.reply(&Caller { name: src.into(), msg_id }, Err(fault)),
            None => self.log.push(format!("message of {src} dropped: {}", fault.text)),
        }
    }

    fn send(&mut self, to: usize, body: Body) {
        let Some(identity) = &self.identity else { return };
        if let Some(dest) = identity.nodes.get(to) {
            self.out.push_back(Envelope { src: identity.name.clone(), dest: dest.clone(), body });
        }
    }
}

/// The parts of the node by type.
trait Part: Sized {
    fn of(node: &mut Node) -> &mut Option<Self>;
}

macro_rules! parts {
    ($($field:ident: $part:ty,)*) => {
        $(impl Part for $part {
            fn of(node: &mut Node) -> &mut Option<Self> {
                &mut node.$field
            }
        })*
    };
}

parts! {
    values: Spread<Values>,
    counter: Spread<Counter>,
    kv: Replica<Kv>,
    lists: Replica<Lists>,
    logs: Replica<Logs>,
}

impl Node {
    /// The part that spreads this kind of sum, started if it is not there yet. `None` before `init`.
    fn spreader<S: Sum>(&mut self) -> Option<&mut Spread<S>>
    where
        Spread<S>: Part,
    {
        let identity = self.identity.as_ref()?;
        let (index, nodes) = (identity.index, identity.nodes.len() as NodeIndex);
        let config = Config { batch: self.settings.batch, ..Config::default() };
        let (life, now) = (self.settings.life, self.now);
        Some(Part::of(self).get_or_insert_with(|| Spread::new(index, nodes, life, config, now)))
    }

    fn give<S: Sum>(&mut self, given: S::Payload) -> Result<(), Fault>
    where
        Spread<S>: Part,
    {
        let now = self.now;
        let sends = self.spreader::<S>().map(|s| s.give(now, given)).transpose()?.unwrap_or_default();
        self.spread::<S>(sends);
        Ok(())
    }

    fn spread<S: Sum>(&mut self, sends: Vec<(NodeIndex, Value)>)
    where
        Spread<S>: Part,
    {
        if let Some(epoch) = Part::of(self).as_mut().and_then(Spread::<S>::new_role) {
            let name = self.identity.as_ref().map_or("", |i| i.name.as_str());
            self.log.push(format!("{name} is the hub of epoch {epoch}"));
        }
        for (to, message) in sends {
            self.send(to as usize, body(json!({ "type": "spread", "of": S::KIND, "message": message })));
        }
    }

    fn peer_spread(&mut self, from: NodeIndex, message: &Body) -> Result<(), Fault> {
        match text(message, "of")? {
            Values::KIND => self.peer_spread_of::<Values>(from, message),
            Counter::KIND => self.peer_spread_of::<Counter>(from, message),
            _ => Err(Fault::malformed("of", "is neither values nor counter")),
        }
    }

    fn peer_spread_of<S: Sum>(&mut self, from: NodeIndex, message: &Body) -> Result<(), Fault>
    where
        Spread<S>: Part,
    {
        let (now, message) = (self.now, field(message, "message")?);
        let sends = self.spreader::<S>().map(|s| s.receive(now, from, message)).transpose()?.unwrap_or_default();
        self.spread::<S>(sends);
        Ok(())
    }

    /// The replica of this state machine, started if it is not there yet. `None` before `init`.
    fn replica<M: Service>(&mut self) -> Option<&mut Replica<M>>
    where
        Replica<M>: Part,
    {
        let identity = self.identity.as_ref()?;
        let (me, nodes) = (u64::from(identity.index) + 1, identity.nodes.len() as u64);
        let (seed, now) = (self.settings.life ^ me, self.now);
        Some(Part::of(self).get_or_insert_with(|| Replica::new(me, nodes, seed, now)))
    }

    fn ask<M: Service>(&mut self, caller: Caller, kind: &str, request: &Body)
    where
        Replica<M>: Part,
    {
        let now = self.now;
        let effects = self.replica::<M>().map(|r| r.request(now, caller, kind, request)).unwrap_or_default();
        self.carry_out::<M>(effects);
    }

    fn peer_group(&mut self, from: u64, message: &Body) -> Result<(), Fault> {
        let packet = field(message, "packet")?;
        match text(message, "of")? {
            Kv::NAME => self.peer_packet::<Kv>(from, packet),
            Lists::NAME => self.peer_packet::<Lists>(from, packet),
            Logs::NAME => self.peer_packet::<Logs>(from, packet),
            _ => return Err(Fault::malformed("of", "is neither kv nor lists nor logs")),
        }
        Ok(())
    }

    fn peer_packet<M: Service>(&mut self, from: u64, packet: &Value)
    where
        Replica<M>: Part,
    {
        let now = self.now;
        let effects = self.replica::<M>().map(|r| r.receive(now, from, packet)).unwrap_or_default();
        self.carry_out::<M>(effects);
    }

    fn carry_out<M: Service>(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(caller, result) => self.reply(&caller, result),
                Effect::Log(line) => self.log.push(line),
                Effect::Fatal(line) => self.failed = self.failed.take().or(Some(line)),
                Effect::Packet(to, packet) => {
                    let message = body(json!({ "type": "group", "of": M::NAME, "packet": packet }));
                    self.send(to as usize - 1, message);
                }
            }
        }
    }
}
