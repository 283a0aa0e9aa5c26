//! Maelstrom's network in virtual time: every line is JSON text as it would stand on stdin and stdout, servers are some
//! milliseconds apart, clients none, links can be cut, and messages between servers are counted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use gossip_core::time::Time;
use gossip_worker::maelstrom::{Envelope, Node, Settings};
use serde_json::{Value, json};

pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    /// Directed links, by node numbers, that lose everything.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Between servers, as Maelstrom counts them: sent, whether or not they arrive.
    pub(crate) messages: u64,
    /// Requests of clients.
    pub(crate) operations: u64,
    /// By the number of the request: when it was answered, and how.
    pub(crate) replies: BTreeMap<u64, (Time, Value)>,
    pub(crate) log: Vec<String>,
    /// Percent of messages between servers that are lost.
    pub(crate) loss: u64,
    /// Milliseconds that may be drawn on top of the latency: messages overtake each other.
    pub(crate) jitter: u64,
    latency: Duration,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    flying: BTreeMap<u64, (usize, usize, String)>,
    sequence: u64,
    random: u64,
}

impl Net {
    /// Nodes that were initialized, `latency` ms apart.
    pub(crate) fn new(nodes: usize, seed: u64, batch_ms: u64, latency_ms: u64) -> Self {
        let settings = Settings { batch: Duration::from_millis(batch_ms), life: seed };
        let mut net = Net {
            now: Time::from_millis(1),
            nodes: (0..nodes).map(|_| Node::new(settings.clone())).collect(),
            cut: BTreeSet::new(),
            messages: 0,
            operations: 0,
            replies: BTreeMap::new(),
            log: Vec::new(),
            loss: 0,
            jitter: 0,
            latency: Duration::from_millis(latency_ms),
            queue: BinaryHeap::new(),
            flying: BTreeMap::new(),
            sequence: 0,
            random: seed * 2 + 1,
        };
        let names: Vec<String> = (0..nodes).map(name).collect();
        for node in 0..nodes {
            let id = net.request(node, json!({ "type": "init", "node_id": name(node), "node_ids": names }));
            assert_eq!(net.replies[&id].1["type"], "init_ok");
        }
        net.operations = 0;
        net
    }

    pub(crate) fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    /// Sends a client's request; gives its number, under which the reply will be.
    pub(crate) fn request(&mut self, node: usize, mut body: Value) -> u64 {
        self.operations += 1;
        self.sequence += 1;
        let id = self.sequence;
        body["msg_id"] = id.into();
        self.line(node, json!({ "src": "c1", "dest": name(node), "body": body }).to_string().as_bytes());
        id
    }

    /// Sends a client's request and runs until it is answered, for five seconds at most.
    pub(crate) fn call(&mut self, node: usize, body: Value) -> Option<Value> {
        let id = self.request(node, body);
        for _ in 0..5000 {
            if let Some((_, reply)) = self.replies.get(&id) {
                return Some(reply.clone());
            }
            self.run(Duration::from_millis(1));
        }
        None
    }

    /// Hands a node a message as if another node had sent it.
    pub(crate) fn peer_line(&mut self, from: usize, to: usize, body: &Value) {
        self.line(to, json!({ "src": name(from), "dest": name(to), "body": body }).to_string().as_bytes());
    }

    pub(crate) fn line(&mut self, node: usize, line: &[u8]) {
        self.nodes[node].line(self.now, line);
        self.drain(node);
    }

    pub(crate) fn split(&mut self, side: &[usize]) {
        for a in 0..self.nodes.len() {
            for b in 0..self.nodes.len() {
                if side.contains(&a) != side.contains(&b) {
                    self.cut.insert((a, b));
                }
            }
        }
    }

    pub(crate) fn run(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            let wake = self.nodes.iter().enumerate().map(|(i, n)| (n.deadline(), i)).min();
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
                self.nodes[node].wake(self.now);
                self.drain(node);
                assert!(self.nodes[node].deadline() > self.now, "node {node} does not get on");
            }
        }
    }

    fn deliver(&mut self) {
        let Some(Reverse((_, sequence))) = self.queue.pop() else { return };
        let (from, to, line) = self.flying.remove(&sequence).expect("a message on its way");
        if !self.cut.contains(&(from, to)) {
            self.line(to, line.as_bytes());
        }
    }

    fn drain(&mut self, node: usize) {
        while let Some(envelope) = self.nodes[node].poll() {
            self.sequence += 1;
            match number(&envelope.dest) {
                Some(to) => {
                    self.messages += 1;
                    self.send(node, to, serde_json::to_string(&envelope).expect("an envelope"));
                }
                None => self.answered(node, envelope),
            }
        }
        self.log.extend(self.nodes[node].take_log());
    }

    fn send(&mut self, from: usize, to: usize, line: String) {
        if self.loss > 0 && self.draw(100) < self.loss {
            return;
        }
        let jitter = if self.jitter > 0 { self.draw(self.jitter * 1000) } else { 0 };
        let at = self.now + self.latency + Duration::from_micros(jitter);
        self.queue.push(Reverse((at, self.sequence)));
        self.flying.insert(self.sequence, (from, to, line));
    }

    fn answered(&mut self, node: usize, envelope: Envelope) {
        assert_eq!(envelope.src, name(node));
        let body = Value::Object(envelope.body);
        let id = body["in_reply_to"].as_u64().expect("the number of a request");
        let known = self.replies.insert(id, (self.now, body));
        assert!(known.is_none(), "request {id} was answered twice");
    }

    pub(crate) fn messages_per_operation(&self) -> f64 {
        self.messages as f64 / self.operations as f64
    }
}

pub(crate) fn name(node: usize) -> String {
    format!("n{node}")
}

pub(crate) fn number(name: &str) -> Option<usize> {
    name.strip_prefix('n')?.parse().ok()
}
