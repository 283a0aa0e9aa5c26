//! Probes on behalf of others.

use super::machine::{Membership, ProbeMessage};
use super::member::NodeId;
use crate::time::Time;

/// The most probes that one node runs for others at a time; further requests go unanswered.
const MOST: usize = 256;

#[derive(Debug)]
struct Relay {
    target: NodeId,
    seq: u32,
    asker: NodeId,
    asker_seq: u32,
    /// When the asker is told that nothing came yet; `None` once it was.
    nack_at: Option<Time>,
    ends: Time,
}

/// The probes that this node runs for others.
#[derive(Debug, Default)]
pub(super) struct Relays(Vec<Relay>);

impl Relays {
    pub(super) fn deadline(&self) -> Time {
        self.0.iter().map(|relay| relay.nack_at.unwrap_or(relay.ends)).min().unwrap_or(Time::MAX)
    }
}

impl Membership {
    pub(super) fn relay(&mut self, now: Time, asker: NodeId, asker_seq: u32, target: NodeId) {
        if self.relays.0.len() >= MOST || !self.members.contains_key(&target) {
            return;
        }
        let seq = self.next_seq();
        self.relays.0.push(Relay {
            target,
            seq,
            asker,
            asker_seq,
            // Before the asker's own time is up (Lifeguard, section IV.A: at 80 % of the timeout).
            nack_at: Some(now + self.config.probe_timeout.mul_f64(0.8)),
            ends: now + self.config.longest_wait_for_helpers(),
        });
        self.send(target, ProbeMessage::Ping { seq });
    }

    pub(super) fn relay_acked(&mut self, from: NodeId, seq: u32) {
        let Some(at) = self.relays.0.iter().position(|relay| relay.seq == seq && relay.target == from) else { return };
        let relay = self.relays.0.swap_remove(at);
        self.send(relay.asker, ProbeMessage::Ack { seq: relay.asker_seq });
    }

    pub(super) fn tick_relays(&mut self, now: Time) {
        self.relays.0.retain(|relay| relay.ends > now);
        let mut nacks = Vec::new();
        for relay in &mut self.relays.0 {
            if relay.nack_at.take_if(|at| *at <= now).is_some() {
                nacks.push((relay.asker, relay.asker_seq));
            }
        }
        for (asker, seq) in nacks {
            self.send(asker, ProbeMessage::Nack { seq });
        }
    }
}
