//! What a run has reached: which faults took hold, which refusals were given, which rare events came to pass.

use std::collections::BTreeMap;

use crate::faults::Fault;
use crate::faults::options::Level;

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Something that must happen in a share of runs, or the runs are too tame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Event { $($(#[$doc])* $variant,)* }

        impl Event {
            /// All of them.
            pub const ALL: &'static [Event] = &[$(Event::$variant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Event::$variant => $name,)* }
            }
        }
    };
}

events! {
    /// Another node than the first one led.
    LeaderChange = "leader-change",
    /// A lease was taken over after its deadline.
    Takeover = "takeover",
    /// An op id that was carried out was sent again and got its first answer.
    Replay = "replay",
    /// A request waited in line and was granted.
    WaitGranted = "wait-granted",
    /// A worker wrote under a lease that it no longer believed in.
    ZombieWrite = "zombie-write",
    /// A node made a snapshot.
    SnapshotMade = "snapshot-made",
    /// A node was caught up by a snapshot.
    SnapshotInstalled = "snapshot-installed",
    /// A node started again from its disk.
    Restart = "restart",
    /// A node that does not lead answered a linearizable read.
    FollowerRead = "follower-read",
    /// A run was read, status and shards, while workers worked on it.
    RunRead = "run-read",
    /// A linearizable read at a node found more than an earlier stale one.
    StaleBehind = "stale-behind",
    /// An operation ended without anybody knowing its outcome.
    Indefinite = "indefinite",
    /// A shard was split.
    Split = "split",
    /// A run ended over its workers' heads.
    RunEnded = "run-ended",
    /// A run that stands in the history was deleted.
    RunDeleted = "run-deleted",
    /// A run that stands in the history and had not ended was to be deleted, and that was refused.
    DeletionRefused = "deletion-refused",
    /// A node was taken for dead by another one's gossip.
    MemberDead = "member-dead",
    /// An op id came again after so many newer ones that its answer was forgotten.
    ForgottenByNumber = "forgotten-by-number",
    /// An op id came again after its answer was forgotten for the bytes of newer ones.
    ForgottenByBytes = "forgotten-by-bytes",
}

/// Every reason of a failure that can come up here, as in `docs/errors.md`.
pub const REASONS: &[&str] = &[
    "INVALID_ARGUMENT",
    "LIMIT_EXCEEDED",
    "OP_ID_CONFLICT",
    "RUN_NOT_FOUND",
    "RUN_EXISTS",
    "RUN_NOT_OPEN",
    "RUN_NOT_STARTED",
    "RUN_ENDED",
    "RUN_UNFINISHED",
    "RUN_NOT_ENDED",
    "SHARD_NOT_FOUND",
    "SHARD_EXISTS",
    "SHARD_OVERLAP",
    "SHARD_TERMINAL",
    "SHARD_PARKED",
    "SHARD_NOT_PARKED",
    "LEASE_HELD",
    "NO_SHARD_FREE",
    "FENCE_MISMATCH",
    "LEASE_EXPIRED",
    "NOT_OWNER",
    "CURSOR_REGRESSION",
    "CURSOR_OUT_OF_RANGE",
    "SPLIT_POINT_INVALID",
    "NOT_LEADER",
    "OVERLOADED",
    "LEADERSHIP_LOST",
    "TIMEOUT",
    "READ_UNCONFIRMED",
    "CHANGE_IN_PROGRESS",
    "BAD_CHANGE",
    "STOPPING",
    "UNREACHABLE",
    "DEADLINE",
    "TRANSPORT",
];

/// The reasons of `docs/errors.md` that cannot, and why.
pub const ELSEWHERE: &[(&str, &str)] = &[
    (
        "CLUSTER_MISMATCH",
        "the service checks the cluster's name where a connection comes in; there is one cluster here",
    ),
    ("NODE_REMOVED", "the service says it where a removed node's connection comes in; here nobody connects"),
    (
        "NODE_REPLACED",
        "the service says it to a node that lost its data folder; disks here are damaged, and never swapped",
    ),
    ("LEASE_LOST", "of the client's lease guard: workers here send what they should not, and the nodes must refuse it"),
];

/// Reasons that only faults bring about.
const STORM_REASONS: &[&str] = &[
    "LEADERSHIP_LOST",
    "READ_UNCONFIRMED",
    "CHANGE_IN_PROGRESS",
    "BAD_CHANGE",
    "STOPPING",
    "UNREACHABLE",
    "TRANSPORT",
];

/// Events that only faults bring about.
const STORM_EVENTS: &[Event] = &[
    Event::LeaderChange,
    Event::SnapshotInstalled,
    Event::Restart,
    Event::Indefinite,
    Event::StaleBehind,
    Event::MemberDead,
];

/// What the judge of `gossip-check` judges in a history of this world. Each must have had something to compare.
pub const JUDGED: [&str; 10] = ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "L", "G1"];

/// The marks of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    faults: u64,
    reasons: u64,
    events: u64,
}

impl Reach {
    /// This fault took hold.
    pub fn fault(&mut self, fault: Fault) {
        self.faults |= 1 << fault as u32;
    }

    /// Somebody failed for this reason.
    ///
    /// # Panics
    /// [`REASONS`] does not list it: coverage would not count it.
    pub fn reason(&mut self, reason: &str) {
        let place = REASONS.iter().position(|known| *known == reason);
        self.reasons |= 1 << place.unwrap_or_else(|| panic!("{reason} is not in the table of reasons"));
    }

    /// This came to pass.
    pub fn event(&mut self, event: Event) {
        self.events |= 1 << event as u32;
    }
}

/// How many of how many runs reached what.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    runs: u64,
    counts: BTreeMap<(Kind, &'static str), u64>,
}

/// The three parts of a table of coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A fault took hold.
    Fault,
    /// A reason of a refusal.
    Reason,
    /// Something rare.
    Event,
}

impl Coverage {
    /// Counts one more run.
    pub fn add(&mut self, reach: &Reach) {
        self.runs += 1;
        let mut count = |kind, name, bits: u64, place: usize| {
            *self.counts.entry((kind, name)).or_default() += bits >> place & 1;
        };
        Fault::ALL.iter().for_each(|&f| count(Kind::Fault, f.name(), reach.faults, f as usize));
        (0..).zip(REASONS).for_each(|(place, reason)| count(Kind::Reason, reason, reach.reasons, place));
        Event::ALL.iter().for_each(|&e| count(Kind::Event, e.name(), reach.events, e as usize));
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: &Coverage) {
        self.runs += other.runs;
        for (what, count) in &other.counts {
            *self.counts.entry(*what).or_default() += count;
        }
    }

    /// Runs counted.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Every line of the table: kind, name, runs that reached it.
    pub fn lines(&self) -> impl Iterator<Item = (Kind, &'static str, u64)> {
        self.counts.iter().map(|(&(kind, name), &count)| (kind, name, count))
    }

    /// Faults that took hold and do not exist at this level: then the level is not what its name says.
    pub fn foreign(&self, level: Level) -> Vec<&'static str> {
        let exists = |name: &str| level.faults().iter().any(|fault| fault.name() == name);
        let reached = self.lines().filter(|&(kind, name, count)| kind == Kind::Fault && count > 0 && !exists(name));
        reached.map(|(_, name, _)| name).collect()
    }

    /// What runs at this level should reach and none did.
    pub fn missing(&self, level: Level) -> Vec<&'static str> {
        let due = |kind, name: &str| match kind {
            Kind::Fault => level.faults().iter().any(|fault| fault.name() == name),
            Kind::Reason => level != Level::Sunny || !STORM_REASONS.contains(&name),
            Kind::Event => level != Level::Sunny || !STORM_EVENTS.iter().any(|event| event.name() == name),
        };
        self.lines().filter(|&(kind, name, count)| count == 0 && due(kind, name)).map(|(_, name, _)| name).collect()
    }
}
