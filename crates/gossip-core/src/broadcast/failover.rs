//! Who is the hub and through whom a leaf hears it: views, doubts, fail-over.

use std::fmt::Debug;
use std::time::Duration;

use super::api::{Ask, NodeIndex, View};
use super::engine::Broadcast;
use super::peer::FIRST_PROBE;
use crate::mutants::Mutant;
use crate::time::Time;

/// How long a node that did not acknowledge is not taken as parent again: it may be heard and yet not hear.
const AVOID: Duration = Duration::from_secs(5);

/// How far a leaf is with its doubt in its parent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Doubt {
    #[default]
    None,
    /// The parent sent something; if it is silent until then, ask for a sign of life.
    Listening(Time),
    /// Asked for a sign of life, until then.
    Waiting(Time),
    /// Asked others whether they hear the hub, until then.
    Asking(Time),
}

impl Doubt {
    pub(super) fn deadline(self) -> Option<Time> {
        match self {
            Doubt::None => None,
            Doubt::Listening(at) | Doubt::Waiting(at) | Doubt::Asking(at) => Some(at),
        }
    }
}

/// What a message says beside its payloads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) hears_hub: bool,
    /// There were payloads in it.
    pub(super) brought: bool,
    /// Its sender does not hear this node.
    pub(super) probes: bool,
}

impl<P: Clone + Debug> Broadcast<P> {
    pub(super) fn hears_hub(&self) -> bool {
        // Under load a hub speaks once in a window. Who takes an older word for a sign of life delays the fail-over.
        let lately = self.config.hub_window() + self.config.min_failover / 2;
        let hub = self.view.hub;
        self.is_hub() || (self.view.epoch > 0 && self.peer(hub).heard.is_some_and(|at| self.now < at + lately))
    }

    /// What a message says about who leads and who is there.
    pub(super) fn heard_from(&mut self, from: NodeIndex, view: View, said: Said) {
        if (view.hub as usize) < self.peers.len() && view.beats(self.view) {
            return self.adopt(view, from);
        }
        let asking = matches!(self.doubt, Doubt::Asking(_));
        let hub_again = from == self.view.hub && self.view.epoch > 0 && self.parent != Some(from) && !said.probes;
        let usable = !self.is_hub() && view == self.view && !self.peer(from).avoided(self.now);
        if usable && (hub_again || (asking && said.hears_hub)) {
            return self.attach(from);
        }
        if self.parent == Some(from) && !asking {
            self.doubt = match self.doubt {
                _ if said.brought => Doubt::Listening(self.now + self.failover_after() + self.config.hub_window()),
                Doubt::Waiting(_) => Doubt::None,
                other => other,
            };
        }
    }

    fn adopt(&mut self, view: View, from: NodeIndex) {
        self.view = view;
        if view.hub == self.me.node {
            return self.lead();
        }
        let direct = view.hub == from || !self.peer(view.hub).avoided(self.now);
        self.attach(if direct { view.hub } else { from });
    }

    /// Takes a parent, which learns of it at once, and with it everything that it lacks.
    fn attach(&mut self, parent: NodeIndex) {
        let old = self.parent.replace(parent);
        self.doubt = Doubt::None;
        let peer = self.peer_mut(parent);
        (peer.probe, peer.pulls) = (None, 0);
        if let Some(old) = old.filter(|old| *old != parent && *old != self.view.hub) {
            // A relay need not feed this node any longer.
            self.send_header(old, Ask::None);
        }
        self.send(parent, Ask::None);
        if self.peer(parent).known.is_none() {
            self.doubt = Doubt::Waiting(self.now + self.failover_after());
        }
    }

    /// Takes the hub's role.
    pub(super) fn take_over(&mut self) {
        if self.view.epoch > 0 && self.planted.is(Mutant::HubNeverReplaced) {
            // The planted bug: the first hub of all keeps the role.
            self.doubt = Doubt::None;
            return;
        }
        self.view = View { epoch: self.view.epoch.saturating_add(1), hub: self.me.node };
        self.lead();
    }

    fn lead(&mut self) {
        self.parent = None;
        self.doubt = Doubt::None;
        let probe = (self.now + FIRST_PROBE.max(self.config.hub_window()), FIRST_PROBE);
        for p in self.others() {
            self.send_header(p, Ask::None);
            let peer = self.peer_mut(p);
            (peer.probe, peer.child) = (Some(probe), false);
        }
    }

    pub(super) fn tick_doubt(&mut self) {
        if self.doubt.deadline().is_none_or(|at| at > self.now) {
            return;
        }
        match (self.doubt, self.parent) {
            (Doubt::Listening(_), Some(parent)) => {
                self.doubt = Doubt::Waiting(self.now + self.failover_after());
                self.send(parent, Ask::Reply);
            }
            (Doubt::Waiting(_), _) => self.lose_parent(false),
            (Doubt::Asking(_), _) => self.take_over(),
            (Doubt::None | Doubt::Listening(_), _) => self.doubt = Doubt::None,
        }
    }

    /// The parent is silent, or does not acknowledge although it may be heard (`deaf`).
    pub(super) fn lose_parent(&mut self, deaf: bool) {
        let Some(parent) = self.parent.take() else { return };
        let now = self.now;
        self.peer_mut(parent).give_up(now);
        if deaf {
            self.peer_mut(parent).avoid_until = Some(now + AVOID);
        }
        let hub = self.view.hub;
        let asked = self.pick(self.config.asks, |p| p != parent && p != hub);
        if asked.is_empty() {
            return self.take_over();
        }
        self.doubt = Doubt::Asking(now + self.asking_time());
        for p in asked {
            self.send_header(p, Ask::Hub);
        }
    }
}
