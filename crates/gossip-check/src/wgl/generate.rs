//! Random histories that are linearizable by construction, to measure the search with.
//!
//! Clients take turns at random. Each operation is invoked, later takes effect on the one true state, and later still is
//! answered, so that operations of different clients overlap. Some answers are lost, before or after the effect.

use crate::history::{Op, OpType, Process, Value, number};
use crate::model::{RegisterInput, RegisterOutput};
use crate::wgl::Entry;

/// How much of it, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub seed: u64,
    pub shards: usize,
    /// Clients of each shard, all with one call at a time.
    pub clients: usize,
    /// Calls of all shards together.
    pub operations: usize,
    /// Calls in a thousand whose answer is lost.
    pub lost: u64,
}

/// Steele's SplitMix64: good enough to draw a load from, and the same everywhere.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not zero.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What a client is at.
#[derive(Debug, Clone)]
enum Phase<I, O> {
    Idle,
    Invoked { call: usize, input: I },
    Applied { call: usize, output: O },
}

/// A history of one register with reads, writes and compare-and-sets of few values.
pub fn register(shape: &Shape) -> Vec<Entry<RegisterInput, RegisterOutput>> {
    let mut dice = Dice(shape.seed);
    let mut clients = vec![Phase::Idle; shape.clients];
    let mut state = None;
    let mut entries: Vec<Entry<RegisterInput, RegisterOutput>> = Vec::with_capacity(shape.operations);
    let mut now = 0;
    while entries.len() < shape.operations || clients.iter().any(|c| !matches!(c, Phase::Idle)) {
        now += 1;
        let client = dice.below(shape.clients as u64) as usize;
        clients[client] = match &clients[client] {
            Phase::Idle if entries.len() < shape.operations => {
                let input = register_input(&mut dice);
                entries.push(Entry { invoked: now, answered: None, input, output: None });
                Phase::Invoked { call: entries.len() - 1, input }
            }
            Phase::Idle => Phase::Idle,
            Phase::Invoked { .. } if dice.below(1000) < shape.lost / 2 => Phase::Idle,
            Phase::Invoked { call, input } => {
                Phase::Applied { call: *call, output: apply_to_register(&mut state, *input) }
            }
            Phase::Applied { .. } if dice.below(1000) < shape.lost.div_ceil(2) => Phase::Idle,
            Phase::Applied { call, output } => {
                (entries[*call].answered, entries[*call].output) = (Some(now), Some(*output));
                Phase::Idle
            }
        };
    }
    entries
}

fn register_input(dice: &mut Dice) -> RegisterInput {
    let (a, b) = (dice.below(5) as i64, dice.below(5) as i64);
    match dice.below(3) {
        0 => RegisterInput::Read,
        1 => RegisterInput::Write(a),
        _ => RegisterInput::Cas(a, b),
    }
}

fn apply_to_register(state: &mut Option<i64>, input: RegisterInput) -> RegisterOutput {
    match input {
        RegisterInput::Read => RegisterOutput::Read(*state),
        RegisterInput::Write(value) => {
            *state = Some(value);
            RegisterOutput::Written
        }
        RegisterInput::Cas(from, to) => {
            let fits = *state == Some(from);
            if fits {
                *state = Some(to);
            }
            RegisterOutput::Swapped(fits)
        }
    }
}

/// Milliseconds of the lease clock.
const LEASE_MS: i64 = 50;

#[derive(Debug, Clone, Default)]
struct TrueShard {
    fence: i64,
    holder: Option<usize>,
    deadline: i64,
    cursor: Option<i64>,
}

/// The lease that a client last got.
#[derive(Debug, Clone, Copy)]
struct Held {
    fence: i64,
    cursor: i64,
}

#[derive(Debug, Clone)]
struct Client {
    /// Changes when an answer is lost.
    process: i64,
    phase: Phase<Call, Result<Value, &'static str>>,
    lease: Option<Held>,
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Acquire,
    Renew(Held),
    Checkpoint(Held),
    Release(Held),
    Read,
}

/// A history of shards, each with its own clients that acquire, renew, checkpoint, release and read.
pub fn shards(shape: &Shape) -> Vec<Op> {
    let mut world = World {
        dice: Dice(shape.seed),
        lost: shape.lost,
        shards: vec![TrueShard::default(); shape.shards],
        clients: (0..shape.shards * shape.clients)
            .map(|process| Client { process: process as i64, phase: Phase::Idle, lease: None })
            .collect(),
        per_shard: shape.clients,
        ops: Vec::with_capacity(2 * shape.operations + 2),
        left: shape.operations,
        lease_clock: 0,
    };
    world.register();
    world.run();
    number(&mut world.ops);
    world.ops
}

#[derive(Debug)]
struct World {
    dice: Dice,
    lost: u64,
    shards: Vec<TrueShard>,
    clients: Vec<Client>,
    per_shard: usize,
    ops: Vec<Op>,
    left: usize,
    lease_clock: i64,
}

impl World {
    fn register(&mut self) {
        let key = |i: usize| (i > 0 && i < self.shards.len()).then(|| format!("{i:08x}00000000"));
        let shards: Vec<Value> = (0..self.shards.len())
            .map(|i| {
                let bounds = Value::map([("shard", shard_name(i))]);
                bounds.with("start", key(i)).with("end", key(i + 1))
            })
            .collect();
        let value = Value::map([("run", "r")]).with("shards", shards);
        let process = self.clients.len() as i64;
        self.record(process, OpType::Invoke, "register", value.clone());
        self.record(process, OpType::Ok, "register", value);
    }

    fn run(&mut self) {
        let mut busy = 0;
        while self.left > 0 || busy > 0 {
            self.lease_clock += i64::from(self.dice.below(2 * self.shards.len() as u64) == 0);
            let i = self.dice.below(self.clients.len() as u64) as usize;
            match self.clients[i].phase.clone() {
                Phase::Idle if self.left > 0 => {
                    self.left -= 1;
                    busy += 1;
                    self.invoke(i);
                }
                Phase::Idle => {}
                Phase::Invoked { call, input } if self.is_lost() => {
                    busy -= 1;
                    self.lose(i, call, input);
                }
                Phase::Invoked { call, input } => {
                    let output = self.apply(i, input);
                    self.clients[i].phase = Phase::Applied { call, output };
                }
                Phase::Applied { call, output } => {
                    busy -= 1;
                    self.answer(i, call, output);
                }
            }
        }
    }

    fn is_lost(&mut self) -> bool {
        self.dice.below(1000) < self.lost
    }

    fn record(&mut self, process: i64, typ: OpType, f: &str, value: Value) {
        let time = self.ops.len() as i64 * 1000;
        self.ops.push(Op::new(Process::Client(process), typ, f, value, time));
    }

    fn invoke(&mut self, i: usize) {
        let call = match (self.clients[i].lease, self.dice.below(20)) {
            (_, 0..=3) | (None, 4..=18) => Call::Read,
            (None, _) => Call::Acquire,
            (Some(held), 4) => Call::Release(held),
            (Some(held), 5..=6) => Call::Renew(held),
            (Some(held), _) => Call::Checkpoint(Held { cursor: held.cursor + 1, ..held }),
        };
        let at = self.ops.len();
        let (f, value) = self.describe(i, call, at);
        self.record(self.clients[i].process, OpType::Invoke, f, value);
        self.clients[i].phase = Phase::Invoked { call: at, input: call };
    }

    fn describe(&self, i: usize, call: Call, at: usize) -> (&'static str, Value) {
        let shard = Value::map([("shard", shard_name(self.shard_of(i)))]);
        let op_id = format!("{at:x}");
        let worker = |value: Value| value.with("worker", format!("w{i}"));
        let under = |held: Held| worker(shard.clone()).with("fence", held.fence);
        match call {
            Call::Read => ("read-shard", shard),
            Call::Acquire => ("acquire", worker(shard).with("op-id", op_id)),
            Call::Renew(held) => ("renew", under(held)),
            Call::Release(held) => ("release", under(held).with("op-id", op_id)),
            Call::Checkpoint(held) => {
                ("checkpoint", under(held).with("cursor", self.key(i, held.cursor)).with("op-id", op_id))
            }
        }
    }

    fn shard_of(&self, i: usize) -> usize {
        i / self.per_shard
    }

    fn key(&self, i: usize, cursor: i64) -> String {
        format!("{:08x}{cursor:08x}", self.shard_of(i))
    }

    /// On the one true state; what the answer adds, or the reason of the refusal.
    fn apply(&mut self, i: usize, call: Call) -> Result<Value, &'static str> {
        let now = self.lease_clock;
        let place = self.shard_of(i);
        let cursor_of = |shard: &TrueShard| shard.cursor.map(|cursor| format!("{place:08x}{cursor:08x}"));
        let shard = &mut self.shards[place];
        let held = match call {
            Call::Read => {
                let record = Value::map([("status", Value::keyword("active"))]);
                return Ok(record.with("fence", shard.fence).with("cursor", cursor_of(shard)));
            }
            Call::Acquire => {
                if shard.holder.is_some() && now < shard.deadline {
                    return Err("lease-held");
                }
                shard.fence += 1;
                (shard.holder, shard.deadline) = (Some(i), now + LEASE_MS);
                let lease = Value::map([("fence", shard.fence), ("granted", now), ("deadline", shard.deadline)]);
                return Ok(lease.with("cursor", cursor_of(shard)));
            }
            Call::Renew(held) | Call::Checkpoint(held) | Call::Release(held) => held,
        };
        if held.fence != shard.fence {
            return Err("fence-mismatch");
        }
        if shard.holder != Some(i) || shard.deadline <= now {
            return Err("lease-expired");
        }
        match call {
            Call::Renew(_) => {
                shard.deadline = now + LEASE_MS;
                return Ok(Value::map([("granted", now), ("deadline", shard.deadline)]));
            }
            Call::Checkpoint(_) => shard.cursor = Some(held.cursor),
            _ => shard.holder = None,
        }
        Ok(Value::map::<&str, Value>([]))
    }

    fn lose(&mut self, i: usize, at: usize, input: Call) {
        // Half of them take effect all the same.
        if self.dice.below(2) == 0 {
            // Nobody learns what came of it.
            let _ = self.apply(i, input);
        }
        let invoke = self.ops[at].clone();
        self.record(self.clients[i].process, OpType::Info, &invoke.f, invoke.value);
        let clients = self.clients.len() as i64;
        self.clients[i].process += clients + 1;
        self.clients[i].lease = None;
        self.clients[i].phase = Phase::Idle;
    }

    fn answer(&mut self, i: usize, at: usize, output: Result<Value, &'static str>) {
        let Op { f, value, .. } = self.ops[at].clone();
        let (added, typ) = match &output {
            Ok(added) => (Some(added), OpType::Ok),
            Err(_) => (None, OpType::Fail),
        };
        let mut said = value;
        for (key, value) in added.and_then(Value::as_map).into_iter().flat_map(|map| map.iter()) {
            said = said.with(key.name().unwrap_or_default(), value.clone());
        }
        self.learn(i, &f, &said, output.is_ok());
        self.record(self.clients[i].process, typ, &f, said);
        if let (Err(reason), Some(op)) = (output, self.ops.last_mut()) {
            op.error = Some(Value::Vec(vec![Value::keyword(reason), Value::from("")]));
        }
        self.clients[i].phase = Phase::Idle;
    }

    fn learn(&mut self, i: usize, f: &str, said: &Value, ok: bool) {
        let cursor = self.shards[self.shard_of(i)].cursor;
        let lease = &mut self.clients[i].lease;
        match (f, ok) {
            ("read-shard", _) => {}
            ("acquire", true) => {
                let fence = said.some("fence").and_then(Value::as_i64).unwrap_or_default();
                *lease = Some(Held { fence, cursor: cursor.unwrap_or(0) });
            }
            ("checkpoint", true) => *lease = lease.map(|held| Held { cursor: held.cursor + 1, ..held }),
            ("renew", true) => {}
            _ => *lease = None,
        }
    }
}

fn shard_name(i: usize) -> String {
    format!("s{i:03}")
}
