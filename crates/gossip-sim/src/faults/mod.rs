//! What can go wrong, by name.

pub mod options;
pub mod schedule;

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A kind of fault. Its name is the word in traces, coverage tables and `--omit`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$doc])* $variant,)* }

        impl Fault {
            /// All kinds, in the order of this file.
            pub const ALL: &'static [Fault] = &[$(Fault::$variant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name,)* }
            }
        }
    };
}

faults! {
    /// A message between nodes is lost.
    Loss = "loss",
    /// A message between nodes arrives twice.
    Duplicate = "duplicate",
    /// A message between nodes is overtaken by later ones.
    Reorder = "reorder",
    /// A request of a worker, or its answer, is lost.
    LostAnswer = "lost-answer",
    /// Some links take many times as long.
    SlowLink = "slow-link",
    /// A random majority against the rest.
    PartitionHalves = "partition-random-halves",
    /// One node alone.
    PartitionNode = "partition-random-node",
    /// Messages pass one way only between two sides.
    PartitionOneWay = "partition-one-way",
    /// One node sees both sides, which do not see each other.
    PartitionBridge = "partition-bridge",
    /// A worker reaches no node.
    CutWorker = "cut-worker",
    /// A node's syncs take many times as long.
    SlowSync = "slow-sync",
    /// A node's sync fails: its process must end.
    FailedSync = "failed-sync",
    /// A node's disk is full: its process must end before its log is torn.
    DiskFull = "disk-full",
    /// A crash loses all that was not synced.
    LostTail = "lost-tail",
    /// A crash leaves half of an unsynced write.
    TornTail = "torn-tail",
    /// A crash keeps an unsynced write and loses an earlier one.
    ReorderedTail = "reordered-tail",
    /// A bit of a synced record flips: the node must never serve again.
    FlippedBit = "flipped-bit",
    /// A node's wall clock jumps.
    WallJump = "wall-jump",
    /// A node's monotonic clock runs off by less than the drift margin allows.
    NodeRate = "node-rate",
    /// A worker's monotonic clock runs off by less than the drift margin allows.
    WorkerRate = "worker-rate",
    /// Monotonic clocks run off beyond the drift margin: beliefs may overlap, fences must hold.
    WildRate = "wild-rate",
    /// A process is killed and later starts on the same disk.
    Crash = "kill-random-node",
    /// A process is killed between two outputs of its core.
    CrashBetween = "kill-between-outputs",
    /// All processes are killed at once.
    KillAll = "kill-all",
    /// A process stops for longer than a lease, then goes on.
    PauseNode = "pause-random-node",
    /// The leader stops for longer than a lease, then goes on.
    PauseLeader = "pause-leader",
    /// A worker stops for longer than a lease, then goes on with what it was about to do.
    PauseWorker = "pause-worker",
    /// A node is removed, its disk wiped, and it joins anew.
    Membership = "membership",
    /// Leadership is handed to another node.
    TransferLeader = "transfer-leader",
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultSet(u64);

impl FaultSet {
    /// None of them.
    pub const NONE: FaultSet = FaultSet(0);

    /// These.
    pub fn of(faults: &[Fault]) -> Self {
        faults.iter().fold(FaultSet::NONE, |set, &fault| set.with(fault))
    }

    /// All of them.
    pub fn all() -> Self {
        Self::of(Fault::ALL)
    }

    /// With this one too.
    pub fn with(self, fault: Fault) -> Self {
        FaultSet(self.0 | 1 << fault as u32)
    }

    /// Without this one.
    pub fn without(self, fault: Fault) -> Self {
        FaultSet(self.0 & !(1 << fault as u32))
    }

    /// Whether this one is in it.
    pub fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u32) != 0
    }

    /// Those that are in both.
    pub fn and(self, other: FaultSet) -> Self {
        FaultSet(self.0 & other.0)
    }

    /// Those that are in either.
    pub fn or(self, other: FaultSet) -> Self {
        FaultSet(self.0 | other.0)
    }

    /// Its members in order.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(move |&fault| self.has(fault))
    }
}
