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
use super::{Exhausted, Limits, Outcome, check};
use crate::history::Call;
use crate::model::{ShardHistory, ShardState};

/// A shard's history, and the place of an entry in it.
type Use = (usize, usize);

/// What came of all lost claims that are in several linearizations.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// One for each claim that several shards need.
    pub(super) anomalies: Vec<Anomaly>,
    /// Shards of which it is not known whether they need one that another one may need as well.
    pub(super) gave_up: Vec<(String, Exhausted)>,
}

pub(super) fn granted_twice(
    histories: &[ShardHistory<'_>],
    outcomes: &[Outcome<ShardState<'_>>],
    limits: Limits,
    deadline: Instant,
) -> Claims {
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
    let mut claims = Claims::default();
    for uses in uses.into_values().filter(|uses| uses.len() > 1) {
        claims.weigh(histories, &uses, limits, deadline);
    }
    claims
}

impl Claims {
    /// Looks whether two shards need a claim that is in the linearizations of all of these.
    fn weigh(&mut self, histories: &[ShardHistory<'_>], uses: &[Use], limits: Limits, deadline: Instant) {
        let mut needing: Option<Anomaly> = None;
        let mut gave_up = Vec::new();
        for &(shard, entry) in uses {
            match anomaly_without(&histories[shard], entry, limits, deadline) {
                Ok(None) => {}
                Err(what) => gave_up.push((histories[shard].shard.to_string(), what)),
                Ok(Some(anomaly)) => match needing.take() {
                    None => needing = Some(anomaly),
                    Some(first) => {
                        self.anomalies.push(both(first, anomaly, &histories[shard].calls[entry]));
                        return;
                    }
                },
            }
        }
        if gave_up.len() + usize::from(needing.is_some()) > 1 {
            self.gave_up.extend(gave_up);
        }
    }
}

/// Two shards need one claim. The one answered last is the culprit.
fn both(a: Anomaly, b: Anomaly, call: &Call<'_>) -> Anomaly {
    let claim = call.op_id().map_or_else(|| format!("at index {}", call.invoke.index), |id| id.to_string());
    let mut ops: Vec<u64> = a.ops.iter().chain(&b.ops).copied().chain([call.invoke.index]).collect();
    ops.sort_unstable();
    ops.dedup();
    let (other, last) = if a.time <= b.time { (a, b) } else { (b, a) };
    let stuck = format!("{} but the lost claim {claim}, which shard {} needs", last.stuck, other.shard);
    Anomaly { ops, stuck, ..last }
}

/// Why a shard's history has no linearization without this entry; none if it has one.
fn anomaly_without(
    history: &ShardHistory<'_>,
    entry: usize,
    limits: Limits,
    deadline: Instant,
) -> Result<Option<Anomaly>, Exhausted> {
    let left = Limits { time: deadline.saturating_duration_since(Instant::now()), ..limits };
    if left.time.is_zero() {
        return Err(Exhausted::Time);
    }
    let mut without = history.clone();
    without.entries.remove(entry);
    without.calls.remove(entry);
    match check(&without.model, &without.entries, left) {
        Outcome::Illegal(failure) => Ok(Some(anomaly(&without, &failure))),
        Outcome::Linearizable(_) => Ok(None),
        Outcome::Unknown(what) => Err(what),
    }
}
