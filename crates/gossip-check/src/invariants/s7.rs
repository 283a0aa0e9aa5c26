//! S7, cursor: never moves back, never leaves the range.
//!
//! Going through the history in order, the *floor* is the highest cursor that an answered call has shown: a checkpoint or
//! complete that was accepted, a grant, a fresh read. What may have taken effect only after that moment must not show or
//! write less. A cursor lies in the range that its shard was made with, and below the point where an earlier residual was
//! split off.

use std::collections::BTreeMap;

use super::facts::{Facts, Range, Tally, bound, cursor_key, is_cursor_write, is_grant};
use crate::history::{Call, Name};
use crate::judge::Violation;

/// A cursor that an answered call showed.
struct Shown<'a> {
    key: Option<&'a str>,
    call: Call<'a>,
    /// The earliest place that it can stem from.
    from: usize,
}

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tally = Tally::default();
    for (shard, shown) in shown(facts) {
        let floors = highest(shown.iter().filter_map(|s| Some((s.call.end(), s.key?))), |a, b| a < b);
        let cuts = residual_cuts(facts, &shard);
        for s in &shown {
            tally.count += 1;
            tally.violations.extend(moved_back(facts, &shard, &floors, s));
            tally.violations.extend(left_range(facts, &shard, &cuts, s));
        }
    }
    tally
}

/// All cursors shown, by shard. A grant without a cursor says that there is none, which counts too.
fn shown<'a>(facts: &Facts<'a>) -> BTreeMap<Name<'a>, Vec<Shown<'a>>> {
    let mut by_shard: BTreeMap<Name<'a>, Vec<Shown<'a>>> = BTreeMap::new();
    for (i, call) in facts.calls.iter().enumerate().filter(|(_, c)| c.ok()) {
        let writes = is_cursor_write(call.f()) && call.input("cursor").is_some();
        let tells = is_grant(call.f()) && call.answer("cursor").is_some();
        if let Some(shard) = call.shard().filter(|_| writes || tells) {
            let key = cursor_key(call.output("cursor"));
            by_shard.entry(shard).or_default().push(Shown { key, call: *call, from: facts.effect_from[i] });
        }
    }
    for sight in facts.sights() {
        if sight.explicit("cursor").is_some() {
            let key = cursor_key(sight.get("cursor"));
            by_shard.entry(sight.shard).or_default().push(Shown { key, call: sight.call, from: sight.call.at });
        }
    }
    by_shard
}

/// Places in the history, ascending, each with the key that is best up to there and where it was shown.
type Floors<'a> = Vec<(usize, &'a str, usize)>;

fn highest<'a>(keys: impl Iterator<Item = (usize, &'a str)>, better: fn(&str, &str) -> bool) -> Floors<'a> {
    let mut keys: Vec<(usize, &str)> = keys.collect();
    keys.sort_unstable();
    let mut floors: Floors<'a> = Vec::with_capacity(keys.len());
    for (end, key) in keys {
        let kept = floors.last().filter(|(_, best, _)| !better(best, key)).map(|&(_, best, at)| (best, at));
        let (best, at) = kept.unwrap_or((key, end));
        floors.push((end, best, at));
    }
    floors
}

fn before<'a>(floors: &Floors<'a>, place: usize) -> Option<(&'a str, usize)> {
    let below = floors.partition_point(|(end, ..)| *end < place);
    below.checked_sub(1).map(|i| (floors[i].1, floors[i].2))
}

fn moved_back(facts: &Facts<'_>, shard: &str, floors: &Floors<'_>, shown: &Shown<'_>) -> Option<Violation> {
    let (floor, at) = before(floors, shown.from)?;
    if shown.key.is_some_and(|key| key >= floor) {
        return None;
    }
    let key = shown.key.unwrap_or("none");
    let message = format!("shard {shard}: {} has cursor {key} after {floor}", shown.call.f());
    Some(facts.violation(message, [at, shown.call.end()]))
}

/// The lowest point where a residual was split off, by place in the history.
fn residual_cuts<'a>(facts: &Facts<'a>, shard: &str) -> Floors<'a> {
    let places = facts.by_shard.get(shard).map(Vec::as_slice).unwrap_or_default();
    let splits = facts.shard_calls(places).filter(|c| c.f() == "split-residual" && c.ok());
    highest(splits.filter_map(|c| Some((c.end(), bound(c.input("at"))?))), |best, key| key < best)
}

fn left_range(facts: &Facts<'_>, shard: &str, cuts: &Floors<'_>, shown: &Shown<'_>) -> Option<Violation> {
    let key = shown.key?;
    let made = facts.ranges.get(shard)?;
    let cut = before(cuts, shown.from).filter(|(cut, _)| made.end.is_none_or(|end| *cut < end));
    let range = Range { start: made.start, end: cut.map(|(cut, _)| cut).or(made.end) };
    if range.contains(key) {
        return None;
    }
    let message = format!("shard {shard}: {} has cursor {key} outside of {range}", shown.call.f());
    Some(facts.violation(message, cut.map(|(_, at)| at).into_iter().chain([shown.call.end()])))
}
