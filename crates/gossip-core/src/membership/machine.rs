//! The failure detector: its state, its timers and what it wants done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::health::Health;
use super::member::{Claim, Member, NodeId, Standing, Status};
use super::news::{News, retransmit_limit};
use super::probes::Probe;
use super::relays::Relays;
use super::ring::Ring;
use super::suspicion::Suspicion;
use crate::mutants::{Mutant, Planted};
use crate::time::Time;

/// What the failure detectors of two nodes say to each other. Claims ride along, see [`Effect::Send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeMessage {
    /// Asks for an [`ProbeMessage::Ack`] with the same number.
    Ping {
        /// Numbers the probes of the sender.
        seq: u32,
    },
    /// I am here. Also the answer to [`ProbeMessage::PingReq`] when its target answered.
    Ack {
        /// Of the ping or request that is answered.
        seq: u32,
    },
    /// Asks to ping `target`.
    PingReq {
        /// Numbers the probes of the sender.
        seq: u32,
        /// Whom to ping.
        target: NodeId,
    },
    /// I am here and heard the request, but its target has not answered me yet.
    Nack {
        /// Of the request that is answered.
        seq: u32,
    },
    /// Nothing but the claims.
    News,
}

/// What the failure detector wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this. It may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: ProbeMessage,
        /// What rides along.
        claims: Vec<Claim>,
    },
    /// A node, or this one itself, has another status or another incarnation.
    Changed {
        /// Which node.
        node: NodeId,
        /// How it stands now.
        status: Status,
    },
    /// A dead or departed node is remembered no longer.
    Forgotten(NodeId),
    /// This node's farewell has been sent as often as news is.
    Departed,
}

/// The low bits of an incarnation are drawn anew for each life of a node and stay the same in it. Without them two lives that both
/// began lower than an earlier one, and met nodes that had heard of that one alone, would rise to one and the same incarnation; then
/// nobody could tell what the one said from what the other did. With so many bits a wall clock's incarnation still is one that
/// readers of JSON take exactly.
const MARK_BITS: u32 = 12;
/// A start above this counts as this: it leaves half of all incarnations to rise into.
const LATEST_START: u64 = (u64::MAX / 2) >> MARK_BITS;

/// The failure detector of one node.
#[derive(Debug)]
pub struct Membership {
    pub(super) id: NodeId,
    pub(super) address: String,
    pub(super) config: Config,
    pub(super) random: ChaCha8Rng,
    pub(super) planted: Planted,
    pub(super) incarnation: u64,
    /// What the low bits of every incarnation of this life are.
    mark: u64,
    pub(super) leaving: bool,
    departed: bool,
    pub(super) members: BTreeMap<NodeId, Member>,
    pub(super) ring: Ring,
    pub(super) suspicions: BTreeMap<NodeId, Suspicion>,
    /// When each dead or departed node is forgotten.
    pub(super) graves: BTreeSet<(Time, NodeId)>,
    pub(super) health: Health,
    pub(super) probe: Option<Probe>,
    pub(super) next_probe: Time,
    pub(super) last_seq: u32,
    pub(super) relays: Relays,
    pub(super) news: News,
    next_news: Time,
    pub(super) effects: VecDeque<Effect>,
}

impl Membership {
    /// A node that knows nobody yet. `incarnation` is higher than that of any earlier life, see
    /// [`crate::node::Config::incarnation`].
    pub fn new(
        id: NodeId,
        address: String,
        incarnation: u64,
        config: Config,
        seed: u64,
        planted: Planted,
        now: Time,
    ) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // From a stream of its own, so that all that a seed leads to is the same with any mark.
        let mut marks = random.clone();
        marks.set_stream(1);
        let mark = if planted.is(Mutant::LivesShareIncarnations) { 0 } else { marks.random_range(0..1 << MARK_BITS) };
        // Nodes that start together must not probe together.
        let next_probe = now + config.probe_interval.mul_f64(random.random_range(0.0..1.0));
        let mut membership = Membership {
            id,
            address,
            incarnation: (incarnation.min(LATEST_START) << MARK_BITS) | mark,
            mark,
            leaving: false,
            departed: false,
            members: BTreeMap::new(),
            ring: Ring::default(),
            suspicions: BTreeMap::new(),
            graves: BTreeSet::new(),
            health: Health::new(if planted.is(Mutant::NoLocalHealth) { 0 } else { config.max_health }),
            probe: None,
            next_probe,
            last_seq: 0,
            relays: Relays::default(),
            news: News::default(),
            next_news: now,
            effects: VecDeque::new(),
            config,
            random,
            planted,
        };
        membership.announce();
        membership
    }

    /// Takes a message and the claims that came with it.
    pub fn receive(&mut self, now: Time, from: NodeId, message: ProbeMessage) {
        match message {
            ProbeMessage::Ping { seq } => self.send(from, ProbeMessage::Ack { seq }),
            ProbeMessage::PingReq { seq, target } => self.relay(now, from, seq, target),
            ProbeMessage::Ack { seq } => self.acked(from, seq),
            ProbeMessage::Nack { seq } => self.nacked(from, seq),
            ProbeMessage::News => {}
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time) {
        self.tick_relays(now);
        self.tick_probe(now);
        let overdue: Vec<NodeId> =
            self.suspicions.iter().filter(|(_, s)| s.deadline() <= now).map(|(node, _)| *node).collect();
        for node in overdue {
            self.declare_dead(now, node);
        }
        while let Some((at, node)) = self.graves.first().copied().filter(|(at, _)| *at <= now) {
            self.graves.remove(&(at, node));
            self.members.remove(&node);
            self.news.drop(node);
            self.effects.push_back(Effect::Forgotten(node));
        }
        if self.has_news() && self.next_news <= now {
            self.next_news = now + self.config.news_interval;
            self.spread_news();
        }
        if self.leaving && !self.departed && (self.ring.len() == 0 || !self.news.holds(self.id)) {
            self.departed = true;
            self.effects.push_back(Effect::Departed);
        }
    }

    /// When [`Membership::tick`] has something to do.
    pub fn deadline(&self) -> Time {
        let mut at = self.next_probe;
        at = at.min(self.probe.as_ref().map_or(Time::MAX, Probe::deadline));
        at = at.min(self.relays.deadline());
        at = self.suspicions.values().map(Suspicion::deadline).fold(at, Time::min);
        at = at.min(self.graves.first().map_or(Time::MAX, |(at, _)| *at));
        if self.has_news() { at.min(self.next_news) } else { at }
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// This process did nothing for `by`: what it waited for may lie unread in front of it. Accuses nobody of the silence.
    pub fn stalled(&mut self, now: Time, by: Duration) {
        if self.planted.is(Mutant::NoStallDetection) {
            return;
        }
        self.health.worse(1);
        self.relays = Relays::default();
        for suspicion in self.suspicions.values_mut() {
            suspicion.delay(by);
        }
        if self.probe.take().is_some() {
            self.next_probe = now + self.config.probe_timeout;
        }
    }

    /// Says farewell to all. [`Effect::Departed`] tells when it has been said often enough to be known.
    pub fn leave(&mut self, now: Time) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        self.probe = None;
        self.next_probe = Time::MAX;
        self.effects.push_back(Effect::Changed { node: self.id, status: Status::Left });
        self.announce();
        self.next_news = now;
        self.tick(now);
    }

    /// The others that are known, by id.
    pub fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// The least incarnation of this life that is above `incarnation` by its high bits.
    pub(super) fn above(&self, incarnation: u64) -> u64 {
        let next = (incarnation >> MARK_BITS).saturating_add(1).min(u64::MAX >> MARK_BITS);
        (next << MARK_BITS) | self.mark
    }

    /// At which incarnation this node is.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// How a node stands, this one included; `None` for one that is not known.
    pub fn standing(&self, node: NodeId) -> Option<Standing> {
        if node == self.id {
            let status = if self.leaving { Status::Left } else { Status::Alive };
            return Some(Standing { incarnation: self.incarnation, status });
        }
        self.members.get(&node).map(|member| member.standing)
    }

    /// What this node would tell another about a node that it knows.
    pub fn claim(&self, node: NodeId) -> Option<Claim> {
        let standing = self.standing(node)?;
        let address = if node == self.id { self.address.clone() } else { self.members.get(&node)?.address.clone() };
        let suspicion = self.suspicions.get(&node).filter(|_| !self.planted.is(Mutant::HearsayConfirms));
        let by = suspicion.map_or(self.id, |suspicion| suspicion.accuser(self.id));
        Some(Claim { node, standing, by, address })
    }

    /// How many others confirmed this node's suspicion of another; `None` if it does not suspect it.
    pub fn confirmations(&self, node: NodeId) -> Option<usize> {
        self.suspicions.get(&node).map(Suspicion::confirmations)
    }

    /// A live node, evenly at random.
    pub fn pick(&mut self) -> Option<NodeId> {
        self.ring.pick(&mut self.random)
    }

    /// Live nodes, this one included.
    pub fn live(&self) -> usize {
        self.ring.len() + 1
    }

    /// How much this node distrusts itself: 0 is healthy, [`Config::max_health`] the worst.
    pub fn health(&self) -> u32 {
        self.health.score()
    }

    /// Claims that ride on the next message to a node: what it must know about itself, then news.
    pub fn ride(&mut self, to: NodeId) -> Vec<Claim> {
        let mut claims = Vec::new();
        // The "buddy system" of Lifeguard (section IV.C): a suspect learns of it from the very next message.
        if self.members.get(&to).is_some_and(|member| member.standing.status != Status::Alive) {
            claims.extend(self.claim(to));
        }
        let limit = retransmit_limit(self.config.retransmit, self.live());
        claims.extend(self.news.take(self.config.piggyback, limit, Some(to)));
        claims
    }

    pub(super) fn send(&mut self, to: NodeId, message: ProbeMessage) {
        let claims = self.ride(to);
        self.effects.push_back(Effect::Send { to, message, claims });
    }

    /// Whether there are claims that this node has not passed on often enough yet, and a live node to pass them on to.
    pub fn has_news(&self) -> bool {
        self.ring.any(|node| self.news.is_for(node))
    }

    fn spread_news(&mut self) {
        for to in self.ring.sample(self.config.news_fanout, &mut self.random, |node| self.news.is_for(node)) {
            self.send(to, ProbeMessage::News);
        }
    }
}
