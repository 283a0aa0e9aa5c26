//! S3, terminal irreversibility: nothing succeeds on a shard after Done, Split or Cancelled; run endings likewise.
//!
//! A shard ends when a complete or a split-replace is answered, or its run's end is. A run has also ended when a fresh read of it
//! shows so: the answer to its end may be lost. An operation that may have taken effect only after that moment must not succeed,
//! and a fresh read asked after it must show a terminal status. Two different operations that end one shard cannot both succeed,
//! in whatever order they were answered; nor can two that end a run. A call that tells no op id may be one more try of another that
//! asks for the same and was not answered otherwise, and no more is proven by it than by a replay. What else the status of a run
//! must be is told in [`super::run_status`]. Only an ended run is deleted ([`super::deletions`]).

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::deletions;
use super::facts::{self, Facts, Tally, is_change, is_run_end, is_shard_end};
use super::oplog::{answer_digest, asked_digest, may_be_nameless_try};
use super::run_status;
use crate::history::{Call, Name, OPEN_END, name};

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tally = Tally::default();
    let nameless = Nameless::new(facts);
    let runs = run_status::told(facts);
    let end_of_run = |run: &Name<'_>| runs.get(run)?.ended.as_ref().map(|end| end.call);
    let shard_shows = shows_of_shards(facts);
    for (shard, places) in &facts.by_shard {
        let own = earliest(facts, places, is_shard_end);
        let end_of_run = facts.runs.get(shard).and_then(end_of_run);
        let end = own.into_iter().chain(end_of_run).min_by_key(|&i| facts.calls[i].end());
        let subject = Subject { what: format!("shard {shard}"), places, is_end: is_shard_end };
        let shows = shard_shows.get(shard).map(Vec::as_slice).unwrap_or_default();
        subject.check(&nameless, end, shows, facts::is_terminal, &mut tally);
    }
    let run_shows = shows_of_runs(facts);
    for (run, places) in &run_changes(facts) {
        let subject = Subject { what: format!("run {run}"), places, is_end: is_run_end };
        let shows = run_shows.get(run).map(Vec::as_slice).unwrap_or_default();
        subject.check(&nameless, end_of_run(run), shows, facts::is_run_terminal, &mut tally);
    }
    run_status::check(facts, &runs, &mut tally);
    deletions::check(facts, &mut tally);
    tally
}

/// A fresh read and the status that it showed.
type Show<'a> = (Call<'a>, Option<String>);

fn shows_of_shards<'a>(facts: &Facts<'a>) -> HashMap<Name<'a>, Vec<Show<'a>>> {
    let mut shows: HashMap<Name<'a>, Vec<Show<'a>>> = HashMap::new();
    for sight in facts.sights() {
        let status = sight.status();
        shows.entry(sight.shard).or_default().push((sight.call, status));
    }
    shows
}

fn shows_of_runs<'a>(facts: &Facts<'a>) -> HashMap<Name<'a>, Vec<Show<'a>>> {
    let mut shows: HashMap<Name<'a>, Vec<Show<'a>>> = HashMap::new();
    for call in facts.fresh_reads("read-run") {
        if let Some(run) = call.input("run") {
            let status = call.output("status").and_then(facts::status);
            shows.entry(name(run)).or_default().push((*call, status));
        }
    }
    shows
}

/// Calls that touch a run itself; what touches its shards is judged shard by shard.
fn run_changes<'a>(facts: &Facts<'a>) -> BTreeMap<Name<'a>, Vec<usize>> {
    let mut by_run: BTreeMap<Name<'a>, Vec<usize>> = BTreeMap::new();
    for (i, call) in facts.calls.iter().enumerate() {
        let changes = is_run_end(call.f()) || matches!(call.f(), "register" | "claim" | "start-run");
        if let Some(run) = facts.run_of(call).filter(|_| changes) {
            by_run.entry(run).or_default().push(i);
        }
    }
    by_run
}

/// Of the calls that end, the one that was answered first.
fn earliest(facts: &Facts<'_>, places: &[usize], is_end: fn(&str) -> bool) -> Option<usize> {
    let ends = places.iter().copied().filter(|&i| is_end(facts.calls[i].f()) && facts.calls[i].ok());
    ends.min_by_key(|&i| facts.calls[i].end())
}

/// What two calls have in common of which one tells no op id, if they may be tries of one operation: what they ask for and, where they
/// were answered, the answer.
type Likeness<'a> = (&'a str, u64, Option<u64>);

fn likeness<'a>(call: &Call<'a>) -> Likeness<'a> {
    (call.f(), asked_digest(call), call.ok().then(|| answer_digest(call)))
}

/// Where effects may stand that calls without an op id may share. What it takes to know is gathered when it is first asked.
struct Nameless<'f, 'a> {
    facts: &'f Facts<'a>,
    earliest: OnceCell<HashMap<Likeness<'a>, Earliest>>,
}

/// The earliest places of effects.
#[derive(Clone, Copy)]
struct Earliest {
    of_all: usize,
    of_nameless: usize,
}

impl<'f, 'a> Nameless<'f, 'a> {
    fn new(facts: &'f Facts<'a>) -> Self {
        Self { facts, earliest: OnceCell::new() }
    }

    fn earliest(&self) -> HashMap<Likeness<'a>, Earliest> {
        let mut earliest: HashMap<Likeness<'a>, Earliest> = HashMap::new();
        for (call, &from) in self.facts.calls.iter().zip(&self.facts.effect_from).filter(|(call, _)| !call.failed()) {
            let known = Earliest { of_all: OPEN_END, of_nameless: OPEN_END };
            let known = earliest.entry(likeness(call)).or_insert(known);
            known.of_all = known.of_all.min(from);
            if call.op_id().is_none() {
                known.of_nameless = known.of_nameless.min(from);
            }
        }
        earliest
    }

    /// As [`Facts::effect_from`], where an answered call may be a try of an operation that another one does not name.
    fn effect_from(&self, place: usize) -> usize {
        let call = &self.facts.calls[place];
        let earliest = self.earliest.get_or_init(|| self.earliest());
        let (f, asked, answered) = likeness(call);
        let alike = [None, answered].into_iter().filter_map(|answer| earliest.get(&(f, asked, answer)));
        let others = alike.map(|alike| if call.op_id().is_none() { alike.of_all } else { alike.of_nameless });
        others.chain([self.facts.effect_from[place]]).min().unwrap_or(call.at)
    }
}

/// A shard or a run.
struct Subject<'s> {
    what: String,
    places: &'s [usize],
    is_end: fn(&str) -> bool,
}

impl Subject<'_> {
    fn check(
        &self,
        nameless: &Nameless<'_, '_>,
        end: Option<usize>,
        shows: &[Show<'_>],
        is_terminal: fn(&str) -> bool,
        tally: &mut Tally,
    ) {
        let facts = nameless.facts;
        if let Some(place) = end {
            let end = &facts.calls[place];
            self.after_end(nameless, place, tally);
            for (call, status) in shows.iter().filter(|(call, _)| end.end() < call.at) {
                let alive = status.as_deref().filter(|s| !is_terminal(s));
                tally.add(alive.map(|status| {
                    let message = format!("{} reads as {status} after {}", self.what, end.f());
                    facts.violation(message, [end.end(), call.end()])
                }));
            }
        }
        self.rivals(facts, tally);
    }

    /// What succeeded after the end, among calls that change something.
    fn after_end(&self, nameless: &Nameless<'_, '_>, place: usize, tally: &mut Tally) {
        let facts = nameless.facts;
        let end = &facts.calls[place];
        for &i in self.places {
            let call = &facts.calls[i];
            if call.at < end.end() {
                continue;
            }
            let same = facts.operations[place] == facts.operations[i] || may_be_nameless_try(end, call);
            let changed = call.ok() && is_change(call.f()) && !same;
            let late = |from: usize| end.end() < from;
            tally.add((changed && late(facts.effect_from[i]) && late(nameless.effect_from(i))).then(|| {
                let message = format!("{}: {} succeeded after {}", self.what, call.f(), end.f());
                facts.violation(message, [end.end(), call.end()])
            }));
        }
    }

    /// Different operations of which only one may succeed.
    fn rivals(&self, facts: &Facts<'_>, tally: &mut Tally) {
        let mut seen: HashSet<usize> = HashSet::new();
        let ends = self.places.iter().filter(|&&i| (self.is_end)(facts.calls[i].f()) && facts.calls[i].ok());
        let (named, nameless): (Vec<usize>, Vec<usize>) = ends.partition(|&&i| facts.calls[i].op_id().is_some());
        let mut firsts: Vec<&Call<'_>> = Vec::new();
        firsts.extend(named.into_iter().filter(|&i| seen.insert(facts.operations[i])).map(|i| &facts.calls[i]));
        for call in nameless.into_iter().map(|i| &facts.calls[i]) {
            if !firsts.iter().any(|first| may_be_nameless_try(first, call)) {
                firsts.push(call);
            }
        }
        if firsts.len() > 1 {
            firsts.sort_by_key(|c| c.end());
            let fs: Vec<&str> = firsts.iter().map(|c| c.f()).collect();
            let message = format!("{} was ended {} times: {}", self.what, firsts.len(), fs.join(", "));
            tally.violations.push(facts.violation(message, firsts.iter().map(|c| c.end())));
        }
    }
}
