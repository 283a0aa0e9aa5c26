//! What the faults do, as histories tell it: in the words of every tier, each at the moment at which it takes hold.

use gossip_check::history::Value;

use super::World;
use super::clock::{Clock, TRUE_RATE};
use super::queue::MILLI;
use crate::faults::schedule::{Action, Planned};

impl World {
    /// Something happened to one node.
    pub(super) fn nemesis(&mut self, f: &str, place: usize) {
        let value = Value::Vec(vec![self.machines[place].name.as_str().into()]);
        self.history.nemesis(self.queue.now(), f, value);
    }

    /// Clocks that are off from the beginning: whether what holders believe counts, a judge can only know from here.
    pub(super) fn tell_clocks(&mut self) {
        let nodes = self.machines.iter().map(|machine| (machine.name.as_str(), &machine.clock));
        let workers = self.workers.iter().map(|worker| (worker.name.as_str(), &worker.clock));
        let off = nodes.chain(workers).filter(|(_, clock)| clock.rate() != TRUE_RATE);
        let skews: Vec<(&str, Value)> = off.map(|(name, clock)| (name, skew(clock))).collect();
        if !skews.is_empty() {
            let value = named(skews);
            self.history.nemesis(self.queue.now(), "skew", value);
        }
    }

    fn tell_clock(&mut self, name: &str, value: Value) {
        self.history.nemesis(self.queue.now(), "skew", named([(name, value)]));
    }

    /// A fault of the schedule strikes. Kills, pauses and replacements tell of themselves.
    pub(super) fn tell_strike(&mut self, planned: &Planned, place: Option<usize>) {
        let now = self.queue.now();
        match &planned.action {
            Action::Cut(links) => self.history.nemesis(now, "start-partition", self.grudge(links)),
            Action::Slow(links, slowness) => {
                let value = self.grudge(links);
                let value = Value::map([("links", value), ("times", number(*slowness))]);
                self.history.nemesis(now, "start-slow-link", value);
            }
            Action::WorkerRate(worker, _) => {
                let worker = &self.workers[*worker];
                let (name, value) = (worker.name.as_str().to_owned(), skew(&worker.clock));
                self.tell_clock(&name, value);
            }
            Action::JumpWall(..) | Action::Rate(..) => {
                let Some(machine) = place.map(|place| &self.machines[place]) else { return };
                let (name, value) = (machine.name.clone(), skew(&machine.clock));
                self.tell_clock(&name, value);
            }
            Action::CutWorker(worker) | Action::PauseWorker(worker) => {
                let value = Value::Vec(vec![self.workers[*worker].name.as_str().into()]);
                self.history.nemesis(now, &format!("start-{}", planned.fault.name()), value);
            }
            Action::Kill { .. } | Action::KillAll | Action::Pause(_) | Action::Replace(_) | Action::Nothing => {}
            _ => {
                let name = place.map_or(Value::Nil, |place| self.machines[place].name.as_str().into());
                self.history.nemesis(now, &format!("start-{}", planned.fault.name()), name);
            }
        }
    }

    /// It ends.
    pub(super) fn tell_mend(&mut self, planned: &Planned) {
        let now = self.queue.now();
        match &planned.action {
            Action::Cut(links) => self.history.nemesis(now, "stop-partition", self.grudge(links)),
            Action::Slow(links, _) => self.history.nemesis(now, "stop-slow-link", self.grudge(links)),
            Action::Kill { .. } | Action::KillAll | Action::Pause(_) => {}
            _ => self.history.nemesis(now, &format!("stop-{}", planned.fault.name()), Value::Nil),
        }
    }

    /// Links that carry nothing, as Jepsen has it: from each node to those that it does not hear.
    fn grudge(&self, links: &[(usize, usize)]) -> Value {
        let name = |place: usize| Value::from(self.machines[place].name.as_str());
        let deaf = (0..self.machines.len()).map(|to| {
            let unheard: Vec<Value> = links.iter().filter(|link| link.1 == to).map(|link| name(link.0)).collect();
            (self.machines[to].name.as_str(), Value::Vec(unheard))
        });
        named(deaf.filter(|(_, unheard)| unheard.items().is_some_and(|items| !items.is_empty())))
    }
}

fn number(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn skew(clock: &Clock) -> Value {
    let wall_ms = clock.wall_offset() / MILLI as i64;
    Value::map([("rate-ppm", number(clock.rate())), ("wall-ms", Value::Int(wall_ms))])
}

/// A map whose keys are names, not keywords.
fn named<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let mut map = gossip_check::history::Map::new();
    for (name, value) in pairs {
        map.insert(name.into(), value);
    }
    map.into()
}
