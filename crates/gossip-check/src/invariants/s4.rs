//! S4, shard coverage: the leaves tile the roots exactly, at all times: no gap, no overlap.
//!
//! Each answered split is judged by itself: what it made must tile what its parent had, and be cut where it was asked to be. A
//! parent's start never moves. Its end is the one it was made with or the lowest point at which a residual is known to have
//! been split off before the split was invoked; it may be lower where a residual split was under way then, or was never
//! answered. Each fresh read of a run is judged as a whole: leaves (all shards but Split ones) must not overlap, must lie
//! inside roots that may exist by then, and must cover every root whose registration was answered before the read was asked.
//!
//! No two roots of a run overlap, whether or not anybody reads it: registrations that were answered are held against each other.
//! A run need not cover all keys, so that a gap between roots is none. That roots were compared counts for no check: it says
//! nothing of splits. [`makers`] holds what a run shows against who made it.

use std::collections::{BTreeMap, HashMap};

use super::facts::{self, Facts, Made, Range, Tally, bound};
use super::floors::Floors;
use super::makers;
use crate::history::{Call, Name, Value, name};

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tally = Tally::default();
    for (shard, places) in &facts.by_shard {
        check_splits(facts, shard, places, &mut tally);
    }
    let mut roots: BTreeMap<Name<'_>, Vec<&Made<'_>>> = BTreeMap::new();
    for root in facts.made.iter().filter(|m| m.is_root) {
        if let Some(run) = &root.run {
            roots.entry(run.clone()).or_default().push(root);
        }
    }
    for (run, roots) in &roots {
        root_overlaps(facts, run, roots, &mut tally);
    }
    makers::check(facts, &mut tally);
    for call in facts.fresh_reads("read-run") {
        let run = call.input("run").map(name).unwrap_or_default();
        let known = roots.get(&run).map(Vec::as_slice).unwrap_or_default();
        let possible: Vec<&Made<'_>> = known.iter().filter(|m| facts.calls[m.call].at < call.end()).copied().collect();
        if possible.is_empty() {
            // Of a run of which nothing is known the leaves could be any.
            continue;
        }
        let fault = read_fault(facts, call, &possible);
        tally.add(fault.map(|fault| facts.violation(format!("run {run}: {fault}"), [call.end()])));
    }
    tally
}

fn check_splits(facts: &Facts<'_>, shard: &str, places: &[usize], tally: &mut Tally) {
    let cuts = Cuts::new(facts, places);
    for &i in places.iter().filter(|&&i| facts.calls[i].ok()) {
        let call = &facts.calls[i];
        let made = facts.ranges.get(shard);
        let parts = match call.f() {
            "split-replace" => replaced(call),
            "split-residual" => split_off(call, made),
            _ => continue,
        };
        let fault = asked_fault(call, &parts).or_else(|| {
            let parent = cuts.parent(*made?, facts.effect_from[i]);
            split_fault(&parts, parent, |end| cuts.may_have_lowered(parent.end, end, call))
        });
        tally.add(fault.map(|fault| facts.violation(format!("shard {shard}: {}: {fault}", call.f()), [call.end()])));
    }
}

/// Where residuals were, or may have been, split off a shard.
struct Cuts<'f, 'a> {
    /// The lowest that was answered, by place.
    answered: Floors<&'a str>,
    /// Every split that may have happened, by its key.
    tries: HashMap<&'a str, Vec<&'f Call<'a>>>,
}

impl<'f, 'a> Cuts<'f, 'a> {
    fn new(facts: &'f Facts<'a>, places: &'f [usize]) -> Self {
        let splits = || {
            let all = facts.shard_calls(places).filter(|c| c.f() == "split-residual" && !c.failed());
            all.filter_map(|c| Some((bound(c.input("at"))?, c)))
        };
        let mut tries: HashMap<&str, Vec<&Call<'a>>> = HashMap::new();
        for (at, call) in splits() {
            tries.entry(at).or_default().push(call);
        }
        let ends = splits().filter(|(_, c)| c.ok()).map(|(at, c)| (c.end(), at));
        Self { answered: Floors::new(ends, |a, b| a < b), tries }
    }

    /// The shard as it was at this place, but for what was under way.
    fn parent(&self, made: Range<'a>, place: usize) -> Range<'a> {
        let cut = self.answered.before(place).map(|(at, _)| at).filter(|at| made.end.is_none_or(|end| *at < end));
        Range { end: cut.or(made.end), ..made }
    }

    /// Whether another split that was under way, or never answered, may have lowered this end for `call`.
    fn may_have_lowered(&self, end: Option<&str>, to: Option<&str>, call: &Call<'_>) -> bool {
        let lower = to.filter(|to| end.is_none_or(|end| *to < end));
        let tries = lower.and_then(|to| self.tries.get(to)).map(Vec::as_slice).unwrap_or_default();
        tries.iter().any(|other| other.at < call.end() && !is_same(other, call))
    }
}

/// Whether two calls are tries of one operation.
fn is_same(a: &Call<'_>, b: &Call<'_>) -> bool {
    a.at == b.at || a.op_id().is_some_and(|id| b.op_id() == Some(id))
}

/// Where a split was cut otherwise than it was asked to be.
fn asked_fault(call: &Call<'_>, parts: &[Range<'_>]) -> Option<String> {
    let seams: Vec<Option<&str>> = match call.f() {
        "split-replace" => parts.iter().skip(1).map(|p| p.start).collect(),
        _ => call.output("residual").map(|r| Range::of(r).start).into_iter().collect(),
    };
    let asked: Vec<Option<&str>> = match call.f() {
        "split-replace" => call.input("cuts")?.items()?.iter().map(|cut| bound(Some(cut))).collect(),
        _ => vec![bound(Some(call.input("at")?))],
    };
    let list = |keys: &[Option<&str>]| keys.iter().map(|k| k.unwrap_or("-inf")).collect::<Vec<_>>().join(", ");
    (seams != asked).then(|| format!("it is cut at [{}], asked for was [{}]", list(&seams), list(&asked)))
}

fn replaced<'a>(call: &Call<'a>) -> Vec<Range<'a>> {
    let children = call.output("children").and_then(Value::items).unwrap_or_default();
    let mut parts: Vec<Range<'a>> = children.iter().map(Range::of).collect();
    parts.sort_by_key(Range::order);
    parts
}

fn split_off<'a>(call: &Call<'a>, parent: Option<&Range<'a>>) -> Vec<Range<'a>> {
    let kept = Range { start: parent.and_then(|p| p.start), end: bound(call.input("at")) };
    let residual = call.output("residual").map_or(Range { start: None, end: None }, Range::of);
    vec![kept, residual]
}

/// Why the parts are no tiling of their parent.
fn split_fault(parts: &[Range<'_>], parent: Range<'_>, may_end: impl Fn(Option<&str>) -> bool) -> Option<String> {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Some("it has no parts".to_owned());
    };
    let empty = parts.iter().find(|p| p.start.zip(p.end).is_some_and(|(start, end)| start >= end));
    if let Some(part) = empty {
        return Some(format!("{part} is empty"));
    }
    if let Some(fault) = parts.windows(2).find_map(|pair| seam_fault(pair[0], pair[1])) {
        return Some(fault);
    }
    if first.start != parent.start {
        return Some(format!("its parts begin with {first}, it had {parent}"));
    }
    let same_end = last.end == parent.end || may_end(last.end);
    (!same_end).then(|| format!("its parts end with {last}, it had {parent}"))
}

/// Why one range does not go on where the one before it ends.
fn seam_fault(a: Range<'_>, b: Range<'_>) -> Option<String> {
    match (a.end, b.start) {
        (Some(end), Some(start)) if end == start => None,
        (Some(end), Some(start)) if end < start => Some(format!("nothing owns [{end}, {start})")),
        _ => Some(format!("{a} and {b} overlap")),
    }
}

fn overlap(a: Range<'_>, b: Range<'_>) -> bool {
    a.end.zip(b.start).is_none_or(|(end, start)| start < end)
}

/// Why the leaves that a read shows are no tiling of the run's roots.
fn read_fault(facts: &Facts<'_>, call: &Call<'_>, possible: &[&Made<'_>]) -> Option<String> {
    let shards = call.output("shards").and_then(Value::items).unwrap_or_default();
    let is_leaf = |shard: &&Value| shard.some("status").and_then(facts::status).as_deref() != Some("split");
    let mut leaves: Vec<Range<'_>> = shards.iter().filter(is_leaf).map(Range::of).collect();
    leaves.sort_by_key(Range::order);
    if let Some(pair) = leaves.windows(2).find(|pair| overlap(pair[0], pair[1])) {
        return Some(format!("{} and {} overlap", pair[0], pair[1]));
    }
    let segments = joined(&leaves);
    let certain = possible.iter().filter(|m| facts.calls[m.call].ok() && facts.calls[m.call].end() < call.at);
    for root in certain {
        if !covered(&segments, root.range) {
            return Some(format!("the leaves do not cover {} of root {}", root.range, root.shard));
        }
    }
    let mut owned: Vec<Range<'_>> = possible.iter().map(|m| m.range).collect();
    owned.sort_by_key(Range::order);
    let owned = joined(&owned);
    leaves.iter().find(|leaf| !covered(&owned, **leaf)).map(|leaf| format!("leaf {leaf} lies outside of every root"))
}

/// Roots of one run that own the same keys. A registration that was answered twice made its shards once.
fn root_overlaps(facts: &Facts<'_>, run: &str, roots: &[&Made<'_>], tally: &mut Tally) {
    let mut roots: Vec<&Made<'_>> = roots.iter().filter(|m| facts.calls[m.call].ok()).copied().collect();
    roots.sort_by_key(|m| (m.range.order(), &m.shard, facts.calls[m.call].end()));
    roots.dedup_by(|later, first| later.shard == first.shard && later.range == first.range);
    let mut reach: Option<&Made<'_>> = None;
    for b in roots {
        if let Some(a) = reach.filter(|a| overlap(a.range, b.range)) {
            let message = format!("run {run}: roots {} {} and {} {} overlap", a.shard, a.range, b.shard, b.range);
            tally.violations.push(facts.violation(message, [a, b].map(|m| facts.calls[m.call].end())));
        }
        if reach.is_none_or(|a| a.range.end.is_some_and(|end| b.range.end.is_none_or(|other| end < other))) {
            reach = Some(b);
        }
    }
}

/// Sorted ranges with those that touch or overlap made one. Roots may overlap as far as anybody knows: of two registrations
/// that were never answered, one may have been refused.
fn joined<'a>(ranges: &[Range<'a>]) -> Vec<Range<'a>> {
    let mut done: Vec<Range<'a>> = Vec::new();
    for range in ranges {
        match done.last_mut() {
            Some(last) if last.end.is_none_or(|end| range.start.is_none_or(|start| start <= end)) => {
                last.end = last.end.zip(range.end).map(|(a, b)| a.max(b));
            }
            _ => done.push(*range),
        }
    }
    done
}

/// Whether one of the sorted, disjoint segments holds the whole range.
fn covered(segments: &[Range<'_>], range: Range<'_>) -> bool {
    let after = segments.partition_point(|s| s.start.unwrap_or("") <= range.start.unwrap_or(""));
    let Some(segment) = after.checked_sub(1).map(|i| segments[i]) else {
        return false;
    };
    (segment.start.is_none() || range.start.is_some())
        && segment.end.is_none_or(|end| range.end.is_some_and(|wanted| wanted <= end))
}
