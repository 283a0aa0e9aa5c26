//! Claims: which are believed, what follows, and how a node speaks for itself.

use super::machine::{Effect, Membership};
use super::member::{Claim, MAX_MEMBERS, Member, NodeId, Standing, Status};
use super::suspicion::Suspicion;
use crate::mutants::Mutant;
use crate::time::Time;

impl Membership {
    /// Hears what `from` passes on.
    pub fn hear(&mut self, now: Time, from: NodeId, claim: &Claim) {
        if claim.node == self.id {
            return self.hear_of_self(from, claim);
        }
        // Who is held dead may speak for himself alone. One that is cut off in one direction accuses everybody.
        if claim.node != from && (self.is_not_heard(from) || (self.is_not_heard(claim.by) && claim.by != claim.node)) {
            return;
        }
        let Some(held) = self.members.get(&claim.node).map(|member| member.standing) else {
            return self.hear_of_unknown(now, claim);
        };
        if claim.standing < held {
            return;
        }
        match claim.standing.status {
            Status::Alive | Status::Left if claim.standing > held => self.take(now, claim),
            Status::Alive | Status::Left => {}
            Status::Suspect => self.hear_suspicion(now, claim, held),
            Status::Dead => self.hear_death(now, claim, held),
        }
    }

    /// The word of the node itself, or of others when the node would not contradict: taken as it is.
    fn take(&mut self, now: Time, claim: &Claim) {
        self.set(now, claim.node, claim.standing);
        if let Some(member) = self.members.get_mut(&claim.node).filter(|_| !claim.address.is_empty()) {
            member.address.clone_from(&claim.address);
        }
        self.news.push(claim.clone());
    }

    fn hear_of_unknown(&mut self, now: Time, claim: &Claim) {
        // The death of a stranger is no news. Taking it up would keep every dead node in memory for ever, as each node
        // that forgot would learn it again from one that has not yet.
        if !claim.standing.status.is_live() || claim.address.is_empty() || self.members.len() >= MAX_MEMBERS {
            return;
        }
        let alive = Standing { incarnation: claim.standing.incarnation, status: Status::Alive };
        self.members.insert(claim.node, Member { address: claim.address.clone(), standing: alive, since: now });
        self.ring.insert(claim.node, &mut self.random);
        self.effects.push_back(Effect::Changed { node: claim.node, status: Status::Alive });
        self.news.push(Claim { standing: alive, ..claim.clone() });
        if claim.standing.status == Status::Suspect {
            self.hear_suspicion(now, claim, alive);
        }
    }

    fn hear_suspicion(&mut self, now: Time, claim: &Claim, held: Standing) {
        if claim.standing > held {
            self.suspect(now, claim.node, claim.standing.incarnation, claim.by);
            return;
        }
        if held.status == Status::Suspect {
            self.confirm(claim.node, held.incarnation, claim.by);
        }
    }

    /// Counts one more accuser. A confirmation that is new is passed on, so that it shortens the suspicion everywhere.
    pub(super) fn confirm(&mut self, node: NodeId, incarnation: u64, by: NodeId) {
        let Some(suspicion) = self.suspicions.get_mut(&node) else { return };
        if !self.planted.is(Mutant::SuspicionIgnoresConfirmations) && suspicion.confirm(&self.config, by) {
            let standing = Standing { incarnation, status: Status::Suspect };
            self.news.push(Claim { node, standing, by, address: String::new() });
        }
    }

    /// A death is believed by none that has not suspected for the shortest time itself: it counts as every confirmation.
    /// So a node that woke up, or was cut off, cannot bury the others with what it concluded in its darkness.
    fn hear_death(&mut self, now: Time, claim: &Claim, held: Standing) {
        if self.planted.is(Mutant::DeathBelievedUnheard) && claim.standing > held {
            return self.take(now, claim);
        }
        let suspected = Standing { incarnation: claim.standing.incarnation, status: Status::Suspect };
        if suspected > held {
            self.suspect(now, claim.node, suspected.incarnation, claim.by);
        }
        if let Some(suspicion) = self.suspicions.get_mut(&claim.node) {
            suspicion.condemn(&self.config);
            if suspicion.deadline() <= now {
                self.declare_dead(now, claim.node);
            }
        }
    }

    /// Begins to suspect, and says so.
    pub(super) fn suspect(&mut self, now: Time, node: NodeId, incarnation: u64, by: NodeId) {
        self.set(now, node, Standing { incarnation, status: Status::Suspect });
        let suspicion = Suspicion::new(&self.config, self.live(), by, now);
        self.suspicions.insert(node, suspicion);
        self.news.push(Claim {
            node,
            standing: Standing { incarnation, status: Status::Suspect },
            by,
            address: String::new(),
        });
    }

    pub(super) fn declare_dead(&mut self, now: Time, node: NodeId) {
        let Some(held) = self.standing(node) else { return };
        let standing = Standing { incarnation: held.incarnation, status: Status::Dead };
        self.set(now, node, standing);
        self.news.push(Claim { node, standing, by: self.id, address: String::new() });
    }

    /// The one place where a node's standing changes.
    fn set(&mut self, now: Time, node: NodeId, standing: Standing) {
        let Some(member) = self.members.get_mut(&node) else { return };
        assert!(standing > member.standing, "a standing never falls");
        let before = std::mem::replace(&mut member.standing, standing).status;
        self.suspicions.remove(&node);
        self.effects.push_back(Effect::Changed { node, status: standing.status });
        if before == standing.status {
            return;
        }
        let since = std::mem::replace(&mut member.since, now);
        if !before.is_live() {
            self.graves.remove(&(since + self.config.memory, node));
        }
        if !standing.status.is_live() {
            self.graves.insert((now + self.config.memory, node));
        }
        match (before.is_live(), standing.status.is_live()) {
            (true, false) => self.ring.remove(node),
            (false, true) => self.ring.insert(node, &mut self.random),
            _ => {}
        }
    }

    fn is_not_heard(&self, node: NodeId) -> bool {
        !self.planted.is(Mutant::DeadAreHeard)
            && self.members.get(&node).is_some_and(|member| !member.standing.status.is_live())
    }

    /// Speaks up when others hold more of this node than it said: refutes, or raises itself above an earlier life.
    fn hear_of_self(&mut self, from: NodeId, claim: &Claim) {
        let held =
            Standing { incarnation: self.incarnation, status: if self.leaving { Status::Left } else { Status::Alive } };
        if claim.standing <= held {
            return;
        }
        if self.leaving {
            self.incarnation = claim.standing.incarnation;
            self.effects.push_back(Effect::Changed { node: self.id, status: Status::Left });
            return self.announce();
        }
        // Accused although it lives: it may be slow (Lifeguard, section IV.A). The word of the dead proves nothing.
        if matches!(claim.standing.status, Status::Suspect | Status::Dead)
            && !self.is_not_heard(from)
            && !self.is_not_heard(claim.by)
        {
            self.health.worse(1);
        }
        self.rise_above(claim.standing.incarnation);
    }

    /// Takes an incarnation above `incarnation`, with the mark of this life, tells the others, and returns it.
    pub fn rise_above(&mut self, incarnation: u64) -> u64 {
        self.incarnation = self.incarnation.max(incarnation);
        if !self.planted.is(Mutant::RefutationKeepsIncarnation) {
            self.incarnation = self.above(self.incarnation);
        }
        self.effects.push_back(Effect::Changed { node: self.id, status: Status::Alive });
        self.announce();
        self.incarnation
    }

    pub(super) fn announce(&mut self) {
        if let Some(claim) = self.claim(self.id) {
            self.news.push(claim);
        }
    }
}
