//! The probe in flight: directly, then through others, then a suspicion.

use super::machine::{Membership, ProbeMessage};
use super::member::{NodeId, Status};
use crate::mutants::Mutant;
use crate::time::Time;

/// One probe.
#[derive(Debug)]
pub(super) struct Probe {
    target: NodeId,
    seq: u32,
    /// When others are asked; `None` once they were.
    ask_at: Option<Time>,
    /// When the target is suspected.
    ends: Time,
    /// Who was asked. The ack of each counts until the end, also after its nack.
    asked: Vec<NodeId>,
    /// Who of them has sent neither ack nor nack.
    silent: Vec<NodeId>,
}

impl Probe {
    pub(super) fn deadline(&self) -> Time {
        self.ask_at.unwrap_or(self.ends)
    }
}

impl Membership {
    pub(super) fn tick_probe(&mut self, now: Time) {
        if self.probe.as_ref().is_some_and(|probe| probe.ends <= now) {
            self.probe_failed(now);
        } else if self.probe.as_ref().and_then(|probe| probe.ask_at).is_some_and(|at| at <= now) {
            self.ask_others();
        }
        if self.next_probe <= now && self.probe.is_none() {
            self.next_probe = now + self.health.stretch(self.config.probe_interval);
            if let Some(target) = self.ring.advance(&mut self.random) {
                self.start_probe(now, target);
            }
        }
    }

    fn start_probe(&mut self, now: Time, target: NodeId) {
        let seq = self.next_seq();
        self.probe = Some(Probe {
            target,
            seq,
            ask_at: Some(now + self.health.stretch(self.config.probe_timeout)),
            ends: self.next_probe,
            asked: Vec::new(),
            silent: Vec::new(),
        });
        self.send(target, ProbeMessage::Ping { seq });
    }

    pub(super) fn next_seq(&mut self) -> u32 {
        self.last_seq = self.last_seq.wrapping_add(1);
        self.last_seq
    }

    fn ask_others(&mut self) {
        let Some((target, seq)) = self.probe.as_mut().map(|probe| {
            probe.ask_at = None;
            (probe.target, probe.seq)
        }) else {
            return;
        };
        let members = &self.members;
        let helpers = self.ring.sample(self.config.indirect_probes, &mut self.random, |node| {
            node != target && members.get(&node).is_some_and(|member| member.standing.status == Status::Alive)
        });
        if let Some(probe) = &mut self.probe {
            probe.asked.clone_from(&helpers);
            probe.silent.clone_from(&helpers);
        }
        for helper in helpers {
            self.send(helper, ProbeMessage::PingReq { seq, target });
        }
    }

    /// An ack of the target itself, or of a helper that it answered; or one that this node waits for in another's name.
    pub(super) fn acked(&mut self, from: NodeId, seq: u32) {
        let planted = self.planted;
        let expected = |probe: &mut Probe| {
            let helpers = if planted.is(Mutant::NackForgetsHelper) { &probe.silent } else { &probe.asked };
            probe.seq == seq && (probe.target == from || helpers.contains(&from))
        };
        if self.probe.take_if(expected).is_some() {
            self.health.better();
        } else {
            self.relay_acked(from, seq);
        }
    }

    pub(super) fn nacked(&mut self, from: NodeId, seq: u32) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.seq == seq) {
            probe.silent.retain(|node| *node != from);
        }
    }

    fn probe_failed(&mut self, now: Time) {
        let Some(probe) = self.probe.take() else { return };
        // Helpers that said nothing at all point at this node rather than at the target. Without helpers there is nothing
        // to tell the two apart.
        let missed = if probe.asked.is_empty() { 1 } else { probe.silent.len() };
        self.health.worse(missed as u32);
        let Some(member) = self.members.get(&probe.target) else { return };
        let incarnation = member.standing.incarnation;
        match member.standing.status {
            Status::Alive => self.suspect(now, probe.target, incarnation, self.id),
            Status::Suspect => self.confirm(probe.target, incarnation, self.id),
            Status::Dead | Status::Left => {}
        }
    }
}
