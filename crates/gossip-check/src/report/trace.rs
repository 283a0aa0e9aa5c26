//! The smallest part of a history that still shows a violation.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::faults;
use crate::history::{Call, Name, Op, Process, Value, calls, name};
use crate::invariants::Invariant;
use crate::judge::{Options, Verdict, Violation, judge};
use crate::wgl::Limits;

/// Calls beyond which a part is not made smaller one call at a time.
const MOST_TO_SHRINK: usize = 200;

/// What stands under a trace that does not fail by itself.
pub(super) const NOT_ALONE: &str = "(not the whole story: these calls fail only after what else is in the history)";

/// A part of a history.
#[derive(Debug, Clone)]
pub struct Trace<'a> {
    pub ops: Vec<&'a Op>,
    /// It violates the invariant by itself. Otherwise it shows the calls that the violation names.
    pub fails_alone: bool,
}

/// The smallest part found that still gives the same culprit, with the faults around it. `id` is that of an invariant, or
/// `L`. Registrations are part of it only if the violation needs them.
///
/// Nothing is left out of a part by trial for `L`: without a write, any read of what it wrote fails, which would be another
/// fault. What the violation names is shown together with what brought the shard to the state before it, as far as that makes
/// fences, ranges or ends, if this fails by itself. Of calls that were never answered those are left out that it does not need.
pub fn failing_trace<'a>(ops: &'a [Op], verdict: &Verdict, id: &str, violation: &Violation) -> Trace<'a> {
    let named: BTreeSet<u64> = violation.ops.iter().copied().collect();
    let all = calls(ops).unwrap_or_default();
    let is_named = |call: &Call<'_>| {
        named.contains(&call.invoke.index) || call.completion.is_some_and(|c| named.contains(&c.index))
    };
    let narrow: Vec<Call<'a>> = all.iter().filter(|c| is_named(c)).copied().collect();
    let shown = |calls: &[Call<'a>], fails_alone| Trace { ops: with_faults(ops, calls), fails_alone };
    let Ok(invariant) = id.parse::<Invariant>() else {
        let judge = Culprit { options: linearizability(), culprit: violation.ops.last().copied() };
        let (open, told): (Vec<Call<'a>>, Vec<Call<'a>>) =
            founded(&all, &narrow, is_named).into_iter().partition(|c| c.open() && !is_named(c));
        let alone = told.len() <= MOST_TO_SHRINK && judge.still_there(&[&told[..], &open].concat());
        return if alone { shown(&judge.with_few(told, open), true) } else { shown(&narrow, false) };
    };
    let judge = Culprit { options: options(invariant, verdict), culprit: violation.ops.last().copied() };
    if judge.still_there(&narrow) {
        return shown(&judge.shrink(&[], narrow), true);
    }
    let shards: HashSet<Name<'_>> = narrow.iter().filter_map(Call::shard).collect();
    let is_near = |c: &Call<'_>| c.shard().is_some_and(|s| shards.contains(&s)) || c.f() == "register" || is_named(c);
    let near: Vec<Call<'a>> = all.iter().filter(|c| is_near(c)).copied().collect();
    if judge.still_there(&near) {
        let small = judge.shrink(&[], near);
        // What could not be made small would bury the calls that matter.
        if small.len() <= MOST_TO_SHRINK {
            return shown(&small, true);
        }
    }
    shown(&narrow, false)
}

/// The named calls, with those that made their shards and brought them to the fences and ends that they had, up to the culprit.
fn founded<'a>(all: &[Call<'a>], narrow: &[Call<'a>], is_named: impl Fn(&Call<'_>) -> bool) -> Vec<Call<'a>> {
    let shards: HashSet<Name<'_>> = narrow.iter().filter_map(Call::shard).collect();
    let until = narrow.iter().map(|c| c.completed_at.unwrap_or(c.at)).max().unwrap_or(0);
    let makes = |call: &Call<'_>| {
        let shown = [call.output("shards"), call.output("children")];
        let listed = shown.into_iter().flatten().filter_map(Value::items).flatten().chain(call.output("residual"));
        listed.filter_map(|made| made.some("shard").map(name)).any(|made| shards.contains(&made))
    };
    let founds = |call: &Call<'_>| match call.f() {
        "register" | "split-residual" | "split-replace" if makes(call) => true,
        "claim" if call.shard().is_none() => true,
        "acquire" | "claim" | "release" | "complete" | "park" | "unpark" | "split-residual" | "split-replace" => {
            call.shard().is_some_and(|shard| shards.contains(&shard))
        }
        "fail-run" | "cancel-run" | "complete-run" | "delete-run" => true,
        _ => false,
    };
    let is_part = |call: &&Call<'_>| is_named(call) || (call.at < until && !call.failed() && founds(call));
    all.iter().filter(is_part).copied().collect()
}

fn linearizability() -> Options {
    let limits = Limits { time: Duration::from_secs(1), ..Limits::default() };
    Options { invariants: BTreeSet::new(), linearizability: Some(limits), ..Options::default() }
}

fn options(invariant: Invariant, verdict: &Verdict) -> Options {
    Options { rates_are_sane: Some(verdict.rates_are_sane), ..Options::only(invariant) }
}

struct Culprit {
    options: Options,
    /// Index of the op that was last to show the violation.
    culprit: Option<u64>,
}

impl Culprit {
    /// Whether these calls alone show a violation with the same culprit.
    fn still_there(&self, calls: &[Call<'_>]) -> bool {
        let part: Vec<Op> = sorted(calls).into_iter().cloned().collect();
        let Ok(verdict) = judge(&part, &self.options) else { return false };
        verdict.violations().any(|(_, v)| v.ops.last().copied() == self.culprit)
    }

    /// These calls with as few of the others as it takes.
    fn with_few<'a>(&self, calls: Vec<Call<'a>>, others: Vec<Call<'a>>) -> Vec<Call<'a>> {
        if others.is_empty() || self.still_there(&calls) {
            return calls;
        }
        let few = self.shrink(&calls, others);
        [calls, few].concat()
    }

    /// Leaves out calls as long as the rest, together with what is `fixed`, still shows it: large stretches first, single calls
    /// last.
    fn shrink<'a>(&self, fixed: &[Call<'a>], mut calls: Vec<Call<'a>>) -> Vec<Call<'a>> {
        let mut stretch = calls.len() / 2;
        while stretch > 0 {
            let mut at = 0;
            while at < calls.len() {
                let upto = calls.len().min(at + stretch);
                let fewer: Vec<Call<'a>> = calls[..at].iter().chain(&calls[upto..]).copied().collect();
                if self.still_there(&[fixed, &fewer].concat()) {
                    calls = fewer;
                } else {
                    at = upto;
                }
            }
            // A part that stays large is not worth the quadratic last rounds.
            let done = stretch == 1 || calls.len() / stretch > MOST_TO_SHRINK;
            stretch = if done { 0 } else { stretch.div_ceil(2) };
        }
        calls
    }
}

fn sorted<'a>(calls: &[Call<'a>]) -> Vec<&'a Op> {
    let mut ops: Vec<&Op> = calls.iter().flat_map(|c| std::iter::once(c.invoke).chain(c.completion)).collect();
    ops.sort_by_key(|op| op.index);
    ops
}

/// The calls' ops, the faults between them, and those under way when they began.
fn with_faults<'a>(ops: &'a [Op], calls: &[Call<'a>]) -> Vec<&'a Op> {
    let mut shown = sorted(calls);
    let (Some(first), Some(last)) = (shown.first().map(|op| op.index), shown.last().map(|op| op.index)) else {
        return shown;
    };
    shown.extend(faults::before(ops, first));
    let between = |op: &&Op| op.process == Process::Nemesis && first < op.index && op.index < last;
    shown.extend(ops.iter().filter(between));
    shown.sort_by_key(|op| op.index);
    shown
}
