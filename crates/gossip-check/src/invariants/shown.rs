//! Which state a read shows, a part of S8: none older than one that was shown before, and none that never was.
//!
//! `:applied` is the place in the log up to which the state that a read shows was applied. A fresh read shows what was applied by
//! the time that it was asked, and whatever any node showed was committed. So a fresh read shows no state below one that an answer,
//! of any node, had shown before it was asked. A stale read may show an older one.
//!
//! A stale read promises nothing but that what it shows was so at some time. So a shard's terminal status or its parking was brought
//! about by something that was asked for before the answer came, and its cursor was written by something (by the shards that it
//! inherits from, where it is a leftmost child) and lies in the range that it was made with. Its fence is no higher than all that may
//! have raised it by then, each time that it was asked for counted. What was lost counts everywhere, since it may have happened; a
//! claim that was lost, on every shard of its run. Judged are shards of which the history tells how they were made, as long as no
//! deletion may have begun: fences begin above 0 after one. (Whether fresh reads show what is so is for L to say.)
//!
//! So it is with runs: a stale read that shows one ended needs the operation that ends it so, asked for before the answer came, if
//! an answer before had shown it alive; and the shards that it tells of are those that something may have made in the run, as
//! [`super::makers`] has it. Here, too, nothing is said once a deletion may have begun: a run of that name may have been before.

use std::collections::{HashMap, HashSet};

use super::facts::{self, Facts, Sight, Tally, cursor_key, is_fresh, is_grant};
use super::floors::Floors;
use super::makers::Makers;
use super::origins::Origins;
use super::run_status;
use crate::history::{Call, Name, Value, name};

pub(super) fn check(facts: &Facts<'_>, tally: &mut Tally) {
    older(facts, tally);
    let sights = facts.stale_sights();
    if !sights.is_empty() {
        never(facts, &sights, tally);
    }
    runs_that_never_were(facts, tally);
}

/// Stale reads of a run that show an end that nothing brought about, or shards that nothing made there.
fn runs_that_never_were(facts: &Facts<'_>, tally: &mut Tally) {
    let is_wanted = |c: &&Call<'_>| c.f() == "read-run" && c.ok() && !is_fresh(c);
    let stale: Vec<&Call<'_>> = facts.calls.iter().filter(is_wanted).collect();
    if stale.is_empty() {
        return;
    }
    let (makers, runs) = (Makers::new(facts), run_status::told(facts));
    for call in stale.into_iter().filter(|call| !facts.any_may_be_deleted(call.end())) {
        makers.strangers(facts, call, tally);
        let status = call.output("status").and_then(facts::status).filter(|status| facts::is_run_terminal(status));
        let Some((run, status)) = call.input("run").map(name).zip(status) else { continue };
        let Some(told) = runs.get(&run).filter(|told| !told.was_asked(&status, call.end())) else { continue };
        if let Some(alive) = told.alive_before(call.end()) {
            let message = format!("run {run}: a stale read shows status {status}, which nothing brought about");
            tally.violations.push(facts.violation(message, [alive, call.end()]));
        }
    }
}

/// Fresh reads of a state below one that had been shown.
fn older(facts: &Facts<'_>, tally: &mut Tally) {
    let reads = facts.calls.iter().filter(|c| matches!(c.f(), "read-run" | "read-shard") && c.ok());
    let shown: Vec<(&Call<'_>, i64)> = reads.filter_map(|c| Some((c, c.output_int("applied")?))).collect();
    let floors = Floors::new(shown.iter().map(|(call, applied)| (call.end(), *applied)), |a, b| a > b);
    for (call, applied) in shown.into_iter().filter(|(call, _)| is_fresh(call)) {
        if let Some((high, at)) = floors.before(call.at).filter(|(high, _)| applied < *high) {
            let message = format!("{} shows what was applied up to {applied}, after {high} had been shown", call.f());
            tally.violations.push(facts.violation(message, [at, call.end()]));
        }
    }
}

/// Stale reads of what never was.
fn never<'a>(facts: &Facts<'a>, sights: &[Sight<'a>], tally: &mut Tally) {
    let causes = Causes::new(facts);
    let mut origins = Origins::new(facts);
    for sight in sights {
        let (shard, end) = (&sight.shard, sight.call.end());
        if !causes.made.contains(shard) || facts.any_may_be_deleted(end) {
            continue;
        }
        let status = sight.status().filter(|status| !causes.may_have(shard, status, end));
        let fence = sight.get("fence").and_then(Value::as_i64).filter(|fence| *fence > causes.raised(shard, end));
        let cursor = cursor_key(sight.get("cursor")).filter(|key| {
            let outside = facts.ranges.get(shard).is_some_and(|range| !range.contains(key));
            outside || origins.first_written(shard, key).is_none_or(|at| end < at)
        });
        let faults = [
            status.map(|status| format!("status {status}, which nothing brought about")),
            fence.map(|fence| format!("fence {fence}, which nothing may have raised so far")),
            cursor.map(|key| format!("cursor {key}, which nobody wrote there")),
        ];
        for fault in faults.into_iter().flatten() {
            tally.violations.push(facts.violation(format!("shard {shard}: a stale read shows {fault}"), [end]));
        }
    }
}

/// What a change is about.
#[derive(PartialEq, Eq, Hash)]
enum Subject<'a> {
    Shard(Name<'a>),
    /// All shards of it; none where it is not known.
    Run(Option<Name<'a>>),
}

/// What may have changed shards: the invocations of all that did not fail, in order.
struct Causes<'f, 'a> {
    facts: &'f Facts<'a>,
    made: HashSet<&'f Name<'a>>,
    by_name: HashMap<(Subject<'a>, &'a str), Vec<usize>>,
}

impl<'f, 'a> Causes<'f, 'a> {
    fn new(facts: &'f Facts<'a>) -> Self {
        let made = facts.made.iter().map(|made| &made.shard).collect();
        let mut causes = Self { facts, made, by_name: HashMap::new() };
        for call in facts.calls.iter().filter(|c| !c.failed()) {
            let what = match call.f() {
                f if is_grant(f) || f == "unpark" => "raise",
                "fail-run" | "cancel-run" => "cancelled",
                "complete" => "done",
                "split-replace" => "split",
                "park" => "parked",
                _ => continue,
            };
            let of_run = || Subject::Run(call.input("run").map(name));
            let subject = call.shard().map_or_else(of_run, Subject::Shard);
            causes.by_name.entry((subject, what)).or_default().push(call.at);
        }
        causes
    }

    /// How often something may have been done to a shard before a place.
    fn count(&self, shard: &Name<'a>, what: &'static str, place: usize) -> usize {
        let before = |subject| {
            let places = self.by_name.get(&(subject, what)).map(Vec::as_slice).unwrap_or_default();
            places.partition_point(|at| *at < place)
        };
        let own = before(Subject::Shard(shard.clone())) + before(Subject::Run(None));
        match self.facts.runs.get(shard) {
            Some(run) => own + before(Subject::Run(Some(run.clone()))),
            None => {
                let runs = self.by_name.iter().filter(|((of, w), _)| *w == what && matches!(of, Subject::Run(Some(_))));
                own + runs.map(|(_, places)| places.partition_point(|at| *at < place)).sum::<usize>()
            }
        }
    }

    fn may_have(&self, shard: &Name<'a>, status: &str, place: usize) -> bool {
        let what = match status {
            "done" => "done",
            "split" => "split",
            "cancelled" => "cancelled",
            "parked" => "parked",
            _ => return true,
        };
        self.count(shard, what, place) > 0
    }

    /// The highest fence that the shard may have.
    fn raised(&self, shard: &Name<'a>, place: usize) -> i64 {
        let raised = self.count(shard, "raise", place) + self.count(shard, "cancelled", place);
        i64::try_from(raised).unwrap_or(i64::MAX)
    }
}
