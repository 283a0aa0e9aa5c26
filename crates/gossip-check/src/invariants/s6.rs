//! S6, progress: after the faults heal, every node serves and every shard can be driven to a terminal state within a bound.
//!
//! The liveness phase stops in time, so the bound is in the run and not here. Judged from the final reads: each node that was
//! asked for shards or runs must have answered at least one of these reads (a view or a stale read needs no group; that there is
//! no such run or shard is an answer, and S8's affair), every shard of a final read must be terminal, and every shard that was
//! known before the last of them was asked, whatever that one was about, must be in one: of a shard
//! that nobody looked at nobody knows that it came to its end. A shard is known by an answer that made it or was about it.
//! Shards of a run that may have been deleted are not missed, nor are those of which a final read says that they, or their run,
//! are not there.
//!
//! Who was not mended at the end owes nothing; where that may be a majority, nothing is owed ([`super::healing`]).

use std::collections::{BTreeMap, HashSet};

use super::facts::{Facts, Sight, Tally, is_final, is_fresh, is_terminal};
use super::refusals;
use crate::history::{Call, Name, OPEN_END, name};

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tally = Tally::default();
    if facts.healing.unmended().is_none() {
        return tally;
    }
    nodes(facts, &mut tally);
    let sights: Vec<Sight<'_>> = facts.sights().into_iter().filter(Sight::is_final).collect();
    for sight in &sights {
        if let Some(status) = sight.status() {
            let left = !is_terminal(&status);
            let message = || format!("shard {} is left {status}", sight.shard);
            tally.add(left.then(|| facts.violation(message(), [sight.call.end()])));
        }
    }
    never_read(facts, &sights, &mut tally);
    tally
}

/// A view is answered without the group, and so is a stale read: neither shows that a node serves.
fn shows_service(call: &Call<'_>) -> bool {
    matches!(call.f(), "read-run" | "read-shard") && is_fresh(call)
}

fn nodes(facts: &Facts<'_>, tally: &mut Tally) {
    let mut asked: BTreeMap<Name<'_>, Vec<&Call<'_>>> = BTreeMap::new();
    for call in facts.calls.iter().filter(|c| is_final(c) && shows_service(c)) {
        if let Some(node) = call.input("node") {
            asked.entry(name(node)).or_default().push(call);
        }
    }
    for (node, calls) in asked.into_iter().filter(|(node, _)| facts.healing.owes(node)) {
        let silent = !calls.iter().any(|c| c.ok() || refusals::finds_nothing(c));
        let message = || format!("node {node} answered no final read");
        tally.add(silent.then(|| facts.violation(message(), calls.iter().map(|c| c.completed_at.unwrap_or(c.at)))));
    }
}

/// Shards that are known and in no final read.
fn never_read(facts: &Facts<'_>, sights: &[Sight<'_>], tally: &mut Tally) {
    let (mut last, mut absent_runs) = (None::<&Call<'_>>, HashSet::new());
    let mut seen: HashSet<Name<'_>> = sights.iter().map(|s| s.shard.clone()).collect();
    // In order of invocation. A read that shows no shard bounds what is missed as well, or a service that forgot all is in order.
    for call in facts.calls.iter().filter(|c| is_final(c) && shows_service(c)) {
        let absent = refusals::finds_nothing(call);
        if call.ok() || absent {
            last = Some(call);
        }
        if absent {
            seen.extend(call.shard().filter(|shard| facts.is_meant(call, shard)));
            absent_runs.extend(call.input("run").map(name).filter(|_| call.f() == "read-run"));
        }
    }
    let Some(last) = last else { return };
    for (shard, exists) in facts.known_shards() {
        let is_answered = seen.contains(&shard) || facts.runs.get(&shard).is_some_and(|run| absent_runs.contains(run));
        if last.at < exists || is_answered || facts.may_be_gone(&shard, OPEN_END) {
            continue;
        }
        let message = format!("shard {shard} is in no final read");
        tally.add(Some(facts.violation(message, [exists, last.end()])));
    }
}
