//! Which faults a moment of a history stands under.

use std::collections::BTreeSet;

use crate::history::{Name, Op, Process, name};

/// What ends a fault, and what began it.
const ENDS: [(&str, &str); 6] = [
    ("start", "kill"),
    ("resume", "pause"),
    ("stop-partition", "start-partition"),
    ("grow", "shrink"),
    ("reset-clock", "skew"),
    ("stop-client-fault", "start-client-fault"),
];

fn nodes(op: &Op) -> BTreeSet<Name<'_>> {
    op.value.items().unwrap_or_default().iter().filter(|v| v.as_str().is_some()).map(name).collect()
}

/// Whether `end` ended all of what `begin` began. One that names no nodes ends it for all.
fn ends(end: &Op, begin: &Op) -> bool {
    if end.f == "heal" {
        return true;
    }
    let named = nodes(end);
    ENDS.contains(&(&*end.f, &*begin.f)) && (named.is_empty() || nodes(begin).is_subset(&named))
}

/// The faults under way just before the op numbered `index`; where there is none, the last thing that the nemesis did.
pub(super) fn before(ops: &[Op], index: u64) -> Vec<&Op> {
    let steps = || ops.iter().filter(|op| op.process == Process::Nemesis && op.index < index);
    let mut open: Vec<&Op> = Vec::new();
    for step in steps() {
        open.retain(|begun| !ends(step, begun));
        if ENDS.iter().any(|(_, begins)| *begins == step.f) {
            open.push(step);
        }
    }
    if open.is_empty() {
        open.extend(steps().next_back());
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::read_str;

    fn shown(steps: &[(&str, &str)]) -> Vec<String> {
        let line = |(at, (f, value)): (usize, &(&str, &str))| {
            format!("{{:process :nemesis :type :info :f :{f} :value {value} :time {at} :index {at}}}\n")
        };
        let ops: Vec<Op> = read_str(&steps.iter().enumerate().map(line).collect::<String>()).unwrap();
        before(&ops, 100).into_iter().map(|op| format!("{} {}", op.f, op.index)).collect()
    }

    #[test]
    fn all_that_is_under_way_is_shown_and_nothing_that_has_ended() {
        let cut = ("start-partition", "{:cut [[\"n1\" \"n2\"]]}");
        assert_eq!(shown(&[]), Vec::<String>::new());
        assert_eq!(shown(&[cut, ("pause", "[\"n1\"]")]), ["start-partition 0", "pause 1"]);
        assert_eq!(shown(&[cut, ("pause", "[\"n1\"]"), ("stop-partition", "nil")]), ["pause 1"]);
        assert_eq!(
            shown(&[("kill", "[\"n1\"]"), ("kill", "[\"n2\"]"), ("start", "[\"n1\"]")]),
            ["kill 1"],
            "n2 is still down"
        );
        assert_eq!(
            shown(&[("pause", "{:workers [1 2]}"), ("skew", "{\"n1\" {}}"), ("resume", "{:workers :all}")]),
            ["skew 1"]
        );
    }

    #[test]
    fn where_all_has_ended_the_last_step_is_shown() {
        assert_eq!(shown(&[("kill", "[\"n1\"]"), ("start", "[\"n1\"]")]), ["start 1"]);
        assert_eq!(shown(&[("kill", "[\"n1\"]"), ("skew", "nil"), ("heal", "nil")]), ["heal 2"]);
    }
}
