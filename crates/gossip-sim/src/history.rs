//! The history as the workers see it, in the vocabulary that every judge reads.

use std::collections::{BTreeMap, BTreeSet};

use gossip_check::history::{Op as Line, OpType, Process, Value};
use gossip_core::coordination::{Answer, Command, Op, Range, RunId, RunStatus, ShardView};

use crate::world::queue::Nanos;

/// Takes in operations and faults.
#[derive(Debug, Default)]
pub struct Recorder {
    lines: Vec<Line>,
}

fn time(now: Nanos) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX)
}

fn number(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn key(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Nil } else { Value::hex_key(bytes) }
}

fn ranged(shard: &str, range: &Range) -> Value {
    Value::map([("shard", Value::from(shard)), ("start", key(&range.start)), ("end", key(&range.end))])
}

impl Recorder {
    /// A worker begins something.
    pub fn invoke(&mut self, now: Nanos, process: i64, f: &'static str, value: Value) {
        self.lines.push(Line::new(Process::Client(process), OpType::Invoke, f, value, time(now)));
    }

    /// It took effect.
    pub fn ok(&mut self, now: Nanos, process: i64, f: &'static str, value: Value) {
        self.lines.push(Line::new(Process::Client(process), OpType::Ok, f, value, time(now)));
    }

    /// It did not, or nobody knows.
    pub fn failed(&mut self, now: Nanos, process: i64, f: &'static str, value: Value, reason: &str, definite: bool) {
        let typ = if definite { OpType::Fail } else { OpType::Info };
        let reason = reason.to_ascii_lowercase().replace('_', "-");
        self.lines.push(Line::new(Process::Client(process), typ, f, value, time(now)).with_error(&reason, ""));
    }

    /// A fault strikes or ends.
    pub fn nemesis(&mut self, now: Nanos, f: &str, value: Value) {
        self.lines.push(Line::new(Process::Nemesis, OpType::Info, f, value, time(now)));
    }

    /// Runs that their answered making or a registration shows, without those that may have been deleted.
    pub fn standing_runs(&self) -> BTreeSet<RunId> {
        let mut made = BTreeSet::new();
        // Deletions that were not refused: a lost one may come to pass, and so may one that is still under way.
        let mut deletions: BTreeMap<RunId, i64> = BTreeMap::new();
        for line in &self.lines {
            let name = line.value.get("run").and_then(Value::as_str);
            let Some(run) = name.and_then(|name| RunId::parse("run", name).ok()) else { continue };
            match (line.f.as_str(), line.typ) {
                ("create-run" | "register", OpType::Ok) => drop(made.insert(run)),
                ("delete-run", OpType::Invoke) => *deletions.entry(run).or_default() += 1,
                ("delete-run", OpType::Fail) => *deletions.entry(run).or_default() -= 1,
                _ => {}
            }
        }
        made.retain(|run| deletions.get(run).is_none_or(|count| *count == 0));
        made
    }

    /// The whole history, numbered.
    pub fn into_lines(mut self) -> Vec<Line> {
        gossip_check::history::number(&mut self.lines);
        self.lines
    }
}

/// What a mutation is called and what it says at its invocation. `None`: it has no place in histories.
pub fn invocation(command: &Command) -> Option<Value> {
    let Command { run, op_id, op, .. } = command;
    let run_value = || Value::map([("run", run.as_str())]);
    let value = match op {
        Op::RegisterShards { shards, .. } => {
            let listed: Vec<Value> = shards.iter().map(|spec| ranged(spec.shard.as_str(), &spec.range)).collect();
            return Some(run_value().with("shards", listed).with("op-id", op_id.to_string()));
        }
        Op::CreateRun { .. } | Op::StartRun | Op::DeleteRun => run_value(),
        Op::CompleteRun | Op::FailRun { .. } | Op::CancelRun { .. } => run_value(),
        Op::Acquire { shard, worker, .. } => Value::map([("shard", shard.as_str()), ("worker", worker.as_str())]),
        Op::Claim { worker, .. } => Value::map([("run", run.as_str()), ("worker", worker.as_str())]),
        Op::Unpark { shard } => Value::map([("shard", shard.as_str())]),
        _ => {
            let lease = op.lease()?;
            Value::map([("shard", lease.shard.as_str()), ("worker", lease.worker.as_str())])
                .with("fence", number(lease.fence.0))
        }
    };
    let value = match op {
        Op::Checkpoint { cursor, .. } => value.with("cursor", key(&cursor.key)),
        Op::Complete { cursor, .. } => value.with("cursor", cursor.as_ref().map_or(Value::Nil, |c| key(&c.key))),
        Op::Park { reason, .. } => value.with("reason", reason.as_str()),
        Op::SplitReplace { cuts, .. } => value.with("cuts", cuts.iter().map(|cut| key(cut)).collect::<Vec<Value>>()),
        Op::SplitResidual { at, .. } => value.with("at", key(at)),
        _ => value,
    };
    Some(value.with("op-id", op_id.to_string()))
}

/// The invocation with what came back. `believed`: until when, in real time, its holder believes in the lease.
pub fn completion(sent: Value, answer: &Answer, believed: Nanos) -> Value {
    match answer {
        Answer::Granted(grant) => sent
            .with("shard", grant.shard.as_str())
            .with("fence", number(grant.fence.0))
            .with("granted", number(grant.granted.0))
            .with("deadline", number(grant.deadline.0))
            .with("believed-until", number(believed))
            .with("cursor", grant.cursor.as_ref().map_or(Value::Nil, |cursor| key(&cursor.key))),
        Answer::Renewed { granted, deadline } => sent
            .with("granted", number(granted.0))
            .with("deadline", number(deadline.0))
            .with("believed-until", number(believed)),
        Answer::Unparked { fence } => sent.with("fence", number(fence.0)),
        Answer::Replaced { children } => {
            let listed: Vec<Value> = children.iter().map(|c| ranged(c.shard.as_str(), &c.range)).collect();
            sent.with("children", listed)
        }
        Answer::Split { residual } => sent.with("residual", ranged(residual.shard.as_str(), &residual.range)),
        _ => sent,
    }
}

/// A shard's record as reads show it.
pub fn record(view: &ShardView) -> Value {
    let lease = view.lease.as_ref();
    ranged(view.shard.as_str(), &view.range)
        .with("status", Value::keyword(view.status.name()))
        .with("fence", number(view.fence.0))
        .with("worker", lease.map_or(Value::Nil, |lease| Value::from(lease.worker.as_str())))
        .with("deadline", lease.map_or(Value::Nil, |lease| number(lease.deadline.0)))
        .with("cursor", view.cursor.as_ref().map_or(Value::Nil, |cursor| key(&cursor.key)))
}

/// The answer to a read of a shard, beside what its invocation said.
pub fn shard_read(sent: &Value, view: &ShardView, applied: u64) -> Value {
    let read = record(view).with("applied", number(applied));
    if sent.get("stale").is_some() { read.with("stale", true) } else { read }
}

/// The invocation of a final read of a run at one node.
pub fn run_read(run: &RunId, node: &str) -> Value {
    Value::map([("run", run.as_str()), ("node", node)]).with("final?", true)
}

/// The answer to a read of a run.
pub fn run_seen(sent: Value, status: RunStatus, shards: &[ShardView], applied: u64) -> Value {
    sent.with("status", Value::keyword(status.name()))
        .with("shards", shards.iter().map(record).collect::<Vec<Value>>())
        .with("applied", number(applied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_stands_unless_its_deletion_may_have_happened() {
        let run = |name: &str| Value::map([("run", name)]);
        let mut history = Recorder::default();
        for name in ["r0", "r1", "r2", "r3"] {
            history.invoke(1, 0, "register", run(name));
            history.ok(2, 0, "register", run(name));
            history.invoke(3, 0, "delete-run", run(name));
        }
        history.ok(4, 0, "delete-run", run("r0"));
        history.failed(4, 0, "delete-run", run("r1"), "RUN_NOT_ENDED", true);
        history.failed(4, 0, "delete-run", run("r2"), "TIMEOUT", false);
        // That of r3 is under way; and of these nobody knows that they were made.
        history.failed(5, 0, "register", run("r4"), "TIMEOUT", false);
        history.invoke(5, 0, "register", run("r5"));
        let standing: Vec<String> = history.standing_runs().iter().map(|run| run.as_str().to_owned()).collect();
        assert_eq!(standing, ["r1"]);
    }
}
