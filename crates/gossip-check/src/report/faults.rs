//! Which faults a history tells of, and which of them a moment stands under.

use std::collections::BTreeSet;

use crate::history::{Name, Op, Process, name};

/// What begins a fault and what ends it. To heal ends all.
const PAIRS: [(&str, &str); 6] = [
    ("start-partition", "stop-partition"),
    ("kill", "start"),
    ("pause", "resume"),
    ("skew", "reset-clock"),
    ("shrink", "grow"),
    ("start-client-fault", "stop-client-fault"),
];

/// A fault that took place.
pub(super) struct Fault<'a> {
    /// What began it.
    pub(super) op: &'a Op,
    /// What ended it, if anything did.
    pub(super) end: Option<&'a Op>,
}

/// The faults in order of their beginning, without those that were said to have failed.
pub(super) fn faults<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Vec<Fault<'a>> {
    let mut faults: Vec<Fault<'a>> = Vec::new();
    let mut before: Option<&Op> = None;
    for op in ops.into_iter().filter(|op| op.process == Process::Nemesis) {
        if !PAIRS.iter().any(|(begin, _)| op.f == *begin) {
            for fault in faults.iter_mut().filter(|fault| fault.end.is_none() && ends(op, fault.op)) {
                fault.end = Some(op);
            }
        } else if op.has_failed() {
            let failed = faults.iter().rposition(|fault| fault.end.is_none() && fault.op.f == op.f);
            failed.map(|at| faults.remove(at));
        } else if !before.is_some_and(|before| completes(before, op)) {
            faults.push(Fault { op, end: None });
        }
        before = Some(op);
    }
    faults
}

/// The faults under way just before the op numbered `index`; where there is none, the last thing that the nemesis did.
pub(super) fn before(ops: &[Op], index: u64) -> Vec<&Op> {
    let earlier = || ops.iter().filter(|op| op.index < index);
    let open: Vec<&Op> = faults(earlier()).iter().filter(|fault| fault.end.is_none()).map(|fault| fault.op).collect();
    if open.is_empty() { earlier().rfind(|op| op.process == Process::Nemesis).into_iter().collect() } else { open }
}

/// Jepsen writes each fault twice, as it begins and as it was done. What aimed at the leader then names the node.
fn completes(before: &Op, op: &Op) -> bool {
    before.f == op.f && (before.value == op.value || before.value.to_string().contains(":leader"))
}

/// Whether `end` ended all of what `begin` began. One that names no nodes ends it for all; workers are stalled and resumed
/// apart from nodes.
fn ends(end: &Op, begin: &Op) -> bool {
    let of_workers = |op: &Op| op.value.get("workers").is_some();
    let named = nodes(end);
    end.f == "heal"
        || (PAIRS.contains(&(&*begin.f, &*end.f))
            && of_workers(begin) == of_workers(end)
            && (named.is_empty() || nodes(begin).is_subset(&named)))
}

fn nodes(op: &Op) -> BTreeSet<Name<'_>> {
    op.value.items().unwrap_or_default().iter().filter(|v| v.as_str().is_some()).map(name).collect()
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
