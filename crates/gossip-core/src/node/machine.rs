//! The machine: inputs in, outputs out.

use std::collections::{BTreeMap, VecDeque};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::api::{Config, Event, Input, Output, Peer};
use super::message::{Body, Message};
use super::view::{MemberView, View};
use crate::gossip::{Facts, Invalid};
use crate::membership::{Claim, Effect, MAX_ADDRESS, MAX_MEMBERS, Membership, NodeId, Status};
use crate::mutants::Planted;
use crate::time::Time;

/// One node's part in the gossip of its cluster.
///
/// The contract: hand in one [`Input`] with the time, then take every [`Output`] until there is none; call again no later than
/// [`Node::deadline`]. A call that comes more than a probe timeout late counts as a stall of this process.
#[derive(Debug)]
pub struct Node {
    pub(super) config: Config,
    pub(super) membership: Membership,
    pub(super) facts: Facts,
    /// The nodes of the last [`Input::Join`] that have not been forgotten since.
    pub(super) seeds: BTreeMap<NodeId, String>,
    pub(super) random: ChaCha8Rng,
    pub(super) next_sync: Time,
    now: Time,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A node that knows nobody yet.
    pub fn new(config: Config, now: Time) -> Result<Self, Invalid> {
        Node::with_bug(config, now, Planted::NONE)
    }

    /// The same with a planted bug, for the tests of the tests.
    pub fn with_bug(config: Config, now: Time, planted: Planted) -> Result<Self, Invalid> {
        check_address(&config.address)?;
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let membership = Membership::new(
            config.id,
            config.address.clone(),
            config.incarnation,
            config.membership.clone(),
            random.random(),
            planted,
            now,
        );
        Ok(Node {
            facts: Facts::new(config.id, membership.incarnation(), planted),
            next_sync: now + config.sync_interval.mul_f64(random.random_range(0.0..1.0)),
            config,
            membership,
            seeds: BTreeMap::new(),
            random,
            now,
            outputs: VecDeque::new(),
        })
    }

    /// Takes one input. An error names what was out of bounds; then nothing of the input was taken.
    pub fn handle(&mut self, now: Time, input: Input) -> Result<(), Invalid> {
        let now = now.max(self.now);
        self.notice_stall(now);
        self.now = now;
        let taken = match input {
            Input::Tick => Ok(()),
            Input::Packet { from, message } => self.receive(from, &message),
            Input::Publish { key, value } => self.publish(key, &value),
            Input::Join { peers } => self.join(peers),
            Input::Leave => {
                self.membership.leave(now);
                Ok(())
            }
        };
        self.membership.tick(now);
        self.tick_sync(now);
        self.collect();
        taken
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Time {
        self.membership.deadline().min(self.next_sync)
    }

    /// Where a node is reached, by what it says itself or else by [`Input::Join`].
    pub fn address(&self, node: NodeId) -> Option<&str> {
        let known = self.membership.members().get(&node).map(|member| &member.address);
        known.or_else(|| self.seeds.get(&node)).map(String::as_str)
    }

    /// What this node sees of the cluster.
    pub fn view(&self) -> View {
        let ids = self.membership.members().keys().copied().chain([self.config.id]);
        let members = ids.filter_map(|id| {
            let claim = self.membership.claim(id)?;
            let facts = self.facts.of(id).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            Some((id, MemberView { address: claim.address, standing: claim.standing, facts }))
        });
        View { members: members.collect() }
    }

    /// The failure detector, to look at.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The facts, to look at.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// A process that was stopped, or starved of CPU, must not take its own silence for that of others.
    fn notice_stall(&mut self, now: Time) {
        let late = now - self.deadline();
        if late > self.config.membership.probe_timeout {
            self.membership.stalled(now, late);
        }
    }

    fn receive(&mut self, from: NodeId, message: &Message) -> Result<(), Invalid> {
        message.check()?;
        if from == self.config.id {
            return Err(Invalid::new("from", "is this node itself"));
        }
        for claim in &message.claims {
            self.membership.hear(self.now, from, claim);
        }
        match &message.body {
            Body::Probe(probe) => self.membership.receive(self.now, from, *probe),
            Body::Digest(digest) => {
                self.collect();
                self.answer(from, digest);
            }
            Body::Answer { deltas, wants } => {
                self.apply(deltas);
                self.push(from, wants);
            }
            Body::Push(deltas) => self.apply(deltas),
        }
        Ok(())
    }

    fn publish(&mut self, key: String, value: &str) -> Result<(), Invalid> {
        if self.facts.publish(&key, value)? {
            self.event(Event::FactChanged { owner: self.config.id, key });
        }
        Ok(())
    }

    fn join(&mut self, peers: Vec<Peer>) -> Result<(), Invalid> {
        peers.iter().try_for_each(|peer| check_address(&peer.address))?;
        if peers.len() > MAX_MEMBERS {
            return Err(Invalid::new("peers", "more than there can be members"));
        }
        let others = peers.into_iter().filter(|peer| peer.id != self.config.id);
        let named: BTreeMap<NodeId, String> = others.map(|peer| (peer.id, peer.address)).collect();
        let before = std::mem::replace(&mut self.seeds, named);
        let known = self.membership.members();
        let is_new = |id: &&NodeId| !before.contains_key(id) && !known.contains_key(id);
        let strangers: Vec<NodeId> = self.seeds.keys().filter(is_new).copied().collect();
        strangers.into_iter().for_each(|id| self.open_sync(id));
        Ok(())
    }

    pub(super) fn send(&mut self, to: NodeId, body: Body, mut claims: Vec<Claim>) {
        for claim in self.membership.ride(to) {
            if !claims.iter().any(|other| other.node == claim.node) {
                claims.push(claim);
            }
        }
        self.outputs.push_back(Output::Send { to, message: Message { claims, body } });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Turns what the failure detector wants into outputs.
    fn collect(&mut self) {
        while let Some(effect) = self.membership.poll() {
            let event = match effect {
                Effect::Send { to, message, claims } => {
                    let message = Message { claims, body: Body::Probe(message) };
                    self.outputs.push_back(Output::Send { to, message });
                    continue;
                }
                Effect::Changed { node, status: Status::Alive } => Event::MemberAlive(node),
                Effect::Changed { node, status: Status::Suspect } => Event::MemberSuspect(node),
                Effect::Changed { node, status: Status::Dead } => Event::MemberDead(node),
                Effect::Changed { node, status: Status::Left } => Event::MemberLeft(node),
                Effect::Forgotten(node) => {
                    self.facts.forget(node);
                    self.seeds.remove(&node);
                    Event::MemberForgotten(node)
                }
                Effect::Departed => Event::Departed,
            };
            self.event(event);
        }
    }
}

fn check_address(address: &str) -> Result<(), Invalid> {
    if address.is_empty() || address.len() > MAX_ADDRESS {
        return Err(Invalid::new("address", "must have 1 to 255 bytes"));
    }
    Ok(())
}
