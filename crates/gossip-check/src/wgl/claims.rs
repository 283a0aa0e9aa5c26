//! Claims that were never answered, across shards.
//!
//! Each shard's history may take a lost claim of its run as granted, whatever the others do. But one claim was granted one shard
//! at most: if two shards' histories have no linearization without it, one of them has none. A shard needs a claim only if
//! the linearization that was found has it in it, so that little is searched twice: claims that are in two of them.
//!
//! Sets of claims are not weighed against sets of shards: two claims that three shards need pass.

use std::collections::BTreeMap;
use std::time::Instant;

use super::shards::{Anomaly, anomaly};
use super::{Limits, Outcome, check};
use crate::model::{ShardHistory, ShardState};

/// A shard's history, and the place of an entry in it.
type Use = (usize, usize);

/// One anomaly for each lost claim that several shards need.
pub(super) fn granted_twice(
    histories: &[ShardHistory<'_>],
    outcomes: &[Outcome<ShardState<'_>>],
    limits: Limits,
    deadline: Instant,
) -> Vec<Anomaly> {
    let mut uses: BTreeMap<u64, Vec<Use>> = BTreeMap::new();
    for (shard, (history, outcome)) in histories.iter().zip(outcomes).enumerate() {
        let Outcome::Linearizable(order) = outcome else { continue };
        for &entry in order.iter().filter(|&&i| history.entries[i].answered.is_none()) {
            let call = &history.calls[entry];
            if call.f() == "claim" {
                uses.entry(call.invoke.index).or_default().push((shard, entry));
            }
        }
    }
    let shared = uses.into_values().filter(|uses| uses.len() > 1);
    shared.filter_map(|uses| needed_twice(histories, &uses, limits, deadline)).collect()
}

fn needed_twice(histories: &[ShardHistory<'_>], uses: &[Use], limits: Limits, deadline: Instant) -> Option<Anomaly> {
    let mut first: Option<Anomaly> = None;
    for &(shard, entry) in uses {
        let Some(needing) = anomaly_without(&histories[shard], entry, limits, deadline) else { continue };
        let Some(first) = &first else {
            first = Some(needing);
            continue;
        };
        let call = &histories[shard].calls[entry];
        let claim = call.op_id().map_or_else(|| format!("at index {}", call.invoke.index), |id| id.to_string());
        let mut ops: Vec<u64> = first.ops.iter().chain(&needing.ops).copied().chain([call.invoke.index]).collect();
        ops.sort_unstable();
        ops.dedup();
        // The one answered last is the culprit.
        let (last, other) = if first.time <= needing.time { (&needing, first) } else { (first, &needing) };
        let stuck = format!("{} but the lost claim {claim}, which shard {} needs", last.stuck, other.shard);
        return Some(Anomaly { ops, stuck, ..last.clone() });
    }
    None
}

/// Why a shard's history has no linearization without this entry; none if it has one, or if that is not known.
fn anomaly_without(history: &ShardHistory<'_>, entry: usize, limits: Limits, deadline: Instant) -> Option<Anomaly> {
    let mut without = history.clone();
    without.entries.remove(entry);
    without.calls.remove(entry);
    let left = Limits { time: deadline.saturating_duration_since(Instant::now()), ..limits };
    match check(&without.model, &without.entries, left) {
        Outcome::Illegal(failure) => Some(anomaly(&without, &failure)),
        Outcome::Linearizable(_) | Outcome::Unknown(_) => None,
    }
}
