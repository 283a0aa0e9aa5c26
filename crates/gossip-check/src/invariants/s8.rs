//! S8, durability: what was acknowledged is there at the end, after any crash.
//!
//! Each shard that an answered call showed is looked up in the final reads. Its fence must not be below any that was granted,
//! its cursor not below any that was accepted, its end (Done, Split) must stand. An ended run must still be ended. What was
//! acknowledged after a final read was asked proves nothing against it. Only fresh reads are judged: a stale one promises nothing of
//! the end. That what is there is found, and what was deleted is not, holds at every moment ([`super::existence`]), as does that reads
//! do not go back and show nothing that never was ([`super::shown`]).
//!
//! A read of a run that tells its shards, final or not, tells all that were there before it was asked: those that were registered or
//! split off, and those that an answer was about. It may be read page by page, at several moments; what is there stays there,
//! so that it is on one of the pages, unless the run may have been deleted before the last of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::existence;
use super::facts::{self, Facts, Sight, Tally, cursor_key, is_cursor_write, is_grant, is_run_end};
use super::floors::Floors;
use super::shown;
use crate::history::{Call, Name, Value, name};

/// What the answers say of a shard, up to each place in the history.
#[derive(Debug, Default)]
struct Acknowledged<'a> {
    fence: Floors<i64>,
    cursor: Floors<&'a str>,
    /// How it ended, and the first place that says so.
    status: Option<(&'static str, usize)>,
}

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let known: BTreeMap<&str, Acknowledged<'_>> =
        facts.by_shard.iter().map(|(shard, places)| (shard.as_ref(), acknowledged(facts, places))).collect();
    let exists = facts.known_shards();
    let mut tally = Tally::default();
    for sight in facts.sights().into_iter().filter(Sight::is_final) {
        if let Some(known) = known.get(sight.shard.as_ref()) {
            lost(facts, known, &sight, &mut tally);
        }
    }
    existence::check(facts, &exists, &mut tally);
    shown::check(facts, &mut tally);
    shards_missing_in_runs(facts, &exists, &mut tally);
    run_endings(facts, &mut tally);
    tally
}

fn acknowledged<'a>(facts: &Facts<'a>, places: &[usize]) -> Acknowledged<'a> {
    let oks = || facts.shard_calls(places).filter(|c| c.ok());
    let fences = oks().filter(|c| is_grant(c.f()) || c.f() == "unpark");
    let cursors = oks().filter(|c| is_cursor_write(c.f()));
    let ends = oks().filter_map(|c| match c.f() {
        "complete" => Some(("done", c.end())),
        "split-replace" => Some(("split", c.end())),
        _ => None,
    });
    Acknowledged {
        fence: Floors::new(fences.filter_map(|c| Some((c.end(), c.output_int("fence")?))), |a, b| a > b),
        cursor: Floors::new(cursors.filter_map(|c| Some((c.end(), cursor_key(c.input("cursor"))?))), |a, b| a > b),
        status: ends.min_by_key(|(_, end)| *end),
    }
}

/// What of the acknowledged is missing in a record.
fn lost(facts: &Facts<'_>, known: &Acknowledged<'_>, sight: &Sight<'_>, tally: &mut Tally) {
    let shard = &sight.shard;
    let end = sight.call.end();
    let asked = sight.call.at;
    if let Some((fence, proof)) = known.fence.before(asked) {
        let seen = sight.get("fence").and_then(Value::as_i64);
        tally.add((seen.unwrap_or(0) < fence).then(|| {
            let seen = seen.map_or_else(|| "none".to_owned(), |seen| seen.to_string());
            let message = format!("shard {shard}: fence {fence} was granted, at the end it is {seen}");
            facts.violation(message, [proof, end])
        }));
    }
    if let Some((cursor, proof)) = known.cursor.before(asked) {
        let seen = cursor_key(sight.get("cursor"));
        tally.add(seen.is_none_or(|seen| seen < cursor).then(|| {
            let seen = seen.unwrap_or("none");
            let message = format!("shard {shard}: cursor {cursor} was accepted, at the end it is {seen}");
            facts.violation(message, [proof, end])
        }));
    }
    if let Some((status, proof)) = known.status.filter(|(_, proof)| *proof < asked) {
        let changed = sight.status().filter(|seen| seen != status);
        tally.add(
            changed.map(|seen| {
                facts.violation(format!("shard {shard} was {status}, at the end it is {seen}"), [proof, end])
            }),
        );
    }
}

fn shards_missing_in_runs(facts: &Facts<'_>, known: &BTreeMap<Name<'_>, usize>, tally: &mut Tally) {
    let mut by_run: HashMap<&str, Vec<(&str, usize)>> = HashMap::new();
    for (shard, exists) in known {
        if let Some(run) = facts.runs.get(shard) {
            by_run.entry(run).or_default().push((shard, *exists));
        }
    }
    for call in facts.fresh_reads("read-run") {
        let run = call.input("run").map(name).unwrap_or_default();
        let Some(records) = call.output("shards").and_then(Value::items) else { continue };
        if facts.may_be_deleted(&run, call.end()) {
            continue;
        }
        let there: HashSet<Name<'_>> = records.iter().filter_map(|r| r.some("shard").map(name)).collect();
        for &(shard, exists) in by_run.get(run.as_ref()).map(Vec::as_slice).unwrap_or_default() {
            if exists < call.at {
                let gone = !there.contains(shard);
                let message = || format!("shard {shard} is gone from run {run}");
                tally.add(gone.then(|| facts.violation(message(), [exists, call.end()])));
            }
        }
    }
}

fn run_endings(facts: &Facts<'_>, tally: &mut Tally) {
    let mut ends: HashMap<Name<'_>, Vec<&Call<'_>>> = HashMap::new();
    for end in facts.calls.iter().filter(|c| is_run_end(c.f()) && c.ok()) {
        ends.entry(end.input("run").map(name).unwrap_or_default()).or_default().push(end);
    }
    for call in facts.final_reads("read-run") {
        let run = call.input("run").map(name).unwrap_or_default();
        let Some(seen) = call.output("status").and_then(facts::status) else { continue };
        for end in ends.get(&run).into_iter().flatten().filter(|end| end.end() < call.at) {
            let expected = match end.f() {
                "complete-run" => "done",
                "fail-run" => "failed",
                _ => "cancelled",
            };
            tally.add((seen != expected).then(|| {
                facts.violation(format!("run {run} was {expected}, at the end it is {seen}"), [end.end(), call.end()])
            }));
        }
    }
}
