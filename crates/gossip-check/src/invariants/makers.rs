//! Who made which shard, a part of S4: a run's shards are those that its registrations and splits made, each of them once.
//!
//! An answer that tells of a shard in a run (a claim's grant, a fresh read of the run, whatever is answered to a call that names both)
//! tells of one that something in the history may have made there before the answer came. A split that was never answered may have
//! made a shard of any name that nothing else made. Of a run of which no registration is recorded nobody knows what is in it, but that
//! it has no shard of a name of which another run's is recorded: then both would be. (The same of stale reads is S8's, in
//! [`super::shown`].)
//!
//! What was made has a name of its own: two operations that were answered did not make the same one, nor did one make it twice.
//! A registration without an op id may be another try of the one before it. A root begins before it ends.

use std::collections::{HashMap, HashSet};

use super::facts::{Facts, Made, Tally, is_of_now, shards_and_run};
use crate::history::{Call, Name, name};

pub(super) fn check(facts: &Facts<'_>, tally: &mut Tally) {
    let makers = Makers::new(facts);
    for call in facts.calls.iter().filter(|call| is_of_now(call)) {
        makers.strangers(facts, call, tally);
    }
    made_once(facts, tally);
    for root in facts.made.iter().filter(|m| m.is_root && facts.calls[m.call].ok()) {
        if root.range.start.zip(root.range.end).is_some_and(|(start, end)| end <= start) {
            let message = format!("root {} is registered with {}, which is empty", root.shard, root.range);
            tally.violations.push(facts.violation(message, [facts.calls[root.call].end()]));
        }
    }
}

/// The run that a shard was made in, as far as it is known.
fn run_of<'a>(facts: &Facts<'a>, made: &Made<'a>) -> Option<Name<'a>> {
    facts.run_of(&facts.calls[made.call])
}

/// First invocations of what may have made something.
pub(super) struct Makers<'a> {
    of_shard: HashMap<(Option<Name<'a>>, Name<'a>), usize>,
    /// Shards that something may have made in a run that is known.
    made: HashSet<Name<'a>>,
    /// Those of them of which an answer says so.
    surely_made: HashSet<Name<'a>>,
    /// Splits that were never answered, by run.
    open_split: HashMap<Option<Name<'a>>, usize>,
    /// Runs of which a registration is recorded, and so all of them.
    known: HashSet<Name<'a>>,
}

impl<'a> Makers<'a> {
    pub(super) fn new(facts: &Facts<'a>) -> Self {
        let mut makers = Self {
            of_shard: HashMap::new(),
            made: HashSet::new(),
            surely_made: HashSet::new(),
            open_split: HashMap::new(),
            known: HashSet::new(),
        };
        for made in &facts.made {
            let call = &facts.calls[made.call];
            let run = run_of(facts, made);
            if let Some(run) = &run {
                makers.made.insert(made.shard.clone());
                if call.ok() {
                    makers.surely_made.insert(made.shard.clone());
                }
                if made.is_root {
                    makers.known.insert(run.clone());
                }
            }
            // An answer may be a replay: the shard may be there since the first try.
            let first = makers.of_shard.entry((run, made.shard.clone())).or_insert(call.at);
            *first = facts.effect_from[made.call].min(*first);
        }
        let is_split = |c: &&Call<'_>| matches!(c.f(), "split-replace" | "split-residual");
        for split in facts.calls.iter().filter(is_split).filter(|c| c.open()) {
            makers.open_split.entry(facts.run_of(split)).or_insert(split.at);
        }
        makers
    }

    /// Shards that an answer, be it of now or of the past, tells of in a run in which nothing made them.
    pub(super) fn strangers(&self, facts: &Facts<'a>, call: &Call<'a>, tally: &mut Tally) {
        // A recording that tells how a shard was made tells it of every shard of that name.
        let is_known = |shard: &Name<'a>, run: &Name<'a>| self.known.contains(run) || self.surely_made.contains(shard);
        let told = shards_and_run(call).filter(|(shard, run)| is_known(shard, run));
        for (shard, run) in told.filter(|(shard, run)| !self.may_have_made(run, shard, call.end())) {
            let message = format!("run {run}: {} tells of shard {shard}, which nothing made there", call.f());
            tally.violations.push(facts.violation(message, [call.end()]));
        }
    }

    /// Whether something may have made the shard in that run before a place.
    fn may_have_made(&self, run: &Name<'a>, shard: &Name<'a>, place: usize) -> bool {
        let before = |at: Option<&usize>| at.is_some_and(|at| *at < place);
        // What was made in a run that nobody tells may have been made in this one.
        let runs = [Some(run.clone()), None];
        let split = runs.iter().any(|run| before(self.open_split.get(run)));
        let made = runs.into_iter().any(|run| before(self.of_shard.get(&(run, shard.clone()))));
        made || (split && !self.made.contains(shard))
    }
}

/// Names that were given twice.
fn made_once(facts: &Facts<'_>, tally: &mut Tally) {
    let mut firsts: HashMap<(Name<'_>, &str), usize> = HashMap::new();
    let mut last: Option<(usize, HashSet<&str>)> = None;
    for made in facts.made.iter().filter(|m| facts.calls[m.call].ok()) {
        let call = &facts.calls[made.call];
        let shard = made.shard.as_ref();
        if last.as_ref().is_none_or(|(place, _)| *place != made.call) {
            last = Some((made.call, HashSet::new()));
        }
        let again = last.as_mut().is_some_and(|(_, names)| !names.insert(shard));
        let own = !made.is_root && call.input("shard").map(name).as_deref() == Some(shard);
        let first = run_of(facts, made).map(|run| *firsts.entry((run, shard)).or_insert(made.call));
        let other = first.filter(|&first| !may_be_same(facts, first, made.call));
        if again || own || other.is_some() {
            let message = format!("{} gives the name {shard} to a shard, which another has", call.f());
            let places = other.map(|first| facts.calls[first].end());
            tally.violations.push(facts.violation(message, places.into_iter().chain([call.end()])));
        }
    }
}

/// Whether two calls may be tries of one operation.
fn may_be_same(facts: &Facts<'_>, first: usize, second: usize) -> bool {
    let (a, b) = (&facts.calls[first], &facts.calls[second]);
    let nameless = a.op_id().is_none() || b.op_id().is_none();
    facts.operations[first] == facts.operations[second] || (a.f() == b.f() && nameless)
}
