//! The planted bugs that this tier must catch, each by a workload and a nemesis.
//!
//! What is missing here is seen by the simulator alone: bugs that need a disk that lies (`checksum-unchecked`), an instant hit to
//! the millisecond (`expiry-off-by-one`), two crashes within one election (`vote-not-persisted`), or clocks of several machines:
//! all nodes here read the same monotonic clock, on which a lease clock that begins again (`lease-clock-restarts`) never falls.

use crate::schedule::Nemesis;
use crate::workload::Kind;

/// One row: a bug, where it is looked for, and what must say so.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// As in `gossip_core::mutants`.
    pub name: &'static str,
    /// The workload that catches it.
    pub workload: Kind,
    /// Under this nemesis.
    pub nemesis: Nemesis,
    /// The id of what it violates: one of these.
    pub violates: &'static [&'static str],
    /// Shown to be caught on every `make test`.
    pub always: bool,
}

const fn row(name: &'static str, workload: Kind, nemesis: Nemesis, violates: &'static [&'static str]) -> Planted {
    Planted { name, workload, nemesis, violates, always: false }
}

const fn always(row: Planted) -> Planted {
    Planted { always: true, ..row }
}

/// All of them.
pub const ALL: &[Planted] = &[
    always(row("acquire-ignores-live-lease", Kind::LeaseExclusivity, Nemesis::PauseRandomNode, &["S1", "L"])),
    always(row("fence-unchecked", Kind::LeaseExclusivity, Nemesis::PauseRandomNode, &["S2", "L"])),
    always(row("done-is-acquirable", Kind::ShardAcquisition, Nemesis::None, &["S3", "L"])),
    always(row("split-drops-boundary", Kind::SplitCorrectness, Nemesis::None, &["S4"])),
    row("fence-not-raised-on-takeover", Kind::LeaseExclusivity, Nemesis::PauseRandomNode, &["S2", "L"]),
    row("waiter-granted-unasked", Kind::ConcurrentAcquisition, Nemesis::None, &["S1", "S2", "L", "node"]),
    row("wall-clock-lease", Kind::LeaseExclusivity, Nemesis::ClockSkew, &["S1"]),
    row("unpark-keeps-fence", Kind::FullLifecycle, Nemesis::None, &["S2", "L"]),
    row("complete-run-ignores-active", Kind::FullLifecycle, Nemesis::None, &["S3", "S6", "L"]),
    row("residual-overlaps", Kind::SplitCorrectness, Nemesis::None, &["S4", "node"]),
    row("op-log-forgotten", Kind::CheckpointFence, Nemesis::FlakyLinks, &["S5", "L"]),
    row("op-id-conflict-unchecked", Kind::CheckpointFence, Nemesis::None, &["S5"]),
    row("op-log-after-lease", Kind::CheckpointFence, Nemesis::None, &["S5"]),
    row("cursor-moves-back", Kind::CheckpointFence, Nemesis::None, &["S7", "L"]),
    row("cursor-leaves-range", Kind::SplitCorrectness, Nemesis::None, &["S7", "L", "node"]),
    row("release-forgets-cursor", Kind::CheckpointFence, Nemesis::None, &["S7", "S8", "L"]),
    row("ack-before-sync", Kind::CrashRecovery, Nemesis::KillRandomNode, &["S8", "S2", "L", "node"]),
    row("ack-before-commit", Kind::FullPartition, Nemesis::PartitionRandomHalves, &["S8", "S2", "L", "node"]),
    row("restart-drops-tail", Kind::CrashRecovery, Nemesis::KillRandomNode, &["S8", "S2", "L", "node"]),
    row("stale-read", Kind::AsymmetricPartition, Nemesis::PartitionAsymmetric, &["L", "S7", "S2"]),
    row("lease-based-read", Kind::FullPartition, Nemesis::PartitionRandomNode, &["L", "S7", "S2"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_s1_to_s4_has_one_that_is_always_shown() {
        for id in ["S1", "S2", "S3", "S4"] {
            assert!(ALL.iter().any(|row| row.always && row.violates.contains(&id)), "{id}");
        }
    }

    #[test]
    fn no_bug_is_listed_twice() {
        let mut names: Vec<&str> = ALL.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
