//! A network of dissemination nodes in virtual time: every message takes the same or a drawn delay, links can be cut, everything
//! is counted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use gossip_core::broadcast::{Broadcast, Config, History, Input, Message, NodeIndex, Output};
use gossip_core::mutants::Planted;
use gossip_core::time::Time;

pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Broadcast<u64>>,
    /// What each node has, its own included, with the time at which it came.
    pub(crate) have: Vec<BTreeMap<u64, Time>>,
    pub(crate) published: BTreeMap<u64, Time>,
    /// Payloads that a node was given although it had them.
    twice: usize,
    /// Directed links that lose everything.
    pub(crate) cut: BTreeSet<(NodeIndex, NodeIndex)>,
    pub(crate) messages: u64,
    /// Milliseconds of every hop, and how many more may be drawn on top.
    pub(crate) latency: (u64, u64),
    /// Percent of messages lost.
    pub(crate) loss: u64,
    history: History,
    config: Config,
    planted: Planted,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    flying: BTreeMap<u64, (NodeIndex, NodeIndex, Message<u64>)>,
    sequence: u64,
    random: u64,
}

impl Net {
    pub(crate) fn new(nodes: u32, seed: u64, history: History, config: Config) -> Self {
        Self::with_bug(nodes, seed, history, config, Planted::NONE)
    }

    pub(crate) fn with_bug(nodes: u32, seed: u64, history: History, config: Config, planted: Planted) -> Self {
        let now = Time::from_millis(1);
        let node = |me| Broadcast::new(me, nodes, seed, history, config.clone(), planted, now);
        Net {
            now,
            nodes: (0..nodes).map(node).collect(),
            have: vec![BTreeMap::new(); nodes as usize],
            published: BTreeMap::new(),
            twice: 0,
            cut: BTreeSet::new(),
            messages: 0,
            latency: (100, 0),
            loss: 0,
            history,
            config: config.clone(),
            planted,
            queue: BinaryHeap::new(),
            flying: BTreeMap::new(),
            sequence: 0,
            random: seed * 2 + 1,
        }
    }

    pub(crate) fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    pub(crate) fn publish(&mut self, node: NodeIndex, payload: u64) {
        self.published.insert(payload, self.now);
        self.have[node as usize].insert(payload, self.now);
        self.input(node, Input::Publish(payload));
    }

    /// The node forgets everything and begins a new life.
    pub(crate) fn restart(&mut self, node: NodeIndex) {
        let nodes = self.nodes.len() as u32;
        let life = self.draw(1 << 30);
        self.have[node as usize].clear();
        let config = self.config.clone();
        self.nodes[node as usize] = Broadcast::new(node, nodes, life, self.history, config, self.planted, self.now);
    }

    /// Cuts every link between the two sides, both ways.
    pub(crate) fn split(&mut self, side: &[NodeIndex]) {
        for a in 0..self.nodes.len() as u32 {
            for b in 0..self.nodes.len() as u32 {
                if side.contains(&a) != side.contains(&b) {
                    self.cut.insert((a, b));
                }
            }
        }
    }

    pub(crate) fn run(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            let wake = self.nodes.iter().enumerate().map(|(i, n)| (n.deadline(), i as u32)).min();
            let event = self.queue.peek().map(|Reverse((time, _))| *time);
            let next = wake.map_or(Time::MAX, |(t, _)| t).min(event.unwrap_or(Time::MAX));
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if event == Some(next) {
                self.deliver();
            } else if let Some((_, node)) = wake {
                self.input(node, Input::Wake);
                assert!(self.nodes[node as usize].deadline() > self.now, "node {node} does not get on");
            }
        }
    }

    /// `per_second` payloads from random nodes for `seconds`, numbered from `first` on.
    pub(crate) fn load(&mut self, first: u64, per_second: u64, seconds: u64) {
        for payload in first..first + per_second * seconds {
            let node = self.draw(self.nodes.len() as u64) as u32;
            self.publish(node, payload);
            let gap = self.draw(2_000_000 / per_second);
            self.run(Duration::from_micros(gap));
        }
    }

    /// How many payloads some node lacks or was given twice.
    pub(crate) fn missing(&self) -> usize {
        let lacks = |have: &BTreeMap<u64, Time>| self.published.keys().filter(|p| !have.contains_key(p)).count();
        self.have.iter().map(lacks).sum::<usize>() + self.twice
    }

    /// Milliseconds from publication until the last node had it, in order.
    pub(crate) fn latencies(&self) -> Vec<u64> {
        let last = |(payload, at): (&u64, &Time)| {
            let last = self.have.iter().map(|have| have[payload]).max().expect("a node");
            (last - *at).as_millis() as u64
        };
        let mut all: Vec<u64> = self.published.iter().map(last).collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn input(&mut self, node: NodeIndex, input: Input<u64>) {
        self.nodes[node as usize].handle(self.now, input);
        while let Some(output) = self.nodes[node as usize].poll() {
            match output {
                Output::Send { to, message } => self.send(node, to, message),
                Output::Deliver { payload, .. } => {
                    let known = self.have[node as usize].insert(payload, self.now);
                    self.twice += usize::from(known.is_some());
                }
            }
        }
    }

    fn send(&mut self, from: NodeIndex, to: NodeIndex, message: Message<u64>) {
        assert_ne!(from, to, "a message to itself");
        self.messages += 1;
        if self.loss > 0 && self.draw(100) < self.loss {
            return;
        }
        let micros = self.latency.0 * 1000 + self.draw(self.latency.1 * 1000 + 1);
        self.sequence += 1;
        self.queue.push(Reverse((self.now + Duration::from_micros(micros), self.sequence)));
        self.flying.insert(self.sequence, (from, to, message));
    }

    fn deliver(&mut self) {
        let Some(Reverse((_, sequence))) = self.queue.pop() else { return };
        let (from, to, message) = self.flying.remove(&sequence).expect("a message on its way");
        if !self.cut.contains(&(from, to)) {
            self.input(to, Input::Message { from, message });
        }
    }
}
