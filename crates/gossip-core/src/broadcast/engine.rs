//! The node: inputs in, outputs out.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::api::{Ask, Config, History, Input, Message, NodeIndex, Output, View};
use super::failover::{Doubt, Said};
use super::peer::{AckDelay, Peer};
use super::store::Store;
use super::versions::{Origin, Versions};
use crate::mutants::{Mutant, Planted};
use crate::time::Time;

/// A node that is behind its parent's message waits this long at least before it pulls: messages overtake each other.
const MIN_PULL_DELAY: Duration = Duration::from_millis(50);

/// A parent that leaves so many pulls in a row unanswered does not hear them.
const MAX_PULLS: u32 = 3;

/// One node's part in the dissemination. See the module for the protocol.
///
/// Hand in one [`Input`] with the time, then take every [`Output`] until there is none; call again at [`Self::deadline`].
#[derive(Debug)]
pub struct Broadcast<P> {
    pub(super) me: Origin,
    pub(super) config: Config,
    pub(super) now: Time,
    pub(super) random: ChaCha8Rng,
    pub(super) store: Store<P>,
    pub(super) peers: Vec<Peer>,
    pub(super) view: View,
    /// Through whom a leaf hears everything: the hub, or a node that hears it.
    pub(super) parent: Option<NodeIndex>,
    pub(super) doubt: Doubt,
    pub(super) ack_delay: AckDelay,
    flush_at: Option<Time>,
    digest_at: Time,
    pub(super) planted: Planted,
    outputs: VecDeque<Output<P>>,
}

impl<P: Clone + Debug> Broadcast<P> {
    /// The node `me` of `nodes`, in a life that it never had before, which also seeds its randomness.
    ///
    /// # Panics
    /// When `me` is not below `nodes`.
    pub fn new(
        me: NodeIndex,
        nodes: NodeIndex,
        life: u64,
        history: History,
        config: Config,
        planted: Planted,
        now: Time,
    ) -> Self {
        assert!(me < nodes, "node {me} of {nodes}");
        let mut random = ChaCha8Rng::seed_from_u64(life.rotate_left(32) ^ u64::from(me));
        let digest_at = now + config.digest.mul_f64(random.random_range(0.5..1.5));
        Broadcast {
            me: Origin { node: me, life },
            config,
            now,
            random,
            store: Store::new(history, planted),
            peers: vec![Peer::default(); nodes as usize],
            view: View::default(),
            parent: None,
            doubt: Doubt::default(),
            ack_delay: AckDelay::default(),
            flush_at: None,
            digest_at,
            planted,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input; then [`Self::poll`] until it gives `None`.
    pub fn handle(&mut self, now: Time, input: Input<P>) {
        self.now = self.now.max(now);
        match input {
            Input::Wake => {}
            Input::Publish(payload) => self.publish(payload),
            Input::Message { from, message } => self.receive(from, message),
        }
        self.tick();
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output<P>> {
        self.outputs.pop_front()
    }

    /// When [`Input::Wake`] is due at the latest.
    pub fn deadline(&self) -> Time {
        let peers = self.others().flat_map(|p| {
            let peer = self.peer(p);
            let resend = peer.unacked.as_ref().map(|(since, _)| *since + self.patience(p));
            [peer.ack_at, peer.pull_at, self.probe_at(p), resend]
        });
        let own = [self.flush_at, self.doubt.deadline(), self.digest_due()];
        peers.chain(own).flatten().min().unwrap_or(Time::MAX)
    }

    /// Who is the hub, as this node knows.
    pub fn view(&self) -> View {
        self.view
    }

    /// What this node has.
    pub fn versions(&self) -> &Versions {
        self.store.versions()
    }

    /// After how long without an acknowledgement this node gives up on its parent.
    pub fn failover_after(&self) -> Duration {
        (self.config.min_failover + self.config.batch).max(self.ack_delay.timeout())
    }

    /// How long it then waits for somebody who hears the hub, who would answer without any window.
    pub(super) fn asking_time(&self) -> Duration {
        (self.config.min_failover / 2).max(self.ack_delay.timeout().saturating_sub(self.config.batch))
    }

    pub(super) fn is_hub(&self) -> bool {
        self.view.epoch > 0 && self.view.hub == self.me.node
    }

    pub(super) fn others(&self) -> impl Iterator<Item = NodeIndex> + use<P> {
        let me = self.me.node;
        (0..self.peers.len() as NodeIndex).filter(move |p| *p != me)
    }

    pub(super) fn peer(&self, p: NodeIndex) -> &Peer {
        &self.peers[p as usize]
    }

    pub(super) fn peer_mut(&mut self, p: NodeIndex) -> &mut Peer {
        &mut self.peers[p as usize]
    }

    /// Whether this node pushes what is new to that one.
    fn linked(&self, p: NodeIndex) -> bool {
        self.is_hub() || self.parent == Some(p) || self.peer(p).child
    }

    fn publish(&mut self, payload: P) {
        self.store.publish(self.me, payload);
        if self.view.epoch == 0 {
            self.take_over();
        }
        self.schedule_flush();
    }

    fn receive(&mut self, from: NodeIndex, message: Message<P>) {
        if from == self.me.node || from as usize >= self.peers.len() {
            return;
        }
        let Message { life, view, hears_hub, parent, ask, versions, runs } = message;
        let now = self.now;
        let silent = self.peer(from).probe.is_some();
        let delay = self.peer_mut(from).hear(now, life, &versions, ask == Ask::Pull);
        if let (Some(delay), true) = (delay, self.parent == Some(from)) {
            self.ack_delay.sample(delay);
        }
        self.peer_mut(from).child = parent;
        let brought = !runs.is_empty();
        // Nobody has more of this node's payloads than the node itself.
        for run in runs.into_iter().filter(|run| run.origin != self.me) {
            let origin = run.origin;
            for (version, payload) in self.store.merge(run) {
                self.outputs.push_back(Output::Deliver { origin, version, payload });
            }
        }
        self.notice_gap(from, &versions);
        let linked = self.linked(from);
        if brought && linked {
            self.owe_ack(from);
        }
        if linked && silent && self.lacks(from) {
            self.send(from, Ask::None);
        } else if brought || (linked && self.lacks(from)) {
            self.schedule_flush();
        }
        self.heard_from(from, view, Said { hears_hub, brought, probes: ask == Ask::Reply });
        match ask {
            Ask::None if parent && self.view.beats(view) => self.send(from, Ask::None),
            Ask::None => {}
            Ask::Reply | Ask::Hub if !self.linked(from) => self.send_header(from, Ask::None),
            Ask::Reply | Ask::Pull | Ask::Hub => self.send(from, Ask::None),
        }
    }

    fn notice_gap(&mut self, from: NodeIndex, versions: &Versions) {
        let delay = if self.parent == Some(from) || self.is_hub() {
            self.config.leaf_window().max(MIN_PULL_DELAY)
        } else {
            self.failover_after()
        };
        let (at, behind) = (self.now + delay, !self.store.versions().covers(versions));
        let peer = self.peer_mut(from);
        peer.pull_at = behind.then(|| peer.pull_at.map_or(at, |known| known.min(at)));
        if !behind {
            peer.pulls = 0;
        }
    }

    fn owe_ack(&mut self, to: NodeIndex) {
        // A leaf that waits for a hub's acknowledgement longer than for a window takes it for gone.
        let delay =
            if self.linked(to) && self.parent != Some(to) { self.config.hub_window() } else { self.config.ack_delay };
        let at = self.now + delay;
        self.peer_mut(to).ack_at.get_or_insert(at);
    }

    fn schedule_flush(&mut self) {
        let window = if self.is_hub() { self.config.hub_window() } else { self.config.leaf_window() };
        if self.flush_at.is_none() && self.others().any(|p| self.linked(p) && self.lacks(p)) {
            self.flush_at = Some(self.now + window);
        }
    }

    fn has_all_of(&self, p: NodeIndex) -> bool {
        self.peer(p).known.as_ref().is_none_or(|(_, known)| self.store.versions().covers(known))
    }

    /// Whether something was never sent to a node that is there to take it.
    fn lacks(&self, p: NodeIndex) -> bool {
        let peer = self.peer(p);
        peer.known.is_some() && peer.probe.is_none() && !peer.sent.covers(self.store.versions())
    }

    fn tick(&mut self) {
        self.tick_doubt();
        if self.flush_at.is_some_and(|at| at <= self.now) {
            self.flush_at = None;
            for p in self.others() {
                if self.linked(p) && self.lacks(p) {
                    self.send(p, Ask::None);
                }
            }
        }
        for p in self.others() {
            self.tick_peer(p);
        }
        if self.digest_due().is_some_and(|at| at <= self.now) {
            self.digest_at = self.now + self.config.digest.mul_f64(self.random.random_range(0.5..1.5));
            if let Some(p) = self.pick(1, |_| true).first() {
                self.send_header(*p, Ask::None);
            }
        }
    }

    fn digest_due(&self) -> Option<Time> {
        (!self.store.versions().is_empty() && self.peers.len() > 1).then_some(self.digest_at)
    }

    fn tick_peer(&mut self, p: NodeIndex) {
        let (now, patience) = (self.now, self.patience(p));
        if self.peer(p).unacked.as_ref().is_some_and(|(since, _)| *since + patience <= now) {
            if self.parent == Some(p) {
                self.lose_parent(true);
            } else {
                self.peer_mut(p).give_up(now);
            }
        }
        if self.peer(p).pull_at.is_some_and(|at| at <= now) {
            // What was missing may have come by another way meanwhile.
            let missing = !self.has_all_of(p);
            let peer = self.peer_mut(p);
            peer.pull_at = missing.then(|| now + patience);
            peer.pulls = if missing { peer.pulls + 1 } else { 0 };
            if peer.pulls > MAX_PULLS && self.parent == Some(p) {
                self.lose_parent(true);
            } else if missing {
                self.send_header(p, Ask::Pull);
            }
        }
        if self.probe_at(p).is_some_and(|at| at <= now) {
            let max = self.config.max_probe;
            if let Some((at, wait)) = &mut self.peer_mut(p).probe {
                (*at, *wait) = (now + *wait, (*wait * 2).min(max));
            }
            self.send_header(p, Ask::Reply);
        }
        if self.peer(p).ack_at.is_some_and(|at| at <= now) {
            self.send(p, Ask::None);
        }
    }

    /// How long an acknowledgement of that node may take.
    fn patience(&self, p: NodeIndex) -> Duration {
        let slack = if self.parent == Some(p) { Duration::ZERO } else { self.config.ack_delay };
        self.failover_after() + slack
    }

    /// Only the hub looks after those who do not answer; a leaf asks others instead.
    fn probe_at(&self, p: NodeIndex) -> Option<Time> {
        let (at, _) = self.peer(p).probe?;
        self.is_hub().then_some(at)
    }

    /// Up to `count` random nodes that are `wanted`.
    pub(super) fn pick(&mut self, count: usize, wanted: impl Fn(NodeIndex) -> bool) -> Vec<NodeIndex> {
        let mut from: Vec<NodeIndex> = self.others().filter(|p| wanted(*p)).collect();
        let count = count.min(from.len());
        for i in 0..count {
            let other = self.random.random_range(i..from.len());
            from.swap(i, other);
        }
        from.truncate(count);
        from
    }

    /// Sends what that node lacks, or the header alone if that is nothing or not known.
    pub(super) fn send(&mut self, to: NodeIndex, ask: Ask) {
        let peer = self.peer(to);
        let runs = if peer.known.is_some() { self.store.beyond(&peer.sent) } else { Vec::new() };
        if !runs.is_empty() {
            let versions = self.store.versions().clone();
            let now = self.now;
            let acknowledges = !self.planted.is(Mutant::UnacknowledgedNotResent);
            self.peer_mut(to).pushed(now, &versions, acknowledges);
        }
        self.emit(to, ask, runs);
    }

    pub(super) fn send_header(&mut self, to: NodeIndex, ask: Ask) {
        self.emit(to, ask, Vec::new());
    }

    fn emit(&mut self, to: NodeIndex, ask: Ask, runs: Vec<super::api::Run<P>>) {
        self.peer_mut(to).ack_at = None;
        let message = Message {
            life: self.me.life,
            view: self.view,
            hears_hub: self.hears_hub(),
            parent: self.parent == Some(to),
            ask,
            versions: self.store.versions().clone(),
            runs,
        };
        self.outputs.push_back(Output::Send { to, message });
    }
}
