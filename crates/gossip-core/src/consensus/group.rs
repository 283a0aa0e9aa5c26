//! The group: inputs in, outputs out.

use std::collections::{BTreeMap, VecDeque};

use raft::eraftpb::{ConfState, MessageType};
use raft::{RawNode, SnapshotStatus, StateRole};

use super::api::{
    Config, Input, Member, Members, NodeId, Output, Recovered, Role, SnapshotData, SnapshotRecord, Status, Ticket,
};
use super::clock::LeaseClock;
use super::codec::{decode, encode};
use super::drive::own_share;
use super::incoming::{self, Led};
use super::log::{Log, StartError};
use super::machine::StateMachine;
use super::members::Changes;
use super::reads::Reads;
use super::requests::{Early, Pending};
use super::waiters::Waiters;
use crate::coordination::ids::Stamp;
use crate::mutants::{Mutant, Planted};
use crate::time::Time;

/// One node's part in a Raft group. See [`super::api`] for the contract with its driver.
pub struct Group<M: StateMachine> {
    pub(super) id: NodeId,
    pub(super) config: Config,
    pub(super) raft: RawNode<Log>,
    pub(super) machine: M,
    pub(super) members: Members,
    pub(super) conf_state: ConfState,
    pub(super) planted: Planted,
    pub(super) now: Time,
    next_tick: Time,
    /// Differs from life to life of a node.
    pub(super) start: u64,
    pub(super) applied: u64,
    /// Bytes of the entries applied since the newest snapshot.
    pub(super) grown: u64,
    /// The newest commit index that a leader told, also of entries that are not here yet.
    heard: u64,
    /// The newest stamp that was applied.
    pub(super) stamp: Stamp,
    /// Held while this node leads and may stamp.
    pub(super) clock: Option<LeaseClock>,
    /// The term in which this node leads or led last.
    pub(super) led: Option<u64>,
    pub(super) pending: BTreeMap<u64, Pending<M>>,
    pub(super) early: VecDeque<Early<M>>,
    pub(super) waiters: Waiters<M>,
    pub(super) reads: Reads<M>,
    pub(super) changes: Changes,
    /// Writes on their way to the disk: our ticket, and raft's number of the newest `Ready` that is durable with it.
    pub(super) unsynced: VecDeque<(Ticket, u64)>,
    pub(super) tickets: u64,
    /// The write that made the present term and vote durable; `None`: they were found on the disk.
    pub(super) term_ticket: Option<Ticket>,
    #[cfg(feature = "mutants")]
    pub(super) wall_ms: u64,
    pub(super) outputs: VecDeque<Output<M>>,
    pub(super) failed: bool,
    pub(super) removed: bool,
    dropped_messages: u64,
}

impl<M: StateMachine> std::fmt::Debug for Group<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl<M: StateMachine> Group<M> {
    /// The first record on the disk of every founding node: a snapshot at index 1 that names the members, around an empty
    /// `machine`. A node that joins later has none and gets the leader's.
    pub fn bootstrap_record(members: &Members, machine: &M) -> SnapshotRecord {
        let voters = members.nodes.iter().filter(|m| m.voter).map(|m| m.id).collect();
        let conf_state = ConfState { voters, ..ConfState::default() };
        let data = SnapshotData { members: members.clone(), stamp: 0, machine: machine.snapshot() };
        SnapshotRecord { index: 1, term: 1, conf_state, data: encode(&data) }
    }

    /// Starts a node from what its disk holds, `machine` being empty.
    ///
    /// # Errors
    /// The disk's content cannot be a log's: the node must not start.
    pub fn new(
        id: NodeId,
        config: Config,
        mut recovered: Recovered,
        mut machine: M,
        planted: Planted,
        now: Time,
    ) -> Result<Self, StartError> {
        let (mut members, mut stamp) = (Members::default(), Stamp(0));
        if let Some(record) = &recovered.snapshot {
            let data: SnapshotData = decode(&record.data).map_err(StartError)?;
            machine.restore(&data.machine).map_err(|e| StartError(e.to_string()))?;
            (members, stamp) = (data.members, Stamp(data.stamp));
        }
        if planted.is(Mutant::RestartDropsTail) && recovered.entries.len() > 1 {
            recovered.entries.pop();
            let last = recovered.entries.last().map_or(0, |e| e.index);
            recovered.hard_state.commit = recovered.hard_state.commit.min(last);
        }
        let log = Log::recover(recovered)?;
        let applied = log.snapshot_index();
        let conf_state = raft::Storage::initial_state(&log).map_err(|e| StartError(e.to_string()))?.conf_state;
        let raft = RawNode::new(
            &raft_config(id, &config, applied, planted),
            log,
            &slog::Logger::root(slog::Discard, slog::o!()),
        )
        .map_err(|e| StartError(e.to_string()))?;
        let mut group = Group {
            id,
            start: config.seed ^ now.as_nanos(),
            next_tick: now + config.tick,
            grown: own_share(id, config.snapshot_bytes),
            heard: 0,
            config,
            raft,
            machine,
            members,
            conf_state,
            planted,
            now,
            applied,
            stamp,
            clock: None,
            led: None,
            pending: BTreeMap::new(),
            early: VecDeque::new(),
            waiters: Waiters::default(),
            reads: Reads::default(),
            changes: Changes::default(),
            unsynced: VecDeque::new(),
            tickets: 0,
            term_ticket: None,
            #[cfg(feature = "mutants")]
            wall_ms: 0,
            outputs: VecDeque::new(),
            failed: false,
            removed: false,
            dropped_messages: 0,
        };
        group.jitter();
        group.drive();
        Ok(group)
    }

    /// The wall clock, which only a planted bug looks at.
    #[cfg(feature = "mutants")]
    pub fn set_wall_clock(&mut self, wall_ms: u64) {
        self.wall_ms = wall_ms;
    }

    /// Takes one input; then [`Self::poll`] until it gives `None`.
    pub fn handle(&mut self, now: Time, input: Input<M>) {
        self.handle_all(now, [input]);
    }

    /// Takes inputs that are there at the same time, so that they share one write and one message to each follower; then
    /// [`Self::poll`] until it gives `None`.
    pub fn handle_all(&mut self, now: Time, inputs: impl IntoIterator<Item = Input<M>>) {
        if self.failed {
            return;
        }
        self.now = self.now.max(now);
        self.tick();
        for input in inputs {
            self.dispatch(input);
        }
        self.drive();
    }

    /// The next output, in order.
    pub fn poll(&mut self) -> Option<Output<M>> {
        self.outputs.pop_front()
    }

    /// When [`Input::Wake`] is due at the latest.
    pub fn deadline(&self) -> Time {
        if self.failed {
            return Time::MAX;
        }
        let wake = match (&self.clock, self.waiters.next_wake()) {
            (Some(clock), Some(stamp)) => clock.when(stamp),
            _ => Time::MAX,
        };
        let patience = self.waiters.next_timeout().unwrap_or(Time::MAX);
        self.next_tick.min(wake).min(patience).min(self.reads.deadline())
    }

    /// The replicated state as this node has applied it.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Who is in the group, as far as this node has applied.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Whether this node's own removal was applied here: it takes no part any more and should stop.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// Messages that made no sense and were dropped.
    pub fn dropped_messages(&self) -> u64 {
        self.dropped_messages
    }

    /// The leader this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        Some(self.raft.raft.leader_id).filter(|id| *id != raft::INVALID_ID)
    }

    pub(super) fn leads(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    /// How this node stands.
    pub fn status(&self) -> Status {
        let raft = &self.raft.raft;
        let (log_entries, log_bytes) = self.raft.store().size();
        let learner = self.conf_state.learners.contains(&self.id);
        Status {
            id: self.id,
            role: match raft.state {
                StateRole::Leader => Role::Leader,
                StateRole::Candidate => Role::Candidate,
                StateRole::PreCandidate => Role::PreCandidate,
                StateRole::Follower if learner => Role::Learner,
                StateRole::Follower => Role::Follower,
            },
            term: raft.term,
            leader: self.leader(),
            last_index: raft.raft_log.last_index(),
            commit: raft.raft_log.committed,
            applied: self.applied,
            snapshot: self.raft.store().snapshot_index(),
            log_entries,
            log_bytes,
            stamp: self.stamp.0,
            ready: self.is_ready(),
            in_flight: self.in_flight(),
            waiters: self.waiters.len(),
        }
    }

    fn is_ready(&self) -> bool {
        /// Entries that are on their way to a follower under load.
        const ON_THE_WAY: u64 = 1_000;
        let follows = || self.leader().is_some() && self.applied > 0 && self.applied + ON_THE_WAY >= self.heard;
        !self.failed && !self.removed && if self.leads() { self.clock.is_some() } else { follows() }
    }

    /// Remembers how far a leader says that the group is. A heartbeat says no more than what this node has acknowledged.
    fn overhear(&mut self, message: &raft::eraftpb::Message) {
        if message.term >= self.raft.raft.term {
            match message.get_msg_type() {
                MessageType::MsgAppend => self.heard = self.heard.max(message.commit),
                MessageType::MsgSnapshot => {
                    self.heard = self.heard.max(message.get_snapshot().get_metadata().index);
                }
                _ => {}
            }
        }
    }

    /// Raft's one source of randomness, replaced by a draw that a seed decides. After every call into raft.
    pub(super) fn jitter(&mut self) {
        let raft = &mut self.raft.raft;
        let (min, max) = (self.config.election_ticks as u64, 2 * self.config.election_ticks as u64);
        let mut x = self.config.seed
            ^ self.id.rotate_left(17)
            ^ raft.term.rotate_left(34)
            ^ (raft.state as u64).rotate_left(51);
        // splitmix64's finalizer.
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        let patience = if self.installs() { max - 1 } else { min + x % (max - min) };
        self.raft.raft.set_randomized_election_timeout(patience as usize);
    }

    /// Whether a snapshot took the place of the log and is not durable yet. Raft looks through its log before it campaigns, from the
    /// last entry that counts as applied, and panics because that one is gone. So this node must not campaign meanwhile.
    fn installs(&self) -> bool {
        let installs = self.raft.raft.raft_log.applied + 1 < self.raft.store().first();
        installs && !self.planted.is(Mutant::CampaignsWhileInstalling)
    }

    /// Turns elapsed time into raft's ticks. After a long silence of the driver (the process was stopped, the machine slept) only
    /// a few are caught up on: the messages that waited meanwhile must be heard before this node judges its leader dead.
    fn tick(&mut self) {
        const CATCH_UP: u32 = 2;
        let mut ticks = 0;
        while self.next_tick <= self.now {
            ticks += 1;
            if ticks > CATCH_UP {
                self.next_tick = self.now + self.config.tick;
                break;
            }
            self.next_tick = self.next_tick + self.config.tick;
            if self.installs() {
                // Its patience with the leader may end, so that it votes for others, but not its patience to campaign.
                let elapsed = &mut self.raft.raft.election_elapsed;
                *elapsed = (*elapsed).min(self.config.election_ticks);
            }
            self.raft.tick();
            self.jitter();
            self.tend_changes();
            self.tend_snapshots();
        }
    }

    fn dispatch(&mut self, input: Input<M>) {
        match input {
            Input::Wake => {}
            Input::Message(message) => {
                self.overhear(&message);
                self.receive(*message);
            }
            Input::Persisted(ticket) => self.persisted(ticket),
            Input::Submit { token, command, wait } => self.submit(token, command, wait),
            Input::Query { token, query, consistency } => self.query(token, query, consistency),
            Input::Change { token, change } => self.change(token, change),
            Input::Cancel(token) => self.cancel(token),
            Input::Unreachable(node) => self.raft.report_unreachable(node),
            Input::SnapshotSent(node, arrived) => {
                let status = if arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
                self.raft.report_snapshot(node, status);
            }
        }
        self.jitter();
    }

    fn receive(&mut self, message: raft::eraftpb::Message) {
        let (from, kind) = (message.from, message.get_msg_type());
        // To a node that was removed, or to the number that this one had before: late, but not wrong.
        if message.to != self.id || from == self.id || from == raft::INVALID_ID || self.removed {
            self.dropped_messages += 1;
            return;
        }
        let (term, last) = (self.raft.raft.term, self.raft.raft.raft_log.last_index());
        if let Err(problem) = incoming::check(&message, self.leads().then_some(Led { term, last })) {
            self.dropped_messages += 1;
            return self.outputs.push_back(Output::BadMessage { from, problem });
        }
        // raft panics on this. It means that entries are gone which this node told the leader it had.
        if kind == MessageType::MsgHeartbeat && message.term >= term && message.commit > last {
            return self.fail(format!(
                "the log ends at {last}, but {} was acknowledged: the disk lost entries",
                message.commit
            ));
        }
        self.hear(from);
        let campaigns = kind == MessageType::MsgTimeoutNow;
        if (campaigns && self.installs()) || self.raft.step(message).is_err() {
            self.dropped_messages += 1;
        }
    }

    fn persisted(&mut self, ticket: Ticket) {
        let mut newest = None;
        while self.unsynced.front().is_some_and(|(t, _)| *t <= ticket) {
            newest = self.unsynced.pop_front().map(|(_, number)| number);
        }
        if let Some(number) = newest {
            self.raft.on_persist_ready(number);
            self.tell_applied();
        }
    }

    pub(super) fn fail(&mut self, line: String) {
        if !self.failed {
            self.failed = true;
            self.outputs.push_back(Output::Fatal(line));
        }
    }

    /// Forces a campaign, for tests and for a single-node cluster that need not wait.
    pub fn campaign(&mut self, now: Time) {
        self.now = self.now.max(now);
        if !self.installs() {
            // Refused by raft where it makes no sense; nothing is lost then.
            let _ = self.raft.campaign();
        }
        self.jitter();
        self.drive();
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.nodes.iter().find(|m| m.name == name)
    }
}

fn raft_config(id: NodeId, config: &Config, applied: u64, planted: Planted) -> raft::Config {
    raft::Config {
        id,
        election_tick: config.election_ticks,
        heartbeat_tick: config.heartbeat_ticks,
        applied,
        max_size_per_msg: config.max_message_bytes,
        max_inflight_msgs: config.max_inflight_messages,
        check_quorum: !planted.is(Mutant::LeaseBasedRead),
        batch_append: planted.is(Mutant::EntriesJoinedUnfollowed),
        pre_vote: true,
        read_only_option: raft::ReadOnlyOption::Safe,
        max_committed_size_per_ready: 16 << 20,
        max_uncommitted_size: config.max_uncommitted_bytes.max(config.max_message_bytes),
        ..raft::Config::default()
    }
}
