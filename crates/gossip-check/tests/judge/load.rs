//! Clients that call the service at once, lose answers, retry, and go on after their leases ended.

use gossip_check::history::{Op, OpType, Process, Value, number};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::service::{Answer, Bug, LEASE, Service, range};

const CLIENTS: usize = 5;
const STEPS: usize = 400;
const MS: i64 = 1_000_000;

#[derive(Debug, Clone)]
struct Request {
    f: &'static str,
    value: Value,
    invoked: i64,
    /// When its op id was first sent: a holder counts its lease from there.
    first_sent: i64,
}

#[derive(Debug, Default)]
struct Client {
    pending: Option<(Request, Option<Answer>)>,
    /// Shard, fence, and until when it believes, in nanoseconds.
    held: Option<(String, i64, i64)>,
    /// What it asks again because the answer was lost.
    retry: Option<Request>,
}

struct World {
    random: ChaCha8Rng,
    service: Service,
    clients: Vec<Client>,
    /// Requests that nobody waits for any more and that may still arrive.
    adrift: Vec<Request>,
    ops: Vec<Op>,
    /// Nanoseconds.
    now: i64,
    next_id: u64,
}

/// A whole run: load, crashes, then every shard is driven to its end and all is read.
pub(crate) fn run(seed: u64, bug: Option<Bug>) -> Vec<Op> {
    let mut world = World {
        random: ChaCha8Rng::seed_from_u64(seed),
        service: Service::new(bug),
        clients: (0..CLIENTS).map(|_| Client::default()).collect(),
        adrift: Vec::new(),
        ops: Vec::new(),
        now: 0,
        next_id: 0,
    };
    let roots = vec![range("s", None, Some("8000")), range("t", Some("8000"), None)];
    world.call("register", Value::map([("run", Value::from("r")), ("shards", Value::Vec(roots))]));
    for _ in 0..STEPS {
        world.step();
    }
    world.settle();
    world.finish();
    number(&mut world.ops);
    world.ops
}

impl World {
    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn record(&mut self, process: usize, typ: OpType, f: &str, value: Value) -> &mut Op {
        let process = Process::Client(i64::try_from(process).unwrap());
        self.ops.push(Op::new(process, typ, f, value, self.now));
        self.ops.last_mut().unwrap()
    }

    fn apply(&mut self, request: &Request) -> Answer {
        self.service.apply(self.now / MS, request.f, &request.value)
    }

    fn step(&mut self) {
        self.now += self.random.random_range(1..8) * MS;
        if self.chance(2) {
            self.service.crash();
            self.ops.push(Op::new(Process::Nemesis, OpType::Info, "kill", Value::Nil, self.now));
        }
        if !self.adrift.is_empty() && self.chance(20) {
            let at = self.random.random_range(0..self.adrift.len());
            let request = self.adrift.swap_remove(at);
            let _ = self.apply(&request);
        }
        let client = self.random.random_range(0..CLIENTS);
        match self.clients[client].pending.take() {
            None => {
                let request = self.next_request(client);
                self.record(client, OpType::Invoke, request.f, request.value.clone());
                self.clients[client].pending = Some((request, None));
            }
            Some((request, None)) if self.chance(8) => {
                self.adrift.push(request.clone());
                self.lose(client, request);
            }
            Some((request, None)) => {
                let answer = if request.f == "section" { Ok(Value::Nil) } else { self.apply(&request) };
                self.clients[client].pending = Some((request, Some(answer)));
            }
            Some((request, Some(_))) if self.chance(8) => self.lose(client, request),
            Some((request, Some(answer))) => self.answer(client, &request, answer),
        }
    }

    /// The client gives up waiting.
    fn lose(&mut self, client: usize, request: Request) {
        let op = self.record(client, OpType::Info, request.f, request.value.clone());
        *op = op.clone().with_error("timeout", "");
        if request.value.get("op-id").is_some() && self.chance(60) {
            self.clients[client].retry = Some(request);
        }
    }

    fn answer(&mut self, client: usize, request: &Request, answer: Answer) {
        let mut value = request.value.clone();
        let added = match answer {
            Ok(added) => added,
            Err(reason) => {
                let op = self.record(client, OpType::Fail, request.f, value);
                *op = op.clone().with_error(reason, "");
                return;
            }
        };
        for (key, item) in added.as_map().into_iter().flat_map(|m| m.iter()) {
            value = value.with(key.name().unwrap(), item.clone());
        }
        let believed = request.first_sent + LEASE * MS * 9 / 10;
        if matches!(request.f, "acquire" | "claim" | "renew") {
            value = value.with("believed-until", believed);
        }
        match request.f {
            "acquire" | "claim" => {
                let shard = value.get("shard").and_then(Value::as_str).unwrap().to_owned();
                let fence = value.get("fence").and_then(Value::as_i64).unwrap();
                self.clients[client].held = Some((shard, fence, believed));
            }
            "renew" => {
                if let Some((_, _, until)) = &mut self.clients[client].held {
                    *until = believed;
                }
            }
            "section" => {
                let until = self.clients[client].held.as_ref().map_or(0, |(.., until)| *until);
                let left = self.now.min(until).max(request.invoked);
                value = value.with("entered", request.invoked).with("left", left);
            }
            _ => {}
        }
        self.record(client, OpType::Ok, request.f, value);
        if request.value.get("op-id").is_some() && self.chance(6) {
            self.clients[client].retry = Some(request.clone());
        }
    }

    fn next_request(&mut self, client: usize) -> Request {
        let invoked = self.now;
        if let Some(again) = self.clients[client].retry.take() {
            return Request { invoked, ..again };
        }
        let worker = format!("w{client}");
        let (f, value) = match self.clients[client].held.clone() {
            Some((shard, fence, until)) if self.chance(90) => {
                let base = Value::map([("shard", shard.as_str()), ("worker", &worker)]).with("fence", fence);
                self.with_lease(&shard, base, until)
            }
            _ => self.without_lease(&worker),
        };
        let plain = f.starts_with("read") || matches!(f, "section" | "renew");
        let value = if plain { value } else { value.with("op-id", self.op_id()) };
        if matches!(f, "complete" | "release" | "park" | "split-replace") {
            self.clients[client].held = None;
        }
        Request { f, value, invoked, first_sent: invoked }
    }

    fn op_id(&mut self) -> String {
        self.next_id += 1;
        format!("{:032x}", self.next_id)
    }

    fn with_lease(&mut self, shard: &str, base: Value, until: i64) -> (&'static str, Value) {
        let key = self.key(shard);
        match self.random.random_range(0..100) {
            0..40 => ("checkpoint", base.with("cursor", key)),
            40..60 => ("renew", base),
            60..70 if self.now < until => ("section", base),
            70..80 => ("release", base),
            80..86 => ("complete", base.with("cursor", key)),
            86..90 => ("park", base),
            90..95 => ("split-residual", base.with("at", key)),
            95..100 => ("split-replace", base.with("cuts", vec![key])),
            _ => ("checkpoint", base.with("cursor", key)),
        }
    }

    fn without_lease(&mut self, worker: &str) -> (&'static str, Value) {
        let at = self.random.random_range(0..self.service.shards.len());
        let shard = self.service.shards.keys().nth(at).unwrap().clone();
        let base = Value::map([("shard", shard)]);
        let run = Value::map([("run", "r")]);
        match self.random.random_range(0..1000) {
            0..400 => ("acquire", base.with("worker", worker)),
            400..700 => ("claim", run.with("worker", worker)),
            700..800 => ("unpark", base),
            800..900 => ("read-shard", base),
            900..995 => ("read-run", run),
            _ => ("cancel-run", run),
        }
    }

    /// Mostly a key further on in the shard; sometimes one that it has passed, or any.
    fn key(&mut self, shard: &str) -> String {
        let any = self.random.random_range(0..0x10000);
        if self.chance(10) {
            return format!("{any:04x}");
        }
        let Some(shard) = self.service.shards.get(shard) else { return format!("{any:04x}") };
        let number = |key: &Option<String>, other: u32| {
            key.as_ref().and_then(|k| u32::from_str_radix(k.get(..4)?, 16).ok()).unwrap_or(other)
        };
        let start = number(&shard.start, 0);
        let low = number(&shard.cursor, start);
        let high = number(&shard.end, 0x10000).max(low + 1).min(low + 0x800);
        let low = if self.chance(15) { start.min(low) } else { low };
        format!("{:04x}", self.random.random_range(low..high))
    }

    /// All that is under way ends.
    fn settle(&mut self) {
        for client in 0..CLIENTS {
            if let Some((request, answer)) = self.clients[client].pending.take() {
                match answer {
                    Some(answer) => self.answer(client, &request, answer),
                    None => self.lose(client, request),
                }
            }
        }
        self.now += 2 * LEASE * MS;
    }

    /// One call with nothing else under way.
    fn call(&mut self, f: &'static str, value: Value) -> Option<Value> {
        self.now += MS;
        let request = Request { f, value, invoked: self.now, first_sent: self.now };
        self.record(CLIENTS, OpType::Invoke, f, request.value.clone());
        self.now += MS;
        let answer = self.apply(&request);
        let added = answer.clone().ok();
        self.clients.push(Client::default());
        self.answer(CLIENTS, &request, answer);
        self.clients.truncate(CLIENTS);
        added
    }

    fn finish(&mut self) {
        let open = |s: &crate::service::Shard| matches!(s.status, "active" | "parked");
        let left: Vec<String> = self.service.shards.iter().filter(|(_, s)| open(s)).map(|(n, _)| n.clone()).collect();
        for shard in left {
            let base = Value::map([("shard", shard.as_str())]);
            if self.service.shards[&shard].status == "parked" {
                let id = self.op_id();
                self.call("unpark", base.clone().with("op-id", id));
            }
            let (take, end) = (self.op_id(), self.op_id());
            let lease = self.call("acquire", base.clone().with("worker", "z").with("op-id", take));
            if let Some(fence) = lease.and_then(|l| l.get("fence")?.as_i64()) {
                let write = base.with("worker", "z").with("fence", fence).with("op-id", end);
                self.call("complete", write);
            }
        }
        for node in ["n1", "n2", "n3"] {
            self.call(
                "read-run",
                Value::map([("run", Value::from("r")), ("final?", true.into()), ("node", node.into())]),
            );
        }
    }
}
