//! S7, cursor: never moves back, never leaves the range.
//!
//! Going through the history in order, the *floor* is the highest cursor that an answered call has shown: a checkpoint or
//! complete that was accepted, a grant, a fresh read. What may have taken effect only after that moment must not show or
//! write less. The leftmost child of a split goes on from its parent's cursor, so that its floor is at least its parent's
//! before the split was invoked; nor can it have one that nobody wrote ([`super::origins`]). A cursor lies in the range that
//! its shard was made with, and below the point where an earlier residual was split off.

use std::collections::BTreeMap;

use super::facts::{Facts, Range, Tally, bound, cursor_key, is_cursor_write, is_grant};
use super::floors::Floors;
use super::origins::Origins;
use crate::history::{Call, Name, Value, name};
use crate::judge::Violation;

/// A cursor that an answered call showed.
struct Shown<'a> {
    key: Option<&'a str>,
    call: Call<'a>,
    /// The earliest place that it can stem from.
    from: usize,
}

/// A cursor below which a shard's may not be, and the place that shows it.
type Floor<'a> = (&'a str, usize);

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tally = Tally::default();
    let shown = shown(facts);
    let highest = highest(facts, &shown);
    let mut origins = Origins::new(facts);
    for (shard, shown) in &shown {
        let cuts = residual_cuts(facts, shard);
        for s in shown {
            let floor = highest.before(shard, s.from);
            // A cursor alone, of a shard of which nothing is known, could be any.
            // Nor does a range say anything of a shard that has none yet.
            tally.count += u64::from(floor.is_some() || (s.key.is_some() && facts.ranges.contains_key(shard)));
            tally.violations.extend(floor.and_then(|floor| moved_back(facts, shard, floor, s)));
            tally.violations.extend(left_range(facts, shard, &cuts, s));
            if let Some(key) = s.key.filter(|&key| !origins.may_be(shard, key, s.call.end())) {
                let message = format!("shard {shard}: {} has cursor {key}, which nobody wrote", s.call.f());
                tally.violations.push(facts.violation(message, [s.call.end()]));
            }
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

/// The highest cursors of all shards.
struct Highest<'a> {
    own: BTreeMap<Name<'a>, Floors<&'a str>>,
    /// From the parent whose leftmost child the shard is.
    inherited: BTreeMap<Name<'a>, Floor<'a>>,
}

impl<'a> Highest<'a> {
    /// Of a shard before a place.
    fn before(&self, shard: &str, place: usize) -> Option<Floor<'a>> {
        let own = self.own.get(shard).and_then(|own| own.before(place));
        own.max(self.inherited.get(shard).copied())
    }
}

fn highest<'a>(facts: &Facts<'a>, shown: &BTreeMap<Name<'a>, Vec<Shown<'a>>>) -> Highest<'a> {
    let own = shown.iter().map(|(shard, shown)| {
        (shard.clone(), Floors::new(shown.iter().filter_map(|s| Some((s.call.end(), s.key?))), |a, b| a > b))
    });
    let mut highest = Highest { own: own.collect(), inherited: BTreeMap::new() };
    // In order of invocation, so that a parent's own inheritance is known before it is passed on.
    for (i, call) in facts.calls.iter().enumerate().filter(|(_, c)| c.f() == "split-replace" && c.ok()) {
        let children = call.output("children").and_then(Value::items).unwrap_or_default();
        let leftmost = children.iter().min_by_key(|child| Range::of(child).order()).and_then(|c| c.some("shard"));
        let floor = call.shard().and_then(|parent| highest.before(&parent, facts.effect_from[i]));
        if let (Some(child), Some(floor)) = (leftmost, floor) {
            highest.inherited.insert(name(child), floor);
        }
    }
    highest
}

fn moved_back(facts: &Facts<'_>, shard: &str, (floor, at): Floor<'_>, shown: &Shown<'_>) -> Option<Violation> {
    if shown.key.is_some_and(|key| key >= floor) {
        return None;
    }
    let key = shown.key.unwrap_or("none");
    let message = format!("shard {shard}: {} has cursor {key} after {floor}", shown.call.f());
    Some(facts.violation(message, [at, shown.call.end()]))
}

/// The lowest point where a residual was split off, by place in the history.
fn residual_cuts<'a>(facts: &Facts<'a>, shard: &str) -> Floors<&'a str> {
    let places = facts.by_shard.get(shard).map(Vec::as_slice).unwrap_or_default();
    let splits = facts.shard_calls(places).filter(|c| c.f() == "split-residual" && c.ok());
    Floors::new(splits.filter_map(|c| Some((c.end(), bound(c.input("at"))?))), |a, b| a < b)
}

fn left_range(facts: &Facts<'_>, shard: &str, cuts: &Floors<&str>, shown: &Shown<'_>) -> Option<Violation> {
    let key = shown.key?;
    let made = facts.ranges.get(shard)?;
    let cut = cuts.before(shown.from).filter(|(cut, _)| made.end.is_none_or(|end| *cut < end));
    let range = Range { start: made.start, end: cut.map(|(cut, _)| cut).or(made.end) };
    if range.contains(key) {
        return None;
    }
    let message = format!("shard {shard}: {} has cursor {key} outside of {range}", shown.call.f());
    Some(facts.violation(message, cut.map(|(_, at)| at).into_iter().chain([shown.call.end()])))
}
