//! The world around the nodes: time, network, disks, clocks, and the workers who use them.
//!
//! Everything happens in one thread, one event after the other, in virtual time. [`World::run`] goes through three phases: a storm in
//! which workers work and the schedule of faults strikes, a heal after which every shard must come to its end, and final reads.

pub mod clock;
mod database;
pub mod disk;
mod finish;
mod gossip;
mod nemesis;
pub mod net;
mod node;
mod operator;
mod process;
mod pump;
pub mod queue;
mod request;
mod strikes;
mod workers;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use gossip_core::consensus::{Group, Member, Members, NodeId, Token};
use gossip_core::coordination::RunId;
use gossip_core::mutants::Planted;
use raft::eraftpb::Message;

use crate::faults::Fault;
use crate::faults::options::{Options, rate_fault};
use crate::faults::schedule::Planned;
use crate::history::Recorder;
use crate::invariants::oracle::Held;
use crate::invariants::{Elections, Ledger, Logs, Rule, Violation};
use crate::reach::{Event as Rare, Reach};
use crate::rng::{Rng, Subject};
use crate::trace::Trace;
use finish::Finish;
use net::Net;
use node::{ALLOWED, Caller, Machine, empty_state};
use operator::Replacement;
use queue::{MILLI, Nanos, Queue, SECOND};
use request::{Ask, Reply};
use workers::Worker;

/// After the heal every shard must come to its end within this.
const LIVENESS: Nanos = 40 * SECOND;

/// What happens next.
#[derive(Debug)]
enum Event {
    Deliver {
        from: usize,
        to: usize,
        message: Box<Message>,
    },
    /// A message could not be delivered.
    Undelivered {
        place: usize,
        life: u32,
        to: NodeId,
        snapshot: Option<bool>,
    },
    Synced {
        place: usize,
        life: u32,
    },
    Wake {
        place: usize,
        life: u32,
    },
    /// Of the gossip.
    Packet {
        to: usize,
        packet: gossip::Packet,
    },
    GossipWake {
        place: usize,
        life: u32,
    },
    /// Somebody starts the process, if it is down.
    Start {
        place: usize,
    },
    Request {
        place: usize,
        caller: Caller,
        ask: Box<Ask>,
        patience: Nanos,
    },
    /// The caller of this request has given up.
    Cancel {
        place: usize,
        life: u32,
        token: Token,
    },
    Answer {
        caller: Caller,
        reply: Box<Reply>,
    },
    Step {
        worker: usize,
    },
    Patience {
        caller: Caller,
    },
    Strike(usize),
    Mend(usize),
    Operator,
    Finish,
}

/// A worker's place and the number of one of its steps.
pub type Step = (usize, u32);

/// Everything that a world begins with.
#[derive(Debug)]
pub struct Beginning {
    /// The settings.
    pub options: Options,
    /// The faults that will strike.
    pub schedule: Vec<Planned>,
    /// Steps that workers leave out.
    pub skipped: BTreeSet<Step>,
    /// The planted bug.
    pub planted: Planted,
    /// Whether the trace is to be read.
    pub readable: bool,
    /// Whether the checks on the nodes' own state are off, so that only the history tells.
    pub blind: bool,
}

/// Figures of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Virtual time that passed.
    pub simulated: Nanos,
    /// Events.
    pub events: u64,
    /// Operations of workers.
    pub operations: u64,
    /// Commands applied, over all nodes.
    pub applies: u64,
    /// Whole states compared.
    pub compared: u64,
    /// Terms that had a leader.
    pub terms: u64,
    /// Packets of gossip that were heard.
    pub packets: u64,
}

/// One world.
#[derive(Debug)]
pub struct World {
    options: Options,
    planted: Planted,
    queue: Queue<Event>,
    net: Net,
    machines: Vec<Machine>,
    /// The place of each node by Raft's number.
    places: Vec<usize>,
    /// The last one is the operator.
    workers: Vec<Worker>,
    directory: workers::Directory,
    ledger: Rc<RefCell<Ledger>>,
    logs: Logs,
    elections: Elections,
    schedule: Vec<Planned>,
    /// Whom each fault of the schedule struck.
    struck: Vec<Option<usize>>,
    /// Why each machine's process is stopped, and which leases were live when that began.
    pauses: Vec<Option<(Fault, Vec<Held>)>>,
    /// Two nodes that do not hear each other's gossip.
    hushed: Option<(usize, usize)>,
    /// Attempts to hand leadership over.
    transfers: BTreeSet<u64>,
    /// Steps that workers leave out.
    skipped: BTreeSet<Step>,
    /// Steps in which an operation began.
    pub begun: Vec<Step>,
    /// The nodes' own state is not checked.
    blind: bool,
    replacement: Option<Replacement>,
    /// Every node that has applied this has the last replacement behind it for good.
    settled_at: u64,
    finish: Option<Finish>,
    /// Workers that have steps left.
    busy: usize,
    /// The last planned fault has ended.
    calm_at: Nanos,
    tokens: u64,
    attempts: u64,
    operations: u64,
    /// Brief runs that were begun and are not known to be deleted.
    brief_runs: BTreeSet<RunId>,
    packets: u64,
    violation: Option<Violation>,
    done: bool,
    /// What was reached.
    pub reach: Reach,
    /// What happened.
    pub trace: Trace,
    /// What the workers saw.
    pub history: Recorder,
}

impl World {
    /// A world at its beginning: every node is formatted and about to start.
    pub fn new(beginning: Beginning) -> Self {
        let Beginning { options, schedule, skipped, planted, readable, blind } = beginning;
        let ledger = Rc::new(RefCell::new(Ledger::new(ALLOWED, blind)));
        let mut machines: Vec<Machine> =
            (0..options.nodes).map(|place| Machine::new(&options, place, planted)).collect();
        let member = |m: &Machine| Member { id: m.id, name: m.name.clone(), address: address(&m.name), voter: true };
        let members = Members { nodes: machines.iter().map(member).collect(), next_id: options.nodes as u64 + 1 };
        let record = Group::bootstrap_record(&members, &empty_state(planted, &ledger));
        for machine in &mut machines {
            machine.disk.format(&record);
        }
        let mut reach = Reach::default();
        let workers: Vec<Worker> = (0..=options.workers).map(|place| Worker::new(&options, place)).collect();
        let of_nodes = machines.iter().map(|machine| rate_fault(machine.clock.rate(), Fault::NodeRate));
        let of_workers = workers.iter().map(|worker| rate_fault(worker.clock.rate(), Fault::WorkerRate));
        of_nodes.chain(of_workers).flatten().for_each(|fault| reach.fault(fault));
        let calm_at = schedule.iter().map(|planned| planned.at + planned.lasts).max().unwrap_or(0);
        World {
            net: Net::new(&options),
            queue: Queue::default(),
            places: (0..=options.nodes).map(|id| id.saturating_sub(1)).collect(),
            busy: options.workers,
            directory: workers::Directory::new(&options),
            struck: vec![None; schedule.len()],
            pauses: machines.iter().map(|_| None).collect(),
            hushed: None,
            transfers: BTreeSet::new(),
            skipped,
            begun: Vec::new(),
            blind,
            trace: Trace::new(readable),
            history: Recorder::default(),
            options,
            planted,
            machines,
            workers,
            ledger,
            logs: Logs::default(),
            elections: Elections::default(),
            schedule,
            replacement: None,
            settled_at: 0,
            finish: None,
            calm_at,
            tokens: 0,
            attempts: 0,
            operations: 0,
            brief_runs: BTreeSet::new(),
            packets: 0,
            violation: None,
            done: false,
            reach,
        }
    }

    /// Runs to the end, or to the first violation.
    pub fn run(&mut self) -> Option<Violation> {
        let mut rng = Rng::stream(self.options.seed, Subject::Operator);
        self.tell_clocks();
        for place in 0..self.machines.len() {
            self.queue.after(rng.within(0, 5 * MILLI), Event::Start { place });
        }
        for worker in 0..self.options.workers {
            self.queue.after(rng.within(0, 20 * MILLI), Event::Step { worker });
        }
        for (number, planned) in self.schedule.iter().enumerate() {
            self.queue.at(planned.at, Event::Strike(number));
        }
        while self.violation.is_none() && !self.done {
            match self.queue.step() {
                Some(event) => {
                    self.happen(event);
                    self.watch_phase();
                }
                None => self.run_dry(),
            }
        }
        self.mark_log();
        self.violation.take()
    }

    /// Nobody has anything left to do, and the end has not come: nothing can bring it any more.
    fn run_dry(&mut self) {
        let what = format!("nothing is left to happen; {}", self.describe_stall());
        self.fail(Violation::new(Rule::S6, what));
    }

    /// What only the whole log of commands tells.
    fn mark_log(&mut self) {
        let ledger = self.ledger.borrow();
        let (many, large) = ledger.oracle().asked_again();
        let seen = [
            (Rare::Takeover, ledger.oracle().takeovers()),
            (Rare::ForgottenByNumber, many),
            (Rare::ForgottenByBytes, large),
        ];
        seen.into_iter().filter(|(_, count)| *count > 0).for_each(|(rare, _)| self.reach.event(rare));
    }

    /// The figures so far.
    pub fn stats(&self) -> Stats {
        let (applies, compared) = self.ledger.borrow().counts();
        Stats {
            simulated: self.queue.now(),
            events: self.queue.planned(),
            operations: self.operations,
            applies,
            compared,
            terms: self.elections.count() as u64,
            packets: self.packets,
        }
    }

    /// The settings.
    pub fn options(&self) -> &Options {
        &self.options
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => self.deliver(from, to, message),
            Event::Undelivered { place, life, to, snapshot } => self.undelivered(place, life, to, snapshot),
            Event::Synced { place, life } => self.synced(place, life),
            Event::Wake { place, life } => self.wake(place, life),
            Event::Packet { to, packet } => self.packet(to, packet),
            Event::GossipWake { place, life } => self.wake_gossip(place, life),
            Event::Start { place } => self.start(place),
            Event::Request { place, caller, ask, patience } => self.request(place, caller, *ask, patience),
            Event::Cancel { place, life, token } => self.cancel(place, life, token),
            Event::Answer { caller, reply } => self.answered(caller, *reply),
            Event::Step { worker } => self.step(worker),
            Event::Patience { caller } => self.out_of_patience(caller),
            Event::Strike(number) => self.strike(number),
            Event::Mend(number) => self.mend(number),
            Event::Operator => self.operate(),
            Event::Finish => self.tend_finish(),
        }
    }

    /// The storm ends when the workers have taken their steps and the last fault has passed.
    fn watch_phase(&mut self) {
        let now = self.queue.now();
        match &self.finish {
            None => {
                let calm = now >= self.calm_at && self.busy == 0;
                if calm || now >= 2 * self.options.storm + 4 * SECOND {
                    self.heal();
                }
            }
            Some(finish) if now > finish.began + LIVENESS && self.violation.is_none() => {
                let what = self.describe_stall();
                self.fail(Violation::new(Rule::S6, what));
            }
            Some(_) => {}
        }
    }

    fn fail(&mut self, violation: Violation) {
        self.trace.line(self.queue.now(), || format!("VIOLATION {violation}"));
        self.violation.get_or_insert(violation);
    }

    /// Takes over what the ledger found.
    fn consult_ledger(&mut self) {
        let found = self.ledger.borrow_mut().take_violation();
        if let Some(violation) = found {
            self.fail(violation);
        }
    }

    /// Whoever leads in the highest term, as far as anybody can tell from outside.
    fn leader(&self) -> Option<usize> {
        let leading = |place: usize| Some((self.machines[place].leads()?, place));
        (0..self.machines.len()).filter_map(leading).max().map(|(_, place)| place)
    }

    /// Sends a request, or loses it on the way.
    fn send(&mut self, place: usize, caller: Caller, ask: Ask, patience: Nanos, delay: Nanos) {
        if let Some(way) = self.net.call(caller.party, &mut self.reach) {
            self.queue.after(delay + way, Event::Request { place, caller, ask: Box::new(ask), patience });
        }
    }

    fn reply(&mut self, caller: Caller, reply: Reply) {
        if let Some(failure) = reply.failure() {
            self.reach.reason(failure.reason);
        }
        if let Some(way) = self.net.call(caller.party, &mut self.reach) {
            self.queue.after(way, Event::Answer { caller, reply: Box::new(reply) });
        }
    }

    fn next_attempt(&mut self, party: usize) -> Caller {
        self.attempts += 1;
        Caller { party, attempt: self.attempts }
    }

    fn met(&mut self, rare: Rare) {
        self.reach.event(rare);
    }
}

/// Where a node would be reached.
fn address(name: &str) -> String {
    format!("{name}:7000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::options::{Length, Level};
    use crate::faults::schedule::Action;
    use crate::run::Plan;

    /// No process ever starts, no worker has a step to take, and the storm is said to last until after all that.
    #[test]
    fn a_world_in_which_nothing_is_left_to_happen_has_stalled() {
        let options = Options { steps: 0, ..Plan::new(1, Level::Sunny, Length::Short).options() };
        let never = Planned { at: SECOND, lasts: SECOND, fault: Fault::Crash, action: Action::Nothing };
        let mut world = World::new(Beginning {
            options,
            schedule: vec![never],
            skipped: BTreeSet::new(),
            planted: Planted::NONE,
            readable: false,
            blind: false,
        });
        world.machines.iter_mut().for_each(|machine| machine.retired = true);
        let violation = world.run().expect("it cannot end well");
        assert_eq!(violation.rule, Rule::S6);
        assert!(violation.what.contains("nothing is left to happen"), "{violation}");
    }
}
