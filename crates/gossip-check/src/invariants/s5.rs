//! S5, idempotency: one op id, one effect, one answer.
//!
//! All answers to one op id must agree in what the service said (shard, fence, times on the lease clock, children, cursor);
//! only the same request may be answered at all; and once an answer has been given, the same request must not be refused by
//! the state machine afterwards. Each shard keeps the answers of its newest 64 evictable operations: a refusal after so many
//! others on the shard proves nothing. Refusals by a node that did not take the request (overload, no leader) prove nothing
//! either.

use std::collections::{BTreeMap, HashMap};

use super::facts::{Facts, Tally};
use super::refusals;
use crate::history::{Call, Name};
use crate::judge::Violation;

/// Evictable answers that a shard keeps.
const KEPT_ANSWERS: usize = 64;

/// What the service says in an answer.
const ANSWERED: [&str; 7] = ["shard", "fence", "granted", "deadline", "cursor", "children", "residual"];

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut by_id: BTreeMap<Name<'_>, Vec<&Call<'_>>> = BTreeMap::new();
    for call in &facts.calls {
        if let Some(id) = call.op_id() {
            by_id.entry(id).or_default().push(call);
        }
    }
    let answers = answers(facts);
    let mut tally = Tally::default();
    for (id, calls) in by_id.iter().filter(|(_, calls)| calls.len() > 1) {
        tally.add(fault(facts, &answers, id, calls));
    }
    tally
}

/// Where each shard's answers stand, ascending.
fn answers<'a>(facts: &Facts<'a>) -> HashMap<Name<'a>, Vec<usize>> {
    let ends = |places: &[usize]| {
        let mut ends: Vec<usize> = facts.shard_calls(places).filter(|c| c.ok()).map(Call::end).collect();
        ends.sort_unstable();
        ends
    };
    facts.by_shard.iter().map(|(shard, places)| (shard.clone(), ends(places))).collect()
}

fn fault(
    facts: &Facts<'_>,
    answers: &HashMap<Name<'_>, Vec<usize>>,
    id: &str,
    calls: &[&Call<'_>],
) -> Option<Violation> {
    let mut oks: Vec<&Call<'_>> = calls.iter().copied().filter(|c| c.ok()).collect();
    oks.sort_by_key(|c| c.end());
    let first = *oks.first()?;
    if let Some(other) = oks.iter().find(|c| !same_request(first, c)) {
        let message = format!("op id {id} was answered for two different requests");
        return Some(facts.violation(message, [first.end(), other.end()]));
    }
    if let Some(other) = oks.iter().find(|c| ANSWERED.iter().any(|key| first.answer(key) != c.answer(key))) {
        let message = format!("op id {id} was answered with {}, then with {}", text(first), text(other));
        return Some(facts.violation(message, [first.end(), other.end()]));
    }
    let (call, reason) = calls.iter().find_map(|call| {
        let later = call.failed() && first.end() < call.at && same_request(first, call);
        let reason = call.reason().filter(|reason| later && refusals::by_state_machine(reason))?;
        (!may_be_evicted(answers, first, call)).then_some((call, reason))
    })?;
    Some(facts.violation(format!("op id {id} was answered, then refused: {reason}"), [first.end(), call.end()]))
}

fn same_request(a: &Call<'_>, b: &Call<'_>) -> bool {
    a.f() == b.f() && a.invoke.value == b.invoke.value
}

fn text(call: &Call<'_>) -> String {
    let parts = ANSWERED.iter().filter_map(|key| Some(format!(":{key} {}", call.answer(key)?)));
    format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
}

/// Whether so many other operations were answered on the shard since that the first answer may be forgotten.
fn may_be_evicted(answers: &HashMap<Name<'_>, Vec<usize>>, first: &Call<'_>, refused: &Call<'_>) -> bool {
    let evictable = matches!(first.f(), "acquire" | "claim" | "renew" | "checkpoint" | "release" | "unpark");
    let ends = first.shard().and_then(|shard| answers.get(&shard)).map(Vec::as_slice).unwrap_or_default();
    let since = ends.partition_point(|&end| end <= first.end());
    let until = ends.partition_point(|&end| end < refused.end());
    evictable && until.saturating_sub(since) >= KEPT_ANSWERS
}
