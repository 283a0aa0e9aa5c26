//! What the status of a run may be, a part of S3: a run goes Open, Active, and then Done, Failed or Cancelled, once and for ever.
//!
//! Each rule, and why it accuses no service that is right:
//!
//! - **One end.** A run ends once, so fresh reads and answered ends tell of one status, in whatever order they came: what was true
//!   at some moment of each of them is true of the same run for ever.
//! - **Nothing ends by itself.** A read that shows a run ended needs the operation that ends it so (complete, fail, cancel), asked
//!   for before the read was answered. One whose answer was lost may be the one, at any time after it was asked for; one that was
//!   refused is none. A run that no answer shows alive may have ended before the recording began, and is not judged so: an answer
//!   that shows it alive, though it be given again, shows it so at some moment of the history.
//! - **The end of a run ends its shards.** A `:read-run` asks for the status first and for the shards then (`histories/README.md`),
//!   so that shards which are read page by page, at several moments, were all read after the run had ended: none is Active or
//!   Parked, and beside Done none is Cancelled, since a run completes only over shards that have ended by themselves.
//! - **It starts once.** A run grants only when it has started, and nothing is done under a lease before. After an answer that
//!   shows it started, a read that is asked for does not show it Open, and a registration whose first try is asked for does not
//!   succeed; one without an op id may be one more try of any before it of the same shards. Whether a run that showed nothing of
//!   the kind had started is not judged.
//!
//! A read that was asked to be stale shows the past and proves nothing. A run with two lives is left out before ([`super::names`]).

use std::collections::{BTreeMap, BTreeSet};

use super::deletions::shows_alive;
use super::facts::{self, Facts, Tally, is_grant, is_lease_write, is_of_now, is_run_end};
use crate::history::{Call, Name, Value, name};

/// A fresh read of a run and the status that it showed.
type Show<'a> = (Call<'a>, String);

/// An answer that tells that a run has ended: to what ended it, or to a read.
#[derive(Debug)]
pub(super) struct End {
    /// The call's place in [`Facts::calls`].
    pub(super) call: usize,
    /// Where it was answered, a place in the history.
    at: usize,
    status: String,
}

/// What the history tells of a run.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    shows: Vec<Show<'a>>,
    /// The first answer that tells of its end.
    pub(super) ended: Option<End>,
    /// Where each end was first asked for, of those that may have happened.
    asked: BTreeMap<&'static str, usize>,
    /// The first answer that shows it alive.
    alive: Option<usize>,
    /// The first answer that shows that it had started.
    started: Option<usize>,
    /// Registrations that may have happened, as places in [`Facts::calls`].
    registrations: Vec<usize>,
}

pub(super) fn check(facts: &Facts<'_>, told: &BTreeMap<Name<'_>, Told<'_>>, tally: &mut Tally) {
    for (run, told) in told {
        for (call, status) in &told.shows {
            if facts::is_run_terminal(status) {
                one_end(facts, run, told, (call, status), tally);
                asked_for(facts, run, told, (call, status), tally);
                shards_ended(facts, run, (call, status), tally);
            } else if let Some(started) = told.started.filter(|_| status == "open") {
                tally.add((started < call.at).then(|| {
                    facts.violation(format!("run {run} reads as open after it had started"), [started, call.end()])
                }));
            }
        }
        registered_open(facts, run, told, tally);
    }
}

/// The status that a run has after an operation that ends it.
fn status_after(f: &str) -> &'static str {
    match f {
        "complete-run" => "done",
        "fail-run" => "failed",
        _ => "cancelled",
    }
}

pub(super) fn told<'a>(facts: &Facts<'a>) -> BTreeMap<Name<'a>, Told<'a>> {
    let mut all: BTreeMap<Name<'a>, Told<'a>> = BTreeMap::new();
    for (place, call) in facts.calls.iter().enumerate().filter(|(_, call)| !call.failed()) {
        if let Some(run) = facts.run_of(call) {
            all.entry(run).or_default().note(place, call);
        }
    }
    all
}

fn earlier(known: &mut Option<usize>, place: usize) {
    *known = Some(known.map_or(place, |known| known.min(place)));
}

impl<'a> Told<'a> {
    /// The first answer that shows the run alive, if it came before a place.
    pub(super) fn alive_before(&self, place: usize) -> Option<usize> {
        self.alive.filter(|&end| end < place)
    }

    /// Whether an end that gives the run this status was asked for before a place.
    pub(super) fn was_asked(&self, status: &str, place: usize) -> bool {
        self.asked.get(status).is_some_and(|&at| at < place)
    }

    fn note(&mut self, place: usize, call: &Call<'a>) {
        if call.f() == "register" {
            self.registrations.push(place);
        }
        if is_run_end(call.f()) {
            self.asked.entry(status_after(call.f())).or_insert(call.at);
        }
        if !call.ok() || !is_of_now(call) {
            return;
        }
        let status = call.output("status").and_then(facts::status).filter(|_| call.f() == "read-run");
        if shows_alive(call) {
            earlier(&mut self.alive, call.end());
        }
        let under_a_lease = is_grant(call.f()) || is_lease_write(call.f()) || call.f() == "unpark";
        if under_a_lease || call.f() == "start-run" || status.as_deref() == Some("active") {
            earlier(&mut self.started, call.end());
        }
        let end = match &status {
            Some(status) => Some(status.clone()).filter(|status| facts::is_run_terminal(status)),
            None => is_run_end(call.f()).then(|| status_after(call.f()).to_owned()),
        };
        if let Some(status) = end.filter(|_| self.ended.as_ref().is_none_or(|first| call.end() < first.at)) {
            self.ended = Some(End { call: place, at: call.end(), status });
        }
        self.shows.extend(status.map(|status| (*call, status)));
    }
}

fn one_end(facts: &Facts<'_>, run: &str, told: &Told<'_>, (call, status): (&Call<'_>, &str), tally: &mut Tally) {
    let other = told.ended.as_ref().filter(|ended| ended.status != status);
    tally.add(other.map(|ended| {
        let message = format!("run {run} reads as {status}, and it ended as {}", ended.status);
        facts.violation(message, [ended.at, call.end()])
    }));
}

fn asked_for(facts: &Facts<'_>, run: &str, told: &Told<'_>, (call, status): (&Call<'_>, &str), tally: &mut Tally) {
    let Some(alive) = told.alive_before(call.end()) else { return };
    tally.add((!told.was_asked(status, call.end())).then(|| {
        facts.violation(format!("run {run} reads as {status}, and nothing had ended it so"), [alive, call.end()])
    }));
}

fn shards_ended(facts: &Facts<'_>, run: &str, (call, status): (&Call<'_>, &str), tally: &mut Tally) {
    for record in call.output("shards").and_then(Value::items).unwrap_or_default() {
        let (Some(shard), Some(state)) = (record.some("shard"), record.some("status").and_then(facts::status)) else {
            continue;
        };
        let may_be = facts::is_terminal(&state) && (status, state.as_str()) != ("done", "cancelled");
        tally.add((!may_be).then(|| {
            let message = format!("shard {} reads as {state} beside its run {run}, which is {status}", name(shard));
            facts.violation(message, [call.end()])
        }));
    }
}

fn registered_open(facts: &Facts<'_>, run: &str, told: &Told<'_>, tally: &mut Tally) {
    let Some(started) = told.started else { return };
    // Of what was registered before, whether one of those that registered it told no op id.
    let mut before: BTreeMap<BTreeSet<Name<'_>>, bool> = BTreeMap::new();
    for &place in &told.registrations {
        let call = &facts.calls[place];
        let (nameless, shards) = (call.op_id().is_none(), shards(call));
        let again = before.get(&shards).is_some_and(|&other| nameless || other);
        *before.entry(shards).or_default() |= nameless;
        if call.ok() {
            tally.add((started < facts.effect_from[place] && !again).then(|| {
                facts.violation(format!("run {run}: register succeeded after it had started"), [started, call.end()])
            }));
        }
    }
}

fn shards<'a>(register: &Call<'a>) -> BTreeSet<Name<'a>> {
    let shards = register.input("shards").and_then(Value::items).unwrap_or_default();
    shards.iter().filter_map(|shard| shard.some("shard").map(name)).collect()
}
