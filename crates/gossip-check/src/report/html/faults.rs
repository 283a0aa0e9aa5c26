//! When faults were under way.

use crate::history::{Op, OpType, Process};

/// What begins a fault and what ends it.
const PAIRS: [(&str, &str); 5] = [
    ("start-partition", "stop-partition"),
    ("kill", "start"),
    ("pause", "resume"),
    ("skew", "reset-clock"),
    ("shrink", "grow"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: String,
    /// Nanoseconds.
    pub(super) from: i64,
    pub(super) to: i64,
}

/// The faults of a history in order of their beginning. One that was never ended lasts as long as the history.
pub(super) fn faults(ops: &[Op]) -> Vec<Fault> {
    let last = ops.last().map_or(0, |op| op.time);
    let mut faults: Vec<Fault> = Vec::new();
    let mut under_way: [Option<usize>; PAIRS.len()] = [None; PAIRS.len()];
    let done = |op: &&Op| op.process == Process::Nemesis && op.error.is_none() && op.typ != OpType::Fail;
    for op in ops.iter().filter(done) {
        for (slot, (begin, end)) in under_way.iter_mut().zip(PAIRS) {
            if op.f == begin && slot.is_none() {
                *slot = Some(faults.len());
                faults.push(Fault { what: label(op), from: op.time, to: last });
            } else if op.f == end
                && let Some(i) = slot.take()
            {
                faults[i].to = op.time;
            }
        }
    }
    faults
}

fn label(op: &Op) -> String {
    if op.value.is_nil() { op.f.clone() } else { format!("{} {}", op.f, op.value) }
}
