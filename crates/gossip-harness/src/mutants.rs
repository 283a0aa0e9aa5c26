//! The planted bugs that this tier must catch, each by a workload and a nemesis.
//!
//! What is missing here is seen by the simulator or by the core's own tests alone: bugs that need a disk that lies
//! (`checksum-unchecked`), an instant hit to the millisecond (`expiry-off-by-one`), two crashes within one election
//! (`vote-not-persisted`), or clocks of several machines: all nodes here read the same monotonic clock, on which a lease clock that
//! begins again (`lease-clock-restarts`) never falls. Bugs in the use of raft that need a race of milliseconds
//! (`entries-joined-unfollowed`, `campaigns-while-installing`, `empty-learner-votes`, `removed-leader-stays`). And bugs of the failure
//! detector: among three nodes a suspicion that nobody confirms lasts 30 s before it becomes a death that others could believe
//! (`death-believed-unheard`, `dead-are-heard`, `refutation-keeps-incarnation`, `suspicion-ignores-confirmations`), longer than any
//! fault here; `no-local-health` shows in how often, not in whether. And `lives-share-incarnations`: it needs a wall clock that stays set back over
//! two starts of one node, and all nodes here read the same one.

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
    /// The id of what it violates: one of these. `node` stands only where the bug makes a sound node stop itself.
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
    // The holder must stall past its deadline, and nobody may have taken the shard over: then only the lease's end refuses it.
    row("expiry-unchecked", Kind::ProcessPause, Nemesis::PauseRandomNode, &["S1", "L"]),
    row("waiter-granted-unasked", Kind::ConcurrentAcquisition, Nemesis::None, &["S1", "S2", "L"]),
    row("wall-clock-lease", Kind::LeaseExclusivity, Nemesis::ClockSkew, &["S1"]),
    row("unpark-keeps-fence", Kind::FullLifecycle, Nemesis::None, &["S2", "L"]),
    row("complete-run-ignores-active", Kind::FullLifecycle, Nemesis::None, &["S3", "L"]),
    // Each brief run is asked to go while it lives.
    row("live-run-deletable", Kind::FullLifecycle, Nemesis::None, &["S3"]),
    // Runs must end under the hands of those who work on them.
    row("cancel-does-not-fence", Kind::FullLifecycle, Nemesis::None, &["S2", "S3", "L"]),
    // Runs come and go, and claims name them.
    row("run-of-claim-ignored", Kind::FullLifecycle, Nemesis::None, &["S3", "S4", "L"]),
    row("residual-overlaps", Kind::SplitCorrectness, Nemesis::None, &["S4"]),
    row("op-log-forgotten", Kind::CheckpointFence, Nemesis::FlakyLinks, &["S5", "L"]),
    row("op-id-conflict-unchecked", Kind::CheckpointFence, Nemesis::None, &["S5"]),
    row("op-log-after-lease", Kind::CheckpointFence, Nemesis::None, &["S5"]),
    row("cursor-moves-back", Kind::CheckpointFence, Nemesis::None, &["S7", "L"]),
    row("cursor-leaves-range", Kind::SplitCorrectness, Nemesis::None, &["S7", "L"]),
    row("release-forgets-cursor", Kind::CheckpointFence, Nemesis::None, &["S7", "S8", "L"]),
    row("ack-before-sync", Kind::CrashRecovery, Nemesis::KillRandomNode, &["S8", "S2", "L"]),
    row("ack-before-commit", Kind::FullPartition, Nemesis::PartitionRandomHalves, &["S8", "S2", "L"]),
    // A node finds that its log ends before what it had promised, and stops: that is how this one shows.
    row("restart-drops-tail", Kind::CrashRecovery, Nemesis::KillRandomNode, &["S8", "S2", "L", "node"]),
    // A fresh node is brought up by a snapshot and is asked again for what others had answered.
    row("snapshot-without-op-log", Kind::CheckpointFence, Nemesis::Membership, &["S5", "S2", "L", "node"]),
    row("stale-read", Kind::AsymmetricPartition, Nemesis::PartitionAsymmetric, &["L", "S7", "S8", "S2"]),
    row("lease-based-read", Kind::FullPartition, Nemesis::PartitionRandomNode, &["L", "S7", "S8", "S2"]),
    // Facts must go round by way of a third node.
    row("gossip-own-facts-only", Kind::GossipConvergence, Nemesis::PartitionAsymmetric, &["G1", "G2"]),
    // Old news must come late, over a slow link, after the new has come another way.
    row("older-fact-overwrites", Kind::GossipConvergence, Nemesis::FlakyLinks, &["G1", "G2"]),
];

/// Nemeses that no bug above needs, and why they are there all the same.
pub const WITHOUT_A_BUG: &[(Nemesis, &str)] = &[
    (
        Nemesis::ClockSkewStrong,
        "beyond the drift margin only fences protect, and a bug in them shows without skew as well: this one shows that they do not \
         lean on clocks, and that what holders believed is not judged then",
    ),
    (
        Nemesis::Combined,
        "each of its faults has a bug of its own under that fault alone: this one looks for what nobody has planted",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_and_every_nemesis_is_needed_by_a_bug_or_says_why_not() {
        for kind in Kind::ALL {
            assert!(ALL.iter().any(|row| row.workload == kind), "{}", kind.name());
        }
        for nemesis in Nemesis::ALL {
            let excused = WITHOUT_A_BUG.iter().any(|(without, _)| *without == nemesis);
            assert_ne!(ALL.iter().any(|row| row.nemesis == nemesis), excused, "{}", nemesis.name());
        }
    }

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
