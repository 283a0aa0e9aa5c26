//! What is there and what is not, a part of S8: what was acknowledged does not vanish, and what was deleted does not come back.
//!
//! Every refusal by the state machine is an answer of now, as a fresh read is: the gate looks for the run's record first and for
//! the shard's next (`docs/protocol.md`, *The order of checks*). A run or shard is there from the first answer that made it or was
//! about it; nothing but a deletion takes it away. So whoever asks after that answer and is told that it is not found has met a
//! service that lost it, or one that answers with the past, unless a deletion of its run may have begun before the refusal came.
//! The name of a shard counts within its run: a request that names a run is about a shard that is known to be in that run.
//!
//! After a deletion was answered, a refusal that tells of the run's state (its status, a shard's, a fence, an op id that was used in
//! it) shows that the run is still there. One for the shape of a request or for a limit says nothing of it, nor does an op id's
//! conflict of a deletion, whose ids count in the tenant. A run that may have been made once more is not judged, nor one that
//! nothing showed before its deletion. (What *succeeds* after a deletion is S3's.)

use std::collections::{BTreeMap, HashMap};

use super::facts::{Facts, Tally, is_fresh, is_of_now, is_run_maker};
use super::refusals;
use crate::history::{Call, Name};

/// `known`: as [`Facts::known_shards`] gives it.
pub(super) fn check(facts: &Facts<'_>, known: &BTreeMap<Name<'_>, usize>, tally: &mut Tally) {
    let runs = known_runs(facts, known);
    for call in facts.calls.iter().filter(|c| is_fresh(c) && refusals::finds_nothing(c)) {
        vanished(facts, known, &runs, call, tally);
    }
    come_back(facts, &runs, tally);
}

/// Runs that are surely there at some time, each with the place of the first answer that shows it.
fn known_runs<'a>(facts: &Facts<'a>, known: &BTreeMap<Name<'a>, usize>) -> HashMap<Name<'a>, usize> {
    let mut runs: HashMap<Name<'a>, usize> = HashMap::new();
    let of_shards = known.iter().filter_map(|(shard, at)| Some((facts.runs.get(shard)?.clone(), *at)));
    let own = facts.calls.iter().filter(|c| c.ok() && c.f() != "delete-run");
    for (run, at) in of_shards.chain(own.filter_map(|c| Some((facts.run_of(c)?, c.end())))) {
        let first = runs.entry(run).or_insert(at);
        *first = at.min(*first);
    }
    runs
}

fn vanished(
    facts: &Facts<'_>,
    shards: &BTreeMap<Name<'_>, usize>,
    runs: &HashMap<Name<'_>, usize>,
    call: &Call<'_>,
    tally: &mut Tally,
) {
    let shard = call.shard().filter(|shard| facts.is_meant(call, shard));
    let shard = shard.and_then(|shard| Some(("shard", shards.get(&shard)?, shard)));
    let run = || facts.run_of(call).and_then(|run| Some(("run", runs.get(&run)?, run)));
    let whole = call.reason().as_deref() == Some("run-not-found");
    let Some((what, &exists, subject)) = shard.or_else(|| run().filter(|_| whole)) else { return };
    let gone = match what {
        "shard" => facts.may_be_gone(&subject, call.end()),
        _ => facts.may_be_deleted(&subject, call.end()),
    };
    if exists < call.at && !gone {
        tally.add(Some(facts.violation(format!("{what} {subject} is gone"), [exists, call.end()])));
    }
}

/// What the history tells of a run that was deleted.
#[derive(Default)]
struct Deleted {
    /// Answered deletions, as places in [`Facts::calls`].
    deletions: Vec<usize>,
    /// Where the last of those that may have made it ended; a place in the history.
    made_until: Option<usize>,
    /// The refusal that was asked for last of those that show the run, as a place in [`Facts::calls`].
    shown: Option<usize>,
}

fn come_back(facts: &Facts<'_>, runs: &HashMap<Name<'_>, usize>, tally: &mut Tally) {
    for (run, deleted) in deleted(facts) {
        let Some(shown) = deleted.shown.map(|i| &facts.calls[i]) else { continue };
        for &place in &deleted.deletions {
            let (deletion, from) = (&facts.calls[place], facts.effect_from[place]);
            let is_known = runs.get(&run).is_some_and(|&first| first < from);
            let made_again = deleted.made_until.is_some_and(|end| from < end);
            if is_known && !made_again && deletion.end() < shown.at {
                let reason = shown.reason().unwrap_or_default();
                let message = format!("run {run} was deleted, and {} finds it: {reason}", shown.f());
                tally.add(Some(facts.violation(message, [deletion.end(), shown.end()])));
            }
        }
    }
}

fn deleted<'a>(facts: &Facts<'a>) -> BTreeMap<Name<'a>, Deleted> {
    let mut deleted: BTreeMap<Name<'a>, Deleted> = BTreeMap::new();
    for (i, call) in facts.calls.iter().enumerate() {
        let is_deletion = call.f() == "delete-run" && call.ok();
        let is_maker = is_run_maker(call.f()) && !call.failed();
        if !is_deletion && !is_maker && !shows_run(call) {
            continue;
        }
        let Some(run) = facts.run_of(call) else { continue };
        let known = deleted.entry(run).or_default();
        if is_deletion {
            known.deletions.push(i);
        } else if is_maker {
            known.made_until = known.made_until.max(Some(call.end()));
        } else {
            known.shown = Some(i);
        }
    }
    deleted
}

/// Whether a call was refused for something that the run's record holds.
fn shows_run(call: &Call<'_>) -> bool {
    let of_the_tenant = |reason: &str| call.f() == "delete-run" && reason == "op-id-conflict";
    call.failed()
        && is_of_now(call)
        && call.reason().is_some_and(|r| refusals::tells_of_a_run(&r) && !of_the_tenant(&r))
}
