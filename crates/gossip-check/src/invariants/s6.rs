//! S6, progress: after the faults heal, every node serves and every shard can be driven to a terminal state within a bound.
//!
//! The liveness phase stops in time, so the bound is in the run and not here. Judged from the final reads: each node that was
//! asked must have answered at least one of them, and every shard of a final read must be terminal.

use std::collections::BTreeMap;

use super::facts::{Facts, Tally, is_final, is_terminal};
use crate::history::{Call, Name, name};

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tally = Tally::default();
    let mut asked: BTreeMap<Name<'_>, Vec<&Call<'_>>> = BTreeMap::new();
    for call in facts.calls.iter().filter(|c| is_final(c)) {
        if let Some(node) = call.input("node") {
            asked.entry(name(node)).or_default().push(call);
        }
    }
    for (node, calls) in asked {
        let silent = !calls.iter().any(|c| c.ok());
        let message = || format!("node {node} answered no final read");
        tally.add(silent.then(|| facts.violation(message(), calls.iter().map(|c| c.completed_at.unwrap_or(c.at)))));
    }
    for sight in facts.sights().into_iter().filter(|s| s.is_final()) {
        if let Some(status) = sight.status() {
            let left = !is_terminal(&status);
            let message = || format!("shard {} is left {status}", sight.shard);
            tally.add(left.then(|| facts.violation(message(), [sight.call.end()])));
        }
    }
    tally
}
