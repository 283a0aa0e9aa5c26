//! A network in virtual time around real gossip nodes: latency, loss, cut links, stalls, crashes, and a count of everything.
//!
//! `gossip-bench` measures with this same file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use gossip_core::membership::{NodeId, Status};
use gossip_core::mutants::Planted;
use gossip_core::node::{Config, Event, Input, Message, Node, Output, Peer};
use gossip_core::time::Time;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What can be decided about a world before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Each message takes this long, plus up to as much again.
    pub(crate) latency: Duration,
    /// The share of messages that is lost.
    pub(crate) loss: f64,
    /// Timers fire at multiples of this only, so that nodes act in rounds; zero for when they are due.
    pub(crate) grid: Duration,
    pub(crate) planted: Planted,
    /// Changes the settings of every node.
    pub(crate) tune: fn(&mut Config),
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            seed: 1,
            latency: Duration::from_millis(1),
            loss: 0.0,
            grid: Duration::ZERO,
            planted: Planted::NONE,
            tune: |_| {},
        }
    }
}

#[derive(Debug)]
struct Host {
    node: Node,
    up: bool,
    /// Does nothing before this; what arrives meanwhile waits.
    asleep_until: Time,
    /// When its next tick is in the queue.
    tick_at: Time,
}

#[derive(Debug)]
enum Due {
    Tick(NodeId),
    Arrive { from: NodeId, to: NodeId, message: Message },
}

/// The world.
#[derive(Debug)]
pub(crate) struct Net {
    plan: Plan,
    pub(crate) now: Time,
    random: ChaCha8Rng,
    hosts: BTreeMap<NodeId, Host>,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    due: BTreeMap<u64, Due>,
    order: u64,
    /// Links that lose everything, (from, to).
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    /// Nodes whose messages, both ways, take this much longer.
    pub(crate) slow: BTreeMap<NodeId, Duration>,
    /// Messages by receiver, those that are lost included.
    pub(crate) sent_to: BTreeMap<NodeId, u64>,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) largest: usize,
    /// Everything that nodes said about their view: when, who, what.
    pub(crate) events: Vec<(Time, NodeId, Event)>,
}

pub(crate) fn address(id: NodeId) -> String {
    format!("10.0.{}.{}:7400", id / 256, id % 256)
}

impl Net {
    /// A world without nodes.
    pub(crate) fn new(plan: Plan) -> Self {
        Net {
            random: ChaCha8Rng::seed_from_u64(plan.seed),
            plan,
            now: Time::from_millis(1000),
            hosts: BTreeMap::new(),
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            order: 0,
            cut: BTreeSet::new(),
            slow: BTreeMap::new(),
            sent_to: BTreeMap::new(),
            messages: 0,
            bytes: 0,
            largest: 0,
            events: Vec::new(),
        }
    }

    /// A world of `nodes`, 1 to n, that all know each other.
    pub(crate) fn joined(nodes: u64, plan: Plan) -> Self {
        let mut net = Net::new(plan);
        let peers: Vec<NodeId> = (1..=nodes).collect();
        for id in 1..=nodes {
            net.start(id, 1, &[1]);
        }
        let patience = net.now + Duration::from_secs(120);
        while !net.agreed(&peers) {
            net.run(Duration::from_millis(200));
            assert!(net.now < patience, "{nodes} nodes did not find each other");
        }
        net.run(Duration::from_secs(10));
        net.forget_counts();
        net
    }

    /// Starts a node, or starts it again, in its life number `life`.
    pub(crate) fn start(&mut self, id: NodeId, life: u64, seeds: &[NodeId]) {
        let mut config = Config::new(id, address(id), life, self.random.random());
        (self.plan.tune)(&mut config);
        let node = Node::with_bug(config, self.now, self.plan.planted).expect("the settings of a test");
        self.hosts.insert(id, Host { node, up: true, asleep_until: Time::ZERO, tick_at: Time::MAX });
        let peers = seeds.iter().map(|id| Peer { id: *id, address: address(*id) }).collect();
        self.input(id, Input::Join { peers });
    }

    /// The node is gone at once, and silently.
    pub(crate) fn crash(&mut self, id: NodeId) {
        self.hosts.get_mut(&id).expect("a node").up = false;
    }

    /// The node does nothing for a while, as one that is stopped.
    pub(crate) fn stall(&mut self, id: NodeId, length: Duration) {
        let until = self.now + length;
        self.hosts.get_mut(&id).expect("a node").asleep_until = until;
    }

    pub(crate) fn input(&mut self, id: NodeId, input: Input) {
        let host = self.hosts.get_mut(&id).expect("a node");
        host.node.handle(self.now, input).expect("the input of a test");
        self.drain(id);
    }

    pub(crate) fn publish(&mut self, id: NodeId, key: &str, value: &str) {
        self.input(id, Input::Publish { key: key.into(), value: value.into() });
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.hosts[&id].node
    }

    /// Lets `length` pass.
    pub(crate) fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some(Reverse((at, order))) = self.queue.peek().copied().filter(|Reverse((at, _))| *at <= end) {
            self.queue.pop();
            self.now = self.now.max(at);
            let due = self.due.remove(&order).expect("queued once");
            self.happen(due, order);
        }
        self.now = end;
    }

    fn happen(&mut self, due: Due, order: u64) {
        let id = match &due {
            Due::Tick(id) | Due::Arrive { to: id, .. } => *id,
        };
        let Some(host) = self.hosts.get_mut(&id).filter(|host| host.up) else { return };
        if host.asleep_until > self.now {
            // In the order in which it came, once the node is awake.
            self.queue.push(Reverse((host.asleep_until, order)));
            self.due.insert(order, due);
            return;
        }
        match due {
            Due::Tick(_) if host.tick_at > self.now => return,
            Due::Tick(_) => {
                host.tick_at = Time::MAX;
                host.node.handle(self.now, Input::Tick).expect("a tick");
            }
            Due::Arrive { from, message, .. } => {
                host.node.handle(self.now, Input::Packet { from, message }).expect("a good message");
            }
        }
        self.drain(id);
    }

    fn drain(&mut self, id: NodeId) {
        let mut outputs = Vec::new();
        if let Some(host) = self.hosts.get_mut(&id) {
            outputs.extend(std::iter::from_fn(|| host.node.poll()));
        }
        for output in outputs {
            match output {
                Output::Send { to, message } => self.send(id, to, message),
                Output::Event(event) => self.events.push((self.now, id, event)),
            }
        }
        let grid = self.plan.grid.as_nanos() as u64;
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let due = host.node.deadline().max(self.now);
        let at = if grid == 0 { due } else { Time::from_nanos(due.as_nanos().div_ceil(grid) * grid) };
        if at < host.tick_at {
            host.tick_at = at;
            self.queue(at, Due::Tick(id));
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        let bytes = message.encode();
        self.messages += 1;
        *self.sent_to.entry(to).or_default() += 1;
        self.bytes += bytes.len() as u64;
        self.largest = self.largest.max(bytes.len());
        if self.cut.contains(&(from, to)) || self.random.random_bool(self.plan.loss) {
            return;
        }
        let message = Message::decode(&bytes).expect("what a node sends can be read");
        let latency = self.plan.latency.mul_f64(self.random.random_range(1.0..2.0));
        let longer: Duration = [from, to].iter().filter_map(|id| self.slow.get(id)).sum();
        self.queue(self.now + latency + longer, Due::Arrive { from, to, message });
    }

    fn queue(&mut self, at: Time, due: Due) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order)));
        self.due.insert(self.order, due);
    }

    pub(crate) fn forget_counts(&mut self) {
        self.messages = 0;
        self.sent_to.clear();
        self.bytes = 0;
        self.largest = 0;
        self.events.clear();
    }

    /// Whether a node still passes claims on.
    pub(crate) fn has_news(&self) -> bool {
        self.hosts.values().any(|host| host.up && host.node.membership().has_news())
    }

    /// Whether each of these nodes holds exactly these nodes for live. Under loss some node of a large cluster is always suspected
    /// by somebody, for as long as its refutation takes.
    pub(crate) fn agreed(&self, ids: &[NodeId]) -> bool {
        ids.iter().all(|id| {
            let membership = self.node(*id).membership();
            let is_live = |other| membership.standing(other).is_some_and(|standing| standing.status.is_live());
            membership.live() == ids.len() && ids.iter().all(|other| is_live(*other))
        })
    }

    /// How `other` stands in the eyes of `id`.
    pub(crate) fn status(&self, id: NodeId, other: NodeId) -> Option<Status> {
        self.node(id).membership().standing(other).map(|standing| standing.status)
    }

    /// How many of these nodes have this value.
    pub(crate) fn informed(&self, ids: &[NodeId], owner: NodeId, key: &str, value: &str) -> usize {
        ids.iter().filter(|id| self.node(**id).facts().get(owner, key) == Some(value)).count()
    }

    /// How many others this node takes for confirming its suspicion of `other`; `None` if it has none.
    pub(crate) fn confirmations(&self, id: NodeId, other: NodeId) -> Option<usize> {
        self.node(id).membership().confirmations(other)
    }

    /// Who was declared dead, and by whom.
    pub(crate) fn deaths(&self) -> Vec<(Time, NodeId, NodeId)> {
        self.events
            .iter()
            .filter_map(|(at, by, event)| match event {
                Event::MemberDead(node) => Some((*at, *by, *node)),
                _ => None,
            })
            .collect()
    }
}
