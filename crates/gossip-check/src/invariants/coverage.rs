//! Coverage of the schedule: a run that never did what its name says is *unknown*, whatever else was right in it.
//!
//! A fault took hold if the nemesis recorded it without `:error` (Jepsen records each twice, when it starts and when it is
//! done) and clients still called afterwards. Of a partition or a client's fault only its end shows whether anything met it:
//! one that nothing but the heal ended took hold of nothing that is known. A lease expired if the next grant on its shard came
//! at or after its deadline while its holder had not given it up. Each thing is counted; nothing here is ever a violation.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::facts::{Facts, Tally, is_grant};
use crate::history::{Call, Op, Process};

/// Something that must have happened in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MustHappen {
    /// A nemesis op with one of these names, without the colon: `pause`, `start-partition`.
    Fault(BTreeSet<String>),
    /// A lease ran out and its shard was granted again.
    LeaseExpiry,
    /// The same, and the holder's belief ended while something was in force: between `start` and the next `stop`.
    LeaseExpiryDuring { start: String, stop: String },
    /// A lease was granted after the last of these faults began, and before the nemesis noted `before`, where it did.
    GrantAfterFaults { faults: BTreeSet<String>, before: String },
    /// An operation of this name succeeded.
    Success(String),
    /// An operation of this name was refused for this reason, in lower case with dashes.
    Refusal { f: String, reason: String },
}

impl MustHappen {
    pub fn fault(f: impl Into<String>) -> Self {
        Self::Fault([f.into()].into())
    }
}

/// What was counted, and in words what did not happen.
pub(crate) fn check(facts: &Facts<'_>, wanted: &[MustHappen]) -> (Tally, Vec<String>) {
    let mut tally = Tally::default();
    let mut missing = Vec::new();
    for wanted in wanted {
        let (count, what) = match wanted {
            MustHappen::Fault(fs) => {
                let names: Vec<&str> = fs.iter().map(String::as_str).collect();
                (faults(facts, fs), format!("no {} took hold", names.join(" or ")))
            }
            MustHappen::LeaseExpiry => (expiries(facts).count() as u64, "no lease expired".to_owned()),
            MustHappen::LeaseExpiryDuring { start, stop } => {
                let spans = spans(facts, start, stop);
                let ended = expiries(facts).filter(|at| at.is_some_and(|at| spans.iter().any(|s| s.contains(&at))));
                (ended.count() as u64, format!("no lease expired during a {start}"))
            }
            MustHappen::Success(f) => (calls(facts, f, |call| call.ok()), format!("no {f} succeeded")),
            MustHappen::Refusal { f, reason } => {
                let refused = |call: &Call<'_>| call.failed() && call.reason().as_deref() == Some(reason);
                (calls(facts, f, refused), format!("no {f} was refused as {reason}"))
            }
            MustHappen::GrantAfterFaults { faults, before } => {
                (grants_after(facts, faults, before), "nothing was granted after the last fault began".to_owned())
            }
        };
        tally.count += count;
        if count == 0 {
            missing.push(what);
        }
    }
    (tally, missing)
}

fn calls(facts: &Facts<'_>, f: &str, counts: impl Fn(&Call<'_>) -> bool) -> u64 {
    facts.calls.iter().filter(|call| call.f() == f && counts(call)).count() as u64
}

fn faults(facts: &Facts<'_>, fs: &BTreeSet<String>) -> u64 {
    let last_call = facts.calls.last().map_or(0, |c| c.at);
    let mut count: u64 = 0;
    for f in fs {
        if let Some(end) = tells_at_end(f) {
            count += ended(&facts.ops[..last_call], f, end);
            continue;
        }
        let ops = facts.ops[..last_call].iter().filter(|op| op.process == Process::Nemesis && op.f == *f);
        let (failed, clean): (Vec<_>, Vec<_>) = ops.partition(|op| op.has_failed());
        // A fault that failed has a clean op too: the one that started it.
        count += clean.len().saturating_sub(failed.len()) as u64;
    }
    count
}

/// What ends a fault of which only the end shows whether anything met it.
fn tells_at_end(f: &str) -> Option<&'static str> {
    match f {
        "start-partition" => Some("stop-partition"),
        "start-client-fault" => Some("stop-client-fault"),
        _ => None,
    }
}

/// How many faults took hold, of those that an end of their own ended.
fn ended(ops: &[Op], start: &str, end: &str) -> u64 {
    let (mut count, mut under_way) = (0, 0_u64);
    let mut steps = ops.iter().filter(|op| op.process == Process::Nemesis).peekable();
    while let Some(op) = steps.next() {
        let fails = steps.peek().is_some_and(|next| next.f == op.f && next.has_failed());
        if op.f == start {
            // One that failed has a clean op too: the one that started it.
            under_way = if op.has_failed() { under_way.saturating_sub(1) } else { under_way + 1 };
        } else if op.f == end && !fails {
            if !op.has_failed() {
                count += under_way;
            } else if op.reason().as_deref() != Some("no-effect") {
                continue;
            }
            under_way = 0;
        }
    }
    count
}

/// Leases that ran out, each with the moment at which its holder's belief ended, in real time.
fn expiries(facts: &Facts<'_>) -> impl Iterator<Item = Option<i64>> {
    let mut ended = Vec::new();
    for leases in facts.leases.values() {
        let mut timed: Vec<_> = leases.iter().filter_map(|l| Some((l.granted?, l))).collect();
        timed.sort_by_key(|(granted, lease)| (*granted, lease.fence));
        for pair in timed.windows(2) {
            let ((_, a), (granted, b)) = (pair[0], pair[1]);
            if !a.given_up_before(b) && a.first_deadline.is_some() && a.known_deadline <= granted {
                ended.push(a.answers.iter().chain(&a.renewals).filter_map(|c| c.output_int("believed-until")).max());
            }
        }
    }
    ended.into_iter()
}

fn nemesis_ops<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (usize, &'a Op)> {
    let ops = facts.ops.iter().enumerate();
    ops.filter(|(_, op)| op.process == Process::Nemesis && !op.has_failed())
}

/// The stretches of real time between each `start` and the `stop` that follows it.
fn spans(facts: &Facts<'_>, start: &str, stop: &str) -> Vec<RangeInclusive<i64>> {
    let mut spans = Vec::new();
    let mut open: Option<i64> = None;
    for (_, op) in nemesis_ops(facts) {
        if op.f == start {
            open.get_or_insert(op.time);
        } else if op.f == stop {
            spans.extend(open.take().map(|from| from..=op.time));
        }
    }
    spans.extend(open.map(|from| from..=i64::MAX));
    spans
}

fn grants_after(facts: &Facts<'_>, faults: &BTreeSet<String>, before: &str) -> u64 {
    let Some((last, _)) = nemesis_ops(facts).filter(|(_, op)| faults.contains(&*op.f)).last() else { return 0 };
    let until = nemesis_ops(facts).find(|(at, op)| *at > last && op.f == before).map_or(usize::MAX, |(at, _)| at);
    facts.calls.iter().filter(|c| is_grant(c.f()) && c.ok() && c.at > last && c.end() < until).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history;

    /// Whether what is wanted happened in a history of these lines.
    fn happened(wanted: MustHappen, text: &str) -> bool {
        let ops: Vec<Op> = history::read(text.as_bytes()).collect::<Result<_, _>>().unwrap();
        check(&Facts::new(&ops, None).unwrap(), &[wanted]).1.is_empty()
    }

    fn grant(process: u32, fence: u32, granted: u32, deadline: u32, from_s: f64, believed_s: f64) -> String {
        let (from, to, until) = (from_s * 1e9, from_s * 1e9 + 1e6, believed_s * 1e9);
        let asked = format!(":shard \"s\" :worker \"w{process}\" :op-id \"{fence}\"");
        format!(
            "{{:process {process} :type :invoke :f :acquire :value {{{asked}}} :time {from:.0}}}\n\
             {{:process {process} :type :ok :f :acquire :value {{{asked} :fence {fence} :granted {granted} \
             :deadline {deadline} :believed-until {until:.0} :cursor nil}} :time {to:.0}}}\n"
        )
    }

    fn nemesis(f: &str, at_s: f64) -> String {
        format!("{{:process :nemesis :type :info :f :{f} :value nil :time {:.0}}}\n", at_s * 1e9)
    }

    #[test]
    fn an_operation_must_have_ended_in_the_way_that_is_asked_for() {
        let ended = |how: &str| {
            format!(
                "{{:process 0 :type :invoke :f :delete-run :value {{:run \"r\"}} :time 1}}\n\
                 {{:process 0 :type {how} :f :delete-run :value {{:run \"r\"}} :time 2}}\n"
            )
        };
        let success = || MustHappen::Success("delete-run".into());
        let refusal = || MustHappen::Refusal { f: "delete-run".into(), reason: "run-not-ended".into() };
        let refused = ended(":fail :error [:run-not-ended \"\"]");
        assert!(happened(success(), &ended(":ok")) && !happened(success(), &refused));
        assert!(happened(refusal(), &refused) && !happened(refusal(), &ended(":ok")));
        assert!(!happened(refusal(), &ended(":fail :error [:run-not-found \"\"]")), "for another reason");
        assert!(!happened(refusal(), &ended(":info :error [:run-not-ended \"\"]")), "it is open what became of it");
        assert!(!happened(MustHappen::Success("acquire".into()), &ended(":ok")), "another operation");
    }

    #[test]
    fn an_expiry_counts_only_if_the_belief_ended_during_the_pause() {
        let wanted = || MustHappen::LeaseExpiryDuring { start: "pause".into(), stop: "resume".into() };
        let run = |pause: f64, resume: f64| {
            grant(0, 1, 0, 2000, 0.1, 1.9)
                + &nemesis("pause", pause)
                + &nemesis("resume", resume)
                + &{ grant(1, 2, 4000, 6000, 4.0, 5.8) }
        };
        assert!(happened(wanted(), &run(1.0, 3.0)));
        assert!(!happened(wanted(), &run(2.0, 3.0)), "it had ended before");
        assert!(happened(MustHappen::LeaseExpiry, &run(2.0, 3.0)));
    }

    #[test]
    fn a_partition_or_a_clients_fault_took_hold_only_if_its_end_says_so() {
        let error = |f: &str, reason: &str| {
            nemesis(f, 2.0).replace("{:process", &format!("{{:error [:{reason} \"\"] :process"))
        };
        let after = grant(0, 1, 4000, 6000, 4.0, 5.8);
        for (start, stop) in [("start-partition", "stop-partition"), ("start-client-fault", "stop-client-fault")] {
            let held = |ends: &str| happened(MustHappen::fault(start), &(nemesis(start, 1.0) + ends + &after));
            assert!(held(&nemesis(stop, 2.0)));
            assert!(held(&(nemesis(stop, 2.0) + &nemesis(stop, 2.0))), "noted as Jepsen does");
            assert!(!held(&nemesis("heal", 2.0)), "its end was cut off");
            assert!(!held(&(nemesis(stop, 2.0) + &error(stop, "no-effect"))));
            assert!(!held(&(nemesis(stop, 2.0) + &error(stop, "failed") + &nemesis("heal", 3.0))));
            assert!(!held(&(error(start, "no-effect") + &nemesis(stop, 2.0))), "as the local tier says it");
            assert!(!held(&(nemesis(stop, 2.0) + &error(stop, "no-effect") + &nemesis(stop, 3.0))), "it was over");
            assert!(held(&(nemesis(stop, 2.0) + &error(stop, "failed") + &nemesis(stop, 3.0))), "counted at last");
        }
        assert!(happened(MustHappen::fault("kill"), &(nemesis("kill", 1.0) + &nemesis("heal", 2.0) + &after)));
    }

    #[test]
    fn a_grant_must_come_after_the_last_fault_and_before_the_end() {
        let wanted = || MustHappen::GrantAfterFaults { faults: ["kill".to_owned()].into(), before: "heal".into() };
        let early = grant(0, 1, 0, 2000, 0.1, 1.9) + &nemesis("kill", 1.0);
        assert!(!happened(wanted(), &(early.clone() + &nemesis("heal", 3.0) + &grant(1, 2, 4000, 6000, 4.0, 5.8))));
        assert!(happened(wanted(), &(early.clone() + &grant(1, 2, 2500, 4500, 2.5, 4.3) + &nemesis("heal", 3.0))));
        let again = early + &grant(1, 2, 2500, 4500, 2.5, 4.3) + &nemesis("kill", 3.0) + &nemesis("heal", 4.0);
        assert!(!happened(wanted(), &again), "nothing after the last one");
    }
}
