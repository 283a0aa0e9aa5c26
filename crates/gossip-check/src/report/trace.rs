//! The smallest part of a history that still shows a violation.

use std::collections::{BTreeSet, HashSet};

use crate::history::{Call, Name, Op, Process, calls};
use crate::invariants::Invariant;
use crate::judge::{Options, Verdict, Violation, judge};

/// Calls beyond which a part is not made smaller one call at a time.
const MOST_TO_SHRINK: usize = 200;

/// A part of a history.
#[derive(Debug, Clone)]
pub struct Trace<'a> {
    pub ops: Vec<&'a Op>,
    /// It violates the invariant by itself. Otherwise it shows the calls that the violation names.
    pub fails_alone: bool,
}

/// The smallest part found that still gives the same culprit, with the faults around it. `id` is that of an invariant, or
/// `L`. Registrations are part of it only if the violation needs them.
pub fn failing_trace<'a>(ops: &'a [Op], verdict: &Verdict, id: &str, violation: &Violation) -> Trace<'a> {
    let named: BTreeSet<u64> = violation.ops.iter().copied().collect();
    let all = calls(ops).unwrap_or_default();
    let is_named = |call: &Call<'_>| {
        named.contains(&call.invoke.index) || call.completion.is_some_and(|c| named.contains(&c.index))
    };
    let narrow: Vec<Call<'a>> = all.iter().filter(|c| is_named(c)).copied().collect();
    let shown = |calls: &[Call<'a>], fails_alone| Trace { ops: with_faults(ops, calls), fails_alone };
    let Ok(invariant) = id.parse::<Invariant>() else {
        return shown(&narrow, false);
    };
    let judge = Culprit { options: options(invariant, verdict), culprit: violation.ops.last().copied() };
    if judge.still_there(&narrow) {
        return shown(&judge.shrink(narrow), true);
    }
    let shards: HashSet<Name<'_>> = narrow.iter().filter_map(Call::shard).collect();
    let is_near = |c: &Call<'_>| c.shard().is_some_and(|s| shards.contains(&s)) || c.f() == "register" || is_named(c);
    let near: Vec<Call<'a>> = all.iter().filter(|c| is_near(c)).copied().collect();
    if judge.still_there(&near) {
        let small = judge.shrink(near);
        // What could not be made small would bury the calls that matter.
        if small.len() <= MOST_TO_SHRINK {
            return shown(&small, true);
        }
    }
    shown(&narrow, false)
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

    /// Leaves out calls as long as the rest still shows it: large stretches first, single calls last.
    fn shrink<'a>(&self, mut calls: Vec<Call<'a>>) -> Vec<Call<'a>> {
        let mut stretch = calls.len() / 2;
        while stretch > 0 {
            let mut at = 0;
            while at < calls.len() {
                let upto = calls.len().min(at + stretch);
                let fewer: Vec<Call<'a>> = calls[..at].iter().chain(&calls[upto..]).copied().collect();
                if self.still_there(&fewer) {
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

/// The calls' ops, the faults between them, and the last fault before them.
fn with_faults<'a>(ops: &'a [Op], calls: &[Call<'a>]) -> Vec<&'a Op> {
    let mut shown = sorted(calls);
    let (Some(first), Some(last)) = (shown.first().map(|op| op.index), shown.last().map(|op| op.index)) else {
        return shown;
    };
    let faults = || ops.iter().filter(|op| op.process == Process::Nemesis);
    shown.extend(faults().rfind(|op| op.index < first));
    shown.extend(faults().filter(|op| first < op.index && op.index < last));
    shown.sort_by_key(|op| op.index);
    shown
}
