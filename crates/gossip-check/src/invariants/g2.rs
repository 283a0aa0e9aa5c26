//! G2, speed of the gossip: a published fact is seen within a bound by every node that it can reach, and never goes back.
//!
//! Two nodes reach each other while messages pass both ways between them, by way of others too, over links that no partition
//! cuts and nodes that are up: facts go round. For each view that a node was asked for, each fact that it
//! shows in an older version than one published before must have had less than the bound to arrive: counted from its publication,
//! or from the moment since which the two nodes reach each other, whichever is later. What was parted or down has the bound once
//! more when it comes back, for processes to start and connections to come about. A view that shows a fact older than the
//! same node's view before did is a violation at once, unless a node was killed, started or replaced meanwhile: one that
//! starts knows nothing.
//!
//! Where a nemesis operation stands in the history twice, when it begins and when it is done, what it takes away is counted as
//! gone from the first of the two, and what it gives back from each of them anew. A step that failed may have been done in part: it
//! takes away all that it was to, and gives nothing back; of a heal the nodes that were not mended stay gone ([`super::healing`]).

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, Tally};
use super::g1::{Versions, versions};
use super::healing::{Healing, has_failed};
use crate::history::{Call, Name, Op, Process, Value, name};

/// A fact: its owner and its key.
type Fact<'a> = (Name<'a>, Name<'a>);
/// Its publications, by rising version: version, moment, place in the history.
type Published<'a> = BTreeMap<Fact<'a>, Vec<(i64, i64, usize)>>;

pub(super) fn check(facts: &Facts<'_>, bound: i64) -> Tally {
    let mut tally = Tally::default();
    let published = published(facts);
    let mut reach = Reach::new(facts, &published, bound);
    let mut nemesis = nemesis_ops(facts).peekable();
    let mut last: BTreeMap<Name<'_>, (usize, Versions<'_>)> = BTreeMap::new();
    let mut lives = 0;
    for view in facts.calls.iter().filter(|c| c.f() == "read-view" && c.ok()) {
        while let Some((at, op)) = nemesis.next_if(|(at, _)| *at < view.end()) {
            if is_new_life(op) {
                lives = at;
            }
            // What happened while the view was read counts against nobody.
            if may_have_taken_hold(op) {
                reach.take(op);
            }
        }
        let Some(reader) = view.input("node").map(name) else { continue };
        let shown = versions(view);
        late(facts, view, &reader, (&shown, bound), &published, &reach, &mut tally);
        if let Some((before, old)) = last.get(&reader)
            && lives < *before
        {
            backwards(facts, view, (*before, old), &shown, &mut tally);
        }
        last.insert(reader, (view.at, shown));
    }
    tally
}

fn published<'a>(facts: &Facts<'a>) -> Published<'a> {
    let mut published = Published::new();
    for call in facts.calls.iter().filter(|c| c.f() == "publish" && c.ok()) {
        let (Some(owner), Some(key), Some(version)) =
            (call.output("node"), call.output("key"), call.output_int("version"))
        else {
            continue;
        };
        let time = call.end_time().unwrap_or(i64::MAX);
        published.entry((name(owner), name(key))).or_default().push((version, time, call.end()));
    }
    for times in published.values_mut() {
        times.sort_unstable();
    }
    published
}

/// Facts that the view shows too old for their age.
fn late<'a>(
    facts: &Facts<'a>,
    view: &Call<'a>,
    reader: &Name<'a>,
    (shown, bound): (&Versions<'a>, i64),
    published: &Published<'a>,
    reach: &Reach<'a>,
    tally: &mut Tally,
) {
    let asked = view.time();
    for ((owner, key), times) in published {
        let Some(since) = reach.since(owner, reader) else { continue };
        let seen = shown.get(&(owner.clone(), key.clone())).copied().flatten().unwrap_or(i64::MIN);
        let Some(&(version, time, place)) = times.get(times.partition_point(|(version, ..)| *version <= seen)) else {
            tally.add(None);
            continue;
        };
        let age = asked.saturating_sub(time.max(since));
        tally.add((age > bound).then(|| {
            let seconds = |ns: i64| ns as f64 / 1e9;
            let message = format!(
                "node {reader} has not seen {key} of {owner} at version {version} for {:.1} s (bound {:.1} s)",
                seconds(age),
                seconds(bound)
            );
            facts.violation(message, [place, view.end()])
        }));
    }
}

fn backwards<'a>(
    facts: &Facts<'a>,
    view: &Call<'a>,
    (before, old): (usize, &Versions<'a>),
    shown: &Versions<'a>,
    tally: &mut Tally,
) {
    for ((owner, key), was) in old {
        let (Some(was), Some(is)) = (*was, shown.get(&(owner.clone(), key.clone())).copied().flatten()) else {
            continue;
        };
        tally.add((is < was).then(|| {
            let reader = view.input("node").map(name).unwrap_or_default();
            let message = format!("node {reader} saw {key} of {owner} at version {was}, then at {is}");
            facts.violation(message, [before, view.end()])
        }));
    }
}

fn nemesis_ops<'a>(facts: &Facts<'a>) -> impl Iterator<Item = (usize, &'a Op)> {
    let ops = facts.ops.iter().enumerate().filter(|(_, op)| op.process == Process::Nemesis);
    let mut ops = ops.peekable();
    std::iter::from_fn(move || {
        loop {
            let (at, op) = ops.next()?;
            let planned_in_vain = ops.peek().is_some_and(|(_, next)| next.f == op.f && gave_nothing_back(next));
            if !planned_in_vain {
                return Some((at, op));
            }
        }
    })
}

/// What takes something away may have done so in part, and a heal tells itself how far it came.
fn may_have_taken_hold(op: &Op) -> bool {
    matches!(&*op.f, "start-partition" | "kill" | "pause" | "shrink" | "heal") || !op.has_failed()
}

/// Whether a step that was to end faults did not. One that met nothing had ended them.
fn gave_nothing_back(op: &Op) -> bool {
    let ends = matches!(&*op.f, "stop-partition" | "heal" | "start" | "resume" | "grow");
    ends && has_failed(op) && op.reason().as_deref() != Some("no-effect")
}

/// A step that failed may have been one all the same.
fn is_new_life(op: &Op) -> bool {
    matches!(&*op.f, "kill" | "start" | "shrink" | "grow" | "heal")
}

/// Who reaches whom, and since when.
struct Reach<'a> {
    nodes: BTreeSet<Name<'a>>,
    cut: BTreeSet<(Name<'a>, Name<'a>)>,
    down: BTreeSet<Name<'a>>,
    /// Those of them that only stand still.
    paused: BTreeSet<Name<'a>>,
    since: BTreeMap<(Name<'a>, Name<'a>), i64>,
    /// The time for coming back.
    grace: i64,
}

impl<'a> Reach<'a> {
    fn new(facts: &Facts<'a>, published: &Published<'a>, grace: i64) -> Self {
        let readers = facts.calls.iter().filter(|c| c.f() == "read-view").filter_map(|c| c.input("node").map(name));
        let nodes = readers.chain(published.keys().map(|(owner, _)| owner.clone())).collect();
        let mut reach = Reach {
            nodes,
            cut: BTreeSet::new(),
            down: BTreeSet::new(),
            paused: BTreeSet::new(),
            since: BTreeMap::new(),
            grace,
        };
        reach.redraw(0, false);
        reach
    }

    /// Takes in what the nemesis did.
    fn take(&mut self, op: &'a Op) {
        let mut names = op.value.items().unwrap_or_default().iter().filter(|v| v.name().is_some()).map(name);
        match &*op.f {
            "start-partition" => {
                let links = op.value.get("cut").and_then(Value::items).unwrap_or_default();
                let pair = |link: &'a Value| Some((name(link.items()?.first()?), name(link.items()?.get(1)?)));
                // Filters are added to those that a stop in vain left there.
                self.cut.extend(links.iter().filter_map(pair));
            }
            "stop-partition" => self.cut.clear(),
            "pause" => {
                self.paused.extend(names.clone());
                self.down.extend(names);
            }
            "kill" | "shrink" => {
                for node in names {
                    self.paused.remove(&node);
                    self.down.insert(node);
                }
            }
            // One that names nobody is for all that stand still.
            "resume" if op.value.is_nil() => {
                let paused = std::mem::take(&mut self.paused);
                self.down.retain(|node| !paused.contains(node));
            }
            "start" | "resume" | "grow" => {
                let up: Vec<Name<'a>> = names.by_ref().collect();
                self.down.retain(|node| !up.contains(node));
            }
            "heal" => {
                self.cut.clear();
                self.paused.clear();
                self.down = match Healing::of(op, &self.nodes) {
                    Healing::Over { unmended } => unmended,
                    Healing::Open => self.nodes.clone(),
                };
            }
            "skew" | "reset-clock" => return,
            _ => {}
        }
        self.redraw(op.time, matches!(&*op.f, "start" | "resume" | "grow" | "heal" | "stop-partition"));
    }

    fn redraw(&mut self, now: i64, afresh: bool) {
        let pairs: Vec<(Name<'a>, Name<'a>)> =
            self.nodes.iter().flat_map(|a| self.nodes.iter().map(move |b| (a.clone(), b.clone()))).collect();
        for (a, b) in pairs {
            if !(self.passes(&a, &b) && self.passes(&b, &a)) {
                self.since.remove(&(a, b));
            } else if afresh {
                self.since.insert((a, b), now + self.grace);
            } else {
                self.since.entry((a, b)).or_insert(now);
            }
        }
    }

    /// Whether messages pass from `a` to `b`, by way of others too.
    fn passes(&self, a: &Name<'a>, b: &Name<'a>) -> bool {
        if self.down.contains(a) || self.down.contains(b) {
            return false;
        }
        let (mut met, mut todo) = (BTreeSet::from([a]), vec![a]);
        while let Some(from) = todo.pop() {
            let next = self.nodes.iter().filter(|to| !self.down.contains(*to));
            for to in next.filter(|to| !self.cut.contains(&(from.clone(), (*to).clone()))) {
                if met.insert(to) {
                    todo.push(to);
                }
            }
        }
        met.contains(b)
    }

    fn since(&self, owner: &Name<'a>, reader: &Name<'a>) -> Option<i64> {
        self.since.get(&(owner.clone(), reader.clone())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history;

    const BOUND: i64 = 5_000_000_000;

    fn line(process: &str, typ: &str, f: &str, value: &str, at_s: f64) -> String {
        format!("{{:process {process} :type :{typ} :f :{f} :value {value} :time {:.0}}}\n", at_s * 1e9)
    }

    fn publish(version: u32, at_s: f64) -> String {
        let value = format!("{{:node \"n1\" :key \"applied\" :version {version}}}");
        line("0", "invoke", "publish", &value, at_s) + &line("0", "ok", "publish", &value, at_s)
    }

    fn view(reader: &str, version: u32, at_s: f64) -> String {
        let shown = format!("{{:node \"{reader}\" :view {{\"n1\" {{\"applied\" {{:version {version}}}}}}}}}");
        line("1", "invoke", "read-view", &format!("{{:node \"{reader}\"}}"), at_s)
            + &{ line("1", "ok", "read-view", &shown, at_s + 0.01) }
    }

    fn cut(links: &str, at_s: f64) -> String {
        line(":nemesis", "info", "start-partition", &format!("{{:cut [{links}]}}"), at_s)
    }

    fn violations(text: &str) -> Vec<String> {
        let ops: Vec<Op> = history::read(text.as_bytes()).collect::<Result<_, _>>().unwrap();
        let tally = check(&Facts::new(&ops, None).unwrap(), BOUND);
        tally.violations.into_iter().map(|v| v.message).collect()
    }

    #[test]
    fn nothing_published_or_nobody_in_reach_is_nothing_checked() {
        let count = |text: &str| {
            let ops: Vec<Op> = history::read(text.as_bytes()).collect::<Result<_, _>>().unwrap();
            check(&Facts::new(&ops, None).unwrap(), BOUND).count
        };
        assert_eq!(count(&view("n2", 3, 1.0)), 0);
        assert_eq!(count(&(publish(7, 1.0) + &view("n2", 7, 1.5))), 1);
        assert_eq!(count(&(cut("[\"n1\" \"n2\"]", 0.5) + &publish(7, 1.0) + &view("n2", 3, 1.5))), 0);
    }

    #[test]
    fn a_fact_has_the_bound_to_arrive() {
        let early = publish(7, 1.0) + &view("n2", 3, 5.9);
        assert_eq!(violations(&early), Vec::<String>::new());
        let late = violations(&(early + &view("n2", 3, 6.1)));
        assert!(late[0].contains("n2 has not seen applied of n1 at version 7 for 5.1 s"), "{late:?}");
        assert_eq!(violations(&(publish(7, 1.0) + &view("n2", 9, 20.0))), Vec::<String>::new(), "a newer one will do");
    }

    #[test]
    fn no_fact_passes_a_cut_but_by_way_of_a_third_node() {
        let third = view("n3", 7, 1.5);
        let apart = cut("[\"n1\" \"n2\"] [\"n1\" \"n3\"]", 0.5) + &publish(7, 1.0) + &third + &view("n2", 3, 20.0);
        assert_eq!(violations(&apart), Vec::<String>::new(), "nobody hears n1");
        let bridge = cut("[\"n1\" \"n2\"] [\"n2\" \"n1\"]", 0.5) + &publish(7, 1.0) + &third + &view("n2", 3, 20.0);
        assert_eq!(violations(&bridge).len(), 1, "n3 hears both");
        let healed = apart + &line(":nemesis", "info", "stop-partition", "nil", 20.5);
        assert_eq!(violations(&(healed.clone() + &view("n2", 3, 30.0))), Vec::<String>::new());
        assert_eq!(violations(&(healed + &view("n2", 3, 31.0))).len(), 1, "it heals, and still nothing comes");
    }

    #[test]
    fn a_node_that_is_down_sees_nothing_and_has_the_bound_again_when_it_is_up() {
        let killed = publish(7, 1.0) + &line(":nemesis", "info", "kill", "[\"n2\"]", 1.1);
        let back = killed + &line(":nemesis", "info", "start", "[\"n2\"]", 9.0);
        assert_eq!(violations(&(back.clone() + &view("n2", 3, 18.5))), Vec::<String>::new());
        assert_eq!(violations(&(back + &view("n2", 3, 19.5))).len(), 1);
    }

    #[test]
    fn a_view_never_goes_back_unless_a_node_began_a_new_life() {
        let first = publish(7, 1.0) + &view("n2", 7, 2.0);
        let back = violations(&(first.clone() + &view("n2", 6, 2.5)));
        assert!(back[0].contains("at version 7, then at 6"), "{back:?}");
        let killed = first.clone() + &line(":nemesis", "info", "kill", "[\"n1\"]", 2.2) + &view("n2", 6, 2.5);
        assert_eq!(violations(&killed), Vec::<String>::new());
        assert_eq!(violations(&(first + &view("n3", 6, 2.5))), Vec::<String>::new(), "another node's view");
    }

    #[test]
    fn what_was_done_in_part_took_away_all_that_it_was_to() {
        let count = |f: &str, value: &str| {
            let failed =
                line(":nemesis", "info", f, value, 0.6).replace("{:process", "{:error [:failed \"\"] :process");
            violations(&(failed + &publish(7, 1.0) + &view("n2", 3, 20.0))).len()
        };
        assert_eq!(count("start-partition", "{:cut [[\"n1\" \"n2\"]]}"), 0, "laid on one node of two");
        assert_eq!(count("start-partition", "{:cut [:node :leader]}"), 1, "nobody was found to be cut off");
        assert_eq!(count("pause", "[\"n2\"]"), 0);
        assert_eq!(count("skew", "[\"n2\"]"), 1);
    }

    #[test]
    fn what_was_not_mended_owes_no_fact() {
        let count = |f: &str, value: &str, reason: &str| {
            let failed = line(":nemesis", "info", f, value, 3.0)
                .replace("{:process", &format!("{{:error [:{reason} \"\"] :process"));
            let plan = line(":nemesis", "info", f, "nil", 2.0);
            violations(&(cut("[\"n1\" \"n2\"]", 0.5) + &publish(7, 1.0) + &plan + &failed + &view("n2", 3, 20.0))).len()
        };
        assert_eq!(count("stop-partition", "nil", "failed"), 0);
        assert_eq!(count("stop-partition", "nil", "no-effect"), 1, "its filters are gone");
        assert_eq!(count("heal", "nil", "heal-failed"), 0);
        assert_eq!(count("heal", "{:unmended [\"n2\"]}", "heal-failed"), 0);
        assert_eq!(count("heal", "{:unmended []}", "heal-failed"), 1);
        assert_eq!(count("heal", "nil", "not-serving"), 1);
    }
}
