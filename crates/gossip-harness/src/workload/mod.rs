//! The workload catalogue.

mod asymmetric_partition;
mod brief;
mod caller;
mod calls;
mod checkpoint_fence;
mod concurrent_acquisition;
mod course;
mod crash_recovery;
mod full_lifecycle;
mod full_partition;
mod gossip_convergence;
mod keys;
mod lease_exclusivity;
mod process_pause;
mod reads;
mod session;
mod shard_acquisition;
mod split_correctness;
mod twins;
mod values;
mod watch;
mod worker;

pub use caller::{Caller, Outcome, Start};
pub use course::{Course, run_of};
pub use reads::Place;
pub use session::{Extra, Finish, Mix, Session};
pub use twins::Twins;
pub use watch::Watcher;
pub use worker::{Worker, register};

use gossip_check::invariants::Invariant;

use crate::schedule::Nemesis;

/// Every workload. What each does and what would be a violation stands at the head of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// See `shard_acquisition.rs`.
    ShardAcquisition,
    /// See `lease_exclusivity.rs`.
    LeaseExclusivity,
    /// See `checkpoint_fence.rs`.
    CheckpointFence,
    /// See `split_correctness.rs`.
    SplitCorrectness,
    /// See `concurrent_acquisition.rs`.
    ConcurrentAcquisition,
    /// See `crash_recovery.rs`.
    CrashRecovery,
    /// See `full_partition.rs`.
    FullPartition,
    /// See `asymmetric_partition.rs`.
    AsymmetricPartition,
    /// See `process_pause.rs`.
    ProcessPause,
    /// See `gossip_convergence.rs`.
    GossipConvergence,
    /// See `full_lifecycle.rs`.
    FullLifecycle,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 11] = [
        Kind::ShardAcquisition,
        Kind::LeaseExclusivity,
        Kind::CheckpointFence,
        Kind::SplitCorrectness,
        Kind::ConcurrentAcquisition,
        Kind::CrashRecovery,
        Kind::FullPartition,
        Kind::AsymmetricPartition,
        Kind::ProcessPause,
        Kind::GossipConvergence,
        Kind::FullLifecycle,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ShardAcquisition => "shard-acquisition",
            Kind::LeaseExclusivity => "lease-exclusivity",
            Kind::CheckpointFence => "checkpoint-fence",
            Kind::SplitCorrectness => "split-correctness",
            Kind::ConcurrentAcquisition => "concurrent-acquisition",
            Kind::CrashRecovery => "crash-recovery",
            Kind::FullPartition => "full-partition",
            Kind::AsymmetricPartition => "asymmetric-partition",
            Kind::ProcessPause => "process-pause",
            Kind::GossipConvergence => "gossip-convergence",
            Kind::FullLifecycle => "full-lifecycle",
        }
    }

    /// The workload of this name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }

    /// The nemesis that runs when none is named: three workloads are named for a fault and bring it along.
    pub fn default_nemesis(self) -> Nemesis {
        match self {
            Kind::FullPartition => Nemesis::PartitionRandomHalves,
            Kind::AsymmetricPartition => Nemesis::PartitionAsymmetric,
            Kind::ProcessPause | Kind::LeaseExclusivity => Nemesis::PauseRandomNode,
            Kind::CrashRecovery => Nemesis::KillRandomNode,
            _ => Nemesis::None,
        }
    }

    /// The fewest workers with which it means anything.
    pub fn min_concurrency(self) -> usize {
        match self {
            Kind::CrashRecovery | Kind::GossipConvergence => 1,
            Kind::ConcurrentAcquisition => 4,
            _ => 2,
        }
    }

    /// From what its sessions are drawn.
    pub fn mix(self) -> Mix {
        match self {
            Kind::ShardAcquisition => shard_acquisition::MIX,
            Kind::LeaseExclusivity => lease_exclusivity::MIX,
            Kind::CheckpointFence => checkpoint_fence::MIX,
            Kind::SplitCorrectness => split_correctness::MIX,
            Kind::ConcurrentAcquisition => concurrent_acquisition::MIX,
            Kind::CrashRecovery => crash_recovery::MIX,
            Kind::FullPartition => full_partition::MIX,
            Kind::AsymmetricPartition => asymmetric_partition::MIX,
            Kind::ProcessPause => process_pause::MIX,
            Kind::GossipConvergence => gossip_convergence::MIX,
            Kind::FullLifecycle => full_lifecycle::MIX,
        }
    }

    /// What a run of it must have given the judge something to check by, or else it is unknown.
    pub fn required(self) -> Vec<Invariant> {
        use Invariant as I;
        let mut required = vec![I::S1, I::S2, I::S4, I::S6, I::S7, I::S8];
        match self {
            Kind::ConcurrentAcquisition => {}
            Kind::GossipConvergence => required.extend([I::G1, I::G2]),
            Kind::SplitCorrectness | Kind::CrashRecovery => required.push(I::S3),
            Kind::LeaseExclusivity | Kind::CheckpointFence => required.push(I::S5),
            Kind::FullLifecycle => required.extend([I::S3, I::S5]),
            _ => {}
        }
        required
    }

    /// The length of its leases. Faults are drawn to outlast one.
    pub fn lease_ms(self) -> u64 {
        match self {
            // Facts must have time to go round by way of a third node, or to fail to.
            Kind::GossipConvergence => 5_000,
            _ => 2_000,
        }
    }
}
