//! When faults were under way.

use super::super::faults;
use crate::history::Op;

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
    let spans = faults::faults(ops).into_iter().map(|faults::Fault { op, end }| Fault {
        what: label(op),
        from: op.time,
        to: end.map_or(last, |end| end.time),
    });
    spans.filter(|fault| fault.from < fault.to).collect()
}

fn label(op: &Op) -> String {
    if op.value.is_nil() { op.f.clone() } else { format!("{} {}", op.f, op.value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::read_str;

    fn told(lines: &str) -> Vec<(String, i64, i64)> {
        let ops = read_str(lines).expect("a history");
        faults(&ops).into_iter().map(|fault| (fault.what, fault.from, fault.to)).collect()
    }

    fn op(time: i64, rest: &str) -> String {
        format!("{{:process :nemesis, :type :info, :time {time}, {rest}}}\n")
    }

    #[test]
    fn overlapping_faults_of_one_kind_are_both_shown_and_workers_end_apart() {
        let lines = op(1, ":f :pause, :value [\"n1\"]")
            + &op(2, ":f :pause, :value {:workers [1 2]}")
            + &op(5, ":f :resume, :value nil")
            + &op(7, ":f :resume, :value {:workers :all}");
        let shown = told(&lines);
        assert_eq!(shown.iter().map(|f| (f.1, f.2)).collect::<Vec<_>>(), [(1, 5), (2, 7)]);
    }

    #[test]
    fn what_jepsen_writes_twice_is_one_fault() {
        let lines = op(1, ":f :pause, :value [[:leader \"n1\"]]")
            + &op(2, ":f :pause, :value [\"n3\"]")
            + &op(5, ":f :resume, :value nil")
            + &op(6, ":f :resume, :value nil");
        assert_eq!(told(&lines).iter().map(|f| (f.1, f.2)).collect::<Vec<_>>(), [(1, 5)]);
    }

    #[test]
    fn a_fault_that_failed_is_not_shaded_and_faults_of_clients_are() {
        let lines = op(1, ":f :kill, :value [\"n1\"]")
            + &op(2, ":f :kill, :value [\"n1\"], :error [:no-effect \"it did not run\"]")
            + &op(3, ":f :start-client-fault, :value {:node \"n1\", :how :drop}")
            + &op(4, ":f :stop-client-fault, :value nil");
        let shown = told(&lines);
        assert_eq!(shown.len(), 1);
        assert!(shown[0].0.starts_with("start-client-fault"), "{shown:?}");
    }
}
