//! What operations carry and answer, in the words of histories.

use gossip_check::history::Value;
use gossip_client::{Child, Grant, LeaseRef, Member, OpId, Range, Renewal, ShardInfo};

use crate::clock::Clock;

pub(super) fn key(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Nil } else { Value::hex_key(bytes) }
}

pub(super) fn number(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

pub(super) fn op_id(op: OpId) -> Value {
    Value::from(op.to_string())
}

pub(super) fn ranged(shard: &str, range: &Range) -> Value {
    Value::map([("shard", Value::from(shard)), ("start", key(&range.start)), ("end", key(&range.end))])
}

pub(super) fn child(child: &Child) -> Value {
    ranged(&child.shard, &child.range)
}

pub(super) fn under(lease: &LeaseRef) -> Value {
    Value::map([("shard", lease.shard.as_str()), ("worker", lease.worker.as_str())]).with("fence", number(lease.fence))
}

/// A grant's answer.
pub(super) fn granted(clock: Clock, sent: Value, grant: &Grant) -> Value {
    sent.with("shard", grant.lease.shard.as_str())
        .with("fence", number(grant.lease.fence))
        .with("granted", number(grant.granted_ms))
        .with("deadline", number(grant.deadline_ms))
        .with("believed-until", clock.place(grant.believed_until.as_nanos()))
        .with("cursor", grant.cursor.as_ref().map_or(Value::Nil, |cursor| key(&cursor.key)))
}

/// A renewal's answer.
pub(super) fn renewed(clock: Clock, sent: Value, renewal: &Renewal) -> Value {
    sent.with("granted", number(renewal.granted_ms))
        .with("deadline", number(renewal.deadline_ms))
        .with("believed-until", clock.place(renewal.believed_until.as_nanos()))
}

/// A shard's record as reads show it.
pub(super) fn record(info: &ShardInfo) -> Value {
    let cursor = info.cursor.as_ref().map_or(Value::Nil, |cursor| key(&cursor.key));
    let lease = info.lease.as_ref();
    ranged(&info.shard, &info.range)
        .with("status", Value::keyword(info.status.name()))
        .with("fence", number(info.fence))
        .with("worker", lease.map_or(Value::Nil, |lease| Value::from(lease.worker.as_str())))
        .with("deadline", lease.map_or(Value::Nil, |lease| number(lease.deadline_ms)))
        .with("cursor", cursor)
}

/// Facts that stand still when nothing is written any more; load never does.
const SETTLED: [&str; 4] = ["role", "leader", "build", "applied"];

/// At which version a node shows a fact, where its value says so by itself: the log index that its owner had applied, the
/// term of the leader that its owner knew. Both only rise.
pub(super) fn version(key: &str, value: &str) -> Option<i64> {
    match key {
        "applied" => value.parse().ok(),
        "leader" => value.rsplit_once('@')?.1.parse().ok(),
        _ => None,
    }
}

/// A node's view of the cluster: node to key to value, with the version where there is one.
pub(super) fn view(members: &[Member]) -> Value {
    let fact = |key: &str, value: &str| {
        let shown = Value::map([("value", value)]);
        version(key, value).map_or(shown.clone(), |version| shown.with("version", version))
    };
    let of = |member: &Member| {
        let health = format!("{:?}", member.health()).to_ascii_lowercase();
        let known =
            [("health", health.as_str()), ("address", member.address.as_str())].map(|(key, v)| (key, fact(key, v)));
        let told = SETTLED.iter().filter_map(|&key| Some((key, fact(key, member.facts.get(key)?))));
        Value::map(known.into_iter().chain(told))
    };
    Value::map(members.iter().map(|member| (member.node.as_str(), of(member))))
}
