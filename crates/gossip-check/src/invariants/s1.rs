//! S1, lease exclusivity: no two leases on one shard overlap.
//!
//! As granted: a lease lives on the lease clock from its grant to its deadline, which renewals move. It ends earlier when its
//! holder gave it up (release, complete, park, split), and then no later grant overlaps it, if the giving up was invoked
//! before that grant was answered. A renewal whose answer was lost may have moved the deadline; such a lease's true end is
//! unknown and only its last known deadline counts, which a grant may not precede either. The deadline itself is outside:
//! live means `now < deadline`. A lease that had run out cannot be renewed, nor written under; after a renewal that was answered
//! without its deadline nobody knows when it runs out, and one that does not tell when it came may have come first. The clock
//! itself never goes back ([`super::lease_clock`]).
//!
//! As believed: a holder believes from the answer on until `:believed-until`, in the recorder's real time, or until it sent
//! what gives the lease up. Sections are what it did in that belief: no section may meet another holder's section or belief. One
//! that tells until when its holder believed counts no longer than that, since what is done after it is the holder's own risk.
//! Judged only while the rates of monotonic clocks were sane: beyond the drift margin beliefs may overlap, and the fence (S2)
//! must do.

use super::facts::{Facts, Tally};
use super::lease_clock;
use super::leases::Lease;
use crate::history::{Call, Name, name};

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tally = Tally::default();
    lease_clock::check(facts, &mut tally);
    for (shard, leases) in &facts.leases {
        granted_overlaps(facts, shard, leases, &mut tally);
        late_renewals(facts, shard, leases, &mut tally);
        if facts.rates_are_sane {
            let mut intervals = beliefs(leases);
            intervals.extend(sections(facts, shard));
            interval_overlaps(facts, shard, intervals, &mut tally);
        }
    }
    tally
}

/// Compares each lease with the one before it on the lease clock that reaches furthest.
fn granted_overlaps(facts: &Facts<'_>, shard: &str, leases: &[Lease<'_>], tally: &mut Tally) {
    let mut timed: Vec<(i64, &Lease<'_>)> = leases.iter().filter_map(|l| Some((l.granted?, l))).collect();
    timed.sort_by_key(|(granted, lease)| (*granted, lease.fence));
    let mut reach: Option<&Lease<'_>> = None;
    for (granted, b) in timed {
        if let Some(a) = reach {
            let clash = granted < a.known_deadline && !a.given_up_before(b);
            tally.add(clash.then(|| {
                let message = format!(
                    "shard {shard}: fence {} was granted to {} at {granted}, while fence {} of {} lived until {}",
                    b.fence, b.worker, a.fence, a.worker, a.known_deadline
                );
                facts.violation(message, [a.end, b.end])
            }));
        }
        if reach.is_none_or(|a| a.known_deadline <= b.known_deadline || a.given_up_before(b)) {
            reach = Some(b);
        }
    }
}

/// Renewals of a lease that had run out when they were applied.
fn late_renewals(facts: &Facts<'_>, shard: &str, leases: &[Lease<'_>], tally: &mut Tally) {
    for lease in leases.iter().filter(|l| !l.renewal_is_open) {
        let Some((mut deadline, steps)) = timed_renewals(lease) else { continue };
        for (at, until, renewal) in steps {
            tally.add((deadline <= at).then(|| {
                let fence = lease.fence;
                let message =
                    format!("shard {shard}: fence {fence} was renewed at {at}, but had run out at {deadline}");
                facts.violation(message, [lease.end, renewal.end()])
            }));
            let Some(until) = until else { break };
            deadline = deadline.max(until);
        }
    }
}

/// When a renewal came, until when it said that the lease lives, and the call.
type Step<'l, 'a> = (i64, Option<i64>, &'l Call<'a>);

/// Until when a lease lived at least before the first of its renewals that tell when they came, and these, in order. None if
/// nobody knows. Of those that came at one moment the one that does not say until when is the first.
fn timed_renewals<'l, 'a>(lease: &'l Lease<'a>) -> Option<(i64, Vec<Step<'l, 'a>>)> {
    let mut deadline = lease.first_deadline?;
    let mut steps = Vec::new();
    for renewal in &lease.renewals {
        let until = renewal.output_int("deadline");
        match renewal.output_int("granted") {
            Some(at) => steps.push((at, until, renewal)),
            None => deadline = deadline.max(until?),
        }
    }
    steps.sort_by_key(|(at, until, _)| (*at, *until));
    Some((deadline, steps))
}

/// A stretch of real time, in nanoseconds of the recorder.
struct Interval<'a> {
    from: i64,
    to: i64,
    fence: Option<i64>,
    worker: Name<'a>,
    what: &'static str,
    at: usize,
}

impl Interval<'_> {
    fn of_one_lease(&self, other: &Self) -> bool {
        self.fence == other.fence && self.worker == other.worker
    }

    fn text(&self) -> String {
        let fence = self.fence.map_or_else(|| "none".to_owned(), |f| f.to_string());
        format!("{} {} fence {fence}", self.worker, self.what)
    }
}

/// Intervals of different leases must be disjoint. It is enough to compare each with the one before it that reaches furthest: if
/// that is of the same lease, whatever else it meets has met that one already.
fn interval_overlaps(facts: &Facts<'_>, shard: &str, mut intervals: Vec<Interval<'_>>, tally: &mut Tally) {
    intervals.sort_by_key(|i| (i.from, i.to));
    let mut reach: Option<&Interval<'_>> = None;
    for b in &intervals {
        if let Some(a) = reach.filter(|a| !a.of_one_lease(b)) {
            tally.add((b.from < a.to).then(|| {
                let message =
                    format!("shard {shard}: {} from {} ns, but {} until {} ns", b.text(), b.from, a.text(), a.to);
                facts.violation(message, [a.at, b.at])
            }));
        }
        if reach.is_none_or(|a| a.to <= b.to) {
            reach = Some(b);
        }
    }
}

fn beliefs<'a>(leases: &[Lease<'a>]) -> Vec<Interval<'a>> {
    let mut beliefs = Vec::new();
    for lease in leases {
        for (from, to, call) in lease.beliefs() {
            let worker = lease.worker.clone();
            beliefs.push(Interval { from, to, fence: Some(lease.fence), worker, what: "believed in", at: call.at });
        }
    }
    beliefs
}

fn sections<'a>(facts: &Facts<'a>, shard: &str) -> Vec<Interval<'a>> {
    let calls = facts.by_shard.get(shard).map(Vec::as_slice).unwrap_or_default();
    let mut sections = Vec::new();
    for call in facts.shard_calls(calls).filter(|c| c.f() == "section" && c.ok()) {
        let told = (call.output_int("entered"), call.output_int("left"));
        let until = call.output_int("believed-until").unwrap_or(i64::MAX);
        if let (Some(from), Some(to)) = (told.0, told.1.map(|left| left.min(until)))
            && from < to
        {
            let worker = call.output("worker").map(name).unwrap_or_default();
            let what = "was in a section under";
            sections.push(Interval { from, to, fence: call.output_int("fence"), worker, what, at: call.at });
        }
    }
    sections
}
