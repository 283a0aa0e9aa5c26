//! S2, fence monotonicity: fences on one shard rise strictly from grant to grant in real time; no write with a fence below
//! one already granted is accepted.
//!
//! Going through the history in order, the *floor* is the highest fence that an answered grant or unpark has shown. Whatever
//! may have taken effect only after that moment must lie above it (a new grant) or not below it (a write). A replayed answer
//! is judged by the first try of its op id. No two grants share a fence, in whatever order they were answered.

use std::collections::{BTreeMap, HashSet};

use super::facts::{Facts, Tally, is_grant, is_lease_write};
use super::floors::Floors;
use crate::history::Call;

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tally = Tally::default();
    for (shard, places) in &facts.by_shard {
        check_shard(facts, shard, places, &mut tally);
        shared_fences(facts, shard, places, &mut tally);
    }
    tally
}

/// The fence that a call raised the shard's to, if it did and says so.
fn shown_fence(call: &Call<'_>) -> Option<i64> {
    let raises = is_grant(call.f()) || call.f() == "unpark";
    call.output_int("fence").filter(|_| raises && call.ok())
}

/// The highest fence shown up to each place.
fn floors(facts: &Facts<'_>, places: &[usize]) -> Floors<i64> {
    Floors::new(facts.shard_calls(places).filter_map(|c| Some((c.end(), shown_fence(c)?))), |a, b| a > b)
}

fn check_shard(facts: &Facts<'_>, shard: &str, places: &[usize], tally: &mut Tally) {
    let floors = floors(facts, places);
    for &i in places {
        let call = &facts.calls[i];
        let grant = shown_fence(call);
        let write = call.input_int("fence").filter(|_| is_lease_write(call.f()) && call.ok());
        let Some(fence) = grant.or(write) else { continue };
        // Where no fence was known yet there is nothing to compare with.
        let Some((high, shown_at)) = floors.before(facts.effect_from[i]) else { continue };
        let f = call.f();
        let fault = if grant.is_some() && fence <= high {
            Some(format!("{f} gave fence {fence} after fence {high}"))
        } else if grant.is_none() && fence < high {
            let worker = call.input("worker").map(crate::history::name).unwrap_or_default();
            Some(format!("{f} of {worker} under fence {fence} was accepted after fence {high} was granted"))
        } else {
            None
        };
        tally.add(fault.map(|fault| facts.violation(format!("shard {shard}: {fault}"), [shown_at, call.end()])));
    }
}

/// Different operations that were given the same fence.
fn shared_fences(facts: &Facts<'_>, shard: &str, places: &[usize], tally: &mut Tally) {
    let mut by_fence: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut seen: HashSet<(i64, usize)> = HashSet::new();
    for &i in places {
        if let Some(fence) = shown_fence(&facts.calls[i])
            && seen.insert((fence, facts.operations[i]))
        {
            by_fence.entry(fence).or_default().push(i);
        }
    }
    for (fence, firsts) in by_fence.into_iter().filter(|(_, firsts)| firsts.len() > 1) {
        let message = format!("shard {shard}: fence {fence} was given {} times", firsts.len());
        tally.violations.push(facts.violation(message, firsts.iter().map(|&i| facts.calls[i].end())));
    }
}
