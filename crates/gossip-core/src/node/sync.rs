//! Push-pull anti-entropy: digest, answer, push. After one exchange two nodes know the same.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;

use super::api::Event;
use super::machine::Node;
use super::message::{Body, Entry};
use crate::gossip::{Delta, Version};
use crate::membership::{Claim, NodeId, Status};
use crate::time::Time;

/// One side's part of an exchange.
#[derive(Debug, Default)]
struct Lacks {
    claims: Vec<Claim>,
    facts: Vec<(NodeId, Version)>,
    wants: Vec<Entry>,
}

impl Node {
    pub(super) fn tick_sync(&mut self, now: Time) {
        if now < self.next_sync {
            return;
        }
        self.next_sync = now + self.sync_interval();
        if let Some(peer) = self.membership.pick() {
            self.open_sync(peer);
        }
        // Two sides that hold each other dead would never speak again. So now and then one tries (as Serf's reconnect does),
        // the more often the more are lost.
        let lost = self.lost();
        if !lost.is_empty() && self.random.random_range(0..self.membership.live()) < lost.len() {
            let peer = lost[self.random.random_range(0..lost.len())];
            self.open_sync(peer);
        }
    }

    fn sync_interval(&self) -> Duration {
        let (nodes, above) = (self.membership.live(), self.config.sync_stretch_above.max(1));
        if nodes <= above {
            return self.config.sync_interval;
        }
        self.config.sync_interval.mul_f64((nodes as f64 / above as f64).log2() + 1.0)
    }

    fn lost(&self) -> Vec<NodeId> {
        let members = self.membership.members();
        let dead = members.iter().filter(|(_, member)| member.standing.status == Status::Dead).map(|(id, _)| *id);
        dead.chain(self.seeds.keys().filter(|id| !members.contains_key(id)).copied()).collect()
    }

    pub(super) fn open_sync(&mut self, peer: NodeId) {
        let mut digest = vec![self.entry(self.config.id)];
        digest.extend(self.membership.members().keys().map(|id| self.entry(*id)));
        // Who does not know this node must learn where to send the answer.
        let introduction = if self.membership.members().contains_key(&peer) { None } else { self.own_claim() };
        self.send(peer, Body::Digest(digest), introduction.into_iter().collect());
    }

    fn own_claim(&self) -> Option<Claim> {
        self.membership.claim(self.config.id)
    }

    fn entry(&self, node: NodeId) -> Entry {
        Entry { node, standing: self.membership.standing(node), facts: self.facts.version(node) }
    }

    pub(super) fn answer(&mut self, from: NodeId, digest: &[Entry]) {
        let mut lacks = Lacks::default();
        let mut listed = BTreeSet::new();
        for theirs in digest {
            listed.insert(theirs.node);
            self.recognise_earlier_life(theirs);
            self.compare(theirs, &mut lacks);
        }
        let members = self.membership.members().iter();
        let unlisted = members.filter(|(id, member)| !listed.contains(id) && member.standing.status.is_live());
        let mut unlisted: Vec<NodeId> = unlisted.map(|(id, _)| *id).collect();
        unlisted.extend((!listed.contains(&self.config.id)).then_some(self.config.id));
        for node in unlisted {
            lacks.claims.extend(self.membership.claim(node));
            lacks.facts.push((node, Version::default()));
        }
        let deltas = self.deltas(lacks.facts);
        if !(lacks.claims.is_empty() && deltas.is_empty() && lacks.wants.is_empty()) {
            self.send(from, Body::Answer { deltas, wants: lacks.wants }, lacks.claims);
        }
    }

    fn compare(&self, theirs: &Entry, lacks: &mut Lacks) {
        let ours = self.entry(theirs.node);
        if ours.standing.is_none() && !theirs.standing.is_some_and(|standing| standing.status.is_live()) {
            return;
        }
        if ours.standing > theirs.standing {
            lacks.claims.extend(self.membership.claim(theirs.node));
        }
        if self.facts.has_more(theirs.node, theirs.facts) {
            lacks.facts.push((theirs.node, theirs.facts));
        }
        if ours.standing < theirs.standing || ours.facts < theirs.facts {
            lacks.wants.push(ours);
        }
    }

    /// Others have facts of this node that it never published in this life: it begins a life above that one.
    fn recognise_earlier_life(&mut self, theirs: &Entry) {
        if theirs.node == self.config.id && theirs.facts > self.facts.version(theirs.node) {
            let incarnation = self.membership.rise_above(theirs.facts.incarnation);
            self.facts.reborn(incarnation);
        }
    }

    pub(super) fn push(&mut self, to: NodeId, wants: &[Entry]) {
        let mut lacks = Lacks::default();
        for theirs in wants {
            self.recognise_earlier_life(theirs);
            self.compare(theirs, &mut lacks);
        }
        let deltas = self.deltas(lacks.facts);
        if !(lacks.claims.is_empty() && deltas.is_empty()) {
            self.send(to, Body::Push(deltas), lacks.claims);
        }
    }

    /// The deltas for what is lacked, as far as one message takes them.
    fn deltas(&mut self, mut lacked: Vec<(NodeId, Version)>) -> Vec<Delta> {
        if lacked.len() > 1 {
            // From another place each time, so that a bound never starves the same owners.
            let start = self.random.random_range(0..lacked.len());
            lacked.rotate_left(start);
        }
        let mut left = self.config.delta_bytes;
        let mut deltas = Vec::new();
        for (owner, theirs) in lacked {
            if left == 0 {
                break;
            }
            let Some(delta) = self.facts.delta(owner, theirs) else { continue };
            let size: usize = delta.facts.iter().map(|fact| fact.key.len() + fact.value.len() + 8).sum();
            left = left.saturating_sub(size);
            deltas.push(delta);
        }
        deltas
    }

    pub(super) fn apply(&mut self, deltas: &[Delta]) {
        for delta in deltas {
            // Facts of a node that is not known, or no longer, would stay for ever.
            if self.membership.standing(delta.owner).is_none() {
                continue;
            }
            for key in self.facts.apply(delta) {
                self.event(Event::FactChanged { owner: delta.owner, key });
            }
        }
    }
}
