//! G1, convergence: every live node's gossip view becomes the same.
//!
//! Judged node by node from each node's last final read of its view, never from the union of them: an element that is missing
//! on one node for ever must not be excused by another node that has it. All last views must be equal, and must show every
//! published fact at its version or a later one. A node that was asked for its view must have answered at least once: of a
//! view that nobody saw nobody knows that it became the same.
//!
//! Neither the views nor the facts of nodes that were not mended at the end are looked at ([`super::healing`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::facts::{Facts, Tally, is_final};
use crate::history::{Call, Name, Value, name};

/// A node's facts: the version at which a view shows a node's key.
pub(super) type Versions<'a> = HashMap<(Name<'a>, Name<'a>), Option<i64>>;

pub(super) fn check(facts: &Facts<'_>) -> Tally {
    let mut tally = Tally::default();
    let Some(unmended) = facts.healing.unmended() else { return tally };
    let mut views: BTreeMap<Name<'_>, &Call<'_>> = BTreeMap::new();
    for call in facts.final_reads("read-view") {
        let node = call.input("node").map(name).unwrap_or_default();
        let last = views.entry(node).or_insert(call);
        if last.end() < call.end() {
            *last = call;
        }
    }
    never_shown(facts, &views, &mut tally);
    views.retain(|node, _| !unmended.contains(node));
    for ((node_a, a), (node_b, b)) in views.iter().zip(views.iter().skip(1)) {
        let different = if unmended.is_empty() {
            a.output("view") != b.output("view")
        } else {
            shown(a, unmended) != shown(b, unmended)
        };
        let message = || format!("nodes {node_a} and {node_b} end with different views");
        tally.add(different.then(|| facts.violation(message(), [a.end(), b.end()])));
    }
    for (reader, view) in &views {
        missing(facts, reader, view, &mut tally);
    }
    tally
}

/// What a view shows of all nodes but some.
fn shown<'a>(view: &Call<'a>, but: &BTreeSet<Name<'_>>) -> BTreeMap<Name<'a>, &'a Value> {
    let nodes = view.output("view").and_then(Value::as_map).into_iter().flat_map(|v| v.iter());
    nodes.map(|(node, shown)| (name(node), shown)).filter(|(node, _)| !but.contains(node)).collect()
}

/// Nodes that were asked for their view and never answered.
fn never_shown(facts: &Facts<'_>, views: &BTreeMap<Name<'_>, &Call<'_>>, tally: &mut Tally) {
    let mut silent: BTreeMap<Name<'_>, Vec<usize>> = BTreeMap::new();
    for call in facts.calls.iter().filter(|c| c.f() == "read-view" && is_final(c)) {
        let node = call.input("node").map(name).unwrap_or_default();
        if !views.contains_key(&node) && facts.healing.owes(&node) {
            silent.entry(node).or_default().push(call.completed_at.unwrap_or(call.at));
        }
    }
    for (node, places) in silent {
        tally.add(Some(facts.violation(format!("node {node} never showed its view"), places)));
    }
}

/// Views map node to key to version, or to a map with `:version`.
pub(super) fn versions<'a>(view: &Call<'a>) -> Versions<'a> {
    let mut versions = HashMap::new();
    for (node, keys) in view.output("view").and_then(Value::as_map).into_iter().flat_map(|v| v.iter()) {
        for (key, fact) in keys.as_map().into_iter().flat_map(|k| k.iter()) {
            let version = fact.as_i64().or_else(|| fact.get("version").and_then(Value::as_i64));
            versions.insert((name(node), name(key)), version);
        }
    }
    versions
}

/// Published facts that a node's view lacks or shows older.
fn missing(facts: &Facts<'_>, reader: &str, view: &Call<'_>, tally: &mut Tally) {
    let versions = versions(view);
    for publish in facts.calls.iter().filter(|c| c.f() == "publish" && c.ok() && c.end() < view.at) {
        let node = publish.output("node").map(name).unwrap_or_default();
        if !facts.healing.owes(&node) {
            continue;
        }
        let key = publish.output("key").map(name).unwrap_or_default();
        let version = publish.output_int("version");
        let seen = versions.get(&(node.clone(), key.clone())).copied().flatten();
        let stale = seen.is_none_or(|seen| version.is_some_and(|version| seen < version));
        tally.add(stale.then(|| {
            let of = |v: Option<i64>| v.map_or_else(|| "none".to_owned(), |v| v.to_string());
            let message =
                format!("node {reader} never saw {key} of {node} at version {} (has {})", of(version), of(seen));
            facts.violation(message, [publish.end(), view.end()])
        }));
    }
}
