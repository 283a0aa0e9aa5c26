//! The words between a Raft group and its driver.
//!
//! The contract: hand in one [`Input`] with the time, then take every [`Output`] until there is none, in order. An output that
//! carries `after: Some(ticket)` may leave the process only when the [`Persist`] of that ticket, and every earlier one, is
//! durable; the driver says so with [`Input::Persisted`]. Outputs without a ticket may leave at once.

use std::time::Duration;

use raft::eraftpb;
use serde::{Deserialize, Serialize};

use super::incoming::BadMessage;
use super::machine::StateMachine;
use crate::time::Time;

/// Raft's own number of a node. Never used again once the node was removed.
pub type NodeId = u64;

/// Names one request between driver and group. The driver never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Numbers the writes of one process in order, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the driver tells the group.
#[derive(Debug)]
pub enum Input<M: StateMachine> {
    /// Nothing but that time has passed: due when [`super::Group::deadline`] is reached.
    Wake,
    /// A message of another node of the group, as it was sent.
    Message(Box<eraftpb::Message>),
    /// Every write up to this one is durable.
    Persisted(Ticket),
    /// A mutation. Answered once by [`Output::Applied`] or [`Output::Refused`].
    Submit {
        /// Comes back with the answer.
        token: Token,
        /// What to apply.
        command: M::Command,
        /// How long to wait in line while the answer is "not now": zero for an answer at once.
        wait: Duration,
    },
    /// A read. Answered once by [`Output::Read`] or [`Output::Refused`].
    Query {
        /// Comes back with the answer.
        token: Token,
        /// What to read.
        query: M::Query,
        /// How fresh it must be.
        consistency: Consistency,
    },
    /// A change of the group. Answered once by [`Output::Changed`] or [`Output::Refused`].
    Change {
        /// Comes back with the answer.
        token: Token,
        /// What to change.
        change: Change,
    },
    /// The caller of this request has gone or its time is up: it is dropped if it still waits in line, and answered
    /// [`Refusal::Timeout`] in any case. A command that is in the log may still be applied.
    Cancel(Token),
    /// Another node cannot be reached at the moment: stop pipelining to it.
    Unreachable(NodeId),
    /// A snapshot sent to this node arrived (`true`) or was lost (`false`).
    SnapshotSent(NodeId, bool),
}

/// How fresh a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Reflects every mutation answered before the read began (ReadIndex).
    Linearizable,
    /// The local state at once, however old.
    Stale,
}

/// A change of the group's members or leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds a learner, which becomes a voter by itself once it has caught up. Answers with its new [`NodeId`].
    AddNode {
        /// Its name, unique in the group.
        name: String,
        /// Where the other nodes reach it.
        address: String,
    },
    /// Removes a node; a leader hands over first.
    RemoveNode {
        /// Its name.
        name: String,
    },
    /// Makes this voter the leader.
    TransferLeader {
        /// Its name; `None`: the voter that is furthest ahead.
        to: Option<String>,
    },
}

/// What the group tells the driver.
#[derive(Debug)]
pub enum Output<M: StateMachine> {
    /// Write this, in one atomic step, then say [`Input::Persisted`].
    Persist(Box<Persist>),
    /// Send this to `message.to`. Loss, delay, duplication and reordering are allowed for.
    Send {
        /// The message.
        message: Box<eraftpb::Message>,
        /// Only when this write is durable.
        after: Option<Ticket>,
    },
    /// The mutation was committed and applied, at this node too.
    Applied {
        /// The request.
        token: Token,
        /// Its place in the log.
        index: u64,
        /// The state machine's answer.
        answer: M::Answer,
    },
    /// The read.
    Read {
        /// The request.
        token: Token,
        /// The log index whose state was read.
        applied: u64,
        /// The state machine's answer.
        view: M::View,
    },
    /// The change of members or leader took effect.
    Changed {
        /// The request.
        token: Token,
        /// The node that was added, removed or made leader.
        node: NodeId,
    },
    /// The request was not carried out, or nobody can tell: see [`Refusal::is_definite`].
    Refused {
        /// The request.
        token: Token,
        /// Why.
        refusal: Refusal,
    },
    /// A message that no node of the group would have sent. It was dropped; whoever runs the group may want to know.
    BadMessage {
        /// Who claims to have sent it.
        from: NodeId,
        /// What is wrong with it.
        problem: BadMessage,
    },
    /// The group cannot go on with what the disk or a peer gave it. The process must stop with this line.
    Fatal(String),
}

/// One atomic write. Parts that are `None` or empty stay as they are on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Persist {
    /// Its number. Named `0` never occurs.
    pub ticket: u64,
    /// Replaces the snapshot, and the log according to `keeps_log`.
    pub snapshot: Option<SnapshotRecord>,
    /// The snapshot is this node's own: the log stays. Otherwise it is a leader's, and every entry goes.
    pub keeps_log: bool,
    /// Replaces the hard state.
    pub hard_state: Option<eraftpb::HardState>,
    /// Appended; whatever stood at and after the first one's index goes.
    pub entries: Vec<eraftpb::Entry>,
    /// Entries up to this index go: they are in `snapshot` or in an earlier one.
    pub compact_to: Option<u64>,
    /// Whether it must be durable before anything depends on it. `false`: the driver may gather it with the next one.
    pub must_sync: bool,
}

/// A snapshot on disk or on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotRecord {
    /// The last index it contains.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// Raft's configuration at that index.
    pub conf_state: eraftpb::ConfState,
    /// [`SnapshotData`] with `postcard`.
    pub data: Vec<u8>,
}

/// The payload of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotData {
    /// Who is in the group.
    pub members: Members,
    /// The lease clock.
    pub stamp: u64,
    /// [`StateMachine::snapshot`].
    #[serde(with = "crate::bytes")]
    pub machine: Vec<u8>,
}

/// What a node finds on its disk at start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The newest snapshot; a bootstrapped node has one at index 1 from its first moment on.
    pub snapshot: Option<SnapshotRecord>,
    /// As last written.
    pub hard_state: eraftpb::HardState,
    /// The entries after the snapshot, without a hole.
    pub entries: Vec<eraftpb::Entry>,
}

/// Everyone in the group, and the next number to give.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// In order of their numbers.
    pub nodes: Vec<Member>,
    /// The number of the next node to join.
    pub next_id: NodeId,
}

/// One node of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Raft's number.
    pub id: NodeId,
    /// The name it was given at start, for example `n1`.
    pub name: String,
    /// Where the other nodes reach it.
    pub address: String,
    /// A learner until it has caught up.
    pub voter: bool,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This node does not lead; ask `leader` if it is known.
    #[error("this node is not the leader")]
    NotLeader {
        /// The leader as far as this node knows.
        leader: Option<NodeId>,
    },
    /// This many requests are under way already.
    #[error("too many requests are under way")]
    Overloaded {
        /// Try again after this.
        retry_after: Duration,
    },
    /// Leadership was lost while the command was in the log: it may or may not be applied.
    #[error("leadership was lost before the outcome was known")]
    LeadershipLost,
    /// The caller's time was up. `in_flight`: the command is in the log and may still be applied.
    #[error("no answer in time")]
    Timeout {
        /// Whether it may still take place.
        in_flight: bool,
    },
    /// No leader could confirm the read in time.
    #[error("no leader confirmed the read in time")]
    ReadUnconfirmed,
    /// A change of members is under way; one at a time.
    #[error("a change of members is under way")]
    ChangeInProgress,
    /// The change makes no sense: unknown name, taken name, last voter, not a voter.
    #[error("{field}: {problem}")]
    BadChange {
        /// Which field of the request.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

impl Refusal {
    /// Whether it is certain that nothing was and will be changed.
    pub fn is_definite(&self) -> bool {
        match self {
            Refusal::LeadershipLost => false,
            Refusal::Timeout { in_flight } => !in_flight,
            _ => true,
        }
    }

    /// The machine-readable reason: stable, in the error table of `docs/errors.md`.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::NotLeader { .. } => "NOT_LEADER",
            Refusal::Overloaded { .. } => "OVERLOADED",
            Refusal::LeadershipLost => "LEADERSHIP_LOST",
            Refusal::Timeout { .. } => "TIMEOUT",
            Refusal::ReadUnconfirmed => "READ_UNCONFIRMED",
            Refusal::ChangeInProgress => "CHANGE_IN_PROGRESS",
            Refusal::BadChange { .. } => "BAD_CHANGE",
            Refusal::Stopping => "STOPPING",
        }
    }
}

/// The group's settings. The defaults suit three nodes on a busy two-core machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Raft's unit of time.
    pub tick: Duration,
    /// Ticks between a leader's heartbeats.
    pub heartbeat_ticks: usize,
    /// A follower that hears nothing for this many to twice this many ticks campaigns.
    pub election_ticks: usize,
    /// Requests under way (in the log or waiting for it) before a new one is refused.
    pub max_in_flight: usize,
    /// Waiters in line, over all keys, before a new one is refused.
    pub max_waiters: usize,
    /// Entries applied after the newest snapshot before a new one is made.
    pub snapshot_entries: u64,
    /// Bytes of entries applied after the newest snapshot before a new one is made, however few entries they are; at least the
    /// bytes of that snapshot, so that writing snapshots never costs much more than writing the log.
    pub snapshot_bytes: u64,
    /// Entries kept behind the snapshot for followers that are a little behind.
    pub keep_entries: u64,
    /// Bytes of entries kept behind it at most.
    pub keep_bytes: u64,
    /// Bytes of entries in the log that no majority has yet, before a new request is refused.
    pub max_uncommitted_bytes: u64,
    /// Bytes of entries in one message.
    pub max_message_bytes: u64,
    /// Append messages to one follower under way at once.
    pub max_inflight_messages: usize,
    /// A snapshot that neither arrived nor was reported lost is sent again after this.
    pub snapshot_timeout: Duration,
    /// A linearizable read that no leader confirmed is refused after this.
    pub read_timeout: Duration,
    /// The seed of the election jitter: different on each node.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            tick: Duration::from_millis(20),
            heartbeat_ticks: 2,
            election_ticks: 10,
            max_in_flight: 4096,
            max_waiters: 65_536,
            snapshot_entries: 50_000,
            snapshot_bytes: 64 << 20,
            keep_entries: 10_000,
            keep_bytes: 16 << 20,
            max_uncommitted_bytes: 64 << 20,
            max_message_bytes: 1 << 20,
            max_inflight_messages: 256,
            snapshot_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(5),
            seed: 0,
        }
    }
}

/// How a node stands, for status pages and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// Its part.
    pub role: Role,
    /// Raft's term.
    pub term: u64,
    /// The leader it knows.
    pub leader: Option<NodeId>,
    /// Last log index.
    pub last_index: u64,
    /// Last committed index it knows.
    pub commit: u64,
    /// Last applied index.
    pub applied: u64,
    /// Index of the newest snapshot.
    pub snapshot: u64,
    /// Entries of the log in memory, and their bytes.
    pub log_entries: u64,
    /// See `log_entries`.
    pub log_bytes: u64,
    /// The lease clock as of the last applied entry, in milliseconds.
    pub stamp: u64,
    /// Whether it can serve: it leads and may stamp, or knows a leader and has applied what it has heard to be committed, but for
    /// what is on its way.
    pub ready: bool,
    /// Requests under way here.
    pub in_flight: usize,
    /// Waiters in line here.
    pub waiters: usize,
}

/// A node's part in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows, or knows no leader.
    Follower,
    /// Asks whether an election could be won.
    PreCandidate,
    /// Campaigns.
    Candidate,
    /// Leads.
    Leader,
    /// Has no vote (yet).
    Learner,
}

/// When the group next wants [`Input::Wake`] at the latest.
pub type Deadline = Time;
