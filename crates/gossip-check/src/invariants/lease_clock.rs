//! What the lease clock tells, a part of S1: it never goes back, and what it is told of a lease fits together.
//!
//! There is one lease clock for all shards. A grant or renewal that may have taken effect only after another one was answered
//! comes no earlier on it. A lease ends after it begins, and a renewal never takes time from its holder: of the answers about one
//! lease those that are later on the clock tell no earlier deadline.

use super::facts::{Facts, Tally, is_grant};
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
