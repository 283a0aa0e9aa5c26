//! What the lease clock tells, a part of S1: it never goes back, what it is told of a lease fits together, and nothing is done under
//! a lease that it has passed.
//!
//! There is one lease clock for all shards. A grant or renewal that may have taken effect only after another one was answered
//! comes no earlier on it. A lease ends after it begins, and a renewal never takes time from its holder: of the answers about one
//! lease those that are later on the clock tell no earlier deadline.
//!
//! A write under a lease is taken while the clock is below its deadline. So one that may have taken effect only after an answer, on
//! whatever shard, that showed the clock at the deadline or beyond came too late. A replay counts from the first try of its op id.
//! The deadline is the latest that any answer tells, of renewals that came after the write as well; where a renewal was not
//! answered, or did not say until when, the lease may have lived any longer, and nothing is said. (A renewal tells its own time, and
//! what is written below a fence that was granted before is S2's to tell.)

use std::collections::HashMap;

use super::facts::{Facts, Tally, is_grant, is_lease_write};
use super::floors::Floors;
use super::leases::Lease;

pub(super) fn check(facts: &Facts<'_>, tally: &mut Tally) {
    let told = || {
        let calls = facts.calls.iter().enumerate().filter(|(_, c)| c.ok() && (is_grant(c.f()) || c.f() == "renew"));
        calls.filter_map(|(i, call)| Some((i, call, call.output_int("granted")?)))
    };
    let floors = Floors::new(told().map(|(_, call, granted)| (call.end(), granted)), |a, b| a > b);
    for (i, call, granted) in told() {
        let shard = call.shard().unwrap_or_default();
        if let Some((high, shown_at)) = floors.before(facts.effect_from[i]).filter(|(high, _)| granted < *high) {
            let message =
                format!("shard {shard}: {} came at {granted}, after the lease clock had shown {high}", call.f());
            tally.violations.push(facts.violation(message, [shown_at, call.end()]));
        }
        if let Some(deadline) = call.output_int("deadline").filter(|deadline| *deadline <= granted) {
            let message = format!("shard {shard}: {} at {granted} gave a lease until {deadline}", call.f());
            tally.violations.push(facts.violation(message, [call.end()]));
        }
    }
    for (shard, leases) in &facts.leases {
        for lease in leases {
            shortened(facts, shard, lease, tally);
        }
        late_writes(facts, shard, leases, &floors, tally);
    }
}

/// Until when each fence was good at the latest; none where that is not known.
fn deadlines(leases: &[Lease<'_>]) -> HashMap<i64, Option<i64>> {
    let mut deadlines: HashMap<i64, Option<i64>> = HashMap::new();
    for lease in leases {
        let told = lease.first_deadline.is_some() && lease.renewals.iter().all(|r| r.output_int("deadline").is_some());
        let until = (told && !lease.renewal_is_open).then_some(lease.known_deadline);
        let known = deadlines.entry(lease.fence).or_insert(until);
        *known = known.zip(until).map(|(a, b)| a.max(b));
    }
    deadlines
}

/// Writes under a lease that had run out before they were sent.
fn late_writes(facts: &Facts<'_>, shard: &str, leases: &[Lease<'_>], clock: &Floors<i64>, tally: &mut Tally) {
    let deadlines = deadlines(leases);
    let fences = Floors::new(leases.iter().map(|lease| (lease.end, lease.fence)), |a, b| a > b);
    let places = facts.by_shard.get(shard).map(Vec::as_slice).unwrap_or_default();
    for &i in places {
        let call = &facts.calls[i];
        if !call.ok() || !is_lease_write(call.f()) || call.f() == "renew" {
            continue;
        }
        let Some(fence) = call.input_int("fence") else { continue };
        let Some(deadline) = deadlines.get(&fence).copied().flatten() else { continue };
        if fences.before(facts.effect_from[i]).is_some_and(|(high, _)| fence < high) {
            continue;
        }
        if let Some((now, shown_at)) = clock.before(facts.effect_from[i]).filter(|(now, _)| deadline <= *now) {
            let f = call.f();
            let message = format!(
                "shard {shard}: {f} under fence {fence} was accepted after the lease clock had shown {now}, but the lease had run out at {deadline}"
            );
            tally.violations.push(facts.violation(message, [shown_at, call.end()]));
        }
    }
}

fn shortened(facts: &Facts<'_>, shard: &str, lease: &Lease<'_>, tally: &mut Tally) {
    let Some(mut deadline) = lease.first_deadline else { return };
    let told = |call: &crate::history::Call<'_>| Some((call.output_int("granted")?, call.output_int("deadline")?));
    let mut steps: Vec<_> = lease.renewals.iter().filter_map(|call| Some((told(call)?, call.end()))).collect();
    steps.sort_unstable();
    for ((granted, until), end) in steps {
        if until < deadline {
            let fence = lease.fence;
            let message =
                format!("shard {shard}: fence {fence} lived until {deadline}, renewed at {granted} until {until}");
            tally.violations.push(facts.violation(message, [lease.end, end]));
        }
        deadline = deadline.max(until);
    }
}
