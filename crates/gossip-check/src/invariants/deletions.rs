//! Deletions of runs, a part of S3: only a run that has ended is deleted, and nothing of it is left.
//!
//! A deletion that was answered took effect between the first try of its op id and its answer. If something that was answered
//! before that first try shows the run alive, its end must have been asked for before the deletion was answered; an end that
//! was refused is none, one whose answer was lost may be one. After the answer nothing about the run succeeds: with the run goes
//! its op log, so that not even an answer of before is given again, nor is there anything for another deletion to delete. A run that
//! may have been made once more is not judged here, and of one that nothing shows before its deletion nobody knows how it stood.

use std::collections::BTreeMap;

use super::facts::{self, Facts, Tally, is_grant, is_lease_write, is_of_now, is_run_end, is_run_maker};
use crate::history::{Call, Name, OPEN_END};

/// What the history tells of a run. Places, where nothing else is said.
#[derive(Debug, Default)]
struct Life {
    /// The first answer that shows it alive.
    alive: Option<usize>,
    /// Where its end was first asked for, of ends that may have happened.
    end_asked: Option<usize>,
    /// Where the last of those that may have made it ended.
    made_until: Option<usize>,
    /// Answered deletions, as places in [`Facts::calls`].
    deletions: Vec<usize>,
    /// The fresh answer about it that was asked for last, as a place in [`Facts::calls`].
    last: Option<usize>,
}

pub(super) fn check(facts: &Facts<'_>, tally: &mut Tally) {
    if !facts.calls.iter().any(|c| c.f() == "delete-run" && c.ok()) {
        return;
    }
    for (run, life) in &lives(facts) {
        for &deletion in &life.deletions {
            check_deletion(facts, run, life, deletion, tally);
        }
    }
}

fn check_deletion(facts: &Facts<'_>, run: &str, life: &Life, place: usize, tally: &mut Tally) {
    let (deletion, from) = (&facts.calls[place], facts.effect_from[place]);
    let made_again = life.made_until.is_some_and(|end| from < end);
    let Some(alive) = life.alive.filter(|&end| end < from && !made_again) else { return };
    let ended = life.end_asked.is_some_and(|at| at < deletion.end());
    tally.add((!ended).then(|| {
        let message = format!("run {run} was deleted, and nothing had ended it");
        facts.violation(message, [alive, deletion.end()])
    }));
    let again = life.deletions.iter().find(|&&other| is_rival(facts, life, place, other));
    tally.violations.extend(again.map(|&again| {
        let message = format!("run {run} was deleted twice, and nothing made it in between");
        facts.violation(message, [deletion.end(), facts.calls[again].end()])
    }));
    let later = life.last.map(|i| &facts.calls[i]).filter(|last| deletion.end() < last.at);
    tally.violations.extend(later.map(|last| {
        let message = format!("run {run}: {} succeeded after delete-run", last.f());
        facts.violation(message, [deletion.end(), last.end()])
    }));
}

/// Whether another deletion, invoked later, was answered too, and nothing can have made the run in between, in whatever order the two
/// took effect. Without an op id it may be another try of the first. Where no maker is recorded, whoever made it may have done so again.
fn is_rival(facts: &Facts<'_>, life: &Life, first: usize, other: usize) -> bool {
    let is_named = |place: usize| facts.calls[place].op_id().is_some();
    let begun = facts.effect_from[first].min(facts.effect_from[other]);
    let two = first < other && facts.operations[first] != facts.operations[other];
    two && is_named(first) && is_named(other) && life.made_until.is_some_and(|end| end < begun)
}

fn lives<'a>(facts: &Facts<'a>) -> BTreeMap<Name<'a>, Life> {
    let mut lives: BTreeMap<Name<'a>, Life> = BTreeMap::new();
    for (i, call) in facts.calls.iter().enumerate().filter(|(_, c)| !c.failed()) {
        if let Some(run) = facts.run_of(call) {
            lives.entry(run).or_default().note(i, call);
        }
    }
    lives
}

impl Life {
    fn note(&mut self, place: usize, call: &Call<'_>) {
        if is_run_end(call.f()) {
            self.end_asked.get_or_insert(call.at);
        }
        if is_run_maker(call.f()) {
            self.made_until = self.made_until.max(Some(call.end()));
        }
        if !call.ok() || !is_of_now(call) {
            return;
        }
        if call.f() == "delete-run" {
            self.deletions.push(place);
            return;
        }
        if shows_alive(call) {
            self.alive = Some(self.alive.unwrap_or(OPEN_END).min(call.end()));
        }
        self.last = Some(place);
    }
}

/// Whether an answer shows that the run had not ended, at some moment of the history.
pub(super) fn shows_alive(call: &Call<'_>) -> bool {
    let status = || call.output("status").and_then(facts::status);
    match call.f() {
        "read-run" => status().is_some_and(|status| !facts::is_run_terminal(&status)),
        "read-shard" => status().is_some_and(|status| !facts::is_terminal(&status)),
        "start-run" | "unpark" => true,
        f => is_run_maker(f) || is_grant(f) || is_lease_write(f),
    }
}
