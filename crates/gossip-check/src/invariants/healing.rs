//! How the end of all faults went, as the nemesis's last `:heal` tells it: who owes service since then.
//!
//! `:value {:unmended ["n3"]}` names the nodes of which the harness does not know that their faults are over
//! (`histories/README.md`). Fewer than half of the nodes that the history names are excused, and nobody else. With more of them
//! the rest may be no majority, and nothing is owed. So it is where a heal failed and names nobody; one that failed because the
//! service did not serve (`:not-serving`) had ended all faults. A history without a heal is judged as one without faults.

use std::collections::BTreeSet;

use crate::history::{Call, Name, Op, Process, Value, name};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Healing<'a> {
    /// The faults of all nodes but these are over.
    Over { unmended: BTreeSet<Name<'a>> },
    /// Whether anything is over is not known, or not of enough nodes.
    Open,
}

impl<'a> Healing<'a> {
    /// What one heal tells, in a history that names these nodes.
    pub(crate) fn of(heal: &'a Op, nodes: &BTreeSet<Name<'a>>) -> Self {
        match heal.value.some("unmended").map(Value::items) {
            Some(named) => {
                // What cannot be read names nobody, and may have been meant for anybody.
                let Some(named) = named else { return Self::Open };
                let unmended: BTreeSet<Name<'a>> = named.iter().map(name).collect();
                let all = nodes.union(&unmended).count();
                if unmended.is_empty() || 2 * unmended.len() < all { Self::Over { unmended } } else { Self::Open }
            }
            None if has_failed(heal) => Self::Open,
            None => Self::Over { unmended: BTreeSet::new() },
        }
    }

    pub(crate) fn owes(&self, node: &str) -> bool {
        self.unmended().is_some_and(|unmended| !unmended.contains(node))
    }

    /// None where nothing is owed by anybody.
    pub(crate) fn unmended(&self) -> Option<&BTreeSet<Name<'a>>> {
        match self {
            Self::Over { unmended } => Some(unmended),
            Self::Open => None,
        }
    }
}

/// Whether a heal failed for a reason of the harness.
pub(super) fn has_failed(heal: &Op) -> bool {
    heal.has_failed() && heal.reason().as_deref() != Some("not-serving")
}

fn last_heal(ops: &[Op]) -> Option<&Op> {
    ops.iter().rfind(|op| op.process == Process::Nemesis && op.f == "heal")
}

pub(super) fn of_history<'a>(ops: &'a [Op], calls: &[Call<'a>]) -> Healing<'a> {
    let nodes = calls.iter().filter_map(|call| call.input("node").map(name)).collect();
    last_heal(ops).map_or(Healing::Over { unmended: BTreeSet::new() }, |heal| Healing::of(heal, &nodes))
}

/// What is not judged because of how the heal went, in words. A run of which this says something is no pass.
pub(crate) fn left_out(ops: &[Op], healing: &Healing<'_>) -> Option<String> {
    match healing {
        Healing::Open => Some("the faults were not ended: no node owed service".to_owned()),
        Healing::Over { unmended } if !unmended.is_empty() => {
            let nodes: Vec<&str> = unmended.iter().map(AsRef::as_ref).collect();
            Some(format!("the faults of {} were not ended: it owed no service", nodes.join(", ")))
        }
        Healing::Over { .. } => last_heal(ops).filter(|heal| has_failed(heal)).map(|_| "the heal failed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history;

    fn healing(heal: &str) -> Option<Vec<String>> {
        let ops = history::read_str(&format!("{{:process :nemesis :type :info :f :heal :time 1 {heal}}}")).unwrap();
        let nodes = ["n1", "n2", "n3"].into_iter().map(Name::from).collect();
        let told = Healing::of(&ops[0], &nodes);
        told.unmended().map(|unmended| unmended.iter().map(ToString::to_string).collect())
    }

    fn but(nodes: &[&str]) -> Option<Vec<String>> {
        Some(nodes.iter().map(|node| (*node).to_owned()).collect())
    }

    #[test]
    fn a_minority_that_is_named_is_excused_and_who_names_nobody_excuses_all() {
        let failed = ":error [:heal-failed \"ssh\"]";
        assert_eq!(healing(":value nil"), but(&[]));
        assert_eq!(healing(&format!(":value nil {failed}")), None);
        assert_eq!(healing(":value nil :error [:not-serving \"n2\"]"), but(&[]));
        assert_eq!(healing(&format!(":value {{:unmended #{{:n3}}}} {failed}")), but(&["n3"]));
        assert_eq!(healing(&format!(":value {{:unmended [\"n2\" \"n3\"]}} {failed}")), None, "no majority is left");
        assert_eq!(healing(":value {:unmended [\"n3\"]} :error [:not-serving \"n2\"]"), but(&["n3"]));
        assert_eq!(healing(":value {:unmended [\"n1\" \"n2\" \"n3\"]}"), None, "a heal that was only begun");
        assert_eq!(healing(":value {:unmended \"n3\"}"), None, "what cannot be read may have named anybody");
    }
}
