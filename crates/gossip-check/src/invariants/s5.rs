//! S5, idempotency: one op id, one effect, one answer. An op id counts within its run ([`super::op_ids`]).
//!
//! All answers to one op id must agree in what the service said (shard, fence, times on the lease clock, children, cursor);
//! only the same request may be answered at all; and once an answer has been given, the same request must not be refused by
//! the state machine afterwards. Refusals by a node that did not take the request (overload, no leader) prove nothing.
//!
//! An answer that the service may have forgotten ([`super::oplog`]) proves nothing either: its op id is a new request then,
//! and the next answer is the one to compare with. An answer to a call was in the op log while that call was under way, so
//! that another that comes after it cannot have been put there before that call was invoked.
//!
//! An answer is one to what was asked: where it repeats the request it repeats it as it was, with the same shard, worker, fence,
//! roots, cuts. Two requests differ if they differ in what is known to be sent to the service, and are the same if they differ in
//! nothing but notes of the recorder (the node that was asked, say); whatever else they differ in is held against nobody.
//!
//! An op id counts as a check when two of its answers were compared, or when another request under it was refused as it must be.

use std::collections::BTreeMap;

use super::facts::{Facts, Tally, is_lease_write};
use super::oplog::{ANSWERED, OpLog, same_answer, same_request, surely_same_request};
use super::refusals;
use crate::history::Call;
use crate::judge::Violation;

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tries: BTreeMap<usize, Vec<&Call<'_>>> = BTreeMap::new();
    for (call, operation) in facts.calls.iter().zip(&facts.operations) {
        tries.entry(*operation).or_default().push(call);
    }
    let log = OpLog::new(&facts.calls, &facts.runs, &facts.operations);
    let mut tally = Tally::default();
    tally.violations.extend(facts.calls.iter().filter_map(|call| misanswered(facts, call)));
    for calls in tries.values().filter(|calls| calls.len() > 1) {
        let tries = Tries { facts, log: &log, calls };
        if let Some(outcome) = tries.compare() {
            tally.add(outcome);
        }
    }
    tally
}

/// What a request says and its answer repeats.
const ASKED: [&str; 7] = ["run", "shard", "worker", "op-id", "shards", "cuts", "at"];

/// Why an answer is not one to its request.
fn misanswered(facts: &Facts<'_>, call: &Call<'_>) -> Option<Violation> {
    let answer = call.completion.filter(|_| call.ok())?;
    let fence = is_lease_write(call.f()).then_some("fence");
    let key = ASKED.into_iter().chain(fence).find(|key| {
        let asked = call.input(key);
        asked.is_some() && answer.value.get(key).is_some_and(|told| Some(told) != asked)
    })?;
    let (asked, told) = (call.input(key)?, answer.value.get(key)?);
    let message = format!("{} was asked for :{key} {asked} and answered for {told}", call.f());
    Some(facts.violation(message, [call.at, call.end()]))
}

/// An answer in the op log.
#[derive(Clone, Copy)]
struct Kept<'t, 'a> {
    /// The first call that got it.
    call: &'t Call<'a>,
    /// The earliest place at which it may have been put there.
    from: usize,
}

/// All calls that carried one op id, in one run.
struct Tries<'t, 'a> {
    facts: &'t Facts<'a>,
    log: &'t OpLog<'t, 'a>,
    calls: &'t [&'t Call<'a>],
}

impl<'t, 'a> Tries<'t, 'a> {
    /// None if no two of the answers can be compared.
    fn compare(&self) -> Option<Option<Violation>> {
        let mut oks: Vec<&Call<'a>> = self.calls.iter().copied().filter(|c| c.ok()).collect();
        oks.sort_by_key(|c| c.end());
        let mut last = *oks.first()?;
        let from = self.calls.iter().filter(|c| !c.failed()).map(|c| c.at).min()?;
        let mut kept = vec![Kept { call: last, from }];
        let mut compared = false;
        for &call in &oks[1..] {
            let known = *kept.last()?;
            match difference(known.call, call) {
                None => compared = true,
                Some(_) if self.forgotten(known, call) => {
                    let after = if last.end() < call.at { last.at } else { known.from };
                    kept.push(Kept { call, from: self.made_from(call).max(after) });
                }
                Some(fault) => return Some(Some(self.violation(&fault, known, call))),
            }
            last = call;
        }
        for refused in self.calls.iter().filter(|c| c.failed()) {
            let Some(known) = kept.iter().rfind(|k| k.call.end() < refused.at) else { continue };
            let Some(reason) = refused.reason().filter(|reason| refusals::by_state_machine(reason)) else { continue };
            if surely_same_request(known.call, refused) && !self.forgotten(*known, refused) {
                return Some(Some(self.violation(&format!("answered, then refused: {reason}"), *known, refused)));
            }
            compared |= !same_request(known.call, refused) && reason == "op-id-conflict";
        }
        compared.then_some(None)
    }

    /// The first try that may have got this answer as a new one.
    fn made_from(&self, answered: &Call<'a>) -> usize {
        let may_be = |c: &&&Call<'a>| c.open() || (c.ok() && difference(c, answered).is_none());
        self.calls.iter().filter(may_be).map(|c| c.at).min().unwrap_or(answered.at)
    }

    fn forgotten(&self, known: Kept<'t, 'a>, call: &Call<'a>) -> bool {
        self.log.may_have_forgotten(known.call, known.from, call.end())
    }

    fn violation(&self, fault: &str, known: Kept<'t, 'a>, call: &Call<'a>) -> Violation {
        let id = call.op_id().unwrap_or_default();
        self.facts.violation(format!("op id {id} was {fault}"), [known.call.end(), call.end()])
    }
}

/// Why two answers are not the same.
fn difference(a: &Call<'_>, b: &Call<'_>) -> Option<String> {
    if !same_request(a, b) {
        return Some("answered for two different requests".to_owned());
    }
    let same = same_answer(a, b);
    (!same).then(|| format!("answered with {}, then with {}", text(a), text(b)))
}

fn text(call: &Call<'_>) -> String {
    let parts = ANSWERED.iter().filter_map(|key| Some(format!(":{key} {}", call.answer(key)?)));
    format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
}
