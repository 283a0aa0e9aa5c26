//! Planted bugs, one name each: the proof that the harness can see a bug of that kind.
//!
//! A component carries a [`Planted`] and asks `planted.is(Mutant::X)` where the bug would be. Without the cargo feature
//! `mutants` there is no way to make a [`Planted`] that says yes, and each question is the constant `false`.

macro_rules! mutants {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Every planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant { $($(#[$doc])* $variant,)* }

        impl Mutant {
            /// All of them, in the order of this file.
            pub const ALL: &'static [Mutant] = &[$(Mutant::$variant,)*];

            /// The name by which a start-up flag chooses it.
            pub const fn name(self) -> &'static str {
                match self { $(Mutant::$variant => $name,)* }
            }
        }
    };
}

mutants! {
    /// A takeover of an expired lease keeps the old fence (S2).
    FenceNotRaisedOnTakeover = "fence-not-raised-on-takeover",
    /// A write with a fence below the current one is accepted (S2).
    FenceUnchecked = "fence-unchecked",
    /// An acquire is granted although a lease is live (S1).
    AcquireIgnoresLiveLease = "acquire-ignores-live-lease",
    /// The holder's write is accepted after its deadline (S1).
    ExpiryUnchecked = "expiry-unchecked",
    /// A lease is still taken for live at its deadline's very instant (S1, boundary).
    ExpiryOffByOne = "expiry-off-by-one",
    /// Unpark leaves the fence as it was (S2).
    UnparkKeepsFence = "unpark-keeps-fence",
    /// Ending a run does not raise its shards' fences (S3).
    CancelDoesNotFence = "cancel-does-not-fence",
    /// A Done shard may be acquired again (S3).
    DoneIsAcquirable = "done-is-acquirable",
    /// A run is completed while a shard is Active (S3).
    CompleteRunIgnoresActive = "complete-run-ignores-active",
    /// A split loses the key at the cut (S4).
    SplitDropsBoundary = "split-drops-boundary",
    /// A residual split gives the sibling the parent's whole range (S4).
    ResidualOverlaps = "residual-overlaps",
    /// A replayed op id is applied again (S5).
    OpLogForgotten = "op-log-forgotten",
    /// The op log is asked after the lease, so that a replay after expiry is refused (S5).
    OpLogAfterLease = "op-log-after-lease",
    /// Two payloads under one op id are taken for the same (S5).
    OpIdConflictUnchecked = "op-id-conflict-unchecked",
    /// A cursor may move back (S7).
    CursorMovesBack = "cursor-moves-back",
    /// A cursor may leave the range (S7).
    CursorLeavesRange = "cursor-leaves-range",
    /// The first child of a split-replace begins behind a key that nobody reported (S7).
    SplitMovesCursor = "split-moves-cursor",
    /// A range holds its own end (S7, in the arithmetic that every check of the product shares).
    EndCountsAsInside = "end-counts-as-inside",
    /// A release forgets the cursor (S7).
    ReleaseForgetsCursor = "release-forgets-cursor",
    /// A lease of any length is asked for and granted (the shape of requests).
    LeaseLengthUnchecked = "lease-length-unchecked",
    /// A run that has not ended is deleted when somebody asks for it (S3).
    LiveRunDeletable = "live-run-deletable",
    /// A run that failed cannot be deleted (a refusal that is not due).
    FailedRunUndeletable = "failed-run-undeletable",
    /// A run that failed reads as Cancelled (S3).
    FailedRunReadsCancelled = "failed-run-reads-cancelled",
    /// A run that has ended is forgotten: who asks for it is told that there is none (S8).
    EndedRunForgotten = "ended-run-forgotten",
    /// A claim is served from the first run of its tenant, whichever it names (S4).
    RunOfClaimIgnored = "run-of-claim-ignored",
    /// The snapshot leaves the op log out (S5).
    SnapshotWithoutOpLog = "snapshot-without-op-log",
    /// A linearizable read is answered from the local state at once (L).
    StaleRead = "stale-read",
    /// A leader never asks whether it still has a quorum, neither in time nor for a read: a deposed one goes on answering (L).
    LeaseBasedRead = "lease-based-read",
    /// The leader stamps proposals with its wall clock (S1).
    WallClockLease = "wall-clock-lease",
    /// A new leader's lease clock starts at its own uptime instead of the last applied stamp (S1).
    LeaseClockRestarts = "lease-clock-restarts",
    /// Messages and answers go out before the write is durable (S8).
    AckBeforeSync = "ack-before-sync",
    /// The vote is not written (leader per term).
    VoteNotPersisted = "vote-not-persisted",
    /// A proposal is answered when it is appended, not when it is committed (S8).
    AckBeforeCommit = "ack-before-commit",
    /// A restart forgets the last log entry although it was synced (S8).
    RestartDropsTail = "restart-drops-tail",
    /// A waiter is granted the lease without asking the state machine (S1).
    WaiterGrantedUnasked = "waiter-granted-unasked",
    /// A start takes a log that begins right behind its snapshot for one with a hole (a node serves again after a crash).
    RecoverySeesAHole = "recovery-sees-a-hole",
    /// Raft joins messages by itself, also entries to an empty message that they do not follow (a follower acknowledges what it holds).
    EntriesJoinedUnfollowed = "entries-joined-unfollowed",
    /// A node campaigns while a snapshot that took the place of its log is not durable (a node goes on).
    CampaignsWhileInstalling = "campaigns-while-installing",
    /// A learner that holds nothing gets a vote, where the log is short (a majority that holds something can answer).
    EmptyLearnerVotes = "empty-learner-votes",
    /// A leader that inherited its own removal goes on leading (a node goes on).
    RemovedLeaderStays = "removed-leader-stays",
    /// A holder counts its lease from the answer instead of from before it sent (S1, believed).
    HolderCountsFromAnswer = "holder-counts-from-answer",
    /// A worker of the simulator sends again what its history was not told of (the judge would convict a service that is right).
    UntoldIsReplayed = "untold-is-replayed",
    /// A checksum mismatch is read as if it were good (S8).
    ChecksumUnchecked = "checksum-unchecked",
    /// A payload behind a gap is taken, and the gap acknowledged with it (broadcast: nothing is lost).
    GapAcknowledged = "gap-acknowledged",
    /// What was sent is never sent again, acknowledged or not (broadcast: a loss is repaired in time).
    UnacknowledgedNotResent = "unacknowledged-not-resent",
    /// Nobody takes over from a hub that is gone (broadcast: one lost hub costs one fail-over).
    HubNeverReplaced = "hub-never-replaced",
    /// Anti-entropy never sends facts of other nodes (G1).
    GossipOwnFactsOnly = "gossip-own-facts-only",
    /// An older fact takes the place of a newer one (G1).
    OlderFactOverwrites = "older-fact-overwrites",
    /// Nothing but what the driver gave tells one life of a node from another (G1).
    LivesShareIncarnations = "lives-share-incarnations",
    /// A suspected node answers at the incarnation at which it is suspected (no healthy node dies).
    RefutationKeepsIncarnation = "refutation-keeps-incarnation",
    /// A slow node never gives others more time (who is slow accuses nobody).
    NoLocalHealth = "no-local-health",
    /// A node that was stopped takes what it did not read for silence (who stalls accuses nobody).
    NoStallDetection = "no-stall-detection",
    /// Who passes a suspicion on counts as one more accuser (confirmations are independent).
    HearsayConfirms = "hearsay-confirms",
    /// The ack of a helper is not taken after its nack (a lost link is bridged).
    NackForgetsHelper = "nack-forgets-helper",
    /// A death is believed on the word of one (no healthy node dies).
    DeathBelievedUnheard = "death-believed-unheard",
    /// Who is held dead goes on accusing others (no healthy node is suspected for long).
    DeadAreHeard = "dead-are-heard",
    /// Confirmations do not shorten a suspicion (time to detect a crash).
    SuspicionIgnoresConfirmations = "suspicion-ignores-confirmations",
}

/// The bug planted in this process, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl Planted {
    /// No bug.
    pub const NONE: Planted = Planted {
        #[cfg(feature = "mutants")]
        mutant: None,
    };

    /// Whether this bug is the planted one.
    #[cfg(feature = "mutants")]
    #[inline]
    pub fn is(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether this bug is the planted one: never, in a build without the feature.
    #[cfg(not(feature = "mutants"))]
    #[inline(always)]
    pub const fn is(self, _: Mutant) -> bool {
        false
    }

    /// The bug with this name, or `None` if there is none.
    #[cfg(feature = "mutants")]
    pub fn named(name: &str) -> Option<Planted> {
        Mutant::ALL.iter().copied().find(|m| m.name() == name).map(Planted::from)
    }
}

#[cfg(feature = "mutants")]
impl From<Mutant> for Planted {
    fn from(mutant: Mutant) -> Self {
        Planted { mutant: Some(mutant) }
    }
}
