//! Short words for writing histories in tests. A call is invoked and completed at once unless [`Part::Together`] says
//! otherwise; ops are a millisecond apart.

use crate::history::{Op, OpType, Process, Value, number};

#[derive(Debug, Clone)]
pub(crate) struct TestCall {
    pub(crate) f: &'static str,
    pub(crate) input: Value,
    pub(crate) out: Value,
    pub(crate) typ: OpType,
    reason: Option<&'static str>,
    process: i64,
}

impl TestCall {
    pub(crate) fn new(f: &'static str, input: Value) -> Self {
        Self { f, input, out: Value::Nil, typ: OpType::Ok, reason: None, process: 0 }
    }

    /// Something that the answer adds.
    pub(crate) fn out(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.out = self.out.with(key, value);
        self
    }

    pub(crate) fn input(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.input = self.input.with(key, value);
        self
    }

    pub(crate) fn by(mut self, process: i64) -> Self {
        self.process = process;
        self
    }

    pub(crate) fn failed(self, reason: &'static str) -> Self {
        Self { typ: OpType::Fail, reason: Some(reason), out: Value::Nil, ..self }
    }

    pub(crate) fn lost(self) -> Self {
        Self { typ: OpType::Info, reason: Some("timeout"), out: Value::Nil, ..self }
    }

    fn ops(&self) -> [Op; 2] {
        let mut answer = self.input.clone();
        for (key, value) in self.out.as_map().into_iter().flat_map(|m| m.iter()) {
            answer = answer.with(key.name().unwrap(), value.clone());
        }
        let process = Process::Client(self.process);
        let end = Op::new(process, self.typ, self.f, answer, 0);
        let end = match self.reason {
            Some(reason) => end.with_error(reason, ""),
            None => end,
        };
        [Op::new(process, OpType::Invoke, self.f, self.input.clone(), 0), end]
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Part {
    One(TestCall),
    /// All are invoked before any is answered.
    Together(Vec<TestCall>),
    Nemesis(&'static str, Value),
}

impl From<TestCall> for Part {
    fn from(call: TestCall) -> Self {
        Self::One(call)
    }
}

impl From<Vec<TestCall>> for Part {
    fn from(calls: Vec<TestCall>) -> Self {
        Self::Together(calls)
    }
}

pub(crate) fn history(parts: &[Part]) -> Vec<Op> {
    let mut ops = Vec::new();
    for part in parts {
        match part {
            Part::One(call) => ops.extend(call.ops()),
            Part::Together(calls) => {
                let pairs: Vec<[Op; 2]> = calls.iter().zip(0..).map(|(call, p)| call.clone().by(p).ops()).collect();
                ops.extend(pairs.iter().map(|[invoke, _]| invoke.clone()));
                ops.extend(pairs.iter().map(|[_, end]| end.clone()));
            }
            Part::Nemesis(f, value) => ops.push(Op::new(Process::Nemesis, OpType::Info, *f, value.clone(), 0)),
        }
    }
    number(&mut ops);
    for op in &mut ops {
        op.time = i64::try_from(op.index).unwrap() * 1_000_000;
    }
    ops
}

pub(crate) fn range(shard: &str, start: Option<&str>, end: Option<&str>) -> Value {
    Value::map([("shard", Value::from(shard)), ("start", start.into()), ("end", end.into())])
}

pub(crate) fn register(shards: &[(&str, Option<&str>, Option<&str>)]) -> TestCall {
    let shards: Vec<Value> = shards.iter().map(|(shard, start, end)| range(shard, *start, *end)).collect();
    TestCall::new("register", Value::map([("run", Value::from("r")), ("shards", Value::Vec(shards))]))
}

/// Of shard `s`, with a lease of a thousand milliseconds from a thousand times the fence on.
pub(crate) fn acquire(worker: &str, fence: i64) -> TestCall {
    acquire_at(worker, fence, 1000 * fence, 1000 * (fence + 1))
}

pub(crate) fn acquire_at(worker: &str, fence: i64, granted: i64, deadline: i64) -> TestCall {
    let input = Value::map([("shard", "s"), ("worker", worker), ("op-id", &format!("a{fence}"))]);
    TestCall::new("acquire", input)
        .out("fence", fence)
        .out("granted", granted)
        .out("deadline", deadline)
        .out("cursor", Value::Nil)
}

pub(crate) fn write(f: &'static str, worker: &str, fence: i64) -> TestCall {
    let input = Value::map([("shard", "s"), ("worker", worker), ("op-id", &format!("{f}{worker}{fence}"))]);
    TestCall::new(f, input.with("fence", fence))
}

pub(crate) fn checkpoint(worker: &str, fence: i64, cursor: &str) -> TestCall {
    let call = write("checkpoint", worker, fence);
    call.input("cursor", cursor).input("op-id", format!("checkpoint{worker}{fence}{cursor}"))
}

pub(crate) fn renew(worker: &str, fence: i64, granted: i64, deadline: i64) -> TestCall {
    write("renew", worker, fence).out("granted", granted).out("deadline", deadline)
}

pub(crate) fn end_run(f: &'static str, op_id: &str) -> TestCall {
    TestCall::new(f, Value::map([("run", "r"), ("op-id", op_id)]))
}

pub(crate) fn read_shard(record: Value) -> TestCall {
    TestCall { out: record, ..TestCall::new("read-shard", Value::map([("shard", "s")])) }
}

pub(crate) fn read_run(shards: Vec<Value>) -> TestCall {
    TestCall::new("read-run", Value::map([("run", "r")])).out("status", Value::keyword("active")).out("shards", shards)
}

impl TestCall {
    pub(crate) fn last(self) -> Self {
        self.input("final?", true)
    }
}

pub(crate) fn status(status: &str) -> Value {
    Value::map([("status", Value::keyword(status))])
}
