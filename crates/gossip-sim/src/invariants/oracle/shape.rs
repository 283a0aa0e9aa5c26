//! What is wrong with a request whatever the records say: names, sizes and numbers, as the contract states them (`crates/gossip-proto/proto`,
//! `docs/protocol.md`). The limits stand here a second time, and so do the rules.

use gossip_core::coordination::ids::Invalid;
use gossip_core::coordination::{Command, Cursor, Op, Rejection, ShardSpec};

use super::plain::lease_of;
use super::ranges::Span;

const KEY: usize = 4_096;
const TOKEN: usize = 65_536;
const METADATA: usize = 16_384;
const REASON: usize = 1_024;
/// Roots of a run.
pub(super) const ROOTS: usize = 10_000;
/// A split has 256 children at most.
const CUTS: usize = 255;
/// Milliseconds, to one day.
const LEASE: std::ops::RangeInclusive<u64> = 100..=86_400_000;

/// Longest names, in bytes, and what they may hold beside letters and digits.
const TENANT_OR_RUN: (usize, &str) = (128, "._-");
const WORKER: (usize, &str) = (253, "._-:/@");
const ROOT: (usize, &str) = (128, "._-:");
const SHARD: (usize, &str) = (160, "._-:~");

/// Everything that is wrong with the shape of a request. Which of several faults is told first nobody promises.
pub(super) fn faults(command: &Command) -> Vec<Rejection> {
    let mut found = Found::default();
    found.name("tenant", command.tenant.as_str(), TENANT_OR_RUN);
    found.name("run", command.run.as_str(), TENANT_OR_RUN);
    if let Some(lease) = lease_of(&command.op) {
        found.name("lease.shard", lease.shard.as_str(), SHARD);
        found.name("lease.worker", lease.worker.as_str(), WORKER);
    }
    match &command.op {
        Op::CreateRun { metadata } => found.size("metadata", METADATA, metadata.len()),
        Op::RegisterShards { shards, .. } => found.specs(shards),
        Op::FailRun { reason } | Op::CancelRun { reason } | Op::Park { reason, .. } => {
            found.size("reason", REASON, reason.len());
        }
        Op::Acquire { shard, worker, lease_ms } => {
            found.name("shard", shard.as_str(), SHARD);
            found.name("worker", worker.as_str(), WORKER);
            found.bad("lease_ms", !LEASE.contains(lease_ms));
        }
        Op::Claim { worker, lease_ms } => {
            found.name("worker", worker.as_str(), WORKER);
            found.bad("lease_ms", !LEASE.contains(lease_ms));
        }
        Op::Renew { lease_ms, .. } => found.bad("lease_ms", !LEASE.contains(lease_ms)),
        Op::Checkpoint { cursor, .. } => found.cursor(cursor),
        Op::Complete { cursor, .. } => cursor.iter().for_each(|cursor| found.cursor(cursor)),
        Op::Unpark { shard } => found.name("shard", shard.as_str(), SHARD),
        Op::SplitReplace { cuts, .. } => {
            found.bad("cuts", cuts.is_empty());
            found.size("cuts", CUTS, cuts.len());
            (0..).zip(cuts).for_each(|(i, cut)| found.key(&|| format!("cuts[{i}]"), cut));
        }
        Op::SplitResidual { at, .. } => found.key(&|| "at".to_owned(), at),
        Op::StartRun | Op::CompleteRun | Op::DeleteRun | Op::Release { .. } => {}
    }
    found.0
}

/// A malformed field; the words for people are left out, as in [`super::refusals::bare`].
pub(super) fn invalid(field: &str) -> Rejection {
    Rejection::InvalidArgument(Invalid { field: field.to_owned(), problem: String::new() })
}

/// More than is allowed.
pub(super) fn too_much(field: &str, max: usize, actual: usize) -> Rejection {
    Rejection::LimitExceeded { field: field.to_owned(), max: max as u64, actual: actual as u64 }
}

#[derive(Default)]
struct Found(Vec<Rejection>);

impl Found {
    fn bad(&mut self, field: &str, is_bad: bool) {
        if is_bad {
            self.0.push(invalid(field));
        }
    }

    fn size(&mut self, field: &str, max: usize, actual: usize) {
        if actual > max {
            self.0.push(too_much(field, max, actual));
        }
    }

    fn name(&mut self, field: &str, name: &str, (longest, extra): (usize, &str)) {
        let fits = (1..=longest).contains(&name.len());
        self.bad(field, !fits || !name.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c)));
    }

    /// A key that must be there.
    fn key(&mut self, field: &dyn Fn() -> String, key: &[u8]) {
        if !(1..=KEY).contains(&key.len()) {
            self.bad(&field(), key.is_empty());
            self.size(&field(), KEY, key.len());
        }
    }

    fn cursor(&mut self, cursor: &Cursor) {
        self.key(&|| "cursor.key".to_owned(), &cursor.key);
        self.size("cursor.token", TOKEN, cursor.token.len());
    }

    fn specs(&mut self, specs: &[ShardSpec]) {
        self.bad("shards", specs.is_empty());
        self.size("shards", ROOTS, specs.len());
        for (i, ShardSpec { shard, range, metadata }) in specs.iter().enumerate() {
            let mut one = Found::default();
            one.name("shard", shard.as_str(), ROOT);
            one.size("range.start", KEY, range.start.len());
            one.size("range.end", KEY, range.end.len());
            one.bad("range.start", Span::from(range).is_empty());
            one.size("metadata", METADATA, metadata.len());
            self.0.extend(one.0.into_iter().map(|fault| inside(&format!("shards[{i}]."), fault)));
        }
    }
}

fn inside(path: &str, fault: Rejection) -> Rejection {
    match fault {
        Rejection::InvalidArgument(Invalid { field, .. }) => invalid(&format!("{path}{field}")),
        Rejection::LimitExceeded { field, max, actual } => {
            Rejection::LimitExceeded { field: format!("{path}{field}"), max, actual }
        }
        other => other,
    }
}
