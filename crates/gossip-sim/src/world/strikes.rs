//! The schedule of faults, carried out.

use gossip_core::consensus::Change;

use super::queue::{MILLI, SECOND};
use super::request::Ask;
use super::{Event, World};
use crate::faults::Fault;
use crate::faults::schedule::{Action, Target};

impl World {
    pub(super) fn strike(&mut self, number: usize) {
        if self.finish.is_some() {
            return;
        }
        let planned = self.schedule[number].clone();
        let now = self.queue.now();
        self.trace.mark(now, 0x700 | number as u64);
        let place = self.victim(&planned.action);
        self.struck[number] = place;
        let took_hold = match &planned.action {
            Action::Cut(links) => {
                self.net.cut(links, planned.fault, true);
                true
            }
            Action::Slow(links, slowness) => {
                self.net.slow(links, *slowness);
                true
            }
            Action::CutWorker(worker) => {
                self.net.cut_worker(*worker, true);
                true
            }
            Action::WorkerRate(worker, rate) => {
                self.workers[*worker].clock.set_rate(now, *rate);
                true
            }
            Action::PauseWorker(worker) => {
                self.workers[*worker].stop(now);
                true
            }
            Action::KillAll => {
                let ran = self.machines.iter().any(|machine| machine.process.is_some());
                (0..self.machines.len()).for_each(|place| self.kill(place));
                ran
            }
            Action::Replace(place) => self.replace_if_safe(*place),
            Action::Transfer(place) => self.transfer(*place),
            Action::Nothing => false,
            action => place.is_some_and(|place| self.strike_machine(place, action)),
        };
        if !took_hold {
            return;
        }
        self.mark_fault(planned.fault);
        self.trace.line(now, || format!("FAULT #{number} {planned}{}", whom(place)));
        self.tell_strike(&planned, place);
        self.queue.after(planned.lasts, Event::Mend(number));
    }

    /// Coverage counts effects, not plans: most faults are marked where they show, at the message that was dropped or the sync
    /// that took long. Marked here are those whose strike is their effect.
    fn mark_fault(&mut self, fault: Fault) {
        let at_once =
            matches!(fault, Fault::Crash | Fault::KillAll | Fault::NodeRate | Fault::WorkerRate | Fault::WildRate);
        if at_once {
            self.reach.fault(fault);
        }
    }

    fn victim(&self, action: &Action) -> Option<usize> {
        let target = match action {
            Action::SlowSync(target, _)
            | Action::FailSync(target)
            | Action::FillDisk(target)
            | Action::FlipBit(target)
            | Action::JumpWall(target, _)
            | Action::Rate(target, _)
            | Action::Kill { target, .. }
            | Action::Pause(target) => *target,
            _ => return None,
        };
        match target {
            Target::Node(place) => Some(place),
            Target::Leader => self.leader(),
        }
    }

    fn strike_machine(&mut self, place: usize, action: &Action) -> bool {
        let now = self.queue.now();
        let runs = self.machines[place].process.is_some();
        match action {
            Action::SlowSync(_, slowness) => self.machines[place].disk.set_slowness(*slowness),
            Action::FailSync(_) => self.machines[place].disk.fail_next_sync(),
            Action::FillDisk(_) => self.machines[place].disk.set_full(true),
            Action::FlipBit(_) => return self.flip_bit(place),
            Action::JumpWall(_, by) => self.machines[place].clock.jump_wall(*by),
            Action::Rate(_, rate) => {
                self.machines[place].clock.set_rate(now, *rate);
                if let Some(process) = &mut self.machines[place].process {
                    process.wake = super::queue::Nanos::MAX;
                }
                self.plan_wake(place);
                self.replan_gossip(place);
            }
            Action::Kill { after: None, .. } => self.kill(place),
            Action::Kill { after, .. } => {
                let Some(process) = &mut self.machines[place].process else { return false };
                process.fuse = *after;
            }
            Action::Pause(target) => {
                let fault = if *target == Target::Leader { Fault::PauseLeader } else { Fault::PauseNode };
                return self.pause(place, fault);
            }
            _ => return false,
        }
        runs
    }

    /// Damages a disk, unless that could cost the majority its data.
    fn flip_bit(&mut self, place: usize) -> bool {
        let alone = self.replacement.is_none() && !self.machines.iter().any(|m| m.disk.is_damaged() || m.retired);
        // Who has not applied the newest member's vote counts votes without it, and who has not written much since may forget it
        // again in a crash: to such a node the damaged one may be half of all votes.
        let firm = self.machines.iter().filter_map(|machine| machine.process.as_ref());
        let firm = firm.filter(|process| process.group.status().applied >= self.settled_at).count();
        if !alone || firm < self.machines.len() || self.machines[place].process.is_none() {
            return false;
        }
        self.kill(place);
        if !self.machines[place].disk.spoil() {
            self.start(place);
            return false;
        }
        true
    }

    pub(super) fn mend(&mut self, number: usize) {
        let planned = self.schedule[number].clone();
        let now = self.queue.now();
        if self.finish.is_some() {
            return;
        }
        let place = self.struck[number];
        match (&planned.action, place) {
            (Action::Cut(links), _) => self.net.cut(links, planned.fault, false),
            (Action::Slow(links, _), _) => self.net.slow(links, 1),
            (Action::CutWorker(worker), _) => self.net.cut_worker(*worker, false),
            (Action::PauseWorker(worker), _) => self.resume_worker(*worker),
            (Action::KillAll, _) => (0..self.machines.len()).for_each(|place| self.start(place)),
            (Action::SlowSync(..), Some(place)) => self.machines[place].disk.set_slowness(1),
            (Action::FillDisk(_), Some(place)) => {
                self.machines[place].disk.set_full(false);
                self.start(place);
            }
            (Action::Kill { .. } | Action::FlipBit(_), Some(place)) => {
                if let Some(process) = &mut self.machines[place].process {
                    process.fuse = None;
                }
                self.start(place);
            }
            (Action::Pause(_), Some(place)) => self.resume(place),
            _ => return,
        }
        self.trace.line(now, || format!("END   #{number} {}{}", planned.fault.name(), whom(place)));
        self.tell_mend(&planned);
    }

    /// Asks the leader to hand over to the node in this place.
    fn transfer(&mut self, place: usize) -> bool {
        let Some(leader) = self.leader() else { return false };
        let to = Some(self.machines[place].name.clone()).filter(|_| place != leader);
        let caller = self.next_attempt(self.options.workers);
        self.transfers.insert(caller.attempt);
        self.send(leader, caller, Ask::Change(Change::TransferLeader { to }), 2 * SECOND, MILLI);
        true
    }
}

fn whom(place: Option<usize>) -> String {
    place.map(|place| format!(" on n{}", place + 1)).unwrap_or_default()
}
