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
                self.net.cut(links, true);
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
                self.workers[*worker].stopped.get_or_insert_default();
                true
            }
            Action::KillAll => {
                (0..self.machines.len()).for_each(|place| self.kill(place));
                true
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
        self.history.fault(now, planned.fault.name(), &format!("{:?}{}", planned.action, whom(place)));
        self.queue.after(planned.lasts, Event::Mend(number));
    }

    /// Faults that show only later mark themselves.
    fn mark_fault(&mut self, fault: Fault) {
        let later = matches!(
            fault,
            Fault::CrashBetween | Fault::FailedSync | Fault::DiskFull | Fault::FlippedBit | Fault::Membership
        );
        if !later {
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
            }
            Action::Kill { after: None, .. } => self.kill(place),
            Action::Kill { after, .. } => {
                let Some(process) = &mut self.machines[place].process else { return false };
                process.fuse = *after;
            }
            Action::Pause(_) => return self.pause(place),
            _ => return false,
        }
        runs
    }

    /// Damages a disk, unless that could cost the majority its data.
    fn flip_bit(&mut self, place: usize) -> bool {
        let alone = self.replacement.is_none() && !self.machines.iter().any(|m| m.disk.is_damaged() || m.retired);
        if !alone || self.machines[place].process.is_none() {
            return false;
        }
        self.kill(place);
        if !self.machines[place].disk.flip_bit() {
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
            (Action::Cut(links), _) => self.net.cut(links, false),
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
        self.history.fault(now, &format!("stop-{}", planned.fault.name()), &whom(place));
    }

    /// Asks the leader to hand over to the node in this place.
    fn transfer(&mut self, place: usize) -> bool {
        let Some(leader) = self.leader() else { return false };
        let to = Some(self.machines[place].name.clone()).filter(|_| place != leader);
        let caller = self.next_attempt(self.options.workers);
        self.send(leader, caller, Ask::Change(Change::TransferLeader { to }), 2 * SECOND, MILLI);
        true
    }
}

fn whom(place: Option<usize>) -> String {
    place.map(|place| format!(" on n{}", place + 1)).unwrap_or_default()
}
