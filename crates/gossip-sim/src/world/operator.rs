//! The operator: replaces a node by a new one on the same machine, as an operator would after the loss of a disk.
//!
//! The old node is removed from the group; once that is committed its disk is wiped; then the machine joins under a new number and
//! starts empty. One replacement at a time, and each step is asked for again until it has happened.

use gossip_core::consensus::{Change, Group, NodeId};

use super::queue::{MILLI, Nanos, SECOND};
use super::request::Ask;
use super::{Event, World, address};
use crate::faults::Fault;
use crate::invariants::{Rule, Violation, Watched};

/// How often the operator looks.
const LOOK: Nanos = 60 * MILLI;
/// Entries after which a node that has applied them has surely written down that those before them are committed.
const FIRM: u64 = 8;

/// A replacement under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replacement {
    place: usize,
    /// The number of the node that goes.
    old: NodeId,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Leaves,
    Joins,
    CatchesUp,
}

impl World {
    /// Replaces a node if every other one is well: not to be confused with an operator who shoots at a crippled cluster.
    pub(super) fn replace_if_safe(&mut self, place: usize) -> bool {
        let others_well = (0..self.machines.len()).filter(|&other| other != place).all(|other| {
            let machine = &self.machines[other];
            machine.is_up() && !machine.retired && !machine.disk.is_damaged()
        });
        if self.replacement.is_some() || !others_well || self.leader().is_none() {
            return false;
        }
        self.replace(place);
        true
    }

    /// Begins a replacement.
    pub(super) fn replace(&mut self, place: usize) {
        if self.replacement.is_some() {
            return self.queue.after(SECOND, Event::Start { place });
        }
        let old = self.machines[place].id;
        self.replacement = Some(Replacement { place, old, stage: Stage::Leaves });
        self.trace.line(self.queue.now(), || format!("operator replaces n{} (raft id {old})", place + 1));
        self.queue.after(MILLI, Event::Operator);
    }

    /// Does the next step of the replacement, if the last one has happened.
    pub(super) fn operate(&mut self) {
        let Some(Replacement { place, old, stage }) = self.replacement else { return };
        self.queue.after(LOOK, Event::Operator);
        // What a node has applied is committed, whether it still leads or not.
        let Some(leader) = self.leader() else { return };
        let Some(process) = &self.machines[leader].process else { return };
        let name = self.machines[place].name.clone();
        let member = process.group.members().nodes.iter().find(|member| member.name == name).cloned();
        let present = member.as_ref().filter(|member| member.id != old);
        match (stage, member.as_ref(), present) {
            (Stage::Leaves, Some(_), None) => self.change(leader, Change::RemoveNode { name }),
            (Stage::Leaves, None, _) => self.wipe(place),
            (Stage::Joins, None, _) => self.change(leader, Change::AddNode { address: address(&name), name }),
            (Stage::Joins, _, Some(member)) => self.join(place, member.id),
            (Stage::CatchesUp, _, Some(member)) if member.voter => {
                self.settled_at = process.group.status().applied + FIRM;
                self.replacement = None;
                self.reach.fault(Fault::Membership);
                self.trace.line(self.queue.now(), || format!("n{} votes again", place + 1));
            }
            // It cannot lead yet: asking for it anyway must be refused and do no harm.
            (Stage::CatchesUp, _, Some(_)) => self.change(leader, Change::TransferLeader { to: Some(name) }),
            // A leader that lags behind shows what was before: look again.
            _ => {}
        }
    }

    /// The newest voter counts for the majority that a write needs: one that holds nothing leaves the others no node to lose.
    pub(super) fn look_at_newcomer(&mut self, leader: usize) {
        let Some(Replacement { place, stage: Stage::CatchesUp, .. }) = self.replacement else { return };
        let group = |place: usize| self.machines[place].process.as_ref().map(|process| &process.group);
        let id = self.machines[place].id;
        let votes = |group: &Group<Watched>| group.members().nodes.iter().any(|member| member.id == id && member.voter);
        if group(leader).is_some_and(votes) && group(place).is_some_and(|group| group.status().last_index == 0) {
            self.fail(Violation::new(Rule::Voters, format!("n{} votes and holds nothing", place + 1)));
        }
    }

    fn change(&mut self, leader: usize, change: Change) {
        let caller = self.next_attempt(self.options.workers);
        self.send(leader, caller, Ask::Change(change), SECOND, 0);
    }

    fn wipe(&mut self, place: usize) {
        self.kill(place);
        let machine = &mut self.machines[place];
        machine.disk.wipe();
        machine.retired = true;
        self.set_stage(Stage::Joins);
        self.nemesis("shrink", place);
        self.trace.line(self.queue.now(), || format!("n{} has left and is wiped", place + 1));
    }

    fn join(&mut self, place: usize, id: NodeId) {
        self.places.resize(self.places.len().max(id as usize + 1), place);
        self.places[id as usize] = place;
        let machine = &mut self.machines[place];
        machine.id = id;
        machine.retired = false;
        self.set_stage(Stage::CatchesUp);
        self.nemesis("grow", place);
        self.start(place);
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(replacement) = &mut self.replacement {
            replacement.stage = stage;
        }
    }
}
