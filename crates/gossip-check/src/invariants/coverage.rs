//! Coverage of the schedule: a run that never did what its name says is *unknown*, whatever else was right in it.
//!
//! A fault took hold if the nemesis recorded it without `:error` (Jepsen records each twice, when it starts and when it is
//! done) and clients still called afterwards. A lease expired if the next grant on its shard came at or after its deadline
//! while its holder had not given it up. Each thing is counted; nothing here is ever a violation.

use std::collections::BTreeSet;

use super::facts::{Facts, Tally};
use crate::history::{OpType, Process};

/// Something that must have happened in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MustHappen {
    /// A nemesis op with one of these names, without the colon: `pause`, `start-partition`.
    Fault(BTreeSet<String>),
    /// A lease ran out and its shard was granted again.
    LeaseExpiry,
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
            MustHappen::LeaseExpiry => (expiries(facts), "no lease expired".to_owned()),
        };
        tally.count += count;
        if count == 0 {
            missing.push(what);
        }
    }
    (tally, missing)
}

fn faults(facts: &Facts<'_>, fs: &BTreeSet<String>) -> u64 {
    let last_call = facts.calls.last().map_or(0, |c| c.at);
    let mut count: u64 = 0;
    for f in fs {
        let ops = facts.ops[..last_call].iter().filter(|op| op.process == Process::Nemesis && op.f == *f);
        let (failed, clean): (Vec<_>, Vec<_>) = ops.partition(|op| op.error.is_some() || op.typ == OpType::Fail);
        // A fault that failed has a clean op too: the one that started it.
        count += clean.len().saturating_sub(failed.len()) as u64;
    }
    count
}

fn expiries(facts: &Facts<'_>) -> u64 {
    let mut count = 0;
    for leases in facts.leases.values() {
        let mut timed: Vec<_> = leases.iter().filter_map(|l| Some((l.granted?, l))).collect();
        timed.sort_by_key(|(granted, lease)| (*granted, lease.fence));
        for pair in timed.windows(2) {
            let ((_, a), (granted, b)) = (pair[0], pair[1]);
            let ran_out = !a.given_up_before(b) && a.first_deadline.is_some() && a.known_deadline <= granted;
            count += u64::from(ran_out);
        }
    }
    count
}
