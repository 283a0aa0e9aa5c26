//! The life of a process: start, kill, stop and go on.

use gossip_check::history::Value;
use gossip_core::consensus::{Group, Input};
use gossip_core::mutants::Mutant;
use gossip_core::time::Time;

use super::disk::DiskError;
use super::node::{Process, empty_state};
use super::queue::{MILLI, Nanos};
use super::request::Reply;
use super::{Event, World};
use crate::faults::Fault;
use crate::invariants::{Rule, Violation};
use crate::reach::Event as Rare;

/// After this a supervisor starts a process that ended by itself.
const SUPERVISOR: Nanos = 150 * MILLI;

impl World {
    /// Starts the process of this machine from what its disk holds.
    pub(super) fn start(&mut self, place: usize) {
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        if machine.process.is_some() || machine.retired || machine.disk.is_full() {
            return;
        }
        let recovered = match machine.disk.recover() {
            Ok(recovered) => recovered,
            Err(why) if !machine.disk.is_damaged() => {
                let problem = format!("n{} does not start from a disk that is well: {why:?}", place + 1);
                return self.fail(Violation::new(Rule::Stopped, problem));
            }
            Err(why) => {
                self.reach.fault(Fault::FlippedBit);
                self.trace.line(now, || format!("n{} does not start: {why:?}", place + 1));
                return self.replace(place);
            }
        };
        let damaged = machine.disk.is_damaged();
        machine.life += 1;
        let (id, config, time) = (machine.id, machine.config(), machine.clock.read(now));
        let state = empty_state(self.planted, &self.ledger);
        let group = match Group::new(id, config, recovered, state, self.planted, time) {
            Ok(group) => group,
            Err(problem) => return self.fail(Violation::new(Rule::Stopped, format!("n{}: {problem}", place + 1))),
        };
        let life = machine.life;
        machine.process = Some(Process {
            group,
            durable: 0,
            held: Default::default(),
            calls: Default::default(),
            stopped: None,
            fuse: None,
            wake: Nanos::MAX,
            planned: Time::ZERO,
            talk: None,
        });
        self.trace.mark(now, 0x100 | place as u64);
        self.trace.line(now, || format!("n{} starts, life {life}, raft id {id}", place + 1));
        if life > 1 {
            self.met(Rare::Restart);
            self.nemesis("start", place);
        }
        if damaged && !self.blind {
            let what = format!("n{} serves from a disk that is damaged", place + 1);
            return self.fail(Violation::new(Rule::Disk, what));
        }
        self.drain(place);
        self.start_gossip(place);
    }

    /// Ends the process at once, as SIGKILL does.
    pub(super) fn kill(&mut self, place: usize) {
        let now = self.queue.now();
        let Some(process) = self.machines[place].process.take() else { return };
        self.trace.mark(now, 0x200 | place as u64);
        self.trace.line(now, || format!("n{} dies", place + 1));
        self.nemesis("kill", place);
        self.machines[place].disk.crash(&mut self.reach);
        for caller in process.calls.into_values() {
            self.reply(caller, Reply::Reset);
        }
    }

    /// The process ends because its disk fails it, and is started again while there is hope.
    pub(super) fn give_up(&mut self, place: usize, why: &DiskError) {
        if matches!(why, DiskError::Damaged(_)) && !self.machines[place].disk.is_damaged() {
            let problem = format!("n{} finds damage on a disk that is well: {why:?}", place + 1);
            return self.fail(Violation::new(Rule::Stopped, problem));
        }
        self.trace.line(self.queue.now(), || format!("n{} stops: {why:?}", place + 1));
        self.kill(place);
        self.queue.after(SUPERVISOR, Event::Start { place });
    }

    /// The core says that it cannot go on. No fault of this world excuses that, unless the disk lied.
    pub(super) fn fatal(&mut self, place: usize, line: &str) {
        let excused = self.machines[place].disk.is_damaged() && self.planted.is(Mutant::ChecksumUnchecked);
        let rule = if excused { Rule::Disk } else { Rule::Stopped };
        self.fail(Violation::new(rule, format!("n{} stops: {line}", place + 1)));
    }

    /// Stops the process, as SIGSTOP does.
    pub(super) fn pause(&mut self, place: usize, fault: Fault) -> bool {
        let Some(process) = &mut self.machines[place].process else { return false };
        process.stopped.get_or_insert_default();
        self.pauses[place] = Some((fault, self.ledger.borrow().oracle().live_leases()));
        self.trace.line(self.queue.now(), || format!("n{} is stopped", place + 1));
        self.nemesis("pause", place);
        true
    }

    /// Lets it go on with all that arrived meanwhile.
    pub(super) fn resume(&mut self, place: usize) {
        let now = self.queue.now();
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else { return };
        let Some(mut inputs) = process.stopped.take() else { return };
        if let Some((fault, leases)) = self.pauses[place].take()
            && self.ledger.borrow().oracle().any_ran_out(&leases)
        {
            self.reach.fault(fault);
        }
        self.trace.line(now, || format!("n{} goes on", place + 1));
        self.history.nemesis(now, "resume", Value::Vec(vec![machine.name.as_str().into()]));
        inputs.push(Input::Wake);
        process.wake = Nanos::MAX;
        #[cfg(feature = "mutants")]
        process.group.set_wall_clock(machine.clock.wall(now) / MILLI);
        process.group.handle_all(machine.clock.read(now), inputs);
        self.release_held(place);
        self.drain(place);
        self.resume_gossip(place);
    }
}
