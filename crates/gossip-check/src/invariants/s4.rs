//! S4, shard coverage: the leaves tile the roots exactly, at all times: no gap, no overlap.
//!
//! Each answered split is judged by itself: what it made must tile what its parent had. A parent's start never moves and its
//! end is the one it was made with, or a point at which a residual was split off. Each fresh read of a run is judged as a
//! whole: leaves (all shards but Split ones) must not overlap, must lie inside roots that may exist by then, and must cover
//! every root whose registration was answered before the read was asked.

use std::collections::{BTreeMap, HashMap};

use super::facts::{self, Facts, Made, Range, Tally, bound};
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
    for call in facts.fresh_reads("read-run") {
        let run = call.input("run").map(name).unwrap_or_default();
        let roots = roots.get(&run).map(Vec::as_slice).unwrap_or_default();
        let fault = read_fault(facts, call, roots);
        tally.add(fault.map(|fault| facts.violation(format!("run {run}: {fault}"), [call.end()])));
    }
    tally
}

fn check_splits(facts: &Facts<'_>, shard: &str, places: &[usize], tally: &mut Tally) {
    // How often each key was the point of a residual split that may have happened.
    let mut cuts: HashMap<&str, usize> = HashMap::new();
    for call in facts.shard_calls(places).filter(|c| c.f() == "split-residual" && !c.failed()) {
        if let Some(at) = bound(call.input("at")) {
            *cuts.entry(at).or_default() += 1;
        }
    }
    for call in facts.shard_calls(places).filter(|c| c.ok()) {
        let parts = match call.f() {
            "split-replace" => replaced(call),
            "split-residual" => split_off(call, facts.ranges.get(shard)),
            _ => continue,
        };
        let fault = facts.ranges.get(shard).and_then(|made| {
            // A split that cuts at its own point does not excuse itself.
            let own = bound(call.input("at")).filter(|_| call.f() == "split-residual");
            let cut_at = |end: &str| cuts.get(end).is_some_and(|&n| n > usize::from(own == Some(end)));
            split_fault(&parts, *made, |end| end == made.end || end.is_some_and(cut_at))
        });
        tally.add(fault.map(|fault| facts.violation(format!("shard {shard}: {}: {fault}", call.f()), [call.end()])));
    }
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
        return Some(format!("its parts begin with {first}, it was made as {parent}"));
    }
    (!may_end(last.end)).then(|| format!("its parts end with {last}, it was made as {parent}"))
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
fn read_fault(facts: &Facts<'_>, call: &Call<'_>, roots: &[&Made<'_>]) -> Option<String> {
    let possible: Vec<&&Made<'_>> = roots.iter().filter(|m| facts.calls[m.call].at < call.end()).collect();
    if possible.is_empty() {
        return None;
    }
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
