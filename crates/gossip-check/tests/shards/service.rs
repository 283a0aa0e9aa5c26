//! One shard and its clients, few enough for every order of their calls to be tried. Answers are true, but for one lie if so
//! wished.

use gossip_check::history::{Map, Op, OpType, Process, Value, number};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) const KEYS: [&str; 4] = ["10", "20", "30", "38"];
const WORKERS: [&str; 3] = ["a", "b", "c"];
/// Milliseconds of the lease clock.
const LEASE: i64 = 3;

/// The true shard, `[10, 40)` once it is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shard {
    pub(crate) status: &'static str,
    pub(crate) run_ended: bool,
    pub(crate) fence: i64,
    /// Who, and until when if that is known.
    pub(crate) lease: Option<(String, Option<i64>)>,
    pub(crate) cursor: Option<String>,
    pub(crate) end: String,
    /// The last time that an answer told.
    pub(crate) clock: i64,
}

impl Shard {
    pub(crate) fn absent() -> Self {
        Self {
            status: "absent",
            run_ended: false,
            fence: 0,
            lease: None,
            cursor: None,
            end: "40".to_owned(),
            clock: i64::MIN,
        }
    }

    pub(crate) fn end_with(&mut self, status: &'static str) {
        (self.status, self.lease) = (status, None);
    }

    fn record(&self) -> Value {
        let (worker, deadline) = self.lease.clone().map_or((None, None), |(worker, until)| (Some(worker), until));
        Value::map([("status", Value::keyword(self.status)), ("fence", self.fence.into())])
            .with("worker", worker)
            .with("deadline", deadline)
            .with("cursor", self.cursor.clone())
            .with("start", "10")
            .with("end", self.end.as_str())
    }
}

pub(crate) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.some(key).and_then(Value::as_str)
}

/// What is drawn of a history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) calls: usize,
    /// Of a hundred calls, how many are never answered.
    pub(crate) lost: u32,
    pub(crate) lost_renewals: bool,
    pub(crate) lies: bool,
}

/// A call under way, and its answer once it took effect.
type Pending = (&'static str, Value, Option<Option<Value>>);

struct World {
    random: ChaCha8Rng,
    shape: Shape,
    shard: Shard,
    now: i64,
    ops: Vec<Op>,
    processes: [i64; 3],
    clients: Vec<Option<Pending>>,
}

pub(crate) fn run(seed: u64, shape: Shape) -> Vec<Op> {
    let mut world = World {
        random: ChaCha8Rng::seed_from_u64(seed),
        shape,
        shard: Shard::absent(),
        now: 0,
        ops: Vec::new(),
        processes: [0, 1, 2],
        clients: vec![None; 3],
    };
    let made = Value::map([("shard", "s"), ("start", "10"), ("end", "40")]);
    world.clients[0] = Some(("register", Value::map([("run", "r")]).with("shards", vec![made]), None));
    world.invoke(0);
    let mut left = shape.calls;
    while left > 0 || world.clients.iter().any(Option::is_some) {
        let client = world.random.random_range(0..3);
        world.now += world.random.random_range(0..2);
        match world.clients[client].take() {
            None if left == 0 => {}
            None => {
                left -= 1;
                world.clients[client] = Some(world.request(left));
                world.invoke(client);
            }
            Some(call) => world.go_on(client, call),
        }
    }
    if shape.lies {
        world.lie();
    }
    number(&mut world.ops);
    world.ops
}

impl World {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    fn record(&mut self, client: usize, typ: OpType, f: &str, value: Value) {
        let process = &mut self.processes[client];
        self.ops.push(Op::new(Process::Client(*process), typ, f, value, 0));
        if typ == OpType::Info {
            // A process whose call was lost never calls again.
            *process += 3;
        }
    }

    fn invoke(&mut self, client: usize) {
        let (f, value, _) = self.clients[client].clone().unwrap();
        self.record(client, OpType::Invoke, f, value);
    }

    fn go_on(&mut self, client: usize, (f, value, answer): Pending) {
        let may_lose = f != "register" && (f != "renew" || self.shape.lost_renewals);
        if may_lose && self.random.random_range(0..200) < self.shape.lost {
            return self.record(client, OpType::Info, f, value);
        }
        match answer {
            None => {
                let answer = self.apply(f, &value);
                self.clients[client] = Some((f, value, Some(answer)));
            }
            Some(None) => self.record(client, OpType::Fail, f, value),
            Some(Some(added)) => {
                let added = added.as_map().cloned().unwrap_or_default();
                let answer = value.as_map().cloned().unwrap_or_default().merged(&added);
                self.record(client, OpType::Ok, f, Value::Map(answer));
            }
        }
    }

    fn request(&mut self, id: usize) -> Pending {
        let (worker, key) = (self.pick(&WORKERS), self.pick(&KEYS));
        let shard = Value::map([("shard", "s")]);
        let op_id = format!("o{id}");
        // Mostly under the lease of the day, so that much succeeds.
        let (holder, fence) = match &self.shard.lease {
            Some((holder, _)) if self.random.random_range(0..8) > 0 => (holder.clone(), self.shard.fence),
            _ => (worker.to_owned(), self.random.random_range(1..4)),
        };
        let under = shard.clone().with("worker", holder).with("fence", fence);
        let (f, value) = match self.random.random_range(0..100) {
            0..22 => ("acquire", shard.with("worker", worker)),
            22..27 => ("claim", Value::map([("run", "r"), ("worker", worker)])),
            27..42 => ("checkpoint", under.with("cursor", key)),
            42..50 => return ("renew", under, None),
            50..57 => ("release", under),
            57..62 => ("park", under),
            62..69 => ("unpark", shard),
            69..72 => ("complete", under.with("cursor", key)),
            72..77 => ("split-residual", under.with("at", key)),
            77..79 => ("split-replace", under.with("cuts", vec![key])),
            79..82 => ("cancel-run", Value::map([("run", "r")])),
            _ => return ("read-shard", shard, None),
        };
        (f, value.with("op-id", op_id), None)
    }

    /// On the true shard; what the answer adds, none if it is refused.
    fn apply(&mut self, f: &str, value: &Value) -> Option<Value> {
        let (now, nothing) = (self.now, Value::Map(Map::new()));
        let shard = &mut self.shard;
        match f {
            "register" => shard.status = if shard.run_ended { return None } else { "active" },
            "cancel-run" => {
                if std::mem::replace(&mut shard.run_ended, true) {
                    return None;
                }
                if matches!(shard.status, "active" | "parked") {
                    shard.fence += 1;
                    shard.end_with("cancelled");
                }
            }
            "read-shard" => {
                let told = shard.record();
                let hides_fence = self.random.random_range(0..4) == 0;
                return (self.shard.status != "absent")
                    .then(|| if hides_fence { without(&told, "fence") } else { told });
            }
            "acquire" | "claim" => {
                let is_live = matches!(shard.lease, Some((_, Some(until))) if now < until);
                if shard.status != "active" || is_live {
                    return None;
                }
                shard.fence += 1;
                shard.lease = Some((text(value, "worker")?.to_owned(), Some(now + LEASE)));
                let lease = nothing.with("shard", "s").with("fence", shard.fence).with("granted", now);
                return Some(lease.with("deadline", now + LEASE).with("cursor", shard.cursor.clone()));
            }
            "unpark" if shard.status == "parked" => {
                (shard.status, shard.fence) = ("active", shard.fence + 1);
                return Some(nothing.with("fence", shard.fence));
            }
            "unpark" => return None,
            _ => return self.write(f, value),
        }
        Some(nothing)
    }

    fn write(&mut self, f: &str, value: &Value) -> Option<Value> {
        let (now, shard) = (self.now, &mut self.shard);
        let (holder, until) = shard.lease.clone()?;
        let is_holder = text(value, "worker") == Some(&holder) && value.get("fence") == Some(&shard.fence.into());
        if shard.status != "active" || !is_holder || until.is_some_and(|until| until <= now) {
            return None;
        }
        let nothing = Value::Map(Map::new());
        let cursor = shard.cursor.clone().unwrap_or_default();
        let key = ["cursor", "at"].iter().find_map(|k| text(value, k)).map(str::to_owned);
        let key = key.or_else(|| value.get("cuts")?.items()?.first()?.as_str().map(str::to_owned)).unwrap_or_default();
        let is_inside = *"10" <= *key && key < shard.end;
        match f {
            "renew" => {
                let until = until.unwrap_or(0).max(now + LEASE);
                shard.lease = Some((holder, Some(until)));
                return Some(nothing.with("granted", now).with("deadline", until));
            }
            "checkpoint" | "complete" if is_inside && cursor <= key => {
                shard.cursor = Some(key);
                if f == "complete" {
                    shard.end_with("done");
                }
            }
            "release" => shard.lease = None,
            "park" => shard.end_with("parked"),
            "split-residual" if is_inside && key.as_str() > "10" && cursor < key => {
                let range = Value::map([("shard", "s~1"), ("start", key.as_str()), ("end", shard.end.as_str())]);
                shard.end = key;
                return Some(nothing.with("residual", range));
            }
            "split-replace" if is_inside && key.as_str() > "10" && cursor < key => {
                let left = Value::map([("shard", "l"), ("start", "10"), ("end", key.as_str())]);
                let right = Value::map([("shard", "m"), ("start", key.as_str()), ("end", shard.end.as_str())]);
                shard.end_with("split");
                return Some(nothing.with("children", vec![left, right]));
            }
            _ => return None,
        }
        Some(nothing)
    }

    /// One answer says something else than what was.
    fn lie(&mut self) {
        let told = |op: &Op| {
            ["fence", "granted", "deadline", "cursor", "status", "worker"].iter().any(|k| op.value.get(k).is_some())
        };
        let answers: Vec<usize> =
            (0..self.ops.len()).filter(|&i| self.ops[i].typ == OpType::Ok && told(&self.ops[i])).collect();
        if answers.is_empty() {
            return;
        }
        let liar = self.pick(&answers);
        let value = self.ops[liar].value.clone();
        let is_read = self.ops[liar].f == "read-shard";
        let by = self.pick(&[-1, 1, 2]);
        let add = |key: &str| value.some(key).and_then(Value::as_i64).map(|n| value.clone().with(key, n + by));
        let is_grant = matches!(self.ops[liar].f.as_str(), "acquire" | "claim" | "unpark" | "renew");
        let lie = match self.random.random_range(0..6) {
            0 | 1 if is_read || is_grant => add("fence"),
            2 if is_grant => add("granted"),
            3 if is_read || is_grant => add("deadline"),
            4 if is_read => {
                let deadline = value.some("deadline").and_then(Value::as_i64).unwrap_or(7);
                Some(value.clone().with("worker", self.pick(&WORKERS)).with("deadline", deadline))
            }
            5 if is_read => Some(value.clone().with("cursor", self.pick(&KEYS))),
            _ if is_read => {
                Some(value.clone().with("status", Value::keyword(self.pick(&["active", "parked", "done"]))))
            }
            _ => None,
        };
        if let Some(lie) = lie {
            self.ops[liar].value = lie;
        }
    }
}

fn without(value: &Value, key: &str) -> Value {
    let pairs = value.as_map().into_iter().flat_map(|map| map.iter());
    Value::map(pairs.filter(|(k, _)| k.name() != Some(key)).map(|(k, v)| (k.name().unwrap().to_owned(), v.clone())))
}
