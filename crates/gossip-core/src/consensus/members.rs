//! Changes of the group: who is in it, who leads it.

use std::collections::BTreeMap;

use raft::eraftpb::{ConfChange, ConfChangeType};
use raft::{ProgressState, SnapshotStatus};
use serde::{Deserialize, Serialize};

use super::api::{Change, Member, NodeId, Output, Refusal, Token};
use super::codec::{decode, encode};
use super::group::Group;
use super::machine::StateMachine;
use crate::mutants::Mutant;
use crate::time::Time;

/// Entries that a learner may be behind when it is made a voter.
const CAUGHT_UP: u64 = 64;

/// What a change of members carries beside raft's own numbers.
#[derive(Debug, Serialize, Deserialize)]
struct ChangeContext {
    name: String,
    address: String,
}

/// The changes under way at this node.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// In the log at this index; the token is missing when nobody waits for it.
    logged: Option<(u64, Option<Token>)>,
    transfer: Option<Transfer>,
    /// Snapshots under way to these nodes, and when they count as lost.
    sending: BTreeMap<NodeId, Time>,
    /// When each node was heard last. Raft's own note of it starts anew with each election time-out, and would refuse at random.
    heard: BTreeMap<NodeId, Time>,
    /// Since when this node leads, or led last.
    leads_since: Time,
}

#[derive(Debug)]
struct Transfer {
    token: Token,
    to: NodeId,
    until: Time,
    /// This node was asked to remove itself: it hands over, and the next leader does it.
    to_leave: bool,
}

impl<M: StateMachine> Group<M> {
    pub(super) fn start_change(&mut self, token: Token, change: Change) -> Result<(), Refusal> {
        if self.changes.logged.is_some() || self.changes.transfer.is_some() || self.raft.raft.has_pending_conf() {
            return Err(Refusal::ChangeInProgress);
        }
        match change {
            Change::AddNode { name, address } => self.add_node(token, name, address),
            Change::RemoveNode { name } => self.remove_node(token, &name),
            Change::TransferLeader { to } => {
                let to = self.transferee(to.as_deref())?;
                self.hand_over(token, to, false)
            }
        }
    }

    fn add_node(&mut self, token: Token, name: String, address: String) -> Result<(), Refusal> {
        if name.is_empty() || name.len() > 128 {
            return Err(Refusal::BadChange { field: "node", problem: "must be 1 to 128 bytes long".into() });
        }
        if address.is_empty() || address.len() > 256 {
            return Err(Refusal::BadChange { field: "address", problem: "must be 1 to 256 bytes long".into() });
        }
        if self.member(&name).is_some() {
            return Err(Refusal::BadChange { field: "node", problem: format!("{name} is a member already") });
        }
        if let Some(other) = self.members.nodes.iter().find(|member| member.address == address) {
            return Err(Refusal::BadChange {
                field: "address",
                problem: format!("{address} is that of {}", other.name),
            });
        }
        self.propose_change(Some(token), ConfChangeType::AddLearnerNode, self.members.next_id, name, address)
    }

    fn remove_node(&mut self, token: Token, name: &str) -> Result<(), Refusal> {
        let Some(Member { id, voter, .. }) = self.member(name).cloned() else {
            return Err(Refusal::BadChange { field: "node", problem: format!("{name} is not a member") });
        };
        if voter && self.conf_state.voters.len() == 1 {
            return Err(Refusal::BadChange { field: "node", problem: format!("{name} is the last voter") });
        }
        if voter {
            self.check_majority_without(id, name)?;
        }
        if id == self.id {
            // A leader that applied its own removal would go on leading.
            let to = self.transferee(None)?;
            return self.hand_over(token, to, true);
        }
        self.propose_change(Some(token), ConfChangeType::RemoveNode, id, name.to_owned(), String::new())
    }

    /// Notes that this node has begun to lead.
    pub(super) fn begin_to_lead(&mut self) {
        self.changes.leads_since = self.now;
    }

    /// Notes a sign of life.
    pub(super) fn hear(&mut self, from: NodeId) {
        if self.members.nodes.iter().any(|member| member.id == from) {
            self.changes.heard.insert(from, self.now);
        }
    }

    /// Whether the voters that are left would have a majority that answers: without one the group stands still, and could not
    /// even take the voter back.
    fn check_majority_without(&self, id: NodeId, name: &str) -> Result<(), Refusal> {
        let recently = self.config.tick * (2 * self.config.election_ticks as u32);
        let answers = |voter: &NodeId| {
            *voter == self.id || self.changes.heard.get(voter).is_some_and(|at| *at + recently > self.now)
        };
        let left: Vec<NodeId> = self.conf_state.voters.iter().copied().filter(|voter| *voter != id).collect();
        let answering = left.iter().filter(|voter| answers(voter)).count();
        if answering > left.len() / 2 {
            return Ok(());
        }
        // A follower hears nobody but its leader: one that has just become the leader knows nothing of the others yet.
        if self.now < self.changes.leads_since + recently {
            return Err(Refusal::ChangeInProgress);
        }
        let problem = format!("without {name} only {answering} of {} voters would answer, no majority", left.len());
        Err(Refusal::BadChange { field: "node", problem })
    }

    fn propose_change(
        &mut self,
        token: Option<Token>,
        kind: ConfChangeType,
        node: NodeId,
        name: String,
        address: String,
    ) -> Result<(), Refusal> {
        let mut change = ConfChange::default();
        change.set_change_type(kind);
        change.node_id = node;
        change.context = encode(&ChangeContext { name, address }).into();
        let proposed = self.raft.propose_conf_change(Vec::new(), change);
        self.jitter();
        if proposed.is_err() {
            return Err(Refusal::NotLeader { leader: None });
        }
        self.changes.logged = Some((self.raft.raft.raft_log.last_index(), token));
        Ok(())
    }

    /// The voter that is to lead: the named one, or the one that is furthest ahead.
    fn transferee(&self, name: Option<&str>) -> Result<NodeId, Refusal> {
        let bad = |problem: String| Refusal::BadChange { field: "to", problem };
        if let Some(name) = name {
            let member = self.member(name).ok_or_else(|| bad(format!("{name} is not a member")))?;
            return if member.voter { Ok(member.id) } else { Err(bad(format!("{name} has no vote"))) };
        }
        let progress = self.raft.raft.prs();
        let others = self.conf_state.voters.iter().filter(|id| **id != self.id);
        others
            .filter_map(|id| progress.get(*id).map(|p| (p.recent_active, p.matched, std::cmp::Reverse(*id))))
            .max()
            .map(|(_, _, std::cmp::Reverse(id))| id)
            .ok_or_else(|| bad("there is no other voter".into()))
    }

    fn hand_over(&mut self, token: Token, to: NodeId, to_leave: bool) -> Result<(), Refusal> {
        if to == self.id {
            self.outputs.push_back(Output::Changed { token, node: to });
            return Ok(());
        }
        let until = self.now + self.config.tick * (4 * self.config.election_ticks as u32);
        self.changes.transfer = Some(Transfer { token, to, until, to_leave });
        self.raft.transfer_leader(to);
        self.jitter();
        Ok(())
    }

    /// Answers a transfer once another node leads, or when it took too long.
    pub(super) fn settle_transfer(&mut self) {
        let Some(Transfer { token, to, until, to_leave }) = self.changes.transfer else { return };
        let leader = self.leader().filter(|id| *id != self.id);
        match leader {
            Some(leader) if to_leave => self.refuse(token, Refusal::NotLeader { leader: Some(leader) }),
            Some(leader) if leader == to => self.outputs.push_back(Output::Changed { token, node: to }),
            Some(leader) => self.refuse(token, Refusal::NotLeader { leader: Some(leader) }),
            None if self.now >= until => self.refuse(token, Refusal::Timeout { in_flight: true }),
            None => return,
        }
        self.changes.transfer = None;
    }

    /// Gives up on snapshots that neither arrived nor were reported lost: raft would wait for ever.
    pub(super) fn tend_snapshots(&mut self) {
        let progress = self.raft.raft.prs();
        let sending = |id: &NodeId| progress.get(*id).is_some_and(|p| p.state == ProgressState::Snapshot);
        let sending: Vec<NodeId> = self.members.nodes.iter().map(|m| m.id).filter(sending).collect();
        self.changes.sending.retain(|id, _| sending.contains(id));
        for id in sending {
            let until = *self.changes.sending.entry(id).or_insert(self.now + self.config.snapshot_timeout);
            if until <= self.now {
                self.changes.sending.remove(&id);
                self.raft.report_snapshot(id, SnapshotStatus::Failure);
                self.jitter();
            }
        }
    }

    /// The leader's own part: makes a learner that has caught up a voter.
    pub(super) fn tend_changes(&mut self) {
        if self.clock.is_none() || self.changes.logged.is_some() || self.raft.raft.has_pending_conf() {
            return;
        }
        let last = self.raft.raft.raft_log.last_index();
        let progress = self.raft.raft.prs();
        // In a short log a node that has nothing at all is not far behind either: it must hold something.
        let ready = |id: &NodeId| {
            progress.get(*id).is_some_and(|p| {
                let holds = p.matched > 0 || self.planted.is(Mutant::EmptyLearnerVotes);
                p.recent_active && holds && p.state != ProgressState::Snapshot && p.matched + CAUGHT_UP >= last
            })
        };
        let Some(id) = self.conf_state.learners.iter().copied().filter(ready).min() else { return };
        let Some(member) = self.members.nodes.iter().find(|m| m.id == id).cloned() else { return };
        // A refusal only means that leadership is going: the next leader tends it.
        let _ = self.propose_change(None, ConfChangeType::AddNode, id, member.name, member.address);
    }

    pub(super) fn apply_change(&mut self, index: u64, term: u64, change: &ConfChange) {
        let context: ChangeContext = match decode(&change.context) {
            Ok(context) => context,
            Err(e) => return self.fail(format!("entry {index} names no member: {e}")),
        };
        match self.raft.apply_conf_change(change) {
            Ok(conf_state) => self.conf_state = conf_state,
            Err(e) => return self.fail(format!("entry {index} of term {term} cannot be applied: {e}")),
        }
        let id = change.node_id;
        let nodes = &mut self.members.nodes;
        nodes.retain(|m| m.id != id);
        self.changes.heard.remove(&id);
        if change.get_change_type() != ConfChangeType::RemoveNode {
            let voter = change.get_change_type() == ConfChangeType::AddNode;
            nodes.push(Member { id, name: context.name, address: context.address, voter });
            nodes.sort_by_key(|m| m.id);
        }
        self.members.next_id = self.members.next_id.max(id.saturating_add(1));
        if let Some((_, token)) = self.changes.logged.take_if(|(at, _)| *at == index)
            && let Some(token) = token
        {
            self.outputs.push_back(Output::Changed { token, node: id });
        }
        self.notice_removal();
    }

    /// An entry turned out to be empty: if a change was expected there, raft made nothing of it.
    pub(super) fn void_change(&mut self, index: u64) {
        if let Some((_, Some(token))) = self.changes.logged.take_if(|(at, _)| *at == index) {
            self.refuse(token, Refusal::ChangeInProgress);
        }
    }

    pub(super) fn changes_step_down(&mut self) {
        if let Some((_, Some(token))) = self.changes.logged.take() {
            self.refuse(token, Refusal::LeadershipLost);
        }
    }

    pub(super) fn notice_removal(&mut self) {
        let known = |ids: &[NodeId]| ids.contains(&self.id);
        let joined = self.members.next_id > self.id;
        if joined && !known(&self.conf_state.voters) && !known(&self.conf_state.learners) {
            self.removed = true;
            self.resign();
        }
    }

    /// No leader proposes its own removal, but one may inherit it from an earlier term's log. Raft would let it go on leading,
    /// and panic as soon as it looked up its own progress.
    fn resign(&mut self) {
        if self.leads() && !self.planted.is(Mutant::RemovedLeaderStays) {
            let term = self.raft.raft.term;
            self.raft.raft.become_follower(term, raft::INVALID_ID);
            self.jitter();
        }
    }
}
