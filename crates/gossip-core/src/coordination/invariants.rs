//! What must be true of the state at every moment: for the simulator, and for every snapshot that is restored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::answer::{ShardCounts, ShardStatus};
use super::ids::{Fence, RunId, ShardId, TenantId};
use super::limits::{MAX_ROOTS, OP_LOG_PER_SHARD};
use super::range::{Key, Range};
use super::run::Run;
use super::shard::{Shard, Slot};
use super::state::State;
use crate::mutants::Planted;

/// A rule that the state breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} of {tenant}{}{}: {what}", below(run.as_ref()), below(shard.as_ref()))]
pub struct Violation {
    /// Which kind of rule.
    pub rule: Rule,
    /// Where.
    pub tenant: TenantId,
    /// Where, if it is one run's.
    pub run: Option<RunId>,
    /// Where, if it is one shard's.
    pub shard: Option<ShardId>,
    /// What is wrong.
    pub what: String,
}

/// The kinds of rules that one state can be asked about, without its past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// S1: a lease stands on an Active shard only, and counts from its grant.
    Lease,
    /// S2: a lease has a fence that a grant has raised.
    Fence,
    /// S3: an ended run has no unfinished shard.
    Ending,
    /// S4: the leaves tile the roots.
    Coverage,
    /// S7: a cursor lies in the range.
    Cursor,
    /// Counts, names, references and indexes agree with the records.
    Bookkeeping,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Lease => "lease (S1)",
            Rule::Fence => "fence (S2)",
            Rule::Ending => "ending (S3)",
            Rule::Coverage => "coverage (S4)",
            Rule::Cursor => "cursor (S7)",
            Rule::Bookkeeping => "bookkeeping",
        })
    }
}

fn below(name: Option<&impl fmt::Display>) -> String {
    name.map(|name| format!("/{name}")).unwrap_or_default()
}

/// A broken rule of a run, before it is known which run.
struct Broken {
    rule: Rule,
    shard: Option<ShardId>,
    what: String,
}

type Checked = Result<(), Broken>;

fn ensure(holds: bool, rule: Rule, shard: Option<&Shard>, what: impl FnOnce() -> String) -> Checked {
    if holds {
        return Ok(());
    }
    Err(Broken { rule, shard: shard.map(|shard| shard.name.clone()), what: what() })
}

impl State {
    /// Checks every rule on the whole state: O(n log n) in shards and op log.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        self.check_idle()?;
        for (tenant_name, tenant) in &self.data.tenants {
            // Once for all of its runs: a tenant may have thousands.
            let shards = tenant.runs.values().map(|run| run.shards.len() as u64).sum();
            for (run_name, run) in &tenant.runs {
                check_run((tenant.shards, shards), run, self.planted).map_err(|Broken { rule, shard, what }| {
                    Violation { rule, tenant: tenant_name.clone(), run: Some(run_name.clone()), shard, what }
                })?;
            }
        }
        Ok(())
    }

    /// Each tenant without runs stands in the line of those that may be forgotten, once, and nobody else.
    fn check_idle(&self) -> Result<(), Violation> {
        let line: BTreeSet<&TenantId> = self.data.idle.iter().collect();
        let idle = self.data.tenants.iter().filter(|(_, tenant)| tenant.runs.is_empty()).map(|(name, _)| name);
        let wrong = line.symmetric_difference(&idle.collect()).next().copied();
        let twice = (line.len() < self.data.idle.len()).then(|| self.data.idle.front()).flatten();
        let Some(tenant) = wrong.or(twice) else { return Ok(()) };
        let what = "the tenants without runs are not those in line".to_owned();
        Err(Violation { rule: Rule::Bookkeeping, tenant: tenant.clone(), run: None, shard: None, what })
    }
}

/// `counted` and `there` are the tenant's shards.
fn check_run((counted, there): (u64, u64), run: &Run, planted: Planted) -> Checked {
    ensure(counted == there, Rule::Bookkeeping, None, || {
        format!("the tenant has {there} shards and counts {counted}")
    })?;
    check_references(run)?;
    for shard in &run.shards {
        check_shard(run, shard, planted)?;
    }
    check_counts(run)?;
    check_claims(run)?;
    check_coverage(run)
}

/// Slots come first: the other checks follow them.
fn check_references(run: &Run) -> Checked {
    let slots = run.shards.len() as u64;
    let (roots, children) = run.shards.split_at_checked(run.roots.len()).unwrap_or((&run.shards, &[]));
    for (slot, shard) in (0..).zip(roots) {
        let right = shard.parent.is_none() && shard.root == slot;
        ensure(right, Rule::Bookkeeping, Some(shard), || "it stands where a root must stand".into())?;
    }
    for (number, shard) in (0..).zip(children) {
        let known = shard.parent.is_some_and(|parent| u64::from(parent) < slots);
        let named = roots.get(shard.root as usize).is_some_and(|root| root.name.child(number) == shard.name);
        ensure(known && named, Rule::Bookkeeping, Some(shard), || {
            "it is not the child of a split that is next".into()
        })?;
    }
    let made = run.children;
    ensure(made == children.len() as u64 && roots.len() == run.roots.len(), Rule::Bookkeeping, None, || {
        format!("{} roots and {made} children are counted, {slots} shards are there", run.roots.len())
    })?;
    let end = run.log.slots().max().map_or(0, |last| last + 1);
    ensure(end <= slots, Rule::Bookkeeping, None, || format!("the op log names {end} shards of {slots}"))?;
    let kept = run.shards.iter().fold((0, 0), |(n, bytes), shard| (n + shard.recent.len(), bytes + shard.recent_bytes));
    ensure(kept == run.log.evictable(), Rule::Bookkeeping, None, || {
        format!("the shards list {kept:?} evictable answers and bytes, the op log {:?}", run.log.evictable())
    })?;
    let named = run.names.len() == run.shards.len()
        && (0..).zip(&run.shards).all(|(slot, shard): (Slot, &Shard)| run.names.get(&shard.name) == Some(&slot));
    ensure(named, Rule::Bookkeeping, None, || "the index of names does not match the shards".into())?;
    let roots = run.roots.len();
    ensure(roots <= MAX_ROOTS, Rule::Bookkeeping, None, || format!("there are {roots} roots"))
}

fn check_shard(run: &Run, shard: &Shard, planted: Planted) -> Checked {
    let this = Some(shard);
    if let Some(lease) = &shard.lease {
        ensure(shard.status == ShardStatus::Active, Rule::Lease, this, || {
            format!("a lease stands on a shard that is {}", shard.status.name())
        })?;
        ensure(lease.granted <= lease.deadline, Rule::Lease, this, || "the lease ends before it begins".into())?;
        ensure(shard.fence > Fence(0), Rule::Fence, this, || "a lease stands and the fence is 0".into())?;
    }
    let unfinished = !shard.status.is_terminal();
    ensure(!(unfinished && run.status.is_terminal()), Rule::Ending, this, || {
        format!("it is {} in a run that is {}", shard.status.name(), run.status.name())
    })?;
    ensure(shard.range.is_proper(), Rule::Coverage, this, || format!("it owns no key: {}", shard.range))?;
    if let Some(cursor) = &shard.cursor {
        let inside = shard.range.contains(&cursor.key, planted);
        ensure(inside, Rule::Cursor, this, || format!("its cursor is outside of {}", shard.range))?;
    }
    let kept = shard.recent.len();
    ensure(kept <= OP_LOG_PER_SHARD, Rule::Bookkeeping, this, || format!("{kept} evictable answers are kept"))
}

fn check_counts(run: &Run) -> Checked {
    let mut counts = ShardCounts::default();
    run.shards.iter().for_each(|shard| *counts.of(shard.status) += 1);
    ensure(counts == run.counts, Rule::Bookkeeping, None, || format!("there are {counts:?}, counted {:?}", run.counts))
}

fn check_claims(run: &Run) -> Checked {
    let mut filed = 0;
    for (slot, free) in run.claims.iter() {
        let shard = run.shard(slot);
        filed += 1;
        // One that is filed as free may have a lease that a claim found expired; one with a deadline has a lease.
        let right = shard.status == ShardStatus::Active && (free || shard.lease.is_some());
        ensure(right, Rule::Bookkeeping, Some(shard), || "the index of claims does not match it".into())?;
    }
    let active = run.counts.active;
    ensure(filed == active, Rule::Bookkeeping, None, || format!("{active} shards are Active, {filed} can be claimed"))
}

/// The leaves (all shards but Split) own what the roots own, each key once.
fn check_coverage(run: &Run) -> Checked {
    let leaves = run.shards.iter().filter(|shard| shard.status != ShardStatus::Split);
    let leaves = union(leaves.map(|shard| &*shard.range))?;
    let roots = union(run.roots.iter().map(|root| &*root.range))?;
    ensure(leaves == roots, Rule::Coverage, None, || "the leaves do not cover what the roots do".into())
}

/// Joins ranges that touch; refuses those that overlap.
fn union<'a>(ranges: impl Iterator<Item = &'a Range>) -> Result<Vec<(&'a Key, &'a Key)>, Broken> {
    let sorted: BTreeMap<(&Key, &Key), usize> = ranges.fold(BTreeMap::new(), |mut map, range| {
        *map.entry((&range.start, &range.end)).or_default() += 1;
        map
    });
    let mut joined: Vec<(&Key, &Key)> = Vec::new();
    for ((start, end), times) in sorted {
        let touches = match joined.last() {
            Some((_, last)) => {
                ensure(!last.is_empty() && *last <= start, Rule::Coverage, None, || {
                    format!("two shards own the key {start:02x?}")
                })?;
                *last == start
            }
            None => false,
        };
        ensure(times == 1, Rule::Coverage, None, || format!("{times} shards own the key {start:02x?}"))?;
        match joined.last_mut() {
            Some((_, last)) if touches => *last = end,
            _ => joined.push((start, end)),
        }
    }
    Ok(joined)
}
